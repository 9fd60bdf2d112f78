//! Many seeds of three VRRP routers in trouble.
//!
//! `RELEVO_SIM_SEEDS=20000` plays more of them, `RELEVO_SIM_SEED=42` plays one and prints its trace.

use relevo_sim::vrrp::{Mutant, run, trace};

/// Seeds that once failed, and what was wrong.
const REGRESSIONS: &[(u64, &str)] = &[(
    4943,
    "two actives that both shut down after a partition kept the addresses, each waiting for the other",
)];

fn number(name: &str) -> Option<u64> {
    #[allow(clippy::disallowed_methods, reason = "a test is told by its environment what to play")]
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: must be a number")))
}

fn must_hold(seed: u64) {
    let replay = format!("replay: RELEVO_SIM_SEED={seed} cargo test -p relevo-sim");
    let Ok(run) = std::panic::catch_unwind(|| run(seed, Mutant::None)) else {
        panic!("seed {seed}: a machine contradicted itself, see above\n{replay}");
    };
    if let Some((at, violation)) = run.broken {
        let story = trace(seed, Mutant::None).join("\n");
        panic!(
            "{story}\nseed {seed} at {at}: {violation}\nreplay: RELEVO_SIM_SEED={seed} cargo test -p relevo-sim"
        );
    }
}

#[test]
fn seeds_hold() {
    let seeds = number("RELEVO_SIM_SEEDS").unwrap_or(256);
    for seed in 0..seeds {
        must_hold(seed);
    }
}

#[test]
fn one_seed() {
    if let Some(seed) = number("RELEVO_SIM_SEED") {
        for line in trace(seed, Mutant::None) {
            println!("{line}");
        }
        must_hold(seed);
    }
}

#[test]
fn seeds_that_once_failed_hold() {
    for (seed, _) in REGRESSIONS {
        must_hold(*seed);
    }
}

#[test]
fn a_seed_is_always_the_same_run() {
    assert_eq!(trace(7, Mutant::None), trace(7, Mutant::None));
}

#[test]
fn seeds_are_eventful() {
    let runs: Vec<_> = (0..64).map(|seed| run(seed, Mutant::None)).collect();
    assert!(runs.iter().filter(|run| run.takeovers >= 3).count() > 32, "most runs see several takeovers");
    assert!(runs.iter().any(|run| !run.longest_double.is_zero()), "some runs see two holders for a moment");
}

/// Whether one of the first seeds breaks this rule.
fn breaks(mutant: Mutant, rule: &str) -> bool {
    (0..256)
        .filter_map(|seed| run(seed, mutant).broken)
        .any(|(_, violation)| violation.to_string().split([' ', '{']).next() == Some(rule))
}

#[test]
fn mutants_are_caught() {
    for (mutant, rule) in [
        (Mutant::BlindToPauses, "SentBeforeListening"),
        (Mutant::EternalLease, "TwoHolders"),
        (Mutant::KeepsAddresses, "TwoHolders"),
        (Mutant::Hasty, "Restless"),
        (Mutant::Deaf, "TwoHolders"),
        (Mutant::NoLinks, "NobodyServes"),
        (Mutant::AnnouncesOnce, "StaleArp"),
        (Mutant::NoPeers, "WorseHolds"),
    ] {
        assert!(breaks(mutant, rule), "{mutant:?} must break {rule}");
    }
}
