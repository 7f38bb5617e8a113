//! `larder-sim run`: a scenario of the lab, its figures, and what would help.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::Context;
use clap::Args;
use larder_simulations::lab::{
    plan::Plan,
    report::{
        Report,
        changes::{changes, sensitivities},
        files,
        survives::survives,
        text::Findings,
    },
    scenario::{Repair, Scenario},
};

/// Flags of `run`.
#[derive(Args)]
pub(crate) struct Run {
    /// The scenario, TOML.
    scenario: PathBuf,
    /// Seed of all chance, instead of the scenario's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Circles, instead of the scenario's.
    #[arg(long, value_name = "N")]
    circles: Option<u64>,
    /// Years, instead of the scenario's.
    #[arg(long, value_name = "Y")]
    years: Option<f64>,
    /// Threads; 0 for one for each processor. Changes nothing but the time that it takes.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Writes report.html, report.json, and charts as SVG and CSV there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Tries no changes and varies no assumptions: the figures alone.
    #[arg(long)]
    only_figures: bool,
}

impl Run {
    pub(crate) fn run(&self, json: bool) -> anyhow::Result<bool> {
        let text = fs::read_to_string(&self.scenario)
            .with_context(|| format!("reading {}", self.scenario.display()))?;
        let mut scenario = Scenario::read(&text)
            .with_context(|| format!("reading {}", self.scenario.display()))?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        scenario.circles = self.circles.unwrap_or(scenario.circles);
        scenario.years = self.years.unwrap_or(scenario.years);
        scenario.check().context("with these flags")?;
        let findings = find(&Plan::new(scenario), self.threads, !self.only_figures)?;
        if let Some(out) = &self.out {
            files::write(&findings, out).with_context(|| format!("writing {}", out.display()))?;
        }
        if json {
            println!("{}", serde_json::to_string_pretty(&findings)?);
        } else {
            print!("{}", findings.text());
        }
        Ok(false)
    }
}

/// Runs everything that a report tells, on so many threads. How long it took goes to stderr, so that
/// two runs write the same.
pub(crate) fn find(plan: &Plan, threads: usize, compares: bool) -> anyhow::Result<Findings> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| {
        let started = Instant::now();
        let report = Report::run(plan);
        eprintln!("figures: {:.1} s", started.elapsed().as_secs_f64());
        let circles = (plan.scenario.circles / 4).clamp(2_000, 4_000);
        let is_real = plan.scenario.policy.repair == Repair::Real;
        let (base, tried, varied) = if compares && is_real {
            let (base, tried) = changes(plan, circles);
            (Some(base), tried, sensitivities(plan, circles))
        } else {
            (None, Vec::new(), Vec::new())
        };
        eprintln!("all: {:.1} s", started.elapsed().as_secs_f64());
        let survives = survives(plan);
        Ok(Findings { report, survives, base, changes: tried, sensitivities: varied })
    })
}
