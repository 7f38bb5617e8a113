//! `config` and `completions`.

use clap::{Args, Subcommand};

use crate::command::Command;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  larder config list
  larder config get policy.copies
  larder config set depot.spool_max 20GiB
  larder config set device.site parents     it stands in another household now
  larder config unset depot.spool_max")]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    verb: ConfigVerb,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Show every setting, its value and what it does
    #[command(after_help = "Examples:\n  larder config list --json")]
    List,
    /// Show one value
    #[command(after_help = "Examples:\n  larder config get depot.keep_own")]
    Get {
        /// Such as policy.copies
        key: String,
    },
    /// Change a setting
    #[command(after_help = "Examples:\n  larder config set depot.keep_own all")]
    Set {
        /// Such as policy.copies
        key: String,
        /// Such as 3
        value: String,
    },
    /// Go back to the default
    #[command(after_help = "Examples:\n  larder config unset net.listen")]
    Unset {
        /// Such as policy.copies
        key: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  larder completions bash > ~/.local/share/bash-completion/completions/larder
  larder completions fish > ~/.config/fish/completions/larder.fish
  larder completions zsh > \"${fpath[1]}/_larder\"")]
pub(super) struct CompletionsArguments {
    /// Shell
    pub(super) shell: clap_complete::Shell,
}

impl ConfigArguments {
    pub(super) fn command(self) -> Command {
        match self.verb {
            ConfigVerb::List => Command::ConfigGet { key: None },
            ConfigVerb::Get { key } => Command::ConfigGet { key: Some(key) },
            ConfigVerb::Set { key, value } => Command::ConfigSet { key, value: Some(value) },
            ConfigVerb::Unset { key } => Command::ConfigSet { key, value: None },
        }
    }
}
