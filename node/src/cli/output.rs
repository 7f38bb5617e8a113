//! stdout and stderr. Results go to stdout, everything else to stderr.
//!
//! With `--json` stdout gets exactly one document, also when the command fails: rows stream into
//! an array as they come, the outcome's fields follow, `error` stands there instead when it failed.
//! A reader that closes stdout (`| head`) ends the command without a word.

use std::io::{self, BufWriter, Write};

use serde_json::{Map, Value, json};

use super::{arguments::Global, escape, progress::Display, qr::Code, render};
use crate::command::{
    Command, Event, ExitKind, Failure, InviteOutcome, Level, Outcome, Problem, Row,
};

/// Problems that are kept for the document; all of them are counted and shown.
const PROBLEMS_MAX: usize = 10_000;

/// How the codes of invitations are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codes {
    AsText,
    AsSquaresToo,
}

/// Where a command's words go.
pub(super) struct Output {
    flags: Global,
    stdout: BufWriter<Box<dyn Write + Send>>,
    display: Display,
    /// Key of the array that rows stream into.
    rows_key: Option<&'static str>,
    rows: u64,
    /// Whether this command's summary is its result, shown with `--quiet` as well.
    summary_is_result: bool,
    problems: Vec<Problem>,
    lists_problems: bool,
    codes: Codes,
    document_done: bool,
    /// Why stdout takes nothing any more.
    broken: Option<io::Error>,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        Self::to(global, Box::new(io::stdout()), Display::new(global.quiet))
    }

    pub(super) fn to(global: &Global, stdout: Box<dyn Write + Send>, display: Display) -> Self {
        Self {
            flags: global.clone(),
            stdout: BufWriter::with_capacity(64 * 1024, stdout),
            display,
            rows_key: None,
            rows: 0,
            summary_is_result: true,
            problems: Vec::new(),
            lists_problems: false,
            codes: Codes::AsText,
            document_done: false,
            broken: None,
        }
    }

    /// Gets ready for a command.
    pub(super) fn begin(&mut self, command: &Command) {
        self.rows_key = match command {
            Command::List { .. } | Command::Restore { dry_run: true, .. } | Command::Log => {
                Some("entries")
            }
            Command::Diff { .. } => Some("changes"),
            Command::Find { .. } => Some("matches"),
            Command::Cat { .. } => Some("pieces_base64"),
            _ => None,
        };
        self.lists_problems = matches!(command, Command::Backup { .. } | Command::Restore { .. });
        self.summary_is_result = !matches!(
            command,
            Command::Add { .. }
                | Command::Remove { .. }
                | Command::Backup { .. }
                | Command::List { .. }
                | Command::Cat { .. }
                | Command::Diff { .. }
                | Command::Find { .. }
                | Command::Restore { .. }
                | Command::Offer { bytes: Some(_), .. }
                | Command::Expect { expectation: Some(_), .. }
                | Command::Join { .. }
                | Command::Connect { .. }
                | Command::Recover { .. }
                | Command::RecoverByGuardians { .. }
                | Command::GiveShare { .. }
                | Command::Rename { .. }
                | Command::Revoke { .. }
                | Command::Forget { dry_run: false, .. }
                | Command::ForgetNamed { dry_run: false, .. }
                | Command::Pin { .. }
                | Command::ConfigSet { .. }
                | Command::Shutdown
        );
    }

    /// Shows the codes of invitations as squares as well.
    pub(super) const fn draw_codes(&mut self) {
        self.codes = Codes::AsSquaresToo;
    }

    /// Whether nobody reads any more, so that the command can stop.
    pub(super) const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Shows what a command says.
    pub(super) fn event(&mut self, event: Event) {
        match event {
            Event::Progress(progress) => self.display.update(&progress),
            Event::Notice { level, text } => {
                let shown = match level {
                    Level::Detail => self.flags.verbose,
                    Level::Normal => !self.flags.quiet,
                    Level::Warning => true,
                };
                let mark = if level == Level::Warning { "warning: " } else { "" };
                if shown {
                    self.display.line(&format!("{mark}{}", escape::visible_text(&text)));
                }
            }
            Event::Problem(problem) => {
                let path = escape::visible(&problem.path.to_bytes());
                let what = escape::visible_text(&problem.what);
                self.display.line(&format!("warning: {path}: {what}"));
                if self.problems.len() < PROBLEMS_MAX {
                    self.problems.push(problem);
                }
            }
            Event::Invited(invited) => {
                self.display.clear();
                self.invitation(&invited);
                self.raw(render::WAITS.as_bytes());
                self.flush();
            }
            // Asked and answered by the session.
            Event::Question(_) => self.display.clear(),
            Event::Row(row) => self.row(&row),
            Event::Bytes(bytes) if self.flags.json => {
                self.json_row(&Value::String(data_encoding::BASE64.encode(&bytes)));
            }
            Event::Bytes(bytes) => self.raw(&bytes),
        }
    }

    /// The code of an invitation, and its square above it.
    fn invitation(&mut self, invited: &InviteOutcome) {
        if self.codes == Codes::AsSquaresToo {
            match Code::of(&invited.code) {
                Some(code) => self.raw(code.on_a_screen().as_bytes()),
                None => self.display.line("warning: the code is too long for a square"),
            }
        }
        let text = render::invitation(invited);
        self.raw(text.as_bytes());
    }

    fn row(&mut self, row: &Row) {
        if self.flags.json {
            let value = match row {
                Row::Entry(entry) => serde_json::to_value(entry),
                Row::Change(change) => serde_json::to_value(change),
                Row::Found(found) => serde_json::to_value(found),
                Row::Logged(line) => serde_json::to_value(line),
            };
            self.json_row(&value.expect("rows have string keys only"));
        } else {
            if self.rows == 0 {
                self.display.clear();
            }
            let mut line = render::row(row).into_bytes();
            line.push(b'\n');
            self.raw(&line);
            self.rows += 1;
        }
    }

    fn json_row(&mut self, value: &Value) {
        let Some(key) = self.rows_key else { return };
        let mut bytes =
            if self.rows == 0 { format!("{{\"{key}\":[\n").into_bytes() } else { b",\n".to_vec() };
        serde_json::to_writer(&mut bytes, value).expect("memory takes every byte");
        self.rows += 1;
        self.raw(&bytes);
    }

    /// Bytes to stdout as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        if self.broken.is_none()
            && let Err(error) = self.stdout.write_all(bytes)
        {
            self.broken = Some(error);
        }
    }

    /// The same for what is not to stay in a buffer of this program.
    pub(super) fn secret(&mut self, bytes: &[u8]) {
        self.display.clear();
        self.flush();
        if self.broken.is_none()
            && let Err(error) = self.stdout.get_mut().write_all(bytes)
        {
            self.broken = Some(error);
        }
    }

    fn flush(&mut self) {
        if self.broken.is_none()
            && let Err(error) = self.stdout.flush()
        {
            self.broken = Some(error);
        }
    }

    /// Shows how a command ended well.
    pub(super) fn outcome(&mut self, outcome: &Outcome, extra: Map<String, Value>) -> ExitKind {
        self.display.clear();
        if self.flags.json {
            let value = serde_json::to_value(outcome).expect("outcomes have string keys only");
            let Value::Object(mut document) = value else {
                unreachable!("an outcome is an object")
            };
            document.extend(extra);
            self.document(document);
        } else if let Outcome::Invite(invited) = outcome
            && invited.joined.is_none()
        {
            self.invitation(invited);
            self.raw(render::LETS_IN.as_bytes());
        } else if !self.flags.quiet || self.summary_is_result {
            let text = render::outcome(outcome);
            self.raw(text.as_bytes());
        }
        self.flush();
        outcome.exit_kind()
    }

    /// Closes the one document of this process.
    fn document(&mut self, mut fields: Map<String, Value>) {
        if std::mem::replace(&mut self.document_done, true) {
            return;
        }
        if self.lists_problems {
            fields.insert("problems".to_owned(), json!(self.problems));
        }
        let text = Value::Object(fields).to_string();
        match self.rows_key {
            None => self.raw(text.as_bytes()),
            Some(key) => {
                if self.rows == 0 {
                    self.raw(format!("{{\"{key}\":[").as_bytes());
                }
                let rest = text.strip_prefix('{').expect("an object begins so");
                self.raw(if rest == "}" { b"]" } else { b"],\n" });
                self.raw(rest.as_bytes());
            }
        }
        self.raw(b"\n");
    }

    /// Ends the program: shows a failure, and decides the exit code.
    pub(super) fn finish(&mut self, result: Result<ExitKind, Failure>) -> ExitKind {
        self.display.clear();
        let kind = match result {
            Ok(kind) => kind,
            // Whoever closed the pipe has what they wanted.
            Err(_) if self.broken.is_some() => ExitKind::Done,
            Err(failure) => {
                if self.flags.json {
                    let error = json!({
                        "kind": failure.kind,
                        "code": failure.kind.code(),
                        "message": failure.message,
                        "hint": failure.hint,
                    });
                    self.document(Map::from_iter([("error".to_owned(), error)]));
                }
                self.flush();
                self.display.line(&failure_text(&failure));
                failure.kind
            }
        };
        self.flush();
        match &self.broken {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                self.display.line(&format!("error: cannot write to stdout: {error}"));
                ExitKind::Failed
            }
            _ => kind,
        }
    }

    /// A line of a story: the result itself, or beside the document.
    pub(super) fn story(&mut self, line: &str) {
        if self.flags.json {
            self.say(line);
        } else {
            self.raw(line.as_bytes());
            self.raw(b"\n");
            self.flush();
        }
    }

    /// A document that is not an outcome of an engine; people have had the story.
    pub(super) fn report(&mut self, report: &impl serde::Serialize) {
        let value = serde_json::to_value(report).expect("reports have string keys only");
        if let (true, Value::Object(document)) = (self.flags.json, value) {
            self.document(document);
        }
    }

    /// A sentence for the person, on stderr.
    pub(super) fn say(&mut self, text: &str) {
        if !self.flags.quiet {
            self.display.line(text);
        }
    }

    /// The same for one whose result has been shown before.
    pub(super) fn summary(&mut self, outcome: &Outcome, extra: Map<String, Value>) -> ExitKind {
        self.summary_is_result = false;
        self.outcome(outcome, extra)
    }

    /// Whether nothing but results is asked for.
    pub(super) const fn is_quiet(&self) -> bool {
        self.flags.quiet
    }

    /// Whether documents are asked for.
    pub(super) const fn is_json(&self) -> bool {
        self.flags.json
    }
}

fn failure_text(failure: &Failure) -> String {
    let mut text = if failure.kind == ExitKind::Interrupted {
        "interrupted".to_owned()
    } else {
        format!("error: {}", escape::visible_text(&failure.message))
    };
    if let Some(hint) = &failure.hint {
        text.push_str("\n hint: ");
        text.push_str(&escape::visible_text(hint));
    }
    text
}
