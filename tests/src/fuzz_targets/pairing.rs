//! Frames of a pairing, as either side takes them from whoever is there.
//!
//! Each side is the same in every run, its numbers too, so that what was heard in a pairing that went well
//! goes well again, and what is made of it comes far.

use std::sync::LazyLock;

use larder_protocol::{
    keys::DeviceKeys,
    log::{LogEntry, Role},
    pairing::{
        Ending, Input, Invitation, Inviter, InviterParts, JoinAs, Joiner, JoinerParts, Member,
        Output, Store,
    },
    peer::PeerRecord,
    ticket::{Invite, InviteKind, InviteSecret},
    time::{Instant, Timestamp},
    wire::frame::FRAME_PREFIX_BYTES,
};

use super::{
    pieces::{joined, pieces},
    world::{NOW, device, found, label},
};

static MEMBERS: LazyLock<[Member; 2]> = LazyLock::new(|| [1, 2].map(member));

fn member(number: u8) -> Member {
    let (log, label) = (found(number), label(number));
    let addresses = vec![format!("192.0.2.{number}:4711")];
    let (device, vault) = (device(number).id(), log.vault());
    let record = PeerRecord { device, vault, name: label.name, addresses, site: label.site };
    Member { log, peers: vec![record], offered_bytes: 1_000 * u64::from(number) }
}

fn invite(kind: InviteKind) -> Invite {
    Invite {
        kind,
        inviter: device(1).id(),
        addresses: vec!["192.0.2.1:4711".to_owned()],
        secret: InviteSecret([0x5e; 32]),
        expires: Timestamp(NOW.0 + 600),
    }
}

#[derive(Debug, Clone)]
enum Party {
    Inviter(Box<Inviter>),
    Joiner(Box<Joiner>),
}

/// One side with a shell that stores what it is told to, and a person who says yes.
#[derive(Debug, Clone)]
struct Side {
    party: Party,
    sent: Vec<Vec<u8>>,
    stored: Vec<Store>,
    ending: Option<Ending>,
}

impl Side {
    fn new(is_inviter: bool, kind: InviteKind) -> Self {
        let party = if is_inviter { inviter(kind) } else { joiner(kind) };
        let mut side = Self { party, sent: Vec::new(), stored: Vec::new(), ending: None };
        side.settle();
        side
    }

    fn handle(&mut self, input: Input) {
        match &mut self.party {
            Party::Inviter(inviter) => inviter.handle_input(Instant::default(), input),
            Party::Joiner(joiner) => joiner.handle_input(Instant::default(), input),
        }
    }

    fn hear(&mut self, input: Input) {
        self.handle(input);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            let output = match &mut self.party {
                Party::Inviter(inviter) => inviter.poll_output(),
                Party::Joiner(joiner) => joiner.poll_output(),
            };
            let Some(output) = output else { return };
            assert!(self.ending.is_none(), "nothing comes after the end");
            match output {
                Output::Send(frame) => self.sent.push(frame[FRAME_PREFIX_BYTES..].to_vec()),
                Output::Store(store) => {
                    self.check(&store);
                    self.stored.push(*store);
                    self.handle(Input::Stored);
                }
                Output::Show(..) => self.handle(Input::Confirmed),
                Output::Ask(_) => self.handle(Input::Accepted(Box::new(MEMBERS[0].clone()))),
                Output::Ended(ending) => self.ending = Some(ending),
            }
        }
    }

    /// Whoever is at the other end has what proves that he is meant for this vault and these keys, and no
    /// more than that.
    fn check(&self, store: &Store) {
        let is_inviter = matches!(self.party, Party::Inviter(_));
        match store {
            Store::Spent(id) => {
                assert!(is_inviter && self.stored.is_empty());
                assert_eq!(*id, invite(InviteKind::Device).id());
            }
            Store::Exposed(_) => assert!(is_inviter && self.stored.len() == 1),
            Store::Added { entry, peer } => {
                // After "exposed", unless the device was in already.
                assert!(is_inviter && (1..=2).contains(&self.stored.len()));
                let entry = LogEntry::decode(entry).expect("it was checked");
                assert!(MEMBERS[0].log.check(entry.bytes()).is_ok() && peer.is_plausible());
            }
            Store::Joined { log, .. } => {
                assert!(!is_inviter && self.stored.is_empty());
                assert_eq!(log.vault(), MEMBERS[0].log.vault());
            }
            Store::Befriended { log, .. } => {
                assert_eq!(self.stored.len(), usize::from(is_inviter));
                assert_eq!(log.vault(), MEMBERS[usize::from(is_inviter)].log.vault());
            }
        }
    }
}

fn inviter(kind: InviteKind) -> Party {
    let inviter = Inviter::new(InviterParts {
        keys: device(1),
        member: MEMBERS[0].clone(),
        invites: vec![Invitation { invite: invite(kind), role: Role::Owner, allowed_bytes: None }],
        peer: device(2).id(),
        time: NOW,
        start: Instant::default(),
        seed: [3; 32],
    });
    Party::Inviter(Box::new(inviter.expect("it is in its log")))
}

fn joiner(kind: InviteKind) -> Party {
    let join_as = if kind == InviteKind::Circle {
        JoinAs::Circle(Box::new(MEMBERS[1].clone()))
    } else {
        let addresses = vec!["192.0.2.2:4711".to_owned()];
        JoinAs::Device { name: label(2).name, site: None, addresses }
    };
    let (keys, invite): (DeviceKeys, Invite) = (device(2), invite(kind));
    let parts = JoinerParts { keys, invite, join_as, start: Instant::default(), seed: [4; 32] };
    Party::Joiner(Box::new(Joiner::new(parts).expect("its parts are plausible")))
}

/// Which side, for what, in one byte; then frames, each a piece.
pub fn pairing(bytes: &[u8]) {
    let Some((&which, frames)) = bytes.split_first() else { return };
    let kind = if which & 2 == 0 { InviteKind::Device } else { InviteKind::Circle };
    let mut side = Side::new(which & 1 == 0, kind);
    for frame in pieces(frames).into_iter().take(64) {
        side.hear(Input::Frame(frame.to_vec()));
    }
    side.hear(Input::Lost);
    assert!(side.ending.is_some(), "whoever is cut off comes to an end");
}

/// What each side hears in pairings that go well, and refusals.
pub fn pairings() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (kind, of_kind) in [(InviteKind::Device, 0), (InviteKind::Circle, 2)] {
        let (mut inviter, mut joiner) = (Side::new(true, kind), Side::new(false, kind));
        let (mut by_inviter, mut by_joiner) = (0, 0);
        loop {
            if let Some(frame) = joiner.sent.get(by_inviter).cloned() {
                by_inviter += 1;
                inviter.hear(Input::Frame(frame));
            } else if let Some(frame) = inviter.sent.get(by_joiner).cloned() {
                by_joiner += 1;
                joiner.hear(Input::Frame(frame));
            } else {
                break;
            }
        }
        assert_eq!((inviter.ending, joiner.ending), (Some(Ending::Done), Some(Ending::Done)));
        for (which, heard) in [(of_kind, &joiner.sent), (of_kind | 1, &inviter.sent)] {
            let heard: Vec<&[u8]> = heard.iter().map(Vec::as_slice).collect();
            seeds.push([&[which][..], &joined(heard.iter().copied())].concat());
            // It was expired, after the first frame.
            let refused = [heard[0], &[0x82, 0x0a, 0xa1, 0x00, 0x02][..]];
            seeds.push([&[which][..], &joined(refused)].concat());
        }
    }
    seeds
}
