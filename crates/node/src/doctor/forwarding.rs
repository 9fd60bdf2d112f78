//! What forwarding of IPv6 does to the machine itself: a router does not listen to other routers, unless it is told to.

use relevo_model::cluster::{Family, MAIN_TABLE};
use relevo_net::forwarding6;
use relevo_net::paths::Of;
use relevo_net::route::Route;

use super::{Findings, Patient};

/// What the findings are called.
const CHECK: &str = "forwarding";

pub(super) fn look(patient: Patient<'_>, findings: &mut Findings) {
    let is_here = |group: &str| patient.groups().any(|own| own.name.as_str() == group);
    let mut ways = patient.cluster.gateways.iter().filter(|gateway| is_here(&gateway.group));
    if !ways.any(|gateway| gateway.way(Family::V6).is_some()) {
        return;
    }
    let deaf = forwarding6::deaf();
    if deaf.is_empty() {
        return findings
            .good(CHECK, "where this machine listens to IPv6 routers it still does so while it is one");
    }
    let names = deaf.join(", ");
    let routes = Route::open().and_then(|mut route| route.paths(false, Of::Table(MAIN_TABLE)));
    if routes.is_ok_and(|routes| routes.iter().any(|path| path.to.prefix_len() == 0)) {
        let seen = format!("{names}: no IPv6 router is listened to; there is a default route without that");
        return findings.good(CHECK, seen);
    }
    let sysctls: Vec<String> = deaf.iter().map(|name| format!("net.ipv6.conf.{name}.accept_ra=2")).collect();
    findings.doubtful(
        CHECK,
        format!(
            "{names}: IPv6 is forwarded and accept_ra is 1, so the kernel takes no router's advertisements there; this \
             machine has no IPv6 default route"
        ),
        format!("sysctl -w {}, and in /etc/sysctl.d; or set a default route by hand", sysctls.join(" ")),
    );
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use relevo_model::NodeName;

    use super::super::Verdict;
    use super::*;

    const FILE: &str = "name = \"six\"\n[network.in]\nsubnet = [\"10.0.0.0/24\", \"fd00:1::/64\"]\n\
        [network.out]\nsubnet = [\"10.1.0.0/24\", \"fd00:2::/64\"]\n\
        [node.a]\nroles = [\"director\"]\naddress.in = [\"10.0.0.1\", \"fd00:1::1\"]\naddress.out = [\"10.1.0.1\", \"fd00:2::1\"]\n\
        [group.web]\nvrid = 51\n[address.in6]\nnetwork = \"in\"\nip = \"fd00:1::9\"\n\
        [address.out6]\nnetwork = \"out\"\nip = \"fd00:2::9\"\n[gateway]\nfrom = \"in\"\nto = \"out\"\n";

    #[test]
    fn lab_an_interface_that_is_deaf_to_routers_is_found_and_its_remedy_helps() {
        let alone = || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .expect("a network namespace of our own");
            let ip = "link add six0 type veth peer name six1".split(' ');
            assert!(std::process::Command::new("ip").args(ip).status().unwrap().success());
            let cluster = relevo_model::read(FILE).cluster.unwrap();
            let node = NodeName::new("a");
            let found = || {
                let mut findings = Findings::default();
                look(
                    Patient { cluster: &cluster, node: &node, status: None, listen: Duration::ZERO },
                    &mut findings,
                );
                findings.0
            };
            let set = |key: &str, value: &str| {
                fs::write(format!("/proc/sys/net/ipv6/conf/six0/{key}"), value).unwrap();
            };
            assert_eq!(found().first().map(|one| one.verdict), Some(Verdict::Good));
            set("forwarding", "1");
            let list = found();
            assert_eq!(list.len(), 1, "{list:#?}");
            assert_eq!(list[0].verdict, Verdict::Doubtful);
            assert!(list[0].remedy.contains("net.ipv6.conf.six0.accept_ra=2"), "{list:#?}");
            set("accept_ra", "2");
            assert_eq!(found().first().map(|one| one.verdict), Some(Verdict::Good));
        };
        std::thread::spawn(alone).join().unwrap();
    }
}
