//! Any text as a cluster file: it is read or explained, and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relevo_model::{Severity, diagnostic, read};

fuzz_target!(|text: &str| {
    let reading = read(text);
    let lines = text.lines().count().max(1);
    for found in &reading.diagnostics {
        assert!((1..=lines).contains(&found.place.line), "{found:?}");
        assert!(found.place.column >= 1 && found.place.length >= 1, "{found:?}");
        assert!(!found.message.is_empty() && !found.hint.is_empty(), "{found:?}");
    }
    let wrong = reading.diagnostics.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(reading.cluster.is_none(), wrong, "{:?}", reading.diagnostics);
    diagnostic::render("fuzz.toml", text, &reading.diagnostics);
});
