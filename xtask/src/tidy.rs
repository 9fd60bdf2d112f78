//! The house rules that no compiler checks: arrows between rooms, purity, size of files, licences, links in documents. What
//! ARCHITECTURE.md says of rooms and threads is in [`architecture`].
//!
//! Each rule is a function that adds findings; a finding is one line that says where and what would be right.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::architecture;

/// Which rooms a room may use. What is not here is not a room.
const ARROWS: &[(&str, &[&str])] = &[
    ("relevo-model", &[]),
    ("relevo-proto", &["relevo-model"]),
    ("relevo-net", &["relevo-model"]),
    ("relevo-lb", &["relevo-model", "relevo-proto"]),
    ("relevo-api", &["relevo-model"]),
    ("relevo-node", &["relevo-api", "relevo-lb", "relevo-model", "relevo-net", "relevo-proto"]),
    ("relevo-lab", &["relevo-api", "relevo-model", "relevo-net"]),
    ("relevo-bench", &["relevo-model"]),
    ("relevo-import", &["relevo-model"]),
    ("relevo", &["relevo-api", "relevo-bench", "relevo-import", "relevo-lab", "relevo-model", "relevo-node"]),
    ("relevo-sim", &["relevo-model", "relevo-proto"]),
    ("xtask", &[]),
];

/// Rooms without I/O: their clippy.toml bans clocks, sockets, threads and hash-ordered maps.
const PURE: &[&str] = &["crates/import", "crates/model", "crates/proto", "sim"];

/// Libraries that a pure room may use: none of them opens, reads or runs anything. Another one is looked at first.
const OF_PURE_ROOMS: &[&str] = &[
    "base64ct",
    "dhcproto",
    "hickory-proto",
    "hmac",
    "ipnet",
    "memchr",
    "regex",
    "serde",
    "sha-crypt",
    "sha2",
    "thiserror",
    "toml",
    "toml_parser",
    "twox-hash",
];

/// Licences that go with Apache-2.0. Nothing copyleft.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// In Cargo.lock, but behind features of others that nobody here has on (`cargo tree -i NAME --target all` shows nothing).
const NEVER_BUILT: &[&str] = &["webpki-root-certs"];

/// Longest source file, in lines. A longer one has more than one idea.
const LONGEST_FILE: usize = 500;

/// Runs every rule and prints the findings; true if there are none.
pub(crate) fn run() -> Result<bool> {
    let root = root()?;
    let metadata = metadata(&root)?;
    let mut findings = Vec::new();
    arrows(&metadata, &mut findings)?;
    licences(&metadata, &mut findings)?;
    purity(&root, &metadata, &mut findings)?;
    let files = files(&root)?;
    sources(&root, &files, &mut findings)?;
    documents(&root, &files, &mut findings)?;
    architecture::check(&root, &files, ARROWS, &mut findings)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files, nothing to say", files.len());
    }
    Ok(findings.is_empty())
}

fn root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies in the workspace")?.to_path_buf())
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--all-features"])
        .current_dir(root)
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn packages(metadata: &Value) -> Result<&Vec<Value>> {
    metadata["packages"].as_array().context("cargo metadata has packages")
}

/// Rooms use only the rooms below them.
fn arrows(metadata: &Value, findings: &mut Vec<String>) -> Result<()> {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for package in packages(metadata)?.iter().filter(|package| package["source"].is_null()) {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(below) = allowed.get(name) else {
            findings.push(format!("{name}: not a room that xtask/src/tidy.rs knows: add its arrows there"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let other = dependency["name"].as_str().unwrap_or_default();
            let test_only = dependency["kind"] == "dev";
            if allowed.contains_key(other) && !below.contains(&other) && !test_only {
                findings.push(format!("{name}: uses {other}, against the arrows in ARCHITECTURE.md"));
            }
        }
    }
    Ok(())
}

/// Every crate's licence goes with ours.
fn licences(metadata: &Value, findings: &mut Vec<String>) -> Result<()> {
    for package in packages(metadata)? {
        let name = package["name"].as_str().unwrap_or_default();
        if NEVER_BUILT.contains(&name) {
            continue;
        }
        let licence = package["license"].as_str().unwrap_or("none given");
        let fits = licence.split(" OR ").flat_map(|part| part.split('/')).any(|choice| {
            choice.split(" AND ").all(|one| LICENCES.contains(&one.trim_matches(['(', ')', ' '])))
        });
        if !fits {
            findings.push(format!("{name}: licence \"{licence}\" is not on the list in xtask/src/tidy.rs"));
        }
    }
    Ok(())
}

/// The pure rooms have the same clippy.toml (clippy reads the nearest one and does not merge), and only libraries that are
/// pure as well.
fn purity(root: &Path, metadata: &Value, findings: &mut Vec<String>) -> Result<()> {
    let mut texts = BTreeSet::new();
    for room in PURE {
        let path = root.join(room).join("clippy.toml");
        texts.insert(fs::read_to_string(&path).with_context(|| path.display().to_string())?);
    }
    if texts.len() > 1 {
        findings.push(format!("clippy.toml differs between the pure rooms {}", PURE.join(", ")));
    }
    let is_pure = |package: &&Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        PURE.iter().any(|room| manifest == root.join(room).join("Cargo.toml"))
    };
    let rooms: Vec<_> = packages(metadata)?.iter().filter(is_pure).collect();
    if rooms.len() != PURE.len() {
        bail!("cargo metadata does not have all of {}", PURE.join(", "));
    }
    for room in rooms {
        for dependency in room["dependencies"].as_array().into_iter().flatten() {
            let (name, used) = (dependency["name"].as_str().unwrap_or_default(), &dependency["kind"]);
            let ours = ARROWS.iter().any(|(ours, _)| *ours == name);
            if used.is_null() && !ours && !OF_PURE_ROOMS.contains(&name) {
                findings.push(format!(
                    "{}: pure, and uses {name}, which xtask/src/tidy.rs does not list",
                    room["name"]
                ));
            }
        }
    }
    Ok(())
}

/// Files that git knows or would know, relative to the root.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("git ls-files")?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(PathBuf::from).filter(|path| root.join(path).is_file()).collect())
}

/// Source files say what they are, and are not long.
fn sources(root: &Path, files: &[PathBuf], findings: &mut Vec<String>) -> Result<()> {
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(root.join(path)).with_context(|| path.display().to_string())?;
        let at = path.display();
        if !text.starts_with("//!") {
            findings.push(format!("{at}: begins without `//!`: say what the module is and what it is not"));
        }
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            findings.push(format!("{at}: {lines} lines; more than {LONGEST_FILE} is more than one idea"));
        }
    }
    for path in files.iter().filter(|path| path.ends_with("Cargo.toml") && !path.starts_with("fuzz")) {
        let text = fs::read_to_string(root.join(path))?;
        if text.contains("[package]") && !text.contains("[lints]\nworkspace = true") {
            findings.push(format!("{}: without `[lints] workspace = true`", path.display()));
        }
    }
    Ok(())
}

/// Links between documents lead somewhere.
fn documents(root: &Path, files: &[PathBuf], findings: &mut Vec<String>) -> Result<()> {
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = fs::read_to_string(root.join(path)).with_context(|| path.display().to_string())?;
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://") || file.contains(char::is_whitespace);
            let from = path.parent().unwrap_or_else(|| Path::new(""));
            if !elsewhere && !root.join(from).join(file).exists() {
                findings.push(format!("{}: links to {file}, which is not there", path.display()));
            }
        }
    }
    Ok(())
}
