//! `relevo bench` as somebody uses it: against a server that is there, against one that is not, and beside HAProxy.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn relevo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relevo")).args(arguments).output().expect("relevo starts")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A port that is free, and stays so: on an address of the loopback that no other process of these tests uses.
fn free() -> SocketAddr {
    // 22 bits are all that a process id has on Linux.
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 64 | high & 63, middle, low);
    TcpListener::bind((own, 0)).and_then(|listener| listener.local_addr()).expect("a port")
}

/// `relevo origin`; it ends with this value.
struct Origin {
    child: Child,
    at: String,
}

impl Origin {
    fn start() -> Self {
        let at = free().to_string();
        let child = Command::new(env!("CARGO_BIN_EXE_relevo"))
            .args(["origin", "--listen", &at])
            .stdout(Stdio::null())
            .spawn()
            .expect("relevo starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&at).is_err() {
            assert!(Instant::now() < deadline, "the origin listens");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, at }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that is gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("relevo-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_run_counts_answers_and_says_how_long_they_took() {
    let origin = Origin::start();
    let url = format!("http://{}/bytes/100", origin.at);
    let loop_of = |more: &[&str]| {
        let output = relevo(&[&["--json", "bench", "run", &url, "-c", "4", "-n", "300"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("one JSON value")
    };
    let closed = loop_of(&["--browser-headers"]);
    assert_eq!((closed["answers"].as_u64(), closed["connections"].as_u64()), (Some(300), Some(4)));
    assert_eq!(closed["statuses"]["2xx"], 300);
    assert_eq!(
        (&closed["url"], &closed["how"]),
        (&url.as_str().into(), &"HTTP/1.1, connections kept; closed loop".into())
    );
    assert!(closed["latency_us"]["p99.9"].as_f64() >= closed["latency_us"]["p50"].as_f64());
    let each = loop_of(&["--close"]);
    assert_eq!(each["connections"], 300);
    let open = loop_of(&["--rate", "5000"]);
    assert_eq!((open["answers"].as_u64(), open["unsent"].as_u64()), (Some(300), Some(0)));

    let words = out(&relevo(&["bench", "run", &url, "-n", "10"]));
    for expected in ["10 answers in ", "requests/s", " 1 connection\n", "P99.9", "answers with status 2xx"] {
        assert!(words.contains(expected), "{words}");
    }
    let missing = relevo(&["bench", "run", &format!("http://{}/nothing", origin.at), "-n", "10"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(out(&missing).contains("10     answers with status 4xx"), "{}", out(&missing));
}

#[test]
fn what_cannot_be_asked_is_named() {
    let nobody = free();
    let output = relevo(&["bench", "run", &format!("http://{nobody}/"), "-n", "3"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("connection refused"), "{output:?}");
    let table: [(&[&str], &str); 5] = [
        (&["run", "ftp://127.0.0.1/"], "http://, https:// or tcp://"),
        (&["run", "tcp://127.0.0.1"], "needs a port"),
        (&["run", "http://127.0.0.1/", "-H", "Nonsense"], "Name: value"),
        (&["run", "http://127.0.0.1/", "--rate", "0"], "a rate of 0"),
        (&["compare", "--workload", "none"], "http-keepalive-small"),
    ];
    for (arguments, expected) in table {
        let output = relevo(&[&["bench"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn a_sweep_is_a_table_and_two_plots() {
    let (origin, folder) = (Origin::start(), Folder::new("sweep"));
    let svg = folder.0.join("plot.svg");
    let url = format!("http://{}/", origin.at);
    let arguments = ["bench", "sweep", &url, "-n", "20,40", "-c", "1,2", "--svg", &svg.display().to_string()];
    let output = relevo(&arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let rows = out(&output).lines().filter(|line| line.ends_with("none")).count();
    assert_eq!(rows, 4, "{}", out(&output));
    let text = std::fs::read_to_string(svg).expect("the plots");
    assert_eq!(text.matches("<polyline").count(), 4, "two lines in each of two plots");
}

#[test]
fn a_cluster_file_is_shown_in_haproxys_words() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/s2.toml");
    let output = relevo(&["bench", "compare", file, "--show"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for expected in ["frontend pages-http", "bind 192.168.1.200:8000", "option httpchk", "server "] {
        assert!(out(&output).contains(expected), "{}", out(&output));
    }
    let output = relevo(&["bench", "compare", file]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--service pages-http or "), "{output:?}");
}

#[test]
fn lab_the_kernels_path_is_measured_beside_route_and_programs() {
    let folder = Folder::new("kernel");
    let path = folder.0.display().to_string();
    let quick = ["bench", "compare", "--quick", "--duration", "300ms", "--folder", &path];
    let chosen = ["--workload", "kernel-connection-per-request", "--workload", "kernel-keepalive-1m"];
    let output = relevo(&[&quick[..], &chosen].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = std::fs::read_to_string(folder.0.join("summary.json")).expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let lines = summary["kernel"].as_array().expect("a list");
    let ways = |workload: &str| -> Vec<&str> {
        let own = lines.iter().filter(|line| line["workload"] == workload);
        own.filter_map(|line| line["way"].as_str()).collect()
    };
    for workload in ["kernel-connection-per-request", "kernel-keepalive-1m"] {
        assert_eq!(
            ways(workload),
            ["route", "relevo-kernel", "relevo-userspace", "haproxy-tcp"],
            "{summary:#}"
        );
    }
    assert!(lines.iter().all(|line| line["requests_per_second"].as_f64() > Some(0.0)), "{summary:#}");
}

#[test]
fn lab_both_balancers_are_measured() {
    let folder = Folder::new("compare");
    let path = folder.0.display().to_string();
    let quick = ["bench", "compare", "--quick", "--duration", "300ms", "--folder", &path];
    let chosen = [
        "--workload",
        "http-keepalive-small",
        "--workload",
        "tcp-connection-per-request",
        "--workload",
        "checks",
    ];
    let output = relevo(&[&quick[..], &chosen].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = std::fs::read_to_string(folder.0.join("summary.json")).expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let measured = summary["workloads"].as_array().expect("a list");
    let rows: Vec<_> = measured.iter().map(|one| [one["workload"].as_str(), one["peer"].as_str()]).collect();
    let [small, tcp] = ["http-keepalive-small", "tcp-connection-per-request"].map(Some);
    let [plain, deferred] = ["haproxy", "haproxy-deferred"].map(Some);
    assert_eq!(rows, [[small, plain], [tcp, plain], [tcp, deferred]], "{summary:#}");
    for one in measured {
        assert!(one["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{summary:#}");
        assert!(one["memory_bytes"]["peer"].as_f64().is_some_and(|bytes| bytes > 0.0), "{summary:#}");
    }
    for who in ["relevo", "peer"] {
        let checks = summary["checks"][who]["checks_per_second"].as_f64();
        // Not all of the 1,000: an unoptimised build has them wait where its CPU is taken away.
        assert!(checks.is_some_and(|rate| rate > 100.0), "servers are asked all the time: {summary:#}");
    }
    assert!(
        std::fs::read_to_string(folder.0.join("table.md"))
            .expect("a table")
            .contains("`http-keepalive-small`")
    );
}
