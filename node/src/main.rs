//! The `larder` program. Everything is in the library, for the tests and the relay to use.

use std::process::ExitCode;

fn main() -> ExitCode {
    larder_node::cli::main(larder_node::engine::Launcher)
}
