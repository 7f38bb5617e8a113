//! Texts that people carry from one node to another: where a node is, and invitations.
//!
//! ```text
//! larder-  base32( version u8 | kind u8 | length u16 LE | content | check 4 B )
//! ```
//! The frame around the content never changes, so that an old Larder can say "newer version" of a
//! ticket that it does not understand. Source: specs/pairing.md.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use minicbor::{Decode, Encode};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    cbor,
    ids::{DeviceId, VaultId},
    limits::TICKET_BYTES_MAX,
    peer::are_addresses,
    time::Timestamp,
};

/// What every ticket begins with.
pub const PREFIX: &str = "larder-";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 4;
const CHECK_BYTES: usize = 4;
/// Base32 digits that hold the header at least.
const HEADER_DIGITS: usize = 8;

/// A text of one of the kinds that nodes exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ticket {
    /// Where a node is (`larder ticket`, `larder connect`).
    Address(AddressTicket),
    /// An invitation (`larder invite`, `larder join`): a secret.
    Invite(Invite),
}

/// Where a node is. Not a secret.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AddressTicket {
    /// The node.
    #[n(0)]
    pub device: DeviceId,
    /// The vault it belongs to.
    #[n(1)]
    pub vault: VaultId,
    /// Where it listens, in text form.
    #[n(2)]
    pub addresses: Vec<String>,
}

/// What an invitation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum InviteKind {
    /// A new device of the inviter's vault.
    #[n(0)]
    Device,
    /// Another vault, to keep shards for each other.
    #[n(1)]
    Circle,
    /// Somebody who recovers asks guardians for help.
    #[n(2)]
    Help,
    /// Another vault, for which the inviter keeps shards, and not the other way round.
    #[n(3)]
    OneWay,
}

impl InviteKind {
    /// Whether another vault comes with such an invitation.
    pub const fn is_for_vault(self) -> bool {
        matches!(self, Self::Circle | Self::OneWay)
    }

    /// Bytes that the inviter's vault may keep with who joins; `None` for as many as that one offers in all.
    pub(crate) const fn allows(self) -> Option<u64> {
        if matches!(self, Self::OneWay) { Some(0) } else { None }
    }
}

/// An invitation: whoever has it may pair, once, until it expires.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Invite {
    /// What it is for.
    #[n(0)]
    pub kind: InviteKind,
    /// The node that invites.
    #[n(1)]
    pub inviter: DeviceId,
    /// Where it listens, in text form.
    #[n(2)]
    pub addresses: Vec<String>,
    /// Known to both sides and to nobody else.
    #[n(3)]
    pub secret: InviteSecret,
    /// Not valid at this time or later, by the inviter's clock.
    #[n(4)]
    pub expires: Timestamp,
}

/// 32 random bytes that prove to each side that the other one has the invitation.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Encode, Decode)]
#[cbor(transparent)]
pub struct InviteSecret(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret(secret)")
    }
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invite({:?} by {}, secret)", self.kind, self.inviter.short())
    }
}

/// Why a text is not a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TicketError {
    /// Something else altogether.
    #[error("this is no ticket and no invitation of Larder: those begin with {PREFIX:?}")]
    NotATicket,
    /// The end is missing.
    #[error("the text is cut off: copy all of it")]
    Truncated,
    /// A character is wrong, missing or too many.
    #[error("the text is mistyped: its check does not fit")]
    Mistyped,
    /// From a newer Larder.
    #[error("the text was made by a newer Larder (version {version}, kind {kind}): update")]
    Newer {
        /// Version met.
        version: u8,
        /// Kind met.
        kind: u8,
    },
    /// Intact, but its content makes no sense.
    #[error("the text is intact, but says nothing usable")]
    Malformed,
}

impl Ticket {
    /// The text to show. An invitation's text is a secret.
    pub fn to_text(&self) -> String {
        let (kind, content) = match self {
            Self::Address(ticket) => (0, cbor::encode(ticket)),
            Self::Invite(invite) => (1, cbor::encode(invite)),
        };
        let length = u16::try_from(content.len()).expect("addresses are few and bounded");
        let mut bytes = vec![VERSION, kind];
        bytes.extend(length.to_le_bytes());
        bytes.extend(content);
        bytes.extend(check(&bytes));
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }

    /// Whether its content is within the limits, so that [`to_text`](Self::to_text) can be read
    /// again.
    pub fn is_plausible(&self) -> bool {
        match self {
            Self::Address(ticket) => are_addresses(&ticket.addresses),
            Self::Invite(invite) => are_addresses(&invite.addresses),
        }
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Reads a ticket; upper case and white space within it do no harm.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let bytes = unframe(text)?;
        let (version, kind, content) = match bytes.as_slice() {
            [version, kind, _, _, content @ ..] => (*version, *kind, content),
            _ => return Err(TicketError::Truncated),
        };
        let ticket = match (version, kind) {
            (VERSION, 0) => cbor::decode(content, TICKET_BYTES_MAX).map(Self::Address),
            (VERSION, 1) => cbor::decode(content, TICKET_BYTES_MAX).map(Self::Invite),
            _ => return Err(TicketError::Newer { version, kind }),
        };
        ticket.ok().filter(Self::is_plausible).ok_or(TicketError::Malformed)
    }
}

/// Header and content of a ticket whose length and check fit.
fn unframe(text: &str) -> Result<Vec<u8>, TicketError> {
    // Longer than any ticket: not worth copying. Twice, for the white space of a wrapped line.
    if text.len() > 4 * TICKET_BYTES_MAX {
        return Err(TicketError::NotATicket);
    }
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let plain = plain.to_ascii_lowercase();
    let Some(digits) = plain.strip_prefix(PREFIX) else {
        let cut = !plain.is_empty() && PREFIX.starts_with(&plain);
        return Err(if cut { TicketError::Truncated } else { TicketError::NotATicket });
    };
    let digits = digits.to_ascii_uppercase();
    let header = digits.get(..HEADER_DIGITS).ok_or(TicketError::Truncated)?;
    let header = BASE32_NOPAD.decode(header.as_bytes()).map_err(|_| TicketError::Mistyped)?;
    let length = match header.as_slice() {
        [_, _, low, high, ..] => usize::from(u16::from_le_bytes([*low, *high])),
        _ => return Err(TicketError::Truncated),
    };
    let expected = BASE32_NOPAD.encode_len(HEADER_BYTES + length + CHECK_BYTES);
    if digits.len() < expected {
        return Err(TicketError::Truncated);
    }
    let bytes = BASE32_NOPAD.decode(digits.as_bytes()).map_err(|_| TicketError::Mistyped)?;
    let (content, found) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(TicketError::Truncated)?;
    if digits.len() > expected || check(content) != *found {
        return Err(TicketError::Mistyped);
    }
    Ok(content.to_vec())
}

fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = blake3::derive_key("larder 2026 ticket check v1", bytes);
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> Ticket {
        Ticket::Address(AddressTicket {
            device: DeviceId::from_bytes([1; 32]),
            vault: VaultId::from_bytes([2; 32]),
            addresses: vec!["192.0.2.1:4711".into(), "[2001:db8::1]:4711".into()],
        })
    }

    fn invite() -> Ticket {
        Ticket::Invite(Invite {
            kind: InviteKind::Circle,
            inviter: DeviceId::from_bytes([1; 32]),
            addresses: vec!["192.0.2.1:4711".into()],
            secret: InviteSecret([0xaa; 32]),
            expires: Timestamp(5),
        })
    }

    /// The text of a ticket with this header and content, whatever they are.
    fn framed(version: u8, kind: u8, content: &[u8]) -> String {
        let mut bytes = vec![version, kind];
        bytes.extend(u16::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend(content);
        bytes.extend(check(&bytes));
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes))
    }

    // PAIR-1
    #[test]
    fn tickets_round_trip_also_in_upper_case_and_wrapped() {
        for ticket in [address(), invite()] {
            let text = ticket.to_text();
            assert_eq!(text.parse::<Ticket>(), Ok(ticket.clone()));
            let wrapped = format!("  {}\n  {}\n", &text[..30].to_uppercase(), &text[30..]);
            assert_eq!(wrapped.parse::<Ticket>(), Ok(ticket));
        }
        assert!(!format!("{:?}", invite()).contains("170"));
    }

    // PAIR-12
    #[test]
    fn what_is_said_of_a_text_holds_for_a_ticket_and_an_invitation() {
        for error in [TicketError::Truncated, TicketError::Mistyped, TicketError::Malformed] {
            assert!(!error.to_string().contains("ticket"), "{error}");
        }
    }

    // PAIR-2
    #[test]
    fn every_way_to_lose_a_part_has_its_name() {
        let text = invite().to_text();
        assert_eq!("".parse::<Ticket>(), Err(TicketError::NotATicket));
        assert_eq!("hello".parse::<Ticket>(), Err(TicketError::NotATicket));
        for end in 1..text.len() {
            assert_eq!(text[..end].parse::<Ticket>(), Err(TicketError::Truncated), "at {end}");
        }
        assert_eq!(format!("{text}a").parse::<Ticket>(), Err(TicketError::Mistyped));
        assert_eq!(
            framed(2, 0, b"?").parse(),
            Err::<Ticket, _>(TicketError::Newer { version: 2, kind: 0 })
        );
        assert_eq!(
            framed(1, 9, b"?").parse(),
            Err::<Ticket, _>(TicketError::Newer { version: 1, kind: 9 })
        );
        assert_eq!(framed(1, 0, b"?").parse(), Err::<Ticket, _>(TicketError::Malformed));
    }

    proptest! {
        // PAIR-2
        #[test]
        fn one_wrong_character_is_always_noticed(at in 7_usize..200, to in "[a-z2-7]") {
            let text = invite().to_text();
            let at = 7 + (at - 7) % (text.len() - 7);
            prop_assume!(text[at..=at] != to);
            let mut wrong = text;
            wrong.replace_range(at..=at, &to);
            prop_assert!(wrong.parse::<Ticket>().is_err());
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(larder-)?[a-z2-7 é1]{0,200}") {
            let _ = text.parse::<Ticket>();
        }

        #[test]
        fn no_content_makes_the_reader_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = framed(1, 0, &content).parse::<Ticket>();
            let _ = framed(1, 1, &content).parse::<Ticket>();
        }
    }
}
