//! A network of its own for the nodes of one case: loopback and nothing else, with its counters.
//!
//! Programs are put into it with `nsenter`, so that this crate needs no unsafe call.

use std::{
    ffi::OsString,
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::process::{eventually, run};

/// A network namespace, held open by a sleeping process. Gone when dropped.
#[derive(Debug)]
pub struct Network {
    keeper: Child,
}

/// What went over the loopback of a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes, with all headers.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

impl Network {
    /// A network with a working loopback. `None` where that is not allowed.
    pub fn isolated() -> Option<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "sh", "-c", "ip link set lo up && exec sleep 86400"]);
        unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut network = Self { keeper: unshare.spawn().ok()? };
        let mut up = false;
        let mut ended = false;
        eventually("the loopback comes up or is refused", Duration::from_secs(10), || {
            ended = network.keeper.try_wait().is_ok_and(|status| status.is_some());
            let name = fs::read_to_string(format!("/proc/{}/comm", network.keeper.id()));
            up = name.is_ok_and(|name| name.trim() == "sleep");
            up || ended
        });
        up.then_some(network)
    }

    /// Words to put before a command, so that it runs inside.
    pub fn enter(&self) -> Vec<OsString> {
        let target = format!("--target={}", self.keeper.id());
        ["nsenter", &target, "--net", "--"].map(OsString::from).to_vec()
    }

    /// What has been sent so far.
    pub fn traffic(&self) -> Traffic {
        let path = format!("/proc/{}/net/dev", self.keeper.id());
        let table = fs::read_to_string(path).expect("the keeper lives");
        let line = table.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
        let fields: Vec<u64> = line
            .expect("there is a loopback")
            .split_ascii_whitespace()
            .map(|field| field.parse().expect("counters are numbers"))
            .collect();
        // Everything on loopback is sent once and received once: received bytes and packets.
        Traffic { bytes: fields[0], packets: fields[1] }
    }

    /// Limits the loopback to so many bytes a second. `false` where the kernel cannot.
    pub fn limit(&self, bytes_per_second: u64) -> bool {
        let mut words = self.enter();
        words
            .extend(["tc", "qdisc", "replace", "dev", "lo", "root", "tbf", "rate"].map(Into::into));
        words.push(format!("{}bit", bytes_per_second * 8).into());
        words.extend(["burst", "256kb", "latency", "50ms"].map(Into::into));
        let done = run(Command::new(&words[0]).args(&words[1..]), Duration::from_secs(10));
        done.code == Some(0)
    }
}

impl Traffic {
    /// What was added since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self { bytes: self.bytes - before.bytes, packets: self.packets - before.packets }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.keeper.kill().expect("a child can be killed");
        self.keeper.wait().expect("a killed child ends");
    }
}
