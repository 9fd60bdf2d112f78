//! The scripts that play our drills on real keepalived and HAProxy: they work, and refuse what they do not know.

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

fn takeover(arguments: &[&str]) -> Output {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers/takeover.sh");
    let mut script = Command::new(path);
    script.args(arguments).env("RELEVO", env!("CARGO_BIN_EXE_relevo")).output().expect("the script starts")
}

#[test]
fn takeovers_that_there_are_not_are_named() {
    let table: [(&[&str], &str); 3] = [
        (&["--repeat", "101"], "from 1 to 100"),
        (&["--only", "relevo-1s"], "--only relevo-1s: there are relevo-100ms,"),
        (&["--fast", "1"], "--fast is no option"),
    ];
    for (arguments, expected) in table {
        let output = takeover(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn lab_takeovers_stand_side_by_side_in_a_table() {
    let json = std::env::temp_dir().join(format!("relevo-takeover-{}.json", std::process::id()));
    let only = "relevo-bfd,keepalived-100ms,relevo-planned";
    let output = takeover(&["--repeat", "1", "--only", only, "--json", &json.to_string_lossy()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let written = std::fs::read_to_string(&json);
    let _ = std::fs::remove_file(&json);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in ["| relevo-bfd | 1 |", "| keepalived-100ms | 1 |", "| relevo-planned | 1 |"] {
        assert!(text.contains(line), "{text}");
    }
    let all: Vec<serde_json::Value> = serde_json::from_str(&written.expect("the figures")).expect("JSON");
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|one| one["runs"][0]["to"].is_string()), "the address moved: {all:#?}");
    assert_eq!(all[2]["goal_ms"], 50);
}
