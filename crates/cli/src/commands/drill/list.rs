//! `relevo drill list`.

use std::process::ExitCode;

use anyhow::anyhow;
use relevo_lab::drill::{Facts, catalogue};
use relevo_lab::report::Limits;
use serde_json::json;

use crate::commands::example;
use crate::failure::Failure;
use crate::printer::{TITLE, cell, styled, table};

/// Arguments of `relevo drill list`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Lists the drills with their limits at the default timing.
pub(super) fn run(_args: Args, json: bool) -> Result<ExitCode, Failure> {
    let cluster = relevo_model::read(example::S4).cluster.ok_or_else(|| anyhow!("the example is wrong"))?;
    let facts = Facts::new(&cluster).map_err(|error| anyhow!(error))?;
    if json {
        let all: Vec<_> = catalogue()
            .iter()
            .map(|drill| json!({ "drill": drill.name, "about": drill.about, "limits": drill.limits(&facts) }))
            .collect();
        println!("{}", json!({ "drills": all }));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = catalogue()
        .iter()
        .map(|drill| vec![styled(TITLE, drill.name), cell(drill.about), cell(words(&drill.limits(&facts)))])
        .collect();
    anstream::print!("{}", table(0, &["NAME", "WHAT HAPPENS", "LONGEST GAP"], &rows));
    println!("\nLimits are those at adverts every 100 ms; `relevo drill list --json` shows all of them.");
    println!("relevo drill run NAME... runs some, relevo drill run --all runs all of them.");
    Ok(ExitCode::SUCCESS)
}

fn words(limits: &Limits) -> String {
    match (limits.gap_ms, limits.gap_median_ms) {
        (Some(gap), Some(median)) => format!("{gap} ms, median {median} ms"),
        (Some(gap), None) => format!("{gap} ms"),
        (None, _) => "-".to_owned(),
    }
}
