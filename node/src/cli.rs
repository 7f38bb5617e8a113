//! The command line: reads arguments, finds the engine (a running node, or one in this process),
//! shows what it says, and ends with an exit code.
//!
//! It decides nothing and touches no data: a verb becomes a [`Command`](crate::command::Command),
//! and everything shown comes back as events and an outcome. Source: specs/command_line.md.

mod arguments;
mod consent;
mod desktop_keyring;
mod escape;
mod folders;
mod guardians;
mod household;
mod init;
mod invite;
mod leave;
mod log;
mod look;
mod node;
mod output;
mod pair;
mod passphrase;
mod phrase_check;
mod progress;
mod qr;
mod question;
mod rekey;
mod rename;
mod render;
mod restore;
mod retention;
mod revoke;
mod secret_line;
mod session;
mod settings;
mod sheet;
mod signals;
mod unlock;
mod up;

use std::{ffi::OsString, io::Write, process::ExitCode, sync::Arc};

use clap::{CommandFactory, Parser};

pub use self::{arguments::Arguments, log::is_valid_document as is_valid_log_document};
use self::{
    arguments::{Global, Step},
    output::Output,
    session::Session,
};
use crate::{
    command::{ExitKind, Failure, Launch},
    demo::DemoArguments,
    memory,
};

/// Runs the `larder` program with the arguments of this process.
pub fn main<L: Launch + 'static>(launch: L) -> ExitCode {
    memory::keep_private();
    let code = run(Arc::new(launch), std::env::args_os());
    ExitCode::from(code)
}

/// Runs one command line and gives its exit code.
fn run<L: Launch + 'static>(launch: Arc<L>, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    hide_panics();
    let words: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match Arguments::try_parse_from(&words) {
        Ok(arguments) => arguments,
        // Who asked for a document gets one for this as well. Help and version are no failures.
        Err(error) if error.use_stderr() && words.iter().any(|word| word == "--json") => {
            let flags = Global { json: true, ..Global::default() };
            return Output::new(&flags).finish(Err(usage(&error))).code();
        }
        Err(error) => {
            let _broken_pipe = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(ExitKind::Usage.code());
        }
    };
    start_log(&arguments.global);
    let mut output = Output::new(&arguments.global);
    execute(launch, arguments, &mut output)
}

/// A complaint of the parser as a failure: its first line, which says what is wrong.
fn usage(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let lines: Vec<&str> =
        text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let message = lines.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    Failure::usage(message).hint("`larder --help` and `larder VERB --help` show examples")
}

/// Does what parsed arguments say.
fn execute<L: Launch + 'static>(launch: Arc<L>, arguments: Arguments, output: &mut Output) -> u8 {
    let result = match arguments.verb.step() {
        Ok(Step::Completions(_)) if output.is_json() => {
            Err(Failure::usage("a completion script is no document")
                .hint("give the command without --json"))
        }
        Ok(Step::Completions(shell)) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "larder", &mut script);
            output.raw(&script);
            Ok(ExitKind::Done)
        }
        Ok(Step::Demo(arguments)) => demo(&arguments, output),
        Ok(Step::CheckLog(path)) => log::check(&path, output),
        Ok(step) => in_runtime(launch, &arguments.global, step, output),
        Err(failure) => Err(failure),
    };
    output.finish(result).code()
}

fn demo(arguments: &DemoArguments, output: &mut Output) -> Result<ExitKind, Failure> {
    let report = crate::demo::run(arguments, &mut |line| output.story(line))?;
    output.report(&report);
    Ok(ExitKind::Done)
}

fn in_runtime<L: Launch + 'static>(
    launch: Arc<L>,
    global: &Global,
    step: Step,
    output: &mut Output,
) -> Result<ExitKind, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("larder")
        .build()
        .map_err(|error| Failure::from_error("cannot start", &error))?;
    let result = runtime.block_on(async {
        let session = Session::new(launch, global)?;
        match step {
            Step::Init(options) => init::run(&session, options, output).await,
            Step::Up(options) => up::run(&session, options, output).await,
            Step::Invite(options) => invite::run(&session, options, output).await,
            Step::Guardians(options) => guardians::run(&session, options, output).await,
            Step::Sheet(options) => sheet::run(&session, options, output).await,
            Step::Passphrase(options) => passphrase::run(&session, options, output).await,
            Step::Ask(command) => session.ask(command, output).await,
            Step::AskBehind(relays, mut command) => {
                household::complete(&mut command, session.directory(), output)?;
                session.keep_relays(&relays, &command).await?;
                session.ask(command, output).await
            }
            Step::Completions(_) | Step::Demo(_) | Step::CheckLog(_) => Ok(ExitKind::Done),
        }
    });
    // Work that was told to stop and does not must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}

/// One line instead of a backtrace; the failure that follows says what to do.
fn hide_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let what = panic
            .payload_as_str()
            .map(|text| text.lines().next().unwrap_or_default().to_owned())
            .unwrap_or_default();
        let _closed = writeln!(std::io::stderr(), "larder: internal error at {at}: {what}");
    }));
}

/// What the parts of the program tell each other's authors: warnings, more with `--verbose`, or as
/// `LARDER_LOG` says in the syntax of `tracing`.
fn start_log(global: &Global) {
    use tracing_subscriber::EnvFilter;
    // iroh calls it an error that a goodbye is not waited for without end.
    let filter = EnvFilter::try_from_env("LARDER_LOG").unwrap_or_else(|_| {
        EnvFilter::new(match (global.quiet, global.verbose) {
            (true, _) => "iroh::socket=off,error",
            (_, true) => {
                "larder_node=debug,larder_protocol=debug,libp2p_mdns=off,iroh::socket=off,warn"
            }
            _ => "larder_node=warn,libp2p_mdns=off,iroh::socket=off,error",
        })
    });
    let _already = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .try_init();
}

#[cfg(test)]
mod tests;
