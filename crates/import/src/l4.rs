//! Balancing by IPVS, as ldirectord and keepalived describe it: a virtual service with real servers becomes a service and its pool.

use std::net::IpAddr;

use crate::balancer::duration;
use crate::draft::{Draft, Table, key, quoted};
use crate::ledger::At;

/// A virtual service.
#[derive(Clone, Debug)]
pub(crate) struct Virtual {
    pub(crate) places: Vec<(IpAddr, u16)>,
    pub(crate) udp: bool,
    pub(crate) scheduler: Option<String>,
    /// Seconds.
    pub(crate) persistent: Option<u64>,
    pub(crate) reals: Vec<Real>,
    pub(crate) fallback: Option<(IpAddr, u16)>,
    pub(crate) check: Check,
    /// Whether connections of a dead server are cut.
    pub(crate) cuts: bool,
    /// Whether servers answer clients by themselves.
    pub(crate) direct: bool,
}

/// A real server.
#[derive(Clone, Debug)]
pub(crate) struct Real {
    pub(crate) at: At,
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) weight: Option<u32>,
    pub(crate) most: Option<u32>,
    pub(crate) check_port: Option<u16>,
}

/// What a check does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Probe {
    #[default]
    Connect,
    None,
    Ping,
    Http {
        path: String,
        method: String,
        host: Option<String>,
        /// A key of `check` and its value: `expect`, `regex`.
        wants: Vec<(&'static str, String)>,
        tls: bool,
    },
    Command(Vec<String>),
}

/// How servers are checked. Times in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) probe: Probe,
    pub(crate) interval: u64,
    /// While the state may be changing, if that is another one.
    pub(crate) fast: Option<u64>,
    pub(crate) timeout: u64,
    pub(crate) rise: u32,
    pub(crate) fall: u32,
}

/// What came of a virtual service.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// The header, without brackets.
    pub(crate) service: String,
    pub(crate) pool: String,
    /// What was assumed of its place.
    pub(crate) assumed: Vec<String>,
    /// Of one whose servers answer clients by themselves: why they will not here, if they will not.
    pub(crate) obstacle: Option<String>,
}

/// The `balance` of a scheduler's name, and what differs.
pub(crate) fn balance(scheduler: &str) -> (&'static str, Option<&'static str>) {
    match scheduler {
        "rr" | "wrr" => ("\"roundrobin\"", None),
        "lc" | "wlc" => ("\"leastconn\"", None),
        "sh" => ("\"source\"", Some("a hash of our own: clients are spread anew, once")),
        "mh" => ("{ hash = \"source\", method = \"maglev\" }", Some("with our own hash")),
        "sed" | "nq" | "ovf" | "fo" => ("\"leastconn\"", Some("the nearest that is offered")),
        _ => ("\"roundrobin\"", Some("the nearest that is offered")),
    }
}

/// What a server's weight is here, if it was told, and what differs.
pub(crate) fn weight(one: &Virtual, told: Option<u32>) -> (Option<u32>, Option<String>) {
    let scheduler = one.scheduler.as_deref().unwrap_or("wrr");
    let weights = || one.reals.iter().map(|real| real.weight.unwrap_or(1));
    let told_alike = weights().filter(|weight| *weight > 0).min() == weights().max();
    let most = weights().max().unwrap_or(1);
    match told {
        // These look at no weight, but for 0.
        Some(weight) if weight > 0 && !told_alike && matches!(scheduler, "rr" | "lc" | "lblc" | "lblcr") => {
            let how = format!("1: `{scheduler}` gives all servers the same share, whatever their weights");
            (None, Some(how))
        }
        Some(weight) if most > 256 => {
            let scaled = (u64::from(weight) * 256).div_ceil(u64::from(most));
            let scaled = u32::try_from(scaled).unwrap_or(256);
            (
                Some(scaled),
                Some(format!("{scaled}: weights go to 256, and all of the pool keep their proportion")),
            )
        }
        told => (told, None),
    }
}

/// Puts a virtual service into the cluster file.
pub(crate) fn put(one: &Virtual, draft: &mut Draft) -> Result<Made, String> {
    if one.reals.is_empty() {
        return Err("it has no real server that could be told".to_owned());
    }
    let mut assumed = Vec::new();
    let mut listens = Vec::new();
    for (ip, port) in &one.places {
        let found = draft.listen_place(*ip, *port)?;
        assumed.extend(found.assumed);
        listens.push(quoted(&found.place));
    }
    let port = one.places.first().map_or(0, |(_, port)| *port);
    let hint = match port {
        80 | 8080 => "web".to_owned(),
        443 => "web-tls".to_owned(),
        25 => "mail".to_owned(),
        53 => "names".to_owned(),
        port => format!("port-{port}"),
    };
    let name = draft.fresh("service", &hint);
    draft.names.insert(format!("pool/{name}"));
    let service = format!("service.{}", key(&name));
    let mut table = Table::new(&service);
    table.set("listen", if listens.len() == 1 { listens.concat() } else { crate::draft::list(listens) });
    table.set("mode", if one.udp { "\"udp\"" } else { "\"tcp\"" });
    table.set("pool", quoted(&name));
    let obstacle = if one.direct { one.obstacle_to_direct() } else { None };
    if one.direct && obstacle.is_none() {
        table.set("forward", "\"direct\"");
    }
    draft.tables.push(table);
    let pool = format!("pool.{}", key(&name));
    let mut table = Table::new(&pool);
    table.set("balance", balance(one.scheduler.as_deref().unwrap_or("wrr")).0);
    if let Some(seconds) = one.persistent {
        let seconds = seconds.clamp(1, 31_000_000);
        table.set("affinity", format!("{{ by = \"source\", expire = {} }}", quoted(&format!("{seconds}s"))));
    }
    table.set("check", one.check.text());
    if one.cuts && !one.udp {
        table.set("on_marked_down", "\"shutdown-sessions\"");
    }
    if let Some((ip, port)) = one.fallback {
        let place = draft.server_place(ip, port, "");
        table.set("fallback", quoted(&place));
    }
    draft.tables.push(table);
    let mut seen: Vec<String> = Vec::new();
    for real in &one.reals {
        let place = draft.server_place(real.ip, real.port, "");
        if seen.contains(&place) {
            continue;
        }
        let (own, _) = place.rsplit_once(':').unwrap_or((&place, ""));
        let plain = own.replace('.', "-");
        let name = match (own.parse::<IpAddr>(), own.strip_prefix('[')) {
            (Ok(_), _) => format!("server-{plain}"),
            (_, Some(six)) => {
                format!("server-{}", six.trim_end_matches(']').replace("::", "-").replace(':', "-"))
            }
            _ => own.to_owned(),
        };
        let header = |name: &str| format!("{pool}.server.{}", key(name));
        let taken = draft.tables.iter().any(|table| table.header == header(&name));
        let name = if taken { format!("{name}-{}", real.port) } else { name };
        let mut table = Table::new(header(&name));
        table.set("at", quoted(&place));
        seen.push(place);
        if let Some(weight) = weight(one, real.weight).0 {
            table.set("weight", weight.to_string());
        }
        if let Some(most) = real.most.filter(|most| *most > 0 && !one.udp) {
            table.set("max_connections", most.min(1_000_000).to_string());
        }
        if let Some(port) = real.check_port {
            table.set("check_port", port.to_string());
        }
        draft.tables.push(table);
    }
    Ok(Made { service, pool, assumed, obstacle })
}

impl Virtual {
    /// What keeps `forward = "direct"` from being possible: the kernel's path has fewer ways to choose a server.
    fn obstacle_to_direct(&self) -> Option<String> {
        let [(_, port)] = self.places.as_slice() else {
            return Some("it listens at several places".to_owned());
        };
        let scheduler = self.scheduler.as_deref().unwrap_or("wrr");
        let text = if balance(scheduler).0 == "\"leastconn\"" {
            format!(
                "the kernel's path has no `{scheduler}`: write balance = \"roundrobin\", and forward = \"direct\""
            )
        } else if self.persistent.is_some() {
            "the kernel's path has no table of clients: write balance = \"source\" without `affinity`, and forward = \"direct\""
                .to_owned()
        } else if self.reals.iter().any(|real| real.port != *port) {
            "servers have other ports than clients ask".to_owned()
        } else if self.cuts {
            "the kernel's path cuts no connections: leave `on_marked_down` out, and write forward = \"direct\"".to_owned()
        } else if self.reals.iter().any(|real| real.most.is_some()) {
            "the kernel's path counts no connections: leave `max_connections` out, and write forward = \"direct\""
                .to_owned()
        } else {
            return None;
        };
        Some(text)
    }
}

impl Check {
    fn text(&self) -> String {
        let mut parts = match &self.probe {
            Probe::None => return quoted("none"),
            Probe::Connect => vec!["connect = true".to_owned()],
            Probe::Ping => vec!["ping = true".to_owned()],
            Probe::Command(words) => {
                vec![format!("command = {}", crate::draft::list(words.iter().map(|word| quoted(word))))]
            }
            Probe::Http { path, method, host, wants, tls } => {
                let path = if path.starts_with('/') { path.clone() } else { format!("/{path}") };
                let mut parts = vec![format!("http = {}", quoted(&path))];
                if method != "GET" {
                    parts.push(format!("method = {}", quoted(method)));
                }
                parts.extend(host.as_ref().map(|host| format!("host = {}", quoted(host))));
                parts.extend(wants.iter().map(|(key, value)| format!("{key} = {}", quoted(value))));
                if *tls {
                    parts.push("tls = true".to_owned());
                }
                parts
            }
        };
        let interval = self.interval.clamp(10, 3_600_000);
        parts.push(format!("interval = {}", duration(interval)));
        let fast = self.fast.map(|fast| fast.clamp(10, interval)).filter(|fast| *fast < interval);
        parts.extend(fast.map(|fast| format!("fast_interval = {}", duration(fast))));
        parts.push(format!("timeout = {}", duration(self.timeout.clamp(1, fast.unwrap_or(interval)))));
        parts.push(format!("rise = {}", self.rise.clamp(1, 1000)));
        parts.push(format!("fall = {}", self.fall.clamp(1, 1000)));
        format!("{{ {} }}", parts.join(", "))
    }
}

/// A port by number or by a name of /etc/services that is common.
pub(crate) fn port(text: &str) -> Option<u16> {
    let known = match text {
        "http" | "www" => 80,
        "https" => 443,
        "smtp" => 25,
        "domain" => 53,
        "imap" | "imap2" => 143,
        "imaps" => 993,
        "pop3" => 110,
        "pop3s" => 995,
        "ldap" => 389,
        "ldaps" => 636,
        "mysql" => 3306,
        "ftp" => 21,
        _ => return text.parse().ok().filter(|port| *port > 0),
    };
    Some(known)
}
