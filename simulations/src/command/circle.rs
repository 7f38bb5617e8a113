//! `larder-sim circle`: six questions about a circle, and an answer in plain words.

use std::io::{BufRead, Write};

use anyhow::{Context, bail};
use clap::Args;
use larder_simulations::lab::{
    plan::Plan,
    report::text::{best_change, bytes, chance, within},
    scenario::{DEVICES_MAX, Scenario},
};

use super::run::find;

/// Answers given as flags; the others are asked for.
#[derive(Args)]
pub(crate) struct Ask {
    /// People with files of their own.
    #[arg(long, value_name = "N")]
    people: Option<usize>,
    /// Houses or flats.
    #[arg(long, value_name = "N")]
    houses: Option<usize>,
    /// Devices that are always on (a NAS, a mini PC): houses that have one, as numbers: 1,2. 0 for none.
    #[arg(long, value_name = "LIST")]
    always_on: Option<String>,
    /// GB of each person.
    #[arg(long, value_name = "GB")]
    gb: Option<f64>,
    /// Upload of a usual line, Mbit/s.
    #[arg(long, value_name = "MBIT")]
    upload: Option<f64>,
    /// Whether there is a relay or rented server that keeps copies: yes or no.
    #[arg(long, value_name = "YES|NO")]
    relay: Option<String>,
    /// Circles to try it with.
    #[arg(long, value_name = "N", default_value_t = 4_000)]
    circles: u64,
}

/// The answers.
struct Answers {
    people: usize,
    houses: usize,
    always_on: Vec<usize>,
    gb: f64,
    upload: f64,
    relay: bool,
}

impl Ask {
    pub(crate) fn run(&self, json: bool) -> anyhow::Result<bool> {
        let answers = self.answers()?;
        let mut scenario = Scenario::read(&answers.scenario()?).context("with these answers")?;
        scenario.circles = self.circles;
        let plan = Plan::new(scenario);
        let findings = find(&plan, 0, true)?;
        if json {
            println!("{}", serde_json::to_string_pretty(&findings)?);
            return Ok(false);
        }
        let report = &findings.report;
        println!("\nWhat your circle survives");
        for survived in &findings.survives {
            println!("  {}", survived.sentence());
        }
        println!(
            "\nChance that files are lost for good in a year: {}",
            chance(&report.circle_loss)
        );
        println!("{}", best_change(&findings));
        if let Some(restore) = &report.restore {
            println!(
                "Once there is a new laptop, all files are back on it: in half of the cases {}, in 95 of 100 {}.",
                within(restore.p50),
                within(restore.p95)
            );
        }
        let each_year: f64 = report.bytes_per_device_year.values().sum();
        println!(
            "To keep all copies whole, about {} a year are sent for each device.",
            bytes(each_year)
        );
        println!("\nThis assumes the profile \"base\". If more were lost than assumed:");
        for it in findings.sensitivities.iter().filter(|it| it.times > 1.5 && it.times < 2.5) {
            println!("  twice as many {}: {}", it.what, chance(&it.loss));
        }
        Ok(false)
    }

    fn answers(&self) -> anyhow::Result<Answers> {
        let people = ask(self.people, "How many people have files of their own?")?;
        let houses = ask(self.houses, "In how many houses or flats do they live?")?;
        let question = "Which of these houses, by number, have a device that is always on (such as a NAS)? 1,2 or 0 for none";
        let list: String = ask(self.always_on.clone(), question)?;
        let gb = ask(self.gb, "How many GB has each of them?")?;
        let upload = ask(self.upload, "What does a usual line upload, in Mbit/s?")?;
        let relay: String =
            ask(self.relay.clone(), "Is there a rented server that keeps copies? yes or no")?;
        let number = |text: &str| text.trim().parse::<usize>().context("houses are numbers: 1,2");
        let always_on = list.split(',').map(number).collect::<Result<Vec<_>, _>>()?;
        let relay = match relay.trim() {
            "yes" | "y" => true,
            "no" | "n" => false,
            other => bail!("yes or no, not {other}"),
        };
        if people > DEVICES_MAX / 2 || houses > DEVICES_MAX {
            bail!("a circle has at most {DEVICES_MAX} devices, two of them for each person");
        }
        if people == 0 || houses == 0 || always_on.iter().any(|house| *house > houses) {
            bail!("at least one person and one house, and no house beyond those");
        }
        Ok(Answers { people, houses, always_on, gb, upload, relay })
    }
}

/// The flag, or what is answered on stdin.
fn ask<T: std::str::FromStr>(flag: Option<T>, question: &str) -> anyhow::Result<T>
where
    T::Err: std::fmt::Display,
{
    if let Some(answer) = flag {
        return Ok(answer);
    }
    eprint!("{question} ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        bail!("no answer to: {question}");
    }
    let answer = line.trim();
    answer.parse().map_err(|error| anyhow::anyhow!("{answer}: {error}"))
}

impl Answers {
    /// As a scenario: each person has a laptop and a phone, and people are spread over the houses.
    fn scenario(&self) -> anyhow::Result<String> {
        let mut houses = Vec::new();
        let mut sources = Vec::new();
        for house in 0..self.houses {
            let mut devices = Vec::new();
            for _ in (house..self.people).step_by(self.houses) {
                sources.push(format!("[{house}, {}]", devices.len()));
                devices.extend(["\"laptop\"", "\"phone\""]);
            }
            if self.always_on.contains(&(house + 1)) {
                devices.push("\"nas\"");
            }
            houses.push(format!(
                "{{ name = \"house {}\", devices = [{}] }}",
                house + 1,
                devices.join(", ")
            ));
        }
        if self.relay {
            houses.push("{ name = \"the rented server\", devices = [\"relay\"] }".to_owned());
        }
        if !(self.gb > 0.0 && self.upload > 0.0) {
            bail!("GB and Mbit/s are above 0");
        }
        let (houses, sources) = (houses.join(", "), sources.join(", "));
        let (gb, upload) = (self.gb, self.upload);
        Ok(format!(
            "name = \"Your circle\"\nprofile = \"base\"\nhouse = [{houses}]\npolicy = {{}}\n\
             vaults = {{ sources = [{sources}], gb = {gb:?}, groups = 4 }}\nuplink-mbit = {upload:?}\n"
        ))
    }
}
