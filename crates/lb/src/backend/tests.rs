//! Who of a pool without checks gets what. Not here: checks themselves.

use relevo_model::cluster::Server as Named;

use super::*;

fn pool(kind: CheckKind) -> Pool {
    let mut pool = Pool::new("web".into());
    pool.check.kind = kind;
    let named = |name: &str| Named::new(name.into(), ([127, 0, 0, 1], 80).into());
    pool.servers = ["one", "two", "three"].map(named).into();
    pool
}

fn backend(kind: CheckKind, former: Option<&Backend>) -> Backend {
    let mut ids = 0..;
    let id = move || ids.next().unwrap();
    Backend::new(pool(kind), BackendTls::default(), former, 1, Time::ZERO, id, |_| Admin::Ready)
}

fn six_turns(backend: &Backend) -> Vec<Choice> {
    (0..6).map(|turn| backend.choose(turn, None, &Tried::default())).collect()
}

fn in_turn() -> Vec<Choice> {
    [0, 1, 2, 0, 1, 2].map(Choice::Server).into()
}

/// The first of them that counted as up would get the requests of the others until they did, too.
#[test]
fn servers_that_nobody_checks_are_up_from_the_beginning() {
    let backend = backend(CheckKind::None, None);
    assert!(backend.servers.iter().all(|server| server.state().health == State::Up));
    assert_eq!(six_turns(&backend), in_turn());
    // The check thread looks at them, too: nothing is different.
    assert!(backend.trust_all(Time::ZERO).is_empty());
}

#[test]
fn servers_that_nobody_checks_any_more_are_up_together() {
    let former = backend(CheckKind::Connect, None);
    former.set_health(&former.servers[1], (State::Down, false), Time::ZERO, "refused".to_owned());
    let next = backend(CheckKind::None, Some(&former));
    assert_eq!(next.servers[0].state().health, State::Unknown, "the next one may not come into use");
    let rings = next.bell.wait(u64::MAX, Duration::ZERO);
    let changed = next.trust_all(Time::ZERO);
    let from: Vec<State> = changed.iter().map(|(_, from, _)| *from).collect();
    assert_eq!(from, [State::Unknown, State::Down, State::Unknown]);
    assert_eq!(next.bell.wait(u64::MAX, Duration::ZERO), rings + 1, "there is no table of some of them");
    assert_eq!(six_turns(&next), in_turn());
}
