//! `relevo example`.

use std::process::ExitCode;

use anyhow::anyhow;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use serde_json::json;

use crate::failure::Failure;
use crate::printer::{TITLE, cell, styled, table};

/// Print a commented example of a cluster file.
///
/// Without a name it lists what there is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relevo example
  relevo example minimal > cluster.toml")]
pub(crate) struct Args {
    /// Which one.
    #[arg(add = ArgValueCandidates::new(|| EXAMPLES.iter().map(|one| CompletionCandidate::new(one.name).help(Some(one.about.into()))).collect()))]
    name: Option<String>,
}

struct Example {
    name: &'static str,
    about: &'static str,
    text: &'static str,
}

/// The example that labs and drills use when no file is given.
pub(crate) const S4: &str = include_str!("../../../../examples/s4.toml");

const EXAMPLES: &[Example] = &[
    Example {
        name: "minimal",
        about: "the smallest useful cluster: two directors, one address, two web servers",
        text: include_str!("../../../../examples/minimal.toml"),
    },
    Example {
        name: "s1",
        about: "two directors, three servers on a network of their own, two addresses that move together",
        text: include_str!("../../../../examples/s1.toml"),
    },
    Example {
        name: "s2",
        about: "three directors, twelve servers on three hosts, http with cookies and tcp, a statistics page, preemption",
        text: include_str!("../../../../examples/s2.toml"),
    },
    Example {
        name: "s4",
        about: "two directors, three servers, four switches with spanning tree, a VXLAN inside",
        text: S4,
    },
    Example {
        name: "shop",
        about: "a shop with TLS: rules that choose pools, a cache, compression, passwords, limits",
        text: include_str!("../../../../examples/shop.toml"),
    },
];

/// Runs it.
pub(crate) fn run(args: Args, json: bool) -> Result<ExitCode, Failure> {
    let Some(name) = args.name else {
        list(json);
        return Ok(ExitCode::SUCCESS);
    };
    let Some(example) = EXAMPLES.iter().find(|example| example.name == name) else {
        let names: Vec<&str> = EXAMPLES.iter().map(|example| example.name).collect();
        return Err(Failure::Wrong(anyhow!("there is no example {name:?}; there are {}", names.join(", "))));
    };
    if json {
        println!("{}", json!({ "name": example.name, "about": example.about, "text": example.text }));
    } else {
        print!("{}", example.text);
    }
    Ok(ExitCode::SUCCESS)
}

fn list(json: bool) {
    if json {
        let all: Vec<_> =
            EXAMPLES.iter().map(|example| json!({ "name": example.name, "about": example.about })).collect();
        println!("{}", json!({ "examples": all }));
        return;
    }
    let rows: Vec<_> =
        EXAMPLES.iter().map(|example| vec![styled(TITLE, example.name), cell(example.about)]).collect();
    anstream::print!("{}", table(0, &["NAME", "WHAT IT IS"], &rows));
    println!("\nrelevo example NAME prints one.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_right_file() {
        for example in EXAMPLES {
            let reading = relevo_model::read(example.text);
            assert!(reading.diagnostics.is_empty(), "{}: {:?}", example.name, reading.diagnostics);
        }
    }
}
