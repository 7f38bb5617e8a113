//! `offer`, `join`, `ticket`, `connect`, `devices`, `peers`, `expect`: the others.

use clap::Args;
use larder_protocol::relaying::RelayAddress;

use crate::command::{ByteSize, Command, Expectation, HolderKind, parse_span};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  larder offer 500GB
  larder offer            shows what is offered and kept, in all and for each vault
  larder offer 0          keeps what is there, takes nothing new
  larder offer 50GB --to anna
                          of what is offered in all, she may use so much")]
pub(super) struct OfferArguments {
    /// Size, such as 500GB, 2TiB or a number of bytes
    #[arg(value_name = "BYTES")]
    bytes: Option<ByteSize>,
    /// For this vault alone: its name here, the name of one of its devices, or the beginning of an id
    #[arg(long, value_name = "WHO")]
    to: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "On a home without a vault this takes a code of `larder invite --device` \
    and makes the home a device of that vault. `larder config set device.site NAME` says later that it \
    stands elsewhere.

Examples:
  larder join 7-maple-orbit-candy
  larder join larder-ae... --name desktop --site office")]
pub(super) struct JoinArguments {
    /// The code or the long text that `larder invite` printed
    code: String,
    /// Name of this device [default: the host's name]
    #[arg(long)]
    name: Option<String>,
    /// Household in which this device stands: copies in one household count as one. Asked for on a
    /// terminal where this home becomes a device of a vault [default: that of the device that invited it]
    #[arg(long)]
    site: Option<String>,
    #[command(flatten)]
    pub(super) relays: RelayArguments,
}

/// Relays for a home that has no settings yet.
#[derive(Debug, Clone, Args)]
pub(super) struct RelayArguments {
    /// Relay that helps to reach the others from behind a router; kept in net.relays of the settings.
    /// Up to four times
    #[arg(long, value_name = "URL")]
    pub(super) relay: Vec<RelayAddress>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A ticket holds no secret: it says where this node is, not who may talk to it.

Examples:
  larder ticket
  larder recover --connect \"$(ssh nas larder ticket)\""
)]
pub(super) struct TicketArguments {}

#[derive(Debug, Args)]
#[command(
    after_help = "The addresses are kept in any case; ends with 4 when nobody answers there now.

Examples:
  larder connect \"$(ssh nas larder ticket)\""
)]
pub(super) struct ConnectArguments {
    /// The text that `larder ticket` printed there
    ticket: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  larder devices\n  larder devices --json")]
pub(super) struct DevicesArguments {}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  larder peers\n  larder peers --json | jq '.peers[] | {name, state, holds_bytes}'"
)]
pub(super) struct PeersArguments {}

#[derive(Debug, Args)]
#[command(after_help = "A holder that stays silent for far longer than usual is presumed lost by \
    itself, until it is met; then what it keeps is placed elsewhere. These words come before what \
    was learnt, and hold until the next one. Nothing is deleted because of them.

Examples:
  larder expect nas                    shows what was learnt of it
  larder expect nas --kind always-on   72 hours of silence are enough
  larder expect laptop --away 30d      on a journey: not missed meanwhile
  larder expect old-pc --lost          stolen or broken: make other copies now
  larder expect old-pc --back          found again")]
pub(super) struct ExpectArguments {
    /// Name of the holder, or the beginning of its id
    device: String,
    /// It will not come back: what it keeps does not count any more
    #[arg(long, group = "what")]
    lost: bool,
    /// Nothing special: what was said before is over
    #[arg(long, group = "what")]
    back: bool,
    /// It will be away for so long, which says nothing
    #[arg(long, value_name = "TIME", value_parser = parse_span, group = "what")]
    away: Option<u64>,
    /// What it is: how long it may be silent before more is known of it
    #[arg(long, value_name = "KIND", value_enum, group = "what")]
    kind: Option<HolderKind>,
}

impl ExpectArguments {
    pub(super) fn command(self) -> Command {
        let lost = self.lost.then_some(Expectation::Lost);
        let back = self.back.then_some(Expectation::Back);
        let away = self.away.map(Expectation::Away);
        let expectation = lost.or(back).or(away).or(self.kind.map(Expectation::Kind));
        Command::Expect { device: self.device, expectation }
    }
}

impl OfferArguments {
    pub(super) fn command(self) -> Command {
        Command::Offer { bytes: self.bytes, to: self.to }
    }
}

impl JoinArguments {
    pub(super) fn command(self) -> Command {
        Command::Join { code: self.code, name: self.name, site: self.site, asks: false }
    }
}

impl ConnectArguments {
    pub(super) fn command(self) -> Command {
        Command::Connect { ticket: self.ticket }
    }
}
