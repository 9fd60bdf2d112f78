//! What ARCHITECTURE.md says is so: every room is in its table with the arrows that hold, every thread of the node in the other one.
//!
//! It reads the text of both; what a room or a thread is for, only a reader can judge.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Rooms whose threads are those of `relevo node run`.
const OF_THE_NODE: &[&str] = &["crates/api/src", "crates/lb/src", "crates/node/src"];

/// The page tells the same as `arrows`, and names the threads.
pub(crate) fn check(
    root: &Path,
    files: &[PathBuf],
    arrows: &[(&str, &[&str])],
    findings: &mut Vec<String>,
) -> Result<()> {
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    rooms(&page, arrows, findings);
    threads(root, files, &page, findings)
}

/// Rows of the table of rooms: folder, what it is, what it may use.
fn rooms(page: &str, arrows: &[(&str, &[&str])], findings: &mut Vec<String>) {
    for (room, below) in arrows {
        let folder = folder_of(room);
        let Some(row) =
            rows(page, "## Rooms").find(|row| row.first() == Some(&format!("`{folder}`").as_str()))
        else {
            findings.push(format!("ARCHITECTURE.md: its table of rooms does not have `{folder}`"));
            continue;
        };
        let said: BTreeSet<&str> = row
            .last()
            .into_iter()
            .flat_map(|cell| cell.split(", "))
            .filter(|name| *name != "nothing")
            .collect();
        let held: BTreeSet<&str> = below.iter().map(|name| name.trim_start_matches("relevo-")).collect();
        if said != held {
            findings.push(format!(
                "ARCHITECTURE.md: `{folder}` may use {held:?} (xtask/src/tidy.rs), not {said:?}"
            ));
        }
    }
}

/// Where the package of a room lies.
fn folder_of(package: &str) -> String {
    match package {
        "relevo" => "crates/cli".to_owned(),
        "relevo-sim" => "sim".to_owned(),
        other => other.strip_prefix("relevo-").map_or(other.to_owned(), |name| format!("crates/{name}")),
    }
}

/// Names that threads get in the code are in the table of threads.
fn threads(root: &Path, files: &[PathBuf], page: &str, findings: &mut Vec<String>) -> Result<()> {
    let said: BTreeSet<&str> = rows(page, "## Threads of")
        .filter_map(|row| row.first().copied())
        .flat_map(|cell| cell.split(", "))
        .collect();
    let of_the_node = |path: &&PathBuf| {
        path.extension().is_some_and(|extension| extension == "rs")
            && OF_THE_NODE.iter().any(|room| path.starts_with(room))
    };
    for path in files.iter().filter(of_the_node) {
        let text = fs::read_to_string(root.join(path)).with_context(|| path.display().to_string())?;
        for name in thread_names(&text).filter(|name| !said.contains(name)) {
            findings.push(format!(
                "{}: a thread is called {name}, which ARCHITECTURE.md's table of threads does not have",
                path.display()
            ));
        }
    }
    Ok(())
}

/// Texts that are given as names right where a thread, or a runtime's threads, are made.
fn thread_names(text: &str) -> impl Iterator<Item = &str> {
    let own = text
        .split("thread::Builder::new()")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix(".name(\""));
    let of_runtimes = text.split(".thread_name(\"").skip(1);
    own.chain(of_runtimes).filter_map(|rest| rest.split('"').next())
}

/// The rows of the first table below a heading that begins so, each as its cells.
fn rows<'a>(page: &'a str, heading: &str) -> impl Iterator<Item = Vec<&'a str>> {
    let section =
        page.split_once(heading).map_or("", |(_, rest)| rest.split("\n## ").next().unwrap_or_default());
    let lines =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    lines.skip(2).map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "## Rooms\n\n| folder | what | may use |\n|---|---|---|\n| `crates/model` | words | nothing |\n\
        | `crates/lb` | traffic | model, proto |\n\n## Threads of it\n\n| thread | what |\n|---|---|\n| a, a-in | x |\n";

    #[test]
    fn a_room_that_is_missing_or_has_other_arrows_is_found() {
        let mut findings = Vec::new();
        rooms(
            PAGE,
            &[("relevo-model", &[]), ("relevo-lb", &["relevo-proto", "relevo-model"])],
            &mut findings,
        );
        assert_eq!(findings, [""; 0]);
        rooms(PAGE, &[("relevo-model", &["relevo-lb"]), ("relevo-net", &[])], &mut findings);
        assert_eq!(findings.len(), 2, "{findings:?}");
    }

    #[test]
    fn threads_have_names_in_code_and_page() {
        let code = "thread::Builder::new().name(\"a-in\".to_owned())\n thread::Builder::new()\n  .name(\"b\") .thread_name(\"c\")";
        assert_eq!(thread_names(code).collect::<Vec<_>>(), ["a-in", "b", "c"]);
        let cells: Vec<_> = rows(PAGE, "## Threads of").map(|row| row[0]).collect();
        assert_eq!(cells, ["a, a-in"]);
    }
}
