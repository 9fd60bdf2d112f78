//! The machines of the comparison: a client, the servers and a director for each contestant, in network namespaces that
//! nobody else sees and that end with this process.
//!
//! ```text
//! client ──┬── outer 0 ── director 0 ── inner 0 ──┬── servers (three addresses on each inner network)
//!          └── outer 1 ── director 1 ── inner 1 ──┘
//! ```
//! Cables are veth pairs; there is no switch in between. Each contestant has networks of its own, so that the rules of one are
//! not on the way of another.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns, unshare};

use super::super::process::find;

/// Servers of a contestant.
pub(super) const SERVERS: u8 = 3;
/// Where servers answer.
const SERVER_PORT: u16 = 8080;
/// Where clients ask.
const PORT: u16 = 80;

/// A network namespace. It ends with this value, when nobody is in it any more.
#[derive(Debug)]
pub(super) struct Space {
    file: File,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) client: Space,
    pub(super) servers: Space,
    pub(super) directors: Vec<Space>,
}

/// Addresses of a contestant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(pub(super) u8);

impl Place {
    /// The director's own address on the clients' network.
    pub(super) fn outer(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 41, self.0, 1)
    }

    /// The director's own address on the servers' network.
    pub(super) fn inner(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 42, self.0, 1)
    }

    /// Where clients ask: a virtual address.
    pub(super) fn front(self) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(10, 41, self.0, 254), PORT)
    }

    /// The servers.
    pub(super) fn servers(self) -> Vec<SocketAddrV4> {
        let at = |number| SocketAddrV4::new(Ipv4Addr::new(10, 42, self.0, 10 + number), SERVER_PORT);
        (1..=SERVERS).map(at).collect()
    }
}

impl Space {
    fn new() -> Result<Self> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
            File::open("/proc/thread-self/ns/net").context("/proc/thread-self/ns/net")
        };
        let made = thread::spawn(make).join().map_err(|_| anyhow!("a thread failed"))?;
        let space = Self { file: made? };
        space.ip("link set lo up")?;
        Ok(space)
    }

    /// Does something in a thread inside. What it starts is inside too.
    pub(super) fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let inside = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join().map_err(|_| anyhow!("a thread failed"))?)
    }

    /// A path by which other programs find it, as long as this process lives.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Runs `ip` inside.
    fn ip(&self, words: &str) -> Result<()> {
        self.enter(|| {
            let output =
                Command::new("ip").args(words.split_whitespace()).output().context("cannot run ip")?;
            if !output.status.success() {
                bail!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            Ok(())
        })
    }
}

impl Field {
    /// Machines for so many contestants, with their cables and addresses.
    pub(super) fn new(contestants: u8) -> Result<Self> {
        let (client, servers) = (Space::new()?, Space::new()?);
        let mut directors = Vec::new();
        for number in 0..contestants {
            let place = Place(number);
            let director = Space::new()?;
            for (space, end, own) in [(&client, "outer", "c"), (&servers, "inner", "s")] {
                space.ip(&format!(
                    "link add {own}{number} type veth peer name {end} netns {}",
                    director.path()
                ))?;
                space.ip(&format!("link set {own}{number} up"))?;
                director.ip(&format!("link set {end} up"))?;
            }
            client.ip(&format!("address add 10.41.{number}.7/24 dev c{number}"))?;
            client.ip(&format!("route add 10.42.{number}.0/24 via {}", place.outer()))?;
            for server in place.servers() {
                servers.ip(&format!("address add {}/24 dev s{number}", server.ip()))?;
            }
            director.ip(&format!("address add {}/24 dev outer", place.outer()))?;
            director.ip(&format!("address add {}/32 dev outer", place.front().ip()))?;
            director.ip(&format!("address add {}/24 dev inner", place.inner()))?;
            servers.ip(&format!("route add 10.41.{number}.0/24 via {}", place.inner()))?;
            director.enter(|| {
                fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("net.ipv4.ip_forward")?;
                Ok(())
            })?;
            directors.push(director);
        }
        Ok(Self { client, servers, directors })
    }
}

/// Whether this process may make network namespaces and has the tools; an error says what is missing.
pub(super) fn may() -> Result<()> {
    for (tool, package) in [("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")] {
        find(tool).with_context(|| format!("there is no program `{tool}`: install the package {package}"))?;
    }
    Space::new().map(drop)
}
