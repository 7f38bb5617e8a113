//! Somebody in the same network who belongs to nobody: listens to what is shown there by mDNS, and
//! shows what it likes.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    thread,
    time::{Duration, Instant},
};

use libp2p::{PeerId, multihash::Multihash};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::network::Network;

/// Where everybody hears everybody.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// A question for everybody who speaks libp2p: header, one question, the name, PTR, IN.
const QUESTION: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x04_p2p\x04_udp\x05local\0\0\x0c\0\x01";
/// The id of a peer by a hash, in letters.
const ID_LETTERS: usize = 46;

/// Sockets in somebody's network.
#[derive(Debug)]
pub struct Stranger {
    hears: UdpSocket,
    says: UdpSocket,
}

impl Stranger {
    /// Stands in a network where it has this address.
    ///
    /// # Errors
    /// What the system says.
    pub fn in_network(network: &Network, address: Ipv4Addr) -> io::Result<Self> {
        let space = File::open(format!("/proc/{}/ns/net", network.keeper()))?;
        // A socket stays in the network in which it was made; only this thread goes there.
        let made = thread::spawn(move || {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
            let hears = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
            hears.join_multicast_v4(&GROUP, &address)?;
            hears.set_read_timeout(Some(Duration::from_millis(50)))?;
            // By the interface of its address: there is no other way out.
            let says = UdpSocket::bind((address, 0))?;
            says.set_multicast_loop_v4(false)?;
            io::Result::Ok(Self { hears, says })
        });
        made.join().expect("nothing in it panics")
    }

    /// Asks who is there, and returns all that is said within a while, with who said it.
    pub fn ask(&self, within: Duration) -> Vec<(SocketAddr, Vec<u8>)> {
        self.say(QUESTION);
        self.hear(within)
    }

    /// What is said within a while.
    pub fn hear(&self, within: Duration) -> Vec<(SocketAddr, Vec<u8>)> {
        let (begun, mut heard) = (Instant::now(), Vec::new());
        let mut packet = [0; 9_000];
        while begun.elapsed() < within {
            if let Ok((length, from)) = self.hears.recv_from(&mut packet) {
                heard.push((from, packet[..length].to_vec()));
            }
        }
        heard
    }

    /// Says something to everybody.
    pub fn say(&self, packet: &[u8]) {
        self.says.send_to(packet, (GROUP, PORT)).expect("the network takes packets");
    }

    /// Shows somebody's answer as its own so many times, each time under another id.
    pub fn show_many(&self, answer: &[u8], count: u32) {
        for number in 0..count {
            let mut digest = [0xab; 32];
            digest[..4].copy_from_slice(&number.to_le_bytes());
            let hash = Multihash::<64>::wrap(0x12, &digest).expect("32 bytes fit");
            let id = PeerId::from_multihash(hash).expect("a hash is an id").to_base58();
            assert_eq!(id.len(), ID_LETTERS);
            self.say(&with_id(answer, id.as_bytes()));
        }
    }
}

/// Ids of peers in an answer.
pub fn ids(answer: &[u8]) -> Vec<String> {
    let starts = answer.windows(5).enumerate().filter(|(_, part)| part == b"/p2p/");
    let id = |(at, _): (usize, &[u8])| answer.get(at + 5..at + 5 + ID_LETTERS);
    let texts = starts.filter_map(id).filter_map(|id| std::str::from_utf8(id).ok());
    texts.map(str::to_owned).collect()
}

fn with_id(answer: &[u8], id: &[u8]) -> Vec<u8> {
    let mut other = answer.to_vec();
    for at in 0..=answer.len().saturating_sub(5 + ID_LETTERS) {
        if &answer[at..at + 5] == b"/p2p/" {
            other[at + 5..at + 5 + ID_LETTERS].copy_from_slice(id);
        }
    }
    other
}
