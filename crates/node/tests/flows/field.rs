//! The namespaces: a client and two directors on one network, the directors and three servers on another one.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use relevo_net::nft::Nft;
use relevo_proto::flows::{Existing, Front, Key, Listing, Rules, Slots, TABLE};

use crate::traffic;

/// The servers' numbers.
pub(crate) const SERVERS: [u8; 3] = [1, 2, 3];
/// Where clients ask, and where servers answer.
pub(crate) const PORT: u16 = 80;
const SERVER_PORT: u16 = 8080;

/// The world of a test; it goes away with it.
pub(crate) struct Field {
    prefix: String,
    rules: Mutex<BTreeMap<String, Rules>>,
}

pub(crate) fn server(number: u8, v4: bool) -> SocketAddr {
    let ip = match v4 {
        true => IpAddr::from(Ipv4Addr::new(10, 9, 0, 10 + number)),
        false => IpAddr::from(Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 10 + u16::from(number))),
    };
    SocketAddr::new(ip, SERVER_PORT)
}

pub(crate) fn client(v4: bool) -> IpAddr {
    if v4 { Ipv4Addr::new(192, 0, 2, 7).into() } else { Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 7).into() }
}

pub(crate) fn front_at(v4: bool) -> SocketAddr {
    let ip = if v4 {
        Ipv4Addr::new(192, 0, 2, 254).into()
    } else {
        IpAddr::from(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x254))
    };
    SocketAddr::new(ip, PORT)
}

/// The service `shop`.
pub(crate) fn front(v4: bool, udp: bool, key: Key) -> Front {
    Front {
        name: "shop".to_owned(),
        udp,
        at: front_at(v4),
        pool: "shop".to_owned(),
        key,
        inside: vec![if v4 { "10.9.0.0/24" } else { "fd00:9::/64" }.parse().unwrap()],
        idle: Duration::from_secs(300),
        servers: SERVERS.map(|number| server(number, v4)).to_vec(),
        form: relevo_proto::flows::Form::Nat,
        cut: Vec::new(),
        synproxy: None,
        closing: false,
    }
}

impl Field {
    pub(crate) fn new(name: &str) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "lab tests make network namespaces: run them as root");
        let prefix = format!("rt-flows-{name}");
        let field = Self { prefix, rules: Mutex::default() };
        field.clean();
        for space in SPACES {
            field.run(&format!("ip netns add {}-{space}", field.prefix));
            field.inside(space, "ip link set lo up");
            field.inside(
                space,
                "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0",
            );
        }
        for bridge in ["outer", "inner"] {
            field.inside("sw", &format!("ip link add {bridge} type bridge mcast_snooping 0"));
            field.inside("sw", &format!("ip link set {bridge} up"));
        }
        for (space, number) in [("c", 7), ("d1", 1), ("d2", 2)] {
            field.plug(space, "outer", &[&format!("192.0.2.{number}/24"), &format!("fd00:1::{number}/64")]);
        }
        for (space, number) in [("d1", 1), ("d2", 2), ("s1", 11), ("s2", 12), ("s3", 13)] {
            let v6 = if number > 10 {
                server(number - 10, false).ip().to_string()
            } else {
                format!("fd00:9::{number}")
            };
            field.plug(space, "inner", &[&format!("10.9.0.{number}/24"), &format!("{v6}/64")]);
        }
        for director in ["d1", "d2"] {
            field.inside(director, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        }
        for server in ["s1", "s2", "s3"] {
            field.inside(server, "ip route add default via 10.9.0.254");
            field.inside(server, "ip -6 route add default via fd00:9::254");
        }
        field.take("d1");
        field
    }

    /// Servers of all kinds, on all three.
    pub(crate) fn serve(&self) {
        for number in SERVERS {
            for v4 in [true, false] {
                let at = server(number, v4);
                self.enter(&format!("s{number}"), move || traffic::serve(at));
            }
        }
    }

    /// Puts rules in, or the change from those that are there.
    pub(crate) fn install(&self, director: &str, fronts: &[Front], slots: &Slots, _v4: bool) {
        let next = Rules::new(fronts, &BTreeMap::from([("shop".to_owned(), slots.clone())]));
        let mut all = self.rules.lock().unwrap();
        let text = match all.get(director) {
            Some(former) => next.follow(former),
            None => next.install(&Existing::default()),
        };
        all.insert(director.to_owned(), next);
        self.enter(director, move || Nft::new().run(&text)).unwrap();
    }

    /// Puts these rules in, where there are none.
    pub(crate) fn install_text(&self, director: &str, rules: &Rules) {
        let text = rules.install(&Existing::default());
        self.enter(director, move || Nft::new().run(&text)).unwrap();
    }

    /// Puts these rules in, where there are none; what packets make of this name has another size.
    pub(crate) fn install_small(&self, director: &str, rules: &Rules, name: &str, size: usize) {
        let line = |line: &str| match line.split_once("; size ") {
            Some((before, rest)) if line.contains(&format!(" {name} {{")) => {
                format!("{before}; size {size};{}\n", rest.split_once(';').unwrap().1)
            }
            _ => format!("{line}\n"),
        };
        let whole = rules.install(&Existing::default());
        let text: String = whole.lines().map(line).collect();
        assert!(text != whole, "{name}");
        self.rules.lock().unwrap().insert(director.to_owned(), rules.clone());
        self.enter(director, move || Nft::new().run(&text)).unwrap();
    }

    /// How many elements a map or set of packets' making has.
    pub(crate) fn count(&self, director: &str, kind: &str, name: &str, v4: bool) -> usize {
        let family = if v4 { "ip" } else { "ip6" };
        self.inside(director, &format!("nft list {kind} {family} {TABLE} {name}")).matches("expires").count()
    }

    /// Puts rules in and forgets all pins.
    pub(crate) fn install_anew(&self, director: &str, fronts: &[Front], slots: &Slots) {
        self.remove(director);
        self.install(director, fronts, slots, true);
    }

    pub(crate) fn remove(&self, director: &str) {
        self.rules.lock().unwrap().remove(director);
        let all = || ["ip", "ip6"].iter().try_for_each(|family| Nft::new().remove_table(family, TABLE));
        self.enter(director, all).unwrap();
    }

    /// Moves the addresses as a takeover does.
    pub(crate) fn move_to(&self, next: &str, before: &str) {
        self.run_quietly(before, "ip address del 192.0.2.254/32 dev outer");
        self.run_quietly(before, "ip address del 10.9.0.254/32 dev inner");
        self.run_quietly(before, "ip address del fd00:1::254/128 dev outer");
        self.run_quietly(before, "ip address del fd00:9::254/128 dev inner");
        self.take(next);
    }

    fn take(&self, director: &str) {
        self.inside(director, "ip address add 192.0.2.254/32 dev outer");
        self.inside(director, "ip address add 10.9.0.254/32 dev inner");
        self.inside(director, "ip address add fd00:1::254/128 dev outer nodad");
        self.inside(director, "ip address add fd00:9::254/128 dev inner nodad");
        for (network, spaces, addresses) in [
            ("outer", &["c"][..], ["192.0.2.254", "fd00:1::254"]),
            ("inner", &["s1", "s2", "s3"][..], ["10.9.0.254", "fd00:9::254"]),
        ] {
            let mac = self.inside(director, &format!("cat /sys/class/net/{network}/address"));
            for space in spaces {
                for ip in addresses {
                    self.inside(space, &format!("ip neigh replace {ip} lladdr {} dev {network}", mac.trim()));
                }
            }
        }
    }

    /// Packets of a counter.
    pub(crate) fn counter(&self, director: &str, name: &str) -> u64 {
        let text = self.inside(director, "nft list counters");
        Listing::read(&text).counters.get(name).map_or(0, |counted| counted.packets)
    }

    /// The server that a client's flow is pinned to at a director.
    pub(crate) fn pin(&self, director: &str, client: SocketAddr) -> Option<String> {
        let text = self.inside(director, &format!("nft list map ip {TABLE} pin_shop"));
        let key = format!("{} . {} ", client.ip(), client.port());
        let (_, rest) = text.split_once(&key)?;
        let (_, server) = rest.split_once(" : ")?;
        Some(server.split([',', ' ', '\n']).next()?.to_owned())
    }

    pub(crate) fn inside(&self, space: &str, line: &str) -> String {
        self.run(&format!("ip netns exec {}-{space} {line}", self.prefix))
    }

    /// Does something in a thread inside; what it starts stays inside.
    pub(crate) fn enter<T: Send + 'static>(
        &self,
        space: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let path = format!("/run/netns/{}-{space}", self.prefix);
        let inside = move || {
            setns(File::open(path).expect("the namespace"), CloneFlags::CLONE_NEWNET).expect("entering it");
            work()
        };
        std::thread::spawn(inside).join().expect("no panic inside")
    }

    fn plug(&self, space: &str, network: &str, addresses: &[&str]) {
        let (own, switch) = (format!("{}-{space}", self.prefix), format!("{}-sw", self.prefix));
        let port = format!("{network}-{space}");
        self.run(&format!("ip link add {network} netns {own} type veth peer name {port} netns {switch}"));
        self.inside("sw", &format!("ip link set {port} master {network} up"));
        self.inside(space, &format!("ip link set {network} up"));
        for address in addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            self.inside(space, &format!("ip address add {address} dev {network} {nodad}"));
        }
    }

    fn run_quietly(&self, space: &str, line: &str) {
        let line = format!("ip netns exec {}-{space} {line}", self.prefix);
        let words: Vec<&str> = line.split_whitespace().collect();
        let _ = Command::new(words[0]).args(&words[1..]).output();
    }

    fn run(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let output = Command::new(words[0]).args(&words[1..]).output().expect("it can be run");
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn clean(&self) {
        for space in SPACES {
            let _ = Command::new("ip").args(["netns", "del", &format!("{}-{space}", self.prefix)]).output();
        }
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        self.clean();
    }
}

const SPACES: [&str; 7] = ["sw", "c", "d1", "d2", "s1", "s2", "s3"];
