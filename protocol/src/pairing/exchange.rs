//! What both sides of a pairing have in common: outputs that wait, the time limit, and a log that
//! arrives in parts.

use std::collections::VecDeque;

use minicbor::bytes::ByteVec;

use super::{
    Asked, CompareWords, Ending, Fault, Member, Output, Refusal, Store, are_plausible,
    compare::Nonce,
    frame::{Frame, log_frames},
};
use crate::{
    holding,
    ids::{DeviceId, VaultId},
    limits::{PAIRING_ASKING_MS_MAX, PAIRING_HELLO_MS_MAX, PAIRING_MS_MAX},
    log::{DeviceLog, Role},
    peer::PeerRecord,
    time::Instant,
};

/// Outputs and time of one pairing. Bounded: a log has a largest size, all else is few.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    outputs: VecDeque<Output>,
    deadline: Instant,
    ended: bool,
}

impl Exchange {
    /// For the side that waits for a stranger's first word.
    pub(super) fn waiting(start: Instant) -> Self {
        let deadline = start.after_ms(PAIRING_HELLO_MS_MAX);
        Self { outputs: VecDeque::new(), deadline, ended: false }
    }

    /// For the whole pairing.
    pub(super) fn under_way(start: Instant) -> Self {
        Self { deadline: start.after_ms(PAIRING_MS_MAX), ..Self::waiting(start) }
    }

    pub(super) fn allow_whole_time(&mut self, now: Instant) {
        self.deadline = now.after_ms(PAIRING_MS_MAX);
    }

    /// A person is asked, who first looks at another screen.
    pub(super) fn allow_asking(&mut self, now: Instant) {
        self.deadline = now.after_ms(PAIRING_ASKING_MS_MAX);
    }

    /// A person is asked at the other end; what comes then may take its time.
    pub(super) fn allow_answer(&mut self, now: Instant) {
        self.deadline = now.after_ms(PAIRING_ASKING_MS_MAX + PAIRING_MS_MAX);
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    pub(super) const fn is_over(&self) -> bool {
        self.ended
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        (!self.ended).then_some(self.deadline)
    }

    pub(super) fn send(&mut self, frame: &Frame) {
        self.outputs.push_back(Output::Send(frame.encode()));
    }

    pub(super) fn send_log(&mut self, log: &DeviceLog) {
        for frame in log_frames(log) {
            self.send(&frame);
        }
    }

    /// Log and nodes of a vault that joins a circle; the joiner tells its number with them.
    /// `allowed` is what the other vault may keep here, `None` for as much as is offered.
    pub(super) fn send_introduction(
        &mut self,
        member: &Member,
        allowed: Option<u64>,
        nonce: Option<Nonce>,
    ) {
        self.send_log(&member.log);
        let peers = super::nodes_of(&member.peers, member.log.vault());
        let granted_bytes = holding::granted(allowed, member.offered_bytes);
        self.send(&Frame::Introduction { peers, granted_bytes, nonce });
    }

    pub(super) fn show(&mut self, words: CompareWords, role: Role) {
        self.outputs.push_back(Output::Show(words, role));
    }

    pub(super) fn ask(&mut self, asked: Asked) {
        self.outputs.push_back(Output::Ask(Box::new(asked)));
    }

    pub(super) fn store(&mut self, store: Store) {
        self.outputs.push_back(Output::Store(Box::new(store)));
    }

    pub(super) fn end(&mut self, ending: Ending) {
        self.ended = true;
        self.outputs.push_back(Output::Ended(ending));
    }

    pub(super) fn refuse(&mut self, reason: Refusal, ending: Ending) {
        self.send(&Frame::Refuse { reason });
        self.end(ending);
    }

    /// Ends with blame, and tells the other side that it is at fault but not in which way.
    pub(super) fn blame(&mut self, fault: Fault) {
        self.refuse(Refusal::Invalid, Ending::Fault(fault));
    }
}

/// The other side's log as far as it has arrived.
#[derive(Debug, Clone)]
pub(super) struct Arriving {
    vault: VaultId,
    log: Option<Box<DeviceLog>>,
    complete: bool,
}

impl Arriving {
    /// A log that must be that of `vault`.
    pub(super) const fn of(vault: VaultId) -> Self {
        Self { vault, log: None, complete: false }
    }

    /// Takes one part.
    pub(super) fn take(mut self, entries: &[ByteVec], last: bool) -> Result<Self, Fault> {
        if self.complete || entries.is_empty() {
            return Err(Fault::OutOfTurn);
        }
        for entry in entries {
            self.log = Some(match self.log {
                None => Box::new(DeviceLog::begin(entry).map_err(Fault::Log)?),
                Some(mut log) => {
                    // It was taken there, and who is met first is believed.
                    log.read_back(entry).map_err(Fault::Log)?;
                    log
                }
            });
        }
        if self.log.as_ref().is_some_and(|log| log.vault() != self.vault) {
            return Err(Fault::WrongVault);
        }
        self.complete = last;
        Ok(self)
    }

    /// The whole log, if it is of the vault and knows the device that speaks.
    pub(super) fn complete(self, speaker: &DeviceId) -> Result<DeviceLog, Fault> {
        let log = self.log.filter(|_| self.complete).ok_or(Fault::OutOfTurn)?;
        if log.is_device(speaker) { Ok(*log) } else { Err(Fault::WrongVault) }
    }
}

/// What each of two vaults lets the other one keep.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    /// What the other one grants; `None` where it does not keep for this vault.
    pub(super) granted: Option<u64>,
    /// What it is allowed here; `None` for as much as is offered.
    pub(super) allowed: Option<u64>,
}

/// Checks an introduction against the log that came with it.
pub(super) fn befriend(
    log: DeviceLog,
    speaker: &DeviceId,
    peers: Vec<PeerRecord>,
    shares: Shares,
) -> Result<Store, Fault> {
    let own = |peer: &PeerRecord| peer.vault == log.vault() && log.is_device(&peer.device);
    let speaks = peers.iter().any(|peer| peer.device == *speaker);
    if speaks && are_plausible(&peers) && peers.iter().all(own) {
        Ok(Store::Befriended {
            log,
            peers,
            granted_bytes: shares.granted.unwrap_or(0),
            allowed_bytes: shares.allowed,
            keeps_for_us: shares.granted.is_some(),
        })
    } else {
        Err(Fault::Implausible)
    }
}
