//! What took part: versions and the machine, for whoever compares two reports.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::process::find;

/// Versions of Relevo, HAProxy and the kernel.
pub(super) fn versions(relevo: &Path) -> Result<Vec<String>> {
    let first_line = |program: &Path, argument: &str| {
        let output =
            Command::new(program).arg(argument).output().with_context(|| program.display().to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().next().unwrap_or("unknown");
        anyhow::Ok(line.split(" - ").next().unwrap_or(line).trim().to_owned())
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let haproxy = find("haproxy").context("haproxy is gone")?;
    Ok(vec![
        first_line(relevo, "--version")?,
        first_line(&haproxy, "-v")?,
        format!("Linux {}", kernel.trim()),
    ])
}

/// The machine in a line: processor and number of CPUs.
pub(super) fn line() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpus = text.lines().filter(|line| line.starts_with("processor")).count();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    format!("{}, {cpus} CPUs", model.map_or("unknown processor", |(_, name)| name.trim()))
}
