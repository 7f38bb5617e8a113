//! What a device may do to the list of devices: an owner everything, a member nothing but name itself.
//!
//! A role is given when a device is taken in, and stays. Source: specs/device_log.md, "Roles".

use std::fmt;

use minicbor::{
    Decode, Decoder, Encode, Encoder, decode,
    encode::{self, Write},
};

/// The role of a device in its vault. In a record an owner's is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes in, removes and names devices.
    #[default]
    Owner,
    /// Backs up, restores, keeps, begins an epoch when one is due, and names itself.
    Member,
}

impl Role {
    const fn number(self) -> u8 {
        match self {
            Self::Owner => 0,
            Self::Member => 1,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Member => "member",
        })
    }
}

impl<C> Encode<C> for Role {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.u8(self.number())?.ok()
    }

    fn is_nil(&self) -> bool {
        *self == Self::Owner
    }
}

impl<'b, C> Decode<'b, C> for Role {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        // An owner that is written down is read here, and then refused as not canonical.
        let number = decoder.u8()?;
        let known = [Self::Owner, Self::Member].into_iter().find(|role| role.number() == number);
        known.ok_or_else(|| decode::Error::message("a role of a newer version"))
    }

    fn nil() -> Option<Self> {
        Some(Self::Owner)
    }
}
