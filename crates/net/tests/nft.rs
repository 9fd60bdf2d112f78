//! nftables in a network namespace of the test's own thread.

#![allow(clippy::unwrap_used, reason = "tests: a failure is a panic")]

use nix::sched::{CloneFlags, unshare};
use relevo_net::nft::{Nft, NftError};

/// Does something in a thread with a network namespace of its own, which ends with it.
fn alone(work: impl FnOnce() + Send + 'static) {
    assert!(nix::unistd::geteuid().is_root(), "lab tests make network namespaces: run them as root");
    let inside = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of our own");
        work();
    };
    std::thread::spawn(inside).join().unwrap();
}

#[test]
fn lab_rules_come_and_go_as_a_whole() {
    alone(|| {
        let nft = Nft::new();
        assert_eq!(nft.list_table("inet", "relevo-test").unwrap(), None);
        let rules = "table inet relevo-test { set seen { type ipv4_addr; elements = { 10.0.0.1 }; }; }\n";
        nft.check(rules).unwrap();
        assert_eq!(nft.list_table("inet", "relevo-test").unwrap(), None, "a check changes nothing");
        nft.run(rules).unwrap();
        assert!(nft.list_table("inet", "relevo-test").unwrap().unwrap().contains("10.0.0.1"));

        // One wrong line, and nothing of it is done.
        let wrong = "delete table inet relevo-test\ntable inet relevo-test { chain x { nonsense } }\n";
        let error = nft.run(wrong).unwrap_err();
        assert!(matches!(&error, NftError::Refused(text) if text.contains("nonsense")), "{error}");
        assert!(nft.list_table("inet", "relevo-test").unwrap().is_some());

        nft.remove_table("inet", "relevo-test").unwrap();
        nft.remove_table("inet", "relevo-test").unwrap();
        assert_eq!(nft.list_table("inet", "relevo-test").unwrap(), None);
    });
}
