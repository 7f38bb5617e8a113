//! Progress on stderr: a bar with rate and time left on a terminal, a plain line now and then
//! otherwise (a log file), nothing with `--quiet`.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::{self, IsTerminal, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::command::{ByteSize, Progress, Stage};

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The rate is that of the last so many seconds.
const RATE_WINDOW: Duration = Duration::from_secs(20);

/// Shows how far a command is. Dropping it clears the bar.
pub(super) struct Display {
    mode: Mode,
    stage: Option<Stage>,
}

enum Mode {
    Hidden,
    Bar(ProgressBar),
    Lines(Lines),
}

impl Display {
    /// What fits stderr; nothing is shown when `hidden`.
    pub(super) fn new(hidden: bool) -> Self {
        let mode = if hidden {
            Mode::Hidden
        } else if io::stderr().is_terminal() {
            Mode::Bar(ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()))
        } else {
            Mode::Lines(Lines::new(Instant::now()))
        };
        Self { mode, stage: None }
    }

    /// Shows newer figures.
    pub(super) fn update(&mut self, progress: &Progress) {
        let begins = self.stage.replace(progress.stage) != Some(progress.stage);
        match &mut self.mode {
            Mode::Hidden => {}
            Mode::Bar(bar) => {
                if begins {
                    bar.finish_and_clear();
                    *bar = new_bar(progress.stage);
                }
                update_bar(bar, progress);
            }
            Mode::Lines(lines) => {
                if let Some(line) = lines.update(Instant::now(), progress) {
                    let _closed = writeln!(io::stderr(), "{line}");
                }
            }
        }
    }

    /// Writes a line to stderr without disturbing the bar.
    pub(super) fn line(&self, line: &str) {
        let write = || {
            let _closed = writeln!(io::stderr(), "{line}");
        };
        match &self.mode {
            Mode::Bar(bar) => bar.suspend(write),
            Mode::Hidden | Mode::Lines(_) => write(),
        }
    }

    /// Takes the bar away, for results to follow.
    pub(super) fn clear(&mut self) {
        self.stage = None;
        if let Mode::Bar(bar) = &self.mode {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.clear();
    }
}

const fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Scanning => "scanning",
        Stage::Reading => "reading",
        Stage::Sending => "sending",
        Stage::Waiting => "waiting",
        Stage::Asking => "asking",
        Stage::Fetching => "fetching",
        Stage::Writing => "writing",
        Stage::Looking => "looking for holders",
        Stage::Verifying => "verifying",
        Stage::Rekeying => "made anew",
        Stage::Confirming => "asking holders",
    }
}

const fn unit(stage: Stage) -> &'static str {
    match stage {
        Stage::Scanning | Stage::Reading | Stage::Writing => "files",
        Stage::Asking => "holders",
        Stage::Looking => "reached",
        Stage::Sending
        | Stage::Waiting
        | Stage::Fetching
        | Stage::Verifying
        | Stage::Rekeying
        | Stage::Confirming => "shards",
    }
}

/// Whether bytes tell how far it is.
const fn has_bytes(stage: Stage) -> bool {
    !matches!(stage, Stage::Asking | Stage::Looking | Stage::Confirming)
}

fn new_bar(stage: Stage) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
    bar.set_prefix(name(stage));
    bar.set_style(style(if has_bytes(stage) {
        "{spinner} {prefix:<9} {decimal_bytes:>9} {decimal_bytes_per_sec} {msg}"
    } else {
        "{spinner} {prefix} {msg}"
    }));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn update_bar(bar: &ProgressBar, progress: &Progress) {
    if let Some(total) = progress.bytes_total {
        if bar.length().is_none() {
            bar.set_style(style(
                "{prefix:<9} [{bar:24}] {percent:>3} % {decimal_bytes:>9} of \
                 {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left {msg}",
            ));
        }
        bar.set_length(total);
    }
    bar.set_position(progress.bytes_done);
    let counts = counts(progress);
    let is_bare = counts.is_empty() || !has_bytes(progress.stage);
    bar.set_message(if is_bare { counts } else { format!("({counts})") });
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("the templates are constants that a test reads")
        .progress_chars("=> ")
}

fn counts(progress: &Progress) -> String {
    let unit = unit(progress.stage);
    match (progress.files_done, progress.files_total) {
        (0, None) => String::new(),
        (done, None) => format!("{done} {unit}"),
        (done, Some(total)) => format!("{done} of {total} {unit}"),
    }
}

/// The plain form. Has no clock of its own.
struct Lines {
    last: Instant,
    has_said: bool,
    stage: Option<Stage>,
    samples: VecDeque<(Instant, u64)>,
}

impl Lines {
    const fn new(now: Instant) -> Self {
        Self { last: now, has_said: false, stage: None, samples: VecDeque::new() }
    }

    /// Takes newer figures; gives a line when it is time for one.
    fn update(&mut self, now: Instant, progress: &Progress) -> Option<String> {
        let begins = self.stage.replace(progress.stage) != Some(progress.stage);
        if begins {
            self.samples.clear();
        }
        // One sample a second is enough for the rate, and bounds the queue.
        let spaced = |(at, _): &(Instant, u64)| now - *at >= Duration::from_secs(1);
        if self.samples.back().is_none_or(spaced) {
            self.samples.push_back((now, progress.bytes_done));
        }
        while self.samples.front().is_some_and(|(at, _)| now - *at > RATE_WINDOW) {
            self.samples.pop_front();
        }
        // Whoever waits for holders hears of it at once: it began a while ago.
        let is_news = begins && progress.stage == Stage::Looking && !self.has_said;
        if now - self.last < LINE_EVERY && !is_news {
            return None;
        }
        (self.last, self.has_said) = (now, true);
        Some(self.line(now, progress))
    }

    fn line(&self, now: Instant, progress: &Progress) -> String {
        if !has_bytes(progress.stage) && progress.bytes_total.is_none() {
            let counts = counts(progress);
            let colon = if counts.is_empty() { "" } else { ": " };
            return format!("{}{colon}{counts}", name(progress.stage));
        }
        let mut line = format!("{}: {}", name(progress.stage), ByteSize(progress.bytes_done));
        if let Some(total) = progress.bytes_total {
            let percent = progress.bytes_done.saturating_mul(100).checked_div(total);
            let percent = percent.unwrap_or(100).min(100);
            let _infallible = write!(line, " of {} ({percent} %)", ByteSize(total));
        }
        let counts = counts(progress);
        if !counts.is_empty() {
            let _infallible = write!(line, " ({counts})");
        }
        if let Some(rate) = self.bytes_per_s(now, progress.bytes_done) {
            let _infallible = write!(line, ", {}/s", ByteSize(rate));
            let left = progress
                .bytes_total
                .and_then(|total| total.saturating_sub(progress.bytes_done).checked_div(rate));
            if let Some(left) = left {
                let _infallible = write!(line, ", {} left", span(left));
            }
        }
        line
    }

    fn bytes_per_s(&self, now: Instant, bytes_done: u64) -> Option<u64> {
        let (since, bytes) = self.samples.front()?;
        let ms = u64::try_from((now - *since).as_millis()).ok()?;
        bytes_done.saturating_sub(*bytes).saturating_mul(1000).checked_div(ms)
    }
}

/// How long something took, never rounded up; below a minute with a tenth of a second.
pub(super) fn took(ms: u64) -> String {
    if ms < 60_000 { format!("{}.{} s", ms / 1000, ms % 1000 / 100) } else { span(ms / 1000) }
}

/// A time in the two largest units that matter.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // CLI-4
    #[test]
    fn a_plain_line_comes_every_few_seconds_with_rate_and_time_left() {
        let start = Instant::now();
        let mut lines = Lines::new(start);
        let mut said = Vec::new();
        for tick in 0..=120_u32 {
            let progress = Progress {
                bytes_done: u64::from(tick) * 1_000_000,
                bytes_total: Some(1_200_000_000),
                files_done: u64::from(tick),
                ..Progress::new(Stage::Reading)
            };
            let now = start + Duration::from_millis(100) * tick;
            said.extend(lines.update(now, &progress));
        }
        assert_eq!(
            said,
            [
                "reading: 50.0 MB of 1.20 GB (4 %) (50 files), 10.0 MB/s, 1 min 55 s left",
                "reading: 100 MB of 1.20 GB (8 %) (100 files), 10.0 MB/s, 1 min 50 s left",
            ]
        );
    }

    // CLI-13
    #[test]
    fn holders_that_are_away_are_told_of_at_once_and_then_now_and_then() {
        let start = Instant::now();
        let mut lines = Lines::new(start);
        let looking = Progress { files_total: Some(2), ..Progress::new(Stage::Looking) };
        let mut said = Vec::new();
        for tick in 0..=80_u32 {
            let now = start + Duration::from_millis(100) * tick;
            // The two alternate while some of the files are here.
            let other = tick % 2 == 0;
            let progress = if other { Progress::new(Stage::Writing) } else { looking };
            said.extend(lines.update(now, &progress).map(|line| (tick, line)));
        }
        assert_eq!(said[0], (1, "looking for holders: 0 of 2 reached".to_owned()));
        assert_eq!((said.len(), said[1].0), (2, 51));
    }

    #[test]
    fn a_time_is_not_rounded_up() {
        let shown = [0, 80, 999, 59_799, 59_999, 60_000, 119_999].map(took);
        let expected = ["0.0 s", "0.0 s", "0.9 s", "59.7 s", "59.9 s", "1 min 0 s", "1 min 59 s"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn shards_that_holders_have_are_counted_as_shards() {
        let start = Instant::now();
        let progress = Progress {
            files_done: 300,
            files_total: Some(400),
            ..Progress::new(Stage::Confirming)
        };
        let line = Lines::new(start).update(start + LINE_EVERY, &progress).unwrap();
        assert_eq!(line, "asking holders: 300 of 400 shards");
    }

    #[test]
    fn nothing_known_is_shown_without_dividing_by_zero() {
        let start = Instant::now();
        let mut lines = Lines::new(start);
        let progress = Progress { bytes_total: Some(0), ..Progress::new(Stage::Asking) };
        let line = lines.update(start + LINE_EVERY, &progress).unwrap();
        assert_eq!(line, "asking: 0 B of 0 B (100 %)");
    }

    #[test]
    fn the_bar_of_every_stage_can_be_drawn() {
        for stage in [Stage::Scanning, Stage::Asking, Stage::Looking, Stage::Fetching] {
            let bar = new_bar(stage);
            update_bar(&bar, &Progress::new(stage));
            let known =
                Progress { bytes_total: Some(10), files_total: Some(2), ..Progress::new(stage) };
            update_bar(&bar, &known);
            assert_eq!(bar.length(), Some(10));
        }
    }
}
