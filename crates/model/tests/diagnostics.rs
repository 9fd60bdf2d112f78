//! Golden diagnostics: every `tests/diagnostics/CASE.toml` is wrong, and `CASE.txt` is what the operator sees.
//!
//! `UPDATE_GOLDEN=1 cargo test -p relevo-model --test diagnostics` rewrites the expectations.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test reads its files, and fails by panicking"
)]

use std::path::{Path, PathBuf};

use relevo_model::{Severity, diagnostic, read};

fn files(end: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|found| found == end)).collect();
    paths.sort();
    paths
}

#[test]
fn every_wrong_file_is_explained() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let cases = files("toml");
    for path in &cases {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let reading = read(&text);
        assert!(!reading.diagnostics.is_empty(), "{name} has no findings");
        let errors = reading.diagnostics.iter().any(|found| found.severity == Severity::Error);
        assert_eq!(reading.cluster.is_none(), errors, "{name}");
        for found in &reading.diagnostics {
            assert!(!found.message.is_empty() && !found.hint.is_empty(), "{name}: {found:?}");
            assert!(!found.message.ends_with('.'), "{name}: {found:?}");
            assert!(found.place.line <= text.lines().count(), "{name}: {found:?}");
        }
        let shown = diagnostic::render(name, &text, &reading.diagnostics);
        let golden = path.with_extension("txt");
        if update {
            std::fs::write(&golden, &shown).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != shown {
            wrong.push(format!("---- {name}\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "not as expected (UPDATE_GOLDEN=1 accepts):\n{}", wrong.join("\n"));
    assert!(cases.len() >= 45, "{} cases", cases.len());
}

#[test]
fn no_expectation_is_left_over() {
    for golden in files("txt") {
        assert!(golden.with_extension("toml").exists(), "{} has no case", golden.display());
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics/ten-mistakes.toml");
    let reading = read(&std::fs::read_to_string(path).unwrap());
    let lines: Vec<usize> = reading.diagnostics.iter().map(|found| found.place.line).collect();
    assert_eq!(lines.len(), 10, "{:#?}", reading.diagnostics);
    assert!(lines.is_sorted(), "{lines:?}");
}
