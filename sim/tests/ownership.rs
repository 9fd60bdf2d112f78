//! Directors with an address network and a heartbeat, in trouble. `RELEVO_SIM_SEED=42` plays one seed and prints it.

use relevo_sim::ownership::{Mutant, Plot, Run, run as play};

const PLOTS: [Plot; 4] = [Plot::AddressesOnly, Plot::Both, Plot::HeartbeatReturns, Plot::Crash];

fn run(seed: u64, plot: Plot) -> Run {
    play(seed, plot, Mutant::None)
}

fn number(name: &str) -> Option<u64> {
    #[allow(clippy::disallowed_methods, reason = "a test is told by its environment what to play")]
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: must be a number")))
}

fn must_hold(seed: u64, plot: Plot) {
    let run = run(seed, plot);
    if let Some((at, violation)) = run.broken {
        panic!("{}\nseed {seed} of {plot:?} at {at}: {violation}", run.lines.join("\n"));
    }
}

#[test]
fn seeds_hold() {
    for plot in PLOTS {
        for seed in 0..number("RELEVO_SIM_SEEDS").unwrap_or(12) {
            must_hold(seed, plot);
        }
    }
}

#[test]
fn one_seed() {
    if let Some(seed) = number("RELEVO_SIM_SEED") {
        for plot in PLOTS {
            must_hold(seed, plot);
        }
    }
}

#[test]
fn a_seed_is_always_the_same_run() {
    assert_eq!(run(7, Plot::Both), run(7, Plot::Both));
}

#[test]
fn the_stories_are_eventful() {
    let runs = |plot| (0..12).map(move |seed| run(seed, plot));
    assert!(runs(Plot::HeartbeatReturns).any(|run| run.yields > 0), "the channel settles some");
    assert!(runs(Plot::Both).filter(|run| run.takeovers > 2).count() > 4);
    assert!(runs(Plot::Both).any(|run| !run.longest_double.is_zero()));
}

#[test]
fn mutants_are_caught() {
    for (mutant, plot) in [(Mutant::Deaf, Plot::AddressesOnly), (Mutant::Stubborn, Plot::HeartbeatReturns)] {
        let is_caught = (0..16).any(|seed| play(seed, plot, mutant).broken.is_some());
        assert!(is_caught, "{mutant:?} must be seen in {plot:?}");
    }
}
