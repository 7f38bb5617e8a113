//! Somebody in the same network who tries spoken codes without pause, over the same network stack as a
//! node: looks for channels that are shown, and guesses at each of them, again and again.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd as _,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use larder_node::net::{AdmitAll, Listen, Net, Rates, Settings};
use larder_protocol::{
    discovering::Beacon,
    ids::DeviceId,
    limits::MEETING_FRAME_BYTES_MAX,
    meeting::{CHANNELS, Channel, Ending, Failed, Guest, Input, Output, Party as _, SpokenCode},
    time::Instant as ProtocolInstant,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{runtime, sync::mpsc, time::timeout};
use zeroize::Zeroizing;

use crate::{dice::Dice, network::Network};

/// One look around: everybody answers within it.
const LOOK: Duration = Duration::from_millis(700);
/// Tries at one host between two looks.
const TRIES_AT_ONCE: u32 = 12;
/// Whoever does not answer within it is left.
const PATIENCE: Duration = Duration::from_secs(3);

/// What came of many guesses.
#[derive(Debug, Clone, Default)]
pub struct Guesses {
    /// Times that a guess was made or tried to be made.
    pub tried: u32,
    /// Guesses that were heard, and wrong.
    pub wrong: u32,
    /// Those that came to a code that had been used.
    pub gone: u32,
    /// Those to which nobody listened.
    pub unheard: u32,
    /// Channels at which somebody was found.
    pub channels: Vec<u16>,
    /// Those that were right.
    pub invited: u32,
}

/// Guesses for this long in a network, from this address.
///
/// # Errors
/// What the system says.
pub fn guess_in(network: &Network, address: Ipv4Addr, within: Duration) -> io::Result<Guesses> {
    let space = File::open(format!("/proc/{}/ns/net", network.keeper()))?;
    // Only this thread goes there, and those that it makes.
    let made = thread::spawn(move || {
        move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let guesses = runtime.block_on(Guesser::start(address).go_on(within));
        runtime.shutdown_timeout(Duration::from_secs(1));
        io::Result::Ok(guesses)
    });
    made.join().expect("nothing in it panics")
}

struct Guesser {
    address: Ipv4Addr,
    dice: Dice,
    /// Everybody can make the ids of all channels.
    channels: BTreeMap<DeviceId, Channel>,
    hosts: BTreeMap<DeviceId, SocketAddr>,
    guesses: Guesses,
}

impl Guesser {
    fn start(address: Ipv4Addr) -> Self {
        let channels = (1..=CHANNELS).filter_map(Channel::new);
        let channels = channels.map(|channel| (channel.id(), channel)).collect();
        let (dice, guesses) = (Dice::new(23), Guesses::default());
        Self { address, dice, channels, hosts: BTreeMap::new(), guesses }
    }

    async fn go_on(mut self, within: Duration) -> Guesses {
        let (begun, seed) = (Instant::now(), Zeroizing::new(self.random()));
        let listen = Listen::Only(SocketAddr::from((self.address, 0)));
        let settings = Settings { seed, listen, relays: Vec::new(), rates: Rates::default() };
        let net = Net::start(settings, Arc::new(AdmitAll)).await.expect("a port is free");
        while begun.elapsed() < within {
            self.look(&net).await;
            let hosts: Vec<_> = self.hosts.iter().map(|(host, at)| (*host, *at)).collect();
            for (host, at) in hosts {
                for _ in 0..TRIES_AT_ONCE {
                    if begun.elapsed() < within {
                        net.set_addresses(host, vec![at]);
                        self.guess(&net, host).await;
                    }
                }
            }
        }
        net.close().await;
        self.guesses
    }

    /// Finds who shows itself at a channel.
    async fn look(&mut self, net: &Net) {
        let own = Beacon::from_bytes(self.random());
        let (sightings, mut seen) = mpsc::channel(64);
        let _in_time = timeout(LOOK, net.look_around(own, sightings)).await;
        while let Some(sighting) = seen.recv().await {
            let host = DeviceId::from_bytes(*sighting.beacon.as_bytes());
            if let Some(channel) = self.channels.get(&host)
                && self.hosts.insert(host, sighting.address).is_none()
            {
                self.guesses.channels.push(channel.number());
            }
        }
    }

    async fn guess(&mut self, net: &Net, host: DeviceId) {
        let code = SpokenCode::random(self.channels[&host], self.random());
        let guest = Guest::new(&code, self.random(), ProtocolInstant::default());
        let ending = timeout(PATIENCE, meet(net, host, guest)).await;
        net.forget_connections(&host);
        self.guesses.tried += 1;
        match ending {
            Ok(Some(Ending::Failed(Failed::WrongCode))) => self.guesses.wrong += 1,
            Ok(Some(Ending::Failed(Failed::Gone))) => self.guesses.gone += 1,
            Ok(Some(Ending::Invited(_))) => self.guesses.invited += 1,
            Ok(Some(Ending::Failed(_) | Ending::Given) | None) | Err(_) => {
                self.guesses.unheard += 1;
            }
        }
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        self.dice.bytes(N).try_into().expect("so many bytes")
    }
}

/// One try. `None` when nobody answers.
async fn meet(net: &Net, host: DeviceId, mut guest: Guest) -> Option<Ending> {
    let mut stream = net.peer(host).meet().await.ok()?;
    loop {
        while let Some(output) = guest.poll_output() {
            match output {
                Output::Send(frame) => stream.send_frame(frame).await.ok()?,
                Output::Take => return None,
                Output::Ended(ending) => return Some(ending),
            }
        }
        let body = stream.receive_body(MEETING_FRAME_BYTES_MAX).await;
        let input = body.map_or(Input::Lost, Input::Frame);
        guest.handle_input(ProtocolInstant::default(), input);
    }
}
