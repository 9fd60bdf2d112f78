//! The web cluster S2 with Apache and PHP in twelve "containers": its four ports, its statistics page, and its experiments.
//!
//! Needs root, and the Debian packages apache2, libapache2-mod-php, apache2-utils and curl.

#[path = "support/apache_lab.rs"]
mod apache_lab;
#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;
#[path = "support/wait.rs"]
mod wait;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use apache_lab::{Lab, curl, said};
use wait::wait_until;

/// The two addresses of tests/apache/s2-apache.toml.
const OUTSIDE: &str = "192.168.171.200";
const INSIDE: &str = "10.171.100.200";

/// A row of the statistics page's CSV, by column.
type Row = BTreeMap<String, String>;

/// What somebody at the desk gets from the statistics page.
fn desk(lab: &Lab, user: &str, more: &[&str], path: &str) -> String {
    let url = format!("http://{INSIDE}:7000{path}");
    let mut arguments =
        vec!["lab", "exec", "desk", "--", "curl", "--silent", "--fail", "--max-time", "5", "--user", user];
    arguments.extend(more);
    arguments.push(&url);
    lab.relevo(&arguments)
}

fn csv(lab: &Lab) -> Vec<Row> {
    let text = desk(lab, "guest:secret", &[], "/stats;csv");
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().expect("a head").trim_start_matches("# ").split(',').collect();
    lines
        .map(|line| {
            let values = line.split(',').map(|value| value.trim_matches('"').to_owned());
            head.iter().map(ToString::to_string).zip(values).collect()
        })
        .collect()
}

fn row(lab: &Lab, proxy: &str, name: &str) -> Row {
    let found = csv(lab).into_iter().find(|row| row["pxname"] == proxy && row["svname"] == name);
    found.unwrap_or_else(|| panic!("{proxy}/{name} is not on the statistics page"))
}

fn number(row: &Row, column: &str) -> u64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} is no number in {row:?}"))
}

/// The servers with this state on the statistics page, as `pool/server`.
fn servers_in(lab: &Lab, state: &str) -> BTreeSet<String> {
    csv(lab)
        .iter()
        .filter(|row| !["FRONTEND", "BACKEND"].contains(&row["svname"].as_str()))
        .filter(|row| row["status"].starts_with(state))
        .map(|row| format!("{}/{}", row["pxname"], row["svname"]))
        .collect()
}

/// The server that a page says it comes from.
fn title(page: &str) -> String {
    let name = page.split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next());
    name.unwrap_or_else(|| panic!("no name in {page}")).to_owned()
}

/// Who answers `count` questions at this port, each over a new connection without a cookie. None may fail.
fn answering(port: u16, count: usize) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..count {
        *seen.entry(title(&curl(&[&format!("http://{OUTSIDE}:{port}/")]))).or_insert(0) += 1;
    }
    seen
}

/// A browser's cookies, in a file that is removed with it.
struct Jar(PathBuf);

impl Jar {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("relevo-s2-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }

    /// Asks with these cookies, and keeps what is set.
    fn ask(&self, port: u16) -> String {
        let file = self.0.to_str().expect("a path in UTF-8");
        title(&curl(&["--cookie", file, "--cookie-jar", file, &format!("http://{OUTSIDE}:{port}/")]))
    }

    /// Asks several times: the only server that answers.
    fn only(&self, port: u16) -> String {
        let seen: BTreeSet<String> = (0..12).map(|_| self.ask(port)).collect();
        assert_eq!(seen.len(), 1, "a client with its cookie stays: {seen:?}");
        seen.into_iter().next().expect("one")
    }
}

impl Drop for Jar {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Asks the four ports without pause while something happens; everything that did not go well.
fn meanwhile(happens: impl FnOnce()) -> (usize, Vec<String>) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let (mut asked, mut failures) = (0, Vec::new());
            while !over.load(Ordering::Relaxed) {
                for port in [8000, 80, 9000, 90] {
                    let url = format!("http://{OUTSIDE}:{port}/");
                    let output = std::process::Command::new("curl")
                        .args(["--silent", "--show-error", "--fail", "--max-time", "3", &url])
                        .output()
                        .expect("curl is installed");
                    asked += 1;
                    if !output.status.success() {
                        failures.push(format!("{port}: {}", String::from_utf8_lossy(&output.stderr).trim()));
                    }
                }
            }
            (asked, failures)
        });
        // Also when what happens fails, or the client would never end.
        struct End<'a>(&'a AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let end = End(&over);
        happens();
        drop(end);
        client.join().expect("the client's thread")
    })
}

#[test]
fn lab_s2_has_four_ports_cookies_and_a_statistics_page_with_actions() {
    let lab = Lab::up("s2-apache.toml");
    let up = servers_in(&lab, "UP");
    assert_eq!(up.iter().filter(|name| name.starts_with("pages/")).count(), 9, "{up:?}");
    assert_eq!(up.iter().filter(|name| name.starts_with("replica/")).count(), 3, "{up:?}");
    // Each worker of the balancer takes turns by itself, so an equal share is not exact.
    for (port, count) in [(8000, 9), (80, 9), (9000, 3), (90, 3)] {
        let seen = answering(port, count * 6);
        assert_eq!(seen.len(), count, "port {port}: {seen:?}");
    }
    let jar = Jar::new("ports");
    let first = jar.only(8000);
    let pi = curl(&[&format!("http://{OUTSIDE}:9000/pi.php?n=1000")]);
    assert!(pi.starts_with("pi is about 3.14159"), "{pi}");
    let picture = format!("http://{OUTSIDE}:8000/imagen.php");
    assert_eq!(curl(&["--output", "/dev/null", "--write-out", "%{size_download}", &picture]), "204800");

    // The page asks for the password and shows the director's name.
    let url = format!("http://{INSIDE}:7000/stats");
    let code = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
    let mut open = vec!["lab", "exec", "desk", "--", "curl"];
    open.extend(code);
    open.push(&url);
    assert_eq!(lab.relevo(&open), "401");
    let page = desk(&lab, "admin:master", &[], "/stats");
    assert!(page.contains("<h1>cluster1</h1>"), "{page}");
    assert!(!desk(&lab, "guest:secret", &[], "/stats").contains("name=\"token\""), "a guest only looks");

    // Actions on a ticked row.
    let token = page.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let token = format!("token={}", token.expect("the form's token"));
    let ticked = format!("server=pages/{first}");
    let act = |action: &str| {
        let action = format!("action={action}");
        desk(
            &lab,
            "admin:master",
            &["--location", "--data", &token, "--data", &ticked, "--data", &action],
            "/stats",
        )
    };
    let forged = ["--data", "token=00", "--data", ticked.as_str(), "--data", "action=maint"];
    let mut forger = vec!["lab", "exec", "desk", "--", "curl", "--user", "admin:master"];
    forger.extend(code);
    forger.extend(forged);
    forger.push(&url);
    assert_eq!(lab.relevo(&forger), "403");

    act("drain");
    wait_until("it is shown as draining", || row(&lab, "pages", &first)["status"].starts_with("DRAIN"));
    assert!(!answering(8000, 54).contains_key(&first), "a draining server gets nobody new");
    assert_eq!(jar.only(8000), first, "whoever has its cookie is still served");
    act("maint");
    wait_until("it is shown as stopped", || row(&lab, "pages", &first)["status"].starts_with("MAINT"));
    let second = jar.only(8000);
    assert_ne!(second, first, "its clients go elsewhere");
    act("ready");
    wait_until("it is up again", || row(&lab, "pages", &first)["status"].starts_with("UP"));
    assert_eq!(answering(8000, 54).len(), 9);
    assert_eq!(jar.only(8000), second);
}

#[test]
fn lab_s2_containers_stop_and_a_host_is_unplugged() {
    let lab = Lab::up("s2-apache.toml");
    let jar = Jar::new("stop");
    let first = jar.only(8000);
    let (node, port) = first.split_once(':').expect("a node and a port");
    let (asked, failures) = meanwhile(|| {
        lab.relevo(&["lab", "fault", "server-stop", node, port]);
        assert_ne!(jar.ask(8000), first, "redispatched at once");
        wait_until("it is down", || row(&lab, "pages", &first)["status"].starts_with("DOWN"));
    });
    // Apache ends at once on SIGTERM: what was in progress there is lost, one at most of one client.
    assert!(failures.len() <= 1, "{} of {asked} failed: {failures:?}", failures.len());
    assert_eq!(
        servers_in(&lab, "DOWN"),
        BTreeSet::from([format!("pages/{first}")]),
        "nobody else on its host"
    );
    let down = row(&lab, "pages", &first);
    println!("stopped: {} {}, {asked} asked, failed: {failures:?}", down["status"], down["last_chk"]);
    assert!(down["last_chk"].contains("connection refused"), "{down:?}");
    assert!(number(&down, "chkdown") >= 1 && !down["last_chk"].is_empty(), "{down:?}");
    let page = desk(&lab, "guest:secret", &[], "/stats");
    assert!(page.contains(&down["last_chk"]), "the page shows the evidence");
    let second = jar.only(8000);
    lab.relevo(&["lab", "fault", "server-start", node]);
    wait_until("all are up", || servers_in(&lab, "UP").len() == 12);
    assert_eq!(jar.only(8000), second, "its client stays with the new one");

    // A host with three servers of the one pool and one of the other.
    lab.relevo(&["lab", "fault", "unplug", "cluster4", "internal"]);
    wait_until("its servers are down", || servers_in(&lab, "DOWN").len() == 4);
    let gone: BTreeSet<String> = servers_in(&lab, "DOWN");
    assert!(gone.iter().all(|name| name.contains("cluster4")), "{gone:?}");
    for row in csv(&lab).iter().filter(|row| row["status"].starts_with("DOWN")) {
        println!("unplugged: {}/{} {} {}", row["pxname"], row["svname"], row["status"], row["last_chk"]);
        assert!(!row["last_chk"].is_empty(), "{row:?}");
    }
    for (port, count) in [(8000, 6), (80, 6), (9000, 2), (90, 2)] {
        let seen = answering(port, count * 6);
        assert_eq!(seen.len(), count, "port {port}: {seen:?}");
    }
    let (asked, failures) = meanwhile(|| {
        lab.relevo(&["lab", "fault", "plug", "cluster4", "internal"]);
        wait_until("all are up", || servers_in(&lab, "UP").len() == 12);
    });
    assert!(failures.is_empty(), "{} of {asked} failed: {failures:?}", failures.len());
    assert_eq!(answering(80, 54).len(), 9);
}

#[test]
fn lab_s2_active_directors_are_unplugged_and_return() {
    let lab = Lab::up("s2-apache.toml");
    let jar = Jar::new("directors");
    let server = jar.only(8000);
    let holders = |ip: &str| -> Vec<String> {
        let status: serde_json::Value =
            serde_json::from_str(&lab.relevo(&["lab", "status", "--json"])).expect("JSON");
        let nodes = status["nodes"].as_array().expect("nodes").iter();
        let has = |node: &&serde_json::Value| {
            node["addresses"].as_array().is_some_and(|all| all.iter().any(|address| address["ip"] == ip))
        };
        nodes.filter(has).map(|node| node["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let both_on = |name: &str| {
        wait_until(&format!("both addresses are on {name}"), || {
            holders(OUTSIDE) == [name] && holders(INSIDE) == [name]
        });
        let page = desk(&lab, "guest:secret", &[], "/stats");
        assert!(page.contains(&format!("<h1>{name}</h1>")), "the statistics page is that of {name}");
        assert_eq!(jar.only(8000), server, "every director knows the cookie");
        assert_eq!(answering(90, 18).len(), 3);
        println!("{OUTSIDE} and {INSIDE} are on {name}");
    };
    both_on("cluster1");
    lab.relevo(&["lab", "fault", "unplug", "cluster1", "external"]);
    both_on("standby1");
    lab.relevo(&["lab", "fault", "unplug", "standby1", "external"]);
    both_on("standby2");
    lab.relevo(&["lab", "fault", "plug", "standby1", "external"]);
    lab.relevo(&["lab", "fault", "plug", "cluster1", "external"]);
    both_on("cluster1");
}

#[test]
fn lab_s2_load_peaks_are_read_on_the_statistics_page() {
    let lab = Lab::up("s2-apache.toml");
    for (port, path, count, at_once) in [
        (8000, "", 1000, 20),
        (80, "", 1000, 20),
        (8000, "pi.php?n=1000", 300, 20),
        (90, "imagen.php", 200, 10),
        (9000, "imagen.php", 400, 40),
    ] {
        let url = format!("http://{OUTSIDE}:{port}/{path}");
        let (count, at_once) = (count.to_string(), at_once.to_string());
        let load = ["lab", "exec", "visitor", "--", "ab", "-q", "-l", "-n", &count, "-c", &at_once, &url];
        let report = said(&lab.command(&load).output().expect("relevo starts"), &load);
        let line = |name: &str| report.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        assert!(
            line("Complete requests:").is_some_and(|line| line.ends_with(&format!(" {count}"))),
            "{report}"
        );
        assert!(line("Failed requests:").is_some_and(|line| line.ends_with(" 0")), "{report}");
        assert_eq!(line("Non-2xx responses:"), None, "{report}");
        println!("{url} -n {count} -c {at_once}: {}", line("Requests per second:").unwrap_or_default());
    }
    // Rates are looked at once a second.
    wait_until("the rate's peak is shown", || number(&row(&lab, "replica-http", "FRONTEND"), "rate_max") > 0);
    for (service, count, at_once) in [
        ("pages-http", 1300, 20),
        ("pages-tcp", 1000, 20),
        ("replica-tcp", 200, 10),
        ("replica-http", 400, 40),
    ] {
        let seen = row(&lab, service, "FRONTEND");
        println!("{service}: rate_max {} smax {} stot {}", seen["rate_max"], seen["smax"], seen["stot"]);
        // `ab` opens a few connections that it does not use.
        assert!((count..count + 4 * at_once).contains(&number(&seen, "stot")), "{seen:?}");
        assert!(number(&seen, "rate_max") > 0, "{seen:?}");
        assert!(number(&seen, "smax") > 1, "{seen:?}");
    }
    // Forty clients for three servers that take four each: the others waited, and nobody was turned away.
    let pool = row(&lab, "replica", "BACKEND");
    println!(
        "replica: qmax {} smax {} econ {} eresp {}",
        pool["qmax"], pool["smax"], pool["econ"], pool["eresp"]
    );
    assert!(number(&pool, "qmax") > 0, "{pool:?}");
    assert_eq!((number(&pool, "econ"), number(&pool, "eresp"), number(&pool, "qcur")), (0, 0, 0), "{pool:?}");
    for host in ["cluster2", "cluster3", "cluster4"] {
        let server = row(&lab, "replica", host);
        assert!(number(&server, "smax") <= 4 && server["slim"] == "4", "{server:?}");
    }
}
