//! `rename`: giving a device another name.

use clap::Args;

use crate::command::Command;

#[derive(Debug, Args)]
#[command(
    after_help = "Every device of the vault shows the new name, and the others of the circle as soon as \
    they hear of it. An owner names any device of the vault, a member itself alone. Two devices may have \
    one name; where a command then does not know which is meant, it asks for the beginning of an id.

Examples:
  larder rename study
  larder rename cellar --device raspberrypi
  larder rename cellar --device 3f2a9c01"
)]
pub(super) struct RenameArguments {
    /// The new name, of at most 64 bytes
    name: String,
    /// Name of the device, or the beginning of its id [default: this one]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

impl RenameArguments {
    pub(super) fn command(self) -> Command {
        Command::Rename { name: self.name, device: self.device }
    }
}
