//! Completion as a real bash does it, with the names of a node that runs.

use std::path::Path;

use crate::harness::{Node, RELEVO, command, finish};

/// What TAB offers behind these words.
fn offered(node: &Node, words: &[&str]) -> Vec<String> {
    let folder = Path::new(RELEVO).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "source <(relevo completions bash)
         complete -p relevo >&2
         COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9
         _clap_complete_relevo relevo \"${{COMP_WORDS[COMP_CWORD]}}\" ''
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        words.len() - 1
    );
    let mut bash = command(Path::new("bash"));
    bash.args(["--norc", "--noprofile", "-c", &script]);
    bash.env("PATH", path).env("RELEVO_RUN_DIR", node.run_dir());
    let ran = finish(bash);
    assert!(ran.err.contains("_clap_complete_relevo relevo"), "{ran:?}");
    ran.out.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn bash_completes_words_and_names_of_the_running_cluster() {
    let node = Node::running();
    assert_eq!(offered(&node, &["relevo", "swi"]), ["switchover"]);
    assert_eq!(offered(&node, &["relevo", "server", "drain", ""])[..2], ["a", "b"]);
    assert_eq!(offered(&node, &["relevo", "server", "drain", "b"]), ["b"]);
    assert_eq!(offered(&node, &["relevo", "server", "ready", "a", "--pool", ""]), ["shop", "web"]);
    assert_eq!(offered(&node, &["relevo", "affinity", "show", "--service", "s"]), ["shop"]);
    // Nobody answers there, and nothing is offered.
    let nowhere = node.folder.path("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    assert!(offered(&node, &["relevo", "server", "drain", "--run-dir", nowhere, "b"]).is_empty());
    // Drills are there without a node, and without a lab.
    assert_eq!(offered(&node, &["relevo", "drill", "run", "director-c"]), ["director-crash"]);
    assert_eq!(offered(&node, &["relevo", "example", "mini"]), ["minimal"]);
    // What relevo starts by itself is nobody's business.
    let lab = offered(&node, &["relevo", "lab", ""]);
    assert!(lab.contains(&"up".to_owned()) && !lab.contains(&"inside".to_owned()), "{lab:?}");
}
