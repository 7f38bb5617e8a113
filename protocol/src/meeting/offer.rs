//! A code that is open: of all who try it, one is heard. Source: specs/meeting.md.

use crate::{limits::SPOKEN_CODE_S_MAX, pairing::InviteId, ticket::Invite, time::Timestamp};

/// Who may still try a code. Shared by all meetings of one code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    invite: InviteId,
    expires: Timestamp,
    is_taken: bool,
}

impl Offer {
    /// A code for an invitation, made now by the wall clock.
    pub fn new(invite: &Invite, now: Timestamp) -> Self {
        let expires = Timestamp(now.0.saturating_add(SPOKEN_CODE_S_MAX)).min(invite.expires);
        Self { invite: invite.id(), expires, is_taken: false }
    }

    /// From when on nobody is heard.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Takes the code for one proof, right or wrong: false once it was tried, after its time (also when the
    /// machine slept meanwhile), and when its invitation is not among those that are `open`.
    pub fn take(&mut self, now: Timestamp, open: impl IntoIterator<Item = InviteId>) -> bool {
        let is_good = now < self.expires && open.into_iter().any(|id| id == self.invite);
        !std::mem::replace(&mut self.is_taken, true) && is_good
    }
}
