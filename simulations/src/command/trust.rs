//! `larder-sim trust`: what a thief does to a device log.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::Args;
use larder_simulations::trust::{Plan, Slip, TrustOutcome, run, shrink};
use serde_json::json;

use crate::{Seeds, keep};

/// Flags of `trust`.
#[derive(Args)]
pub(crate) struct Trust {
    /// Which seeds: `A..B`, B not included.
    #[arg(long, value_name = "A..B", required_unless_present = "replay")]
    seeds: Option<Seeds>,
    /// Runs the plan of a file instead.
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    replay: Option<PathBuf>,
    /// Where failing plans go, as found and as small as they get.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Puts a deliberate bug into the homes: it must be found.
    #[arg(long, value_name = "NAME")]
    bug: Option<Slip>,
    /// Leaves failing plans as they are.
    #[arg(long)]
    no_shrink: bool,
    /// Goes on after the first failure.
    #[arg(long)]
    keep_going: bool,
    /// Prints every turn and how many devices and entries each home has then.
    #[arg(long)]
    turns: bool,
}

impl Trust {
    pub(crate) fn run(&self, json: bool) -> anyhow::Result<bool> {
        let plans: Box<dyn Iterator<Item = Plan>> = match (&self.replay, &self.seeds) {
            (Some(file), _) => {
                let text = fs::read_to_string(file);
                let text = text.with_context(|| format!("reading {}", file.display()))?;
                let plan = Plan::read(&text);
                Box::new([plan.with_context(|| format!("reading {}", file.display()))?].into_iter())
            }
            (None, Some(seeds)) => Box::new(seeds.0.clone().map(Plan::generate)),
            (None, None) => anyhow::bail!("which seeds? --seeds A..B"),
        };
        let (mut runs, mut messages) = (0_u64, 0);
        let mut sometimes = std::collections::BTreeMap::<&str, u64>::new();
        let mut failures = Vec::new();
        for mut plan in plans {
            plan.slip = self.bug.or(plan.slip);
            let outcome = run(&plan, self.turns).context("this plan cannot be run")?;
            runs += 1;
            messages += outcome.messages;
            outcome.sometimes.keys().for_each(|what| *sometimes.entry(what).or_default() += 1);
            if !json {
                line(&plan, &outcome);
            }
            if outcome.violation.is_some() {
                failures.push(self.failed(&plan, &outcome)?);
                if !self.keep_going {
                    break;
                }
            }
        }
        let broke = !failures.is_empty();
        if json {
            let document = json!({
                "runs": runs, "messages": messages, "sometimes": sometimes, "failures": failures,
            });
            println!("{document:#}");
        } else {
            println!("{runs} runs, {messages} messages");
            for (what, count) in &sometimes {
                println!("  {what}: in {count} of {runs} runs");
            }
        }
        Ok(broke)
    }

    /// Makes a failing run small, writes it down, and says how to see it again.
    fn failed(&self, plan: &Plan, outcome: &TrustOutcome) -> anyhow::Result<serde_json::Value> {
        let violation = outcome.violation.as_ref().context("only failing runs come here")?;
        let small = if self.no_shrink || self.replay.is_some() {
            plan.clone()
        } else {
            eprintln!("seed {}: {violation}; making it small", plan.seed);
            shrink(plan, violation.property)
        };
        let name = format!("trust-{}", plan.seed);
        let files = keep(self.out.as_deref(), &name, &plan.write(), &small.write())?;
        eprintln!("seed {}: {} turns are enough", small.seed, small.turns.len());
        if files.is_empty() && self.replay.is_none() {
            eprint!("{}", small.write());
        }
        Ok(json!({
            "seed": plan.seed, "broke": violation.property.id(), "at_ms": violation.at_ms,
            "text": violation.text, "turns": plan.turns.len(),
            "turns_least": small.turns.len(), "files": files,
        }))
    }
}

fn line(plan: &Plan, outcome: &TrustOutcome) {
    let (seed, trace) = (plan.seed, outcome.trace.get(..12).unwrap_or_default());
    match &outcome.violation {
        Some(violation) => println!("seed {seed} BROKE {violation}"),
        None => {
            let (devices, holders, turns) = (plan.devices, plan.holders, plan.turns.len());
            print!("seed {seed} ok: {devices} devices, {holders} holders, {turns} turns, ");
            println!("{} messages, {trace}", outcome.messages);
        }
    }
}
