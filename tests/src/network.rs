//! A network of its own for the nodes of one case: loopback and nothing else, with its counters.
//! Several of them joined are [`crate::houses`].
//!
//! Programs are put into it with `nsenter`, so that this crate needs no unsafe call.

use std::{
    ffi::OsString,
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::process::{eventually, run};

/// A network namespace, held open by a process that waits. Gone when dropped.
#[derive(Debug)]
pub struct Network {
    keeper: Child,
}

/// What went one way over an interface of a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes, with all headers.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

/// What went over an interface, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossed {
    /// Into the network.
    pub received: Traffic,
    /// Out of it.
    pub sent: Traffic,
}

impl Network {
    /// A network with a working loopback. `None` where that is not allowed.
    pub fn isolated() -> Option<Self> {
        let mut unshare = Command::new("unshare");
        // `cat` ends when its input does: a namespace does not outlive a test that is killed.
        unshare.args(["--net", "sh", "-c", "ip link set lo up && exec cat"]);
        unshare.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut network = Self { keeper: unshare.spawn().ok()? };
        let mut up = false;
        let mut ended = false;
        eventually("the loopback comes up or is refused", Duration::from_secs(10), || {
            ended = network.keeper.try_wait().is_ok_and(|status| status.is_some());
            let name = fs::read_to_string(format!("/proc/{}/comm", network.keeper.id()));
            up = name.is_ok_and(|name| name.trim() == "cat");
            up || ended
        });
        up.then_some(network)
    }

    /// Words to put before a command, so that it runs inside.
    pub fn enter(&self) -> Vec<OsString> {
        let target = format!("--target={}", self.keeper.id());
        ["nsenter", &target, "--net", "--"].map(OsString::from).to_vec()
    }

    /// The process that holds it open.
    pub fn keeper(&self) -> u32 {
        self.keeper.id()
    }

    /// Runs a command inside, words separated by spaces; whether it succeeded.
    pub fn run(&self, command: &str) -> bool {
        let mut words = self.enter();
        words.extend(command.split(' ').map(OsString::from));
        run(Command::new(&words[0]).args(&words[1..]), Duration::from_secs(10)).code == Some(0)
    }

    /// What has been sent so far over the loopback.
    pub fn traffic(&self) -> Traffic {
        // Everything on loopback is sent once and received once.
        self.crossed("lo").received
    }

    /// What has gone over one of its interfaces so far.
    pub fn crossed(&self, interface: &str) -> Crossed {
        let path = format!("/proc/{}/net/dev", self.keeper.id());
        let table = fs::read_to_string(path).expect("the keeper lives");
        let start = format!("{interface}:");
        let line = table.lines().find_map(|line| line.trim_start().strip_prefix(&start));
        let fields: Vec<u64> = line
            .expect("there is such an interface")
            .split_ascii_whitespace()
            .map(|field| field.parse().expect("counters are numbers"))
            .collect();
        let traffic = |at: usize| Traffic { bytes: fields[at], packets: fields[at + 1] };
        Crossed { received: traffic(0), sent: traffic(8) }
    }

    /// Limits the loopback to so many bytes a second. `false` where the kernel cannot.
    pub fn limit(&self, bytes_per_second: u64) -> bool {
        self.limit_sending("lo", bytes_per_second)
    }

    /// Limits what goes out of an interface. `false` where the kernel cannot.
    pub fn limit_sending(&self, interface: &str, bytes_per_second: u64) -> bool {
        let rate = bytes_per_second * 8;
        self.run(&format!(
            "tc qdisc replace dev {interface} root tbf rate {rate}bit burst 256kb latency 50ms"
        ))
    }
}

impl Traffic {
    /// What was added since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self { bytes: self.bytes - before.bytes, packets: self.packets - before.packets }
    }
}

impl Crossed {
    /// What was added since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self { received: self.received.since(before.received), sent: self.sent.since(before.sent) }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.keeper.kill().expect("a child can be killed");
        self.keeper.wait().expect("a killed child ends");
    }
}
