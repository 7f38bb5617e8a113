//! `larder-sim validate`: the page of validation.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::Args;
use larder_simulations::lab::validate::{Extent, page, rows};
use serde_json::json;

/// Flags of `validate`.
#[derive(Args)]
pub(crate) struct Validate {
    /// All of it, with narrow intervals: minutes instead of seconds.
    #[arg(long)]
    full: bool,
    /// Writes the page there instead of to stdout.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Validate {
    pub(crate) fn run(&self, json: bool) -> anyhow::Result<bool> {
        let extent = if self.full { Extent::Full } else { Extent::Fast };
        let rows = rows(extent);
        let page = page(&rows, extent);
        if let Some(out) = &self.out {
            fs::write(out, &page).with_context(|| format!("writing {}", out.display()))?;
        }
        if json {
            let verdict = |row: &_| json!({ "row": row, "holds": larder_simulations::lab::validate::Row::holds(row) });
            let rows: Vec<_> = rows.iter().map(verdict).collect();
            println!("{:#}", json!({ "rows": rows }));
        } else if self.out.is_none() {
            print!("{page}");
        }
        Ok(rows.iter().any(|row| !row.holds()))
    }
}
