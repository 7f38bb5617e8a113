//! `larder-sim`: the simulator's command line. Reads and writes scenarios, measures the wall clock,
//! and leaves everything else to the library.

mod command;

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
    time::Instant,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use larder_simulations::{Bug, Outcome, Scenario, run, shrink};
use serde_json::json;

const EXAMPLES: &str = "Examples:
  larder-sim fuzz --seeds 0..100
  larder-sim fuzz --seeds 0..20 --devices 8 --days 90 --out target/found
  larder-sim fuzz --seeds 0..50 --bug lose-receipt
  larder-sim replay target/found/seed-17.min.toml --steps
  larder-sim trust --seeds 0..100

Exit codes: 0 nothing broke, 1 a property broke, 2 usage.";

/// A whole circle over weeks and years, in one thread, in seconds.
#[derive(Parser)]
#[command(name = "larder-sim", version, after_help = EXAMPLES)]
struct Cli {
    /// One JSON document on stdout.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs seeds until they are over; what breaks is made small and written down.
    #[command(after_help = EXAMPLES)]
    Fuzz(Fuzz),
    /// Runs a scenario from a file.
    #[command(after_help = EXAMPLES)]
    Replay(Replay),
    /// What a thief does to a device log: seeds until one breaks.
    Trust(command::trust::Trust),
    /// Runs a scenario of the lab: would this circle's backups survive the years?
    Run(command::run::Run),
    /// Holds the lab against what others published.
    Validate(command::validate::Validate),
    /// Asks six questions about a circle and says what it survives.
    Circle(command::circle::Ask),
}

#[derive(Args)]
struct Fuzz {
    /// Which seeds: `A..B`, B not included.
    #[arg(long, value_name = "A..B")]
    seeds: Seeds,
    /// Devices of every run (3 to 20). Else the seed decides.
    #[arg(long, value_name = "N")]
    devices: Option<usize>,
    /// Days of every run. Else the seed decides.
    #[arg(long, value_name = "D")]
    days: Option<u64>,
    /// Where failing scenarios go, as found and as small as they get.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Puts a deliberate bug into the shells: it must be found.
    #[arg(long, value_name = "NAME")]
    bug: Option<Bug>,
    /// Leaves failing scenarios as they are.
    #[arg(long)]
    no_shrink: bool,
    /// Goes on after the first failure.
    #[arg(long)]
    keep_going: bool,
}

#[derive(Args)]
struct Replay {
    /// The scenario, as `fuzz` wrote it.
    file: PathBuf,
    /// Prints the steps of the scenario first.
    #[arg(long)]
    steps: bool,
    /// Prints every event.
    #[arg(long)]
    events: bool,
}

/// A range of seeds, `A..B`.
#[derive(Clone)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no range of seeds such as 0..100");
        let (from, to) = text.split_once("..").ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
        let range = number(from)?..number(to)?;
        if range.is_empty() { Err(wrong()) } else { Ok(Self(range)) }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let broke = match &cli.command {
        Command::Fuzz(fuzz) => fuzz.run(cli.json),
        Command::Replay(replay) => replay.run(cli.json),
        Command::Trust(trust) => trust.run(cli.json),
        Command::Run(run) => run.run(cli.json),
        Command::Validate(validate) => validate.run(cli.json),
        Command::Circle(circle) => circle.run(cli.json),
    };
    match broke {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::from(1),
        Err(error) => {
            eprintln!("larder-sim: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// What a fuzz run adds up to.
#[derive(Default)]
struct Sum {
    runs: u64,
    events: u64,
    device_days: u64,
    seconds: f64,
    /// In how many runs each thing happened.
    sometimes: BTreeMap<&'static str, u64>,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome, seconds: f64) {
        self.runs += 1;
        self.events += outcome.events;
        self.device_days += outcome.device_days;
        self.seconds += seconds;
        for what in outcome.sometimes.keys() {
            *self.sometimes.entry(what).or_default() += 1;
        }
    }

    #[expect(clippy::as_conversions, reason = "a figure for people")]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn device_days_per_second(&self) -> f64 {
        self.device_days as f64 / self.seconds.max(f64::EPSILON)
    }
}

impl Fuzz {
    fn run(&self, json: bool) -> anyhow::Result<bool> {
        let (mut sum, mut failures) = (Sum::default(), Vec::new());
        for seed in self.seeds.0.clone() {
            let mut scenario = Scenario::generate(seed, self.devices, self.days);
            scenario.bug = self.bug;
            let started = Instant::now();
            let outcome = run(&scenario, false).context("this seed cannot be run")?;
            sum.add(&outcome, started.elapsed().as_secs_f64());
            if !json {
                line(seed, &scenario, &outcome);
            }
            if outcome.violation.is_some() {
                failures.push(self.failed(&scenario, &outcome)?);
                if !self.keep_going {
                    break;
                }
            }
        }
        let broke = !failures.is_empty();
        if json {
            let sometimes = &sum.sometimes;
            let document = json!({
                "runs": sum.runs, "events": sum.events, "device_days": sum.device_days,
                "device_days_per_second": sum.device_days_per_second(),
                "sometimes": sometimes, "failures": failures,
            });
            println!("{document:#}");
        } else {
            println!("{} runs, {} events, {} device-days", sum.runs, sum.events, sum.device_days);
            println!("{:.0} device-days per second", sum.device_days_per_second());
            for (what, runs) in &sum.sometimes {
                println!("  {what}: in {runs} of {} runs", sum.runs);
            }
        }
        Ok(broke)
    }

    /// Makes a failing run small, writes it down, and says how to see it again.
    fn failed(&self, scenario: &Scenario, outcome: &Outcome) -> anyhow::Result<serde_json::Value> {
        let violation = outcome.violation.as_ref().context("only failing runs come here")?;
        let small = if self.no_shrink {
            scenario.clone()
        } else {
            eprintln!("seed {}: {violation}; making it small", scenario.seed);
            shrink(scenario, violation.property)
        };
        let name = format!("seed-{}", scenario.seed);
        let files = keep(self.out.as_deref(), &name, &scenario.write(), &small.write())?;
        let text = format!(
            "seed {}: {} devices, {} days, {} steps are enough",
            small.seed,
            small.devices,
            small.days,
            small.steps.len()
        );
        eprintln!("{text}");
        if files.is_empty() {
            eprint!("{}", small.write());
        }
        Ok(json!({
            "seed": scenario.seed, "broke": violation.property.id(), "at_ms": violation.at_ms,
            "text": violation.text, "steps": scenario.steps.len(),
            "steps_least": small.steps.len(), "files": files,
        }))
    }
}

impl Replay {
    fn run(&self, json: bool) -> anyhow::Result<bool> {
        let scenario = read(&self.file)?;
        if self.steps {
            for step in &scenario.steps {
                println!("{step}");
            }
        }
        let started = Instant::now();
        let outcome = run(&scenario, self.events).context("the scenario cannot be run")?;
        let seconds = started.elapsed().as_secs_f64();
        if json {
            let violation = outcome.violation.as_ref();
            let document = json!({
                "broke": violation.map(|it| it.property.id()),
                "text": violation.map(|it| &it.text), "at_ms": violation.map(|it| it.at_ms),
                "trace": outcome.trace, "events": outcome.events,
                "device_days": outcome.device_days, "seconds": seconds,
                "sometimes": outcome.sometimes,
            });
            println!("{document:#}");
        } else {
            line(scenario.seed, &scenario, &outcome);
            for (what, count) in &outcome.sometimes {
                println!("  {what}: {count}");
            }
        }
        Ok(outcome.violation.is_some())
    }
}

/// Writes down what broke as it was found and as small as it got, if somebody wants it.
fn keep(out: Option<&Path>, name: &str, found: &str, least: &str) -> anyhow::Result<Vec<PathBuf>> {
    let Some(out) = out else { return Ok(Vec::new()) };
    fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    let write = |(kind, text): (&str, &str)| {
        let path = out.join(format!("{name}.{kind}"));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    [("toml", found), ("min.toml", least)].into_iter().map(write).collect()
}

fn read(file: &Path) -> anyhow::Result<Scenario> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Scenario::read(&text).with_context(|| format!("reading {}", file.display()))
}

fn line(seed: u64, scenario: &Scenario, outcome: &Outcome) {
    let (devices, days, steps) = (scenario.devices, scenario.days, scenario.steps.len());
    let trace = outcome.trace.get(..12).unwrap_or_default();
    let events = outcome.events;
    match &outcome.violation {
        Some(violation) => println!("seed {seed} BROKE {violation}"),
        None => {
            print!("seed {seed} ok: {devices} devices, {days} days, {steps} steps, ");
            println!("{events} events, {trace}");
        }
    }
}
