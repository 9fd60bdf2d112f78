//! The script that plays our drill on real keepalived and HAProxy: it works, and it refuses what it does not know.

use std::process::{Command, Output};

fn script(arguments: &[&str]) -> Output {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers/keepalived-haproxy.sh");
    Command::new(path)
        .args(arguments)
        .env("RELEVO", env!("CARGO_BIN_EXE_relevo"))
        .output()
        .expect("the script starts")
}

#[test]
fn wrong_options_are_named_and_change_nothing() {
    let table: [(&[&str], &str); 5] = [
        (&["--repeat"], "--repeat needs a value"),
        (&["--repeat", "0"], "from 1 to 100"),
        (&["--advert", "2s"], "1s or 100ms"),
        (&["--fault", "fire"], "kill or unplug"),
        (&["--fast", "1"], "--fast is no option"),
    ];
    for (arguments, expected) in table {
        let output = script(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn lab_peers_are_measured_by_our_probe() {
    let output = script(&["--repeat", "1", "--advert", "100ms"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("Keepalived v"), "{text}");
    assert!(text.contains("bal1 to bal2") || text.contains("bal2 to bal1"), "the address moved:\n{text}");
    assert!(text.contains("  gap: median "), "{text}");
}
