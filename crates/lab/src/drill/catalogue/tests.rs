//! What drills promise, and where they apply.

use super::*;

fn s4() -> ClusterFile {
    relevo_model::read(include_str!("../../../../../examples/s4.toml")).cluster.expect("the example is right")
}

#[test]
fn limits_are_the_promised_ones_with_the_default_timing() {
    let facts = Facts::new(&s4()).unwrap();
    assert_eq!(facts.active_down(), Duration::from_nanos(360_937_500));
    let crash = find("director-crash").unwrap().limits(&facts);
    assert_eq!((crash.gap_ms, crash.gap_median_ms), (Some(1000), Some(500)));
    for planned in ["switchover", "director-stop"] {
        assert_eq!(find(planned).unwrap().limits(&facts).gap_median_ms, Some(100));
    }
    assert_eq!(find("director-freeze").unwrap().limits(&facts).two_holders_ms, Some(2000));
    let unplug = find("director-unplug").unwrap().limits(&facts);
    assert_eq!((unplug.gap_ms, unplug.gap_median_ms), (crash.gap_ms, crash.gap_median_ms));
    assert_eq!((unplug.two_holders_ms, unplug.undo_moves, unplug.undo_gap_ms), (Some(0), Some(0), Some(150)));
}

#[test]
fn connections_to_a_dead_server_are_cut_in_mode_tcp_only() {
    let mut cluster = s4();
    let cut = |cluster: &ClusterFile| find("server-crash").unwrap().limits(&Facts::new(cluster).unwrap()).cut;
    assert_eq!(cut(&cluster), Some(0));
    cluster.services[0].mode = Mode::Tcp;
    assert_eq!(cut(&cluster), Some(4));
}

#[test]
fn slow_adverts_allow_more() {
    let mut cluster = s4();
    cluster.groups[0].advert = Duration::from_secs(1);
    let limits = find("director-crash").unwrap().limits(&Facts::new(&cluster).unwrap());
    assert_eq!((limits.gap_ms, limits.gap_median_ms), (Some(9022), Some(4812)));
}

#[test]
fn every_drill_applies_to_s4_and_switch_drills_do_not_to_a_small_lab() {
    let cluster = s4();
    let facts = Facts::new(&cluster).unwrap();
    for drill in catalogue().iter().filter(|drill| {
        !["cookie-stays", "gateway-moves", "heartbeat-cut"].contains(&drill.name)
            && !drill.name.starts_with("flows-")
    }) {
        assert_eq!(drill.applies(&cluster, &facts), Ok(()), "{}", drill.name);
    }
    let text = include_str!("../../../../../examples/minimal.toml");
    let small = relevo_model::read(text).cluster.expect("the example is right");
    let facts = Facts::new(&small).unwrap();
    for name in ["switch-dies", "link-cut", "root-change", "cost-change"] {
        let why = find(name).unwrap().applies(&small, &facts).unwrap_err();
        assert!(why.contains("one switch"), "{why}");
    }
    assert_eq!(find("director-crash").unwrap().applies(&small, &facts), Ok(()));
}
