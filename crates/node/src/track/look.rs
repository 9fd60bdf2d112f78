//! Looks that are answered at once.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ipnet::IpNet;
use relevo_api::types::BfdStatus;
use relevo_lb::Reach;
use relevo_model::cluster::{ClusterFile, MAIN_TABLE, Watched};
use relevo_model::{NetworkName, NodeName};
use relevo_net::link::Link;
use relevo_net::paths::Of;
use relevo_net::route::Route;
use relevo_proto::health::{ProbeResult, excerpt};
use relevo_proto::track::Reading;

/// What a look saw, with the evidence.
pub(super) type Seen = (Reading, String);

/// Bytes of a file that are looked at.
const HEAD: u64 = 32;

/// What is watched, in words.
pub(super) fn words(what: &Watched) -> String {
    let key = what.key();
    match what {
        Watched::Interface(name) | Watched::Process(name) => format!("{key} {name}"),
        Watched::Link(network) => format!("{key} {network}"),
        Watched::File(path) => format!("{key} {}", path.display()),
        Watched::Script(argv) => format!("{key} {}", excerpt(argv.join(" ").as_bytes())),
        Watched::Route(to) => format!("{key} {to}"),
        Watched::Ping(ip) => format!("{key} {ip}"),
        Watched::PingOn(ip, network) => format!("{key} {ip}%{network}"),
        Watched::Service(service) => format!("{key} {service}"),
        Watched::Pool(pool) => format!("{key} {pool}"),
        Watched::Bfd(node) => format!("{key} {node}"),
    }
}

fn unknown(error: impl std::fmt::Display) -> Seen {
    (Reading::Unknown, format!("cannot look: {error}"))
}

fn judged(is_up: bool, evidence: String) -> Seen {
    (if is_up { Reading::Up } else { Reading::Down }, evidence)
}

/// The BFD sessions with another director: one that is up is enough.
pub(super) fn bfd(sessions: &[BfdStatus], peer: &NodeName) -> Seen {
    let with_it: Vec<_> = sessions.iter().filter(|session| session.node == *peer).collect();
    match (with_it.iter().find(|session| session.state == "up"), with_it.first()) {
        (Some(up), _) => judged(true, format!("the session on network {} is up", up.network)),
        (None, Some(one)) => {
            judged(false, format!("the session on network {} is {}", one.network, one.state))
        }
        (None, None) => (Reading::Unknown, format!("there is no BFD session with {peer}")),
    }
}

/// An interface by its name.
pub(super) fn interface(route: &mut Route, name: &str) -> Seen {
    match route.links() {
        Err(error) => unknown(error),
        Ok(links) => match links.iter().find(|link| link.name == name) {
            None => judged(false, format!("there is no interface {name}")),
            Some(link) => carrier(link),
        },
    }
}

/// The node's own interface on a network.
pub(super) fn link(route: &mut Route, cluster: &ClusterFile, node: &NodeName, network: &NetworkName) -> Seen {
    let Some(own) = cluster.node(node).and_then(|node| node.address_on(network)) else {
        return judged(false, format!("{node} is not on network {network}"));
    };
    match route.interface(own.ip, own.interface.as_deref()) {
        Ok(found) => carrier(&found.link),
        Err(error) => judged(false, error.to_string()),
    }
}

/// The index of the node's own interface on a network, or why nothing can be asked there.
pub(super) fn scope(
    route: &mut Route,
    cluster: &ClusterFile,
    node: &NodeName,
    network: &NetworkName,
) -> Result<u32, Seen> {
    let Some(own) = cluster.node(node).and_then(|node| node.address_on(network)) else {
        return Err(judged(false, format!("{node} is not on network {network}")));
    };
    match route.interface(own.ip, own.interface.as_deref()) {
        Ok(found) => Ok(found.link.index),
        Err(error) => Err(judged(false, error.to_string())),
    }
}

fn carrier(link: &Link) -> Seen {
    let words = if link.up { "is up and has a carrier" } else { "is down or has no carrier" };
    judged(link.up, format!("{} {words}", link.name))
}

/// A route in the main table.
pub(super) fn route(route: &mut Route, to: IpNet) -> Seen {
    match route.paths(matches!(to.addr(), IpAddr::V4(_)), Of::Table(MAIN_TABLE)) {
        Err(error) => unknown(error),
        Ok(paths) => {
            let is_there = paths.iter().any(|path| path.to == to);
            let words = if is_there { "is there" } else { "is not there" };
            judged(is_there, format!("the route to {to} {words}"))
        }
    }
}

/// A file: whether it is there, or the number that it begins with.
pub(super) fn file(path: &Path) -> Seen {
    // Nobody shall be waited for at the other end of a pipe.
    let opened = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return judged(false, "the file is not there".to_owned());
        }
        Err(error) => return unknown(error),
    };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return judged(true, "it is there, and no plain file".to_owned());
    }
    let mut head = Vec::new();
    if let Err(error) = file.take(HEAD).read_to_end(&mut head) {
        return unknown(error);
    }
    let text = String::from_utf8_lossy(&head);
    let word = text.split_whitespace().next().unwrap_or_default();
    match word.parse::<i32>() {
        Ok(number) => (Reading::Number(number), format!("the file says {number}")),
        Err(_) => judged(true, "the file is there".to_owned()),
    }
}

/// What a pool's checks say.
pub(super) fn reach(reach: Option<Reach>) -> Seen {
    match reach {
        None => (Reading::Unknown, "the balancer does not have it".to_owned()),
        Some(Reach::Up(evidence)) => (Reading::Up, evidence),
        Some(Reach::Down(evidence)) => (Reading::Down, evidence),
        Some(Reach::Unknown(evidence)) => (Reading::Unknown, evidence),
    }
}

/// What a script or a ping came to.
pub(super) fn probed(result: ProbeResult) -> Seen {
    match result {
        ProbeResult::Good(evidence) | ProbeResult::Leaving(evidence) => (Reading::Up, evidence),
        ProbeResult::Bad(evidence) => (Reading::Down, evidence),
        ProbeResult::TimedOut(after) => (Reading::Down, format!("no answer within {} ms", after.as_millis())),
        ProbeResult::NotAsked(evidence) => (Reading::Unknown, evidence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_session_that_is_up_is_enough() {
        let session = |network: &str, state: &str| BfdStatus {
            at: None,
            node: NodeName::new("lb2"),
            network: NetworkName::new(network),
            state: state.to_owned(),
            since: 0,
        };
        let peer = NodeName::new("lb2");
        assert_eq!(bfd(&[session("a", "down"), session("b", "up")], &peer).0, Reading::Up);
        assert_eq!(bfd(&[session("a", "down"), session("b", "init")], &peer).0, Reading::Down);
        assert_eq!(bfd(&[session("a", "up")], &NodeName::new("lb3")).0, Reading::Unknown);
    }

    #[test]
    fn a_file_is_a_number_or_is_there_or_is_not() {
        let folder = std::env::temp_dir().join(format!("relevo-track-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("weight");
        assert_eq!(file(&path).0, Reading::Down);
        for (text, want) in [
            ("", Reading::Up),
            ("maintenance", Reading::Up),
            ("0\n", Reading::Number(0)),
            ("-50", Reading::Number(-50)),
            ("  +7 and more", Reading::Number(7)),
            ("99999999999999999999", Reading::Up),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(file(&path).0, want, "{text:?}");
        }
        assert_eq!(file(&folder).0, Reading::Up);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_loopback_interface_is_there_and_another_is_not() {
        let mut route = Route::open().unwrap();
        assert_eq!(interface(&mut route, "nobody0").0, Reading::Down);
        assert_ne!(interface(&mut route, "lo").0, Reading::Unknown);
    }
}
