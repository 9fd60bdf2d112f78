//! The namespaces: a client behind a router, two directors, and two servers that can answer through a director or through the
//! router.
//!
//! ```text
//!   far ── (small MTU) ── r ──┬── outer ── d1, d2 ──┐
//!                             └────────── inner ────┴── s1, s2
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relevo_net::nft::Nft;
use relevo_proto::flows::{Existing, Form, Front, Key, Listing, Member, Rules, Slots, TABLE};

/// The file that is downloaded, bytes.
pub(crate) const LENGTH: usize = 12 << 20;

const SPACES: [&str; 7] = ["sw", "far", "r", "d1", "d2", "s1", "s2"];

/// How packets get to servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Nat,
    Direct,
    Source,
}

/// The world of a test; it goes away with it.
pub(crate) struct Rig {
    prefix: String,
    pub(crate) folder: PathBuf,
    webs: Vec<Child>,
    rules: Mutex<BTreeMap<String, Rules>>,
    pub(crate) mode: Mode,
    pub(crate) v4: bool,
}

pub(crate) fn vip(v4: bool) -> IpAddr {
    if v4 { "192.0.2.254" } else { "fd00:1::254" }.parse().unwrap()
}

fn inside(v4: bool) -> IpAddr {
    if v4 { "10.9.0.254" } else { "fd00:9::254" }.parse().unwrap()
}

fn server(number: u8, v4: bool, port: u16) -> SocketAddr {
    let ip = if v4 { format!("10.9.0.{}", 10 + number) } else { format!("fd00:9::{}", 10 + number) };
    SocketAddr::new(ip.parse().unwrap(), port)
}

impl Rig {
    pub(crate) fn new(name: &str, mode: Mode, v4: bool) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "lab tests make network namespaces: run them as root");
        let prefix = format!("rt-modes-{name}{}", if v4 { 4 } else { 6 });
        let folder = std::env::temp_dir().join(&prefix);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let rig = Self { prefix, folder, webs: Vec::new(), rules: Mutex::default(), mode, v4 };
        rig.clean();
        for space in SPACES {
            run(&format!("ip netns add {}-{space}", rig.prefix));
            rig.inside(space, "ip link set lo up");
            rig.inside(space, "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0");
        }
        for bridge in ["outer", "inner"] {
            rig.inside("sw", &format!("ip link add {bridge} mtu 9000 type bridge mcast_snooping 0"));
            rig.inside("sw", &format!("ip link set {bridge} up"));
        }
        for (space, number) in [("r", 7), ("d1", 1), ("d2", 2)] {
            rig.plug(space, "outer", 1500, number);
        }
        for (space, number) in [("r", 7), ("d1", 1), ("d2", 2), ("s1", 11), ("s2", 12)] {
            rig.plug(space, "inner", 9000, number);
        }
        let (far, router) = (format!("{}-far", rig.prefix), format!("{}-r", rig.prefix));
        run(&format!(
            "ip link add near netns {far} mtu 1300 type veth peer name near netns {router} mtu 1300"
        ));
        for (space, number) in [("far", 9), ("r", 1)] {
            rig.inside(space, "ip link set near up");
            rig.inside(space, &format!("ip address add 198.51.100.{number}/24 dev near"));
            rig.inside(space, &format!("ip address add fd00:2::{number}/64 dev near nodad"));
        }
        // The client thinks that its network is a usual one.
        for space in ["far", "r"] {
            rig.inside(space, "ip link set near mtu 1300");
        }
        rig.inside("far", "ip route add default via 198.51.100.1 advmss 1460");
        rig.inside("far", "ip -6 route add default via fd00:2::1 advmss 1440");
        for space in ["r", "d1", "d2"] {
            rig.inside(space, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        }
        for director in ["d1", "d2"] {
            rig.inside(director, "ip route add default via 192.0.2.7");
            rig.inside(director, "ip -6 route add default via fd00:1::7");
        }
        for server in ["s1", "s2"] {
            // Servers of the usual form have a director as their router.
            let number = if mode == Mode::Nat { 254 } else { 7 };
            rig.inside(server, &format!("ip route add default via 10.9.0.{number}"));
            rig.inside(server, &format!("ip -6 route add default via fd00:9::{number}"));
            if mode == Mode::Direct {
                rig.inside(
                    server,
                    "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2",
                );
                rig.inside(server, "ip address add 192.0.2.254/32 dev lo");
                rig.inside(server, "ip address add fd00:1::254/128 dev lo nodad");
            }
        }
        rig.take("d1");
        rig
    }

    /// nginx on both servers, at port 80 of all addresses.
    pub(crate) fn serve_pages(&mut self) {
        let content: Vec<u8> = (0..LENGTH / 8)
            .flat_map(|word| (word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
            .collect();
        std::fs::write(self.folder.join("big"), &content).unwrap();
        for name in ["s1", "s2"] {
            let folder = self.folder.display();
            let conf = format!(
                "daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log;\nevents {{}}\n\
                 http {{ access_log off; client_body_temp_path {folder}/{name}-1; proxy_temp_path {folder}/{name}-2; fastcgi_temp_path {folder}/{name}-3; uwsgi_temp_path {folder}/{name}-4; scgi_temp_path {folder}/{name}-5; root {folder};\n\
                 server {{ listen 80; listen [::]:80; location /who {{ return 200 {name}; }} location /slow {{ alias {folder}/big; limit_rate 2m; }} }} }}\n"
            );
            let path = self.folder.join(format!("{name}.conf"));
            std::fs::write(&path, conf).unwrap();
            let child = Command::new("ip")
                .args(["netns", "exec", &format!("{}-{name}", self.prefix), "nginx", "-c"])
                .arg(&path)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("nginx is installed");
            self.webs.push(child);
        }
        for number in [1, 2] {
            let at = server(number, self.v4, 80);
            wait_until("nginx answers", || {
                self.enter("r", move || {
                    std::net::TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok()
                })
            });
        }
    }

    /// Whether the first server answers the first director itself.
    pub(crate) fn ask_from_director(&self) -> bool {
        let at = server(1, self.v4, 80);
        self.enter("d1", move || std::net::TcpStream::connect_timeout(&at, Duration::from_secs(5)).is_ok())
    }

    /// Does something on each server; what it starts stays there.
    pub(crate) fn on_servers(&self, work: fn(SocketAddr), port: u16) {
        for number in [1, 2] {
            let own = server(number, self.v4, port);
            let at = if self.mode == Mode::Direct { SocketAddr::new(vip(self.v4), port) } else { own };
            self.enter(&format!("s{number}"), move || work(at));
        }
    }

    /// Puts the rules of these services in, or the change from those that are there: name, port, whether of datagrams.
    pub(crate) fn install(&self, director: &str, services: &[(&str, u16, bool)], servers: &[u8]) {
        let form = match self.mode {
            Mode::Nat => Form::Nat,
            Mode::Direct => Form::Direct,
            Mode::Source => Form::Source(inside(self.v4)),
        };
        let at = |number: u8, port| server(number, self.v4, port);
        let front = |(name, port, udp): &(&str, u16, bool)| Front {
            name: (*name).to_owned(),
            udp: *udp,
            at: SocketAddr::new(vip(self.v4), *port),
            pool: (*name).to_owned(),
            key: Key::Connection,
            inside: vec![if self.v4 { "10.9.0.0/24" } else { "fd00:9::/64" }.parse().unwrap()],
            idle: Duration::from_secs(300),
            servers: [1, 2].map(|number| at(number, *port)).to_vec(),
            form,
            cut: Vec::new(),
            synproxy: None,
            closing: false,
        };
        let fronts: Vec<Front> = services.iter().map(front).collect();
        let member = |number: &u8, port| Member { at: at(*number, port), share: 16, takes_new: true };
        let pools = services.iter().map(|(name, port, _)| {
            let members: Vec<Member> = servers.iter().map(|number| member(number, *port)).collect();
            ((*name).to_owned(), Slots::new(&members))
        });
        let next = Rules::new(&fronts, &pools.collect());
        let mut all = self.rules.lock().unwrap();
        let text = match all.get(director) {
            Some(former) => next.follow(former),
            None => next.install(&Existing::default()),
        };
        all.insert(director.to_owned(), next);
        self.enter(director, move || Nft::new().run(&text)).unwrap();
    }

    /// Packets of a counter.
    pub(crate) fn counter(&self, director: &str, name: &str) -> u64 {
        let family = if self.v4 { "ip" } else { "ip6" };
        let text = self.inside(director, &format!("nft list counters table {family} {TABLE}"));
        Listing::read(&text).counters.get(name).map_or(0, |counted| counted.packets)
    }

    /// Moves the addresses as a takeover does.
    pub(crate) fn move_to(&self, next: &str, before: &str) {
        for (ip, network) in ADDRESSES {
            self.inside(before, &format!("ip address del {ip} dev {network}"));
        }
        self.take(next);
    }

    fn take(&self, director: &str) {
        for (ip, network) in ADDRESSES {
            let nodad = if ip.contains(':') { "nodad" } else { "" };
            self.inside(director, &format!("ip address add {ip} dev {network} {nodad}"));
            let mac = self.inside(director, &format!("cat /sys/class/net/{network}/address"));
            let (ip, mac) = (ip.split('/').next().unwrap(), mac.trim());
            let spaces: &[&str] = if network == "outer" { &["r"] } else { &["r", "s1", "s2"] };
            for space in spaces {
                self.inside(space, &format!("ip neigh replace {ip} lladdr {mac} dev {network}"));
            }
        }
    }

    /// What curl prints for a page of the front, at the client.
    pub(crate) fn curl(&self, path: &str) -> Result<String, String> {
        let url = self.url(path);
        let output = self.client(&["curl", "-sS", "--fail", "--max-time", "6", &url]).output().expect("curl");
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// A download that runs; it ends well if what came is what is there.
    pub(crate) fn download(&self, path: &str, number: usize) -> (Child, PathBuf) {
        let file = self.folder.join(format!("got-{number}"));
        let (url, target) = (self.url(path), file.display().to_string());
        let arguments = ["curl", "-sS", "--fail", "--max-time", "60", "-o", &target, &url];
        (self.client(&arguments).stderr(Stdio::null()).spawn().expect("curl"), file)
    }

    /// Whether a download ended well.
    pub(crate) fn is_whole(&self, (mut child, file): (Child, PathBuf)) -> bool {
        let ended = child.wait().expect("it ends").success();
        let same = std::fs::read(&file).ok() == std::fs::read(self.folder.join("big")).ok();
        let _ = std::fs::remove_file(file);
        ended && same
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", SocketAddr::new(vip(self.v4), 80))
    }

    fn client(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-far", self.prefix)]).args(words);
        command
    }

    pub(crate) fn inside(&self, space: &str, line: &str) -> String {
        run(&format!("ip netns exec {}-{space} {line}", self.prefix))
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

    fn plug(&self, space: &str, network: &str, mtu: u16, number: u8) {
        let (own, switch) = (format!("{}-{space}", self.prefix), format!("{}-sw", self.prefix));
        let port = format!("{network}-{space}");
        run(&format!(
            "ip link add {network} mtu {mtu} netns {own} type veth peer name {port} mtu 9000 netns {switch}"
        ));
        self.inside("sw", &format!("ip link set {port} master {network} up"));
        self.inside(space, &format!("ip link set {network} up"));
        let (four, six) = if network == "outer" { ("192.0.2", "fd00:1:") } else { ("10.9.0", "fd00:9:") };
        self.inside(space, &format!("ip address add {four}.{number}/24 dev {network}"));
        self.inside(space, &format!("ip address add {six}:{number}/64 dev {network} nodad"));
    }

    fn clean(&self) {
        for space in SPACES {
            let _ = Command::new("ip").args(["netns", "del", &format!("{}-{space}", self.prefix)]).output();
        }
    }
}

const ADDRESSES: [(&str, &str); 4] = [
    ("192.0.2.254/32", "outer"),
    ("10.9.0.254/32", "inner"),
    ("fd00:1::254/128", "outer"),
    ("fd00:9::254/128", "inner"),
];

/// Waits for something, 20 s at most.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn run(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().expect("it can be run");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Drop for Rig {
    fn drop(&mut self) {
        for web in &mut self.webs {
            let _ = i32::try_from(web.id()).map(|pid| kill(Pid::from_raw(pid), Signal::SIGTERM));
            let _ = web.wait();
        }
        self.clean();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
