//! Real Apache and PHP behind the balancer, in the S4 lab: what a browser, `curl` and `ab` see of it.
//!
//! Needs root, and the Debian packages apache2, libapache2-mod-php, apache2-utils and curl.

#[path = "support/apache_lab.rs"]
mod apache_lab;
#[path = "../../lab/tests/support/caretaker.rs"]
mod caretaker;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apache_lab::{Lab, curl};

/// The virtual address of tests/apache/s4-apache.toml, reached by the host leg.
const FRONT: &str = "172.16.1.254:8000";

/// Asks until every server of `expected`, and nobody else, has answered in a row of questions.
fn wait_for_servers(expected: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = servers_of(30);
        if seen.keys().map(String::as_str).eq(expected.iter().copied()) {
            return;
        }
        assert!(Instant::now() < deadline, "expected answers by {expected:?}, got {seen:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// One question over a new connection: who answered with 200, or what went wrong.
fn ask() -> Result<String, String> {
    let front: SocketAddrV4 = FRONT.parse().expect("an address");
    let wait = Duration::from_secs(5);
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&front.into(), wait)?;
        stream.set_read_timeout(Some(wait))?;
        write!(stream, "GET / HTTP/1.1\r\nHost: {FRONT}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| error.to_string())?;
    if !answer.starts_with("HTTP/1.1 200 ") || !answer.ends_with("</html>\n") {
        return Err(answer);
    }
    answer
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("server-name: ").map(str::to_owned))
        .ok_or_else(|| format!("nobody's name in {answer}"))
}

/// How many of `count` questions each server answered. None may fail.
fn servers_of(count: usize) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..count {
        *seen.entry(ask().expect("an answer")).or_insert(0) += 1;
    }
    seen
}

#[test]
fn lab_apache_pages_come_from_the_three_servers_in_turn() {
    let lab = Lab::up("s4-apache.toml");
    wait_for_servers(&["serv1", "serv2", "serv3"]);
    let url = format!("http://{FRONT}/");
    let mut names = BTreeMap::new();
    for _ in 0..30 {
        let page = curl(&[&url]);
        let name = page.split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next()).expect("a name");
        *names.entry(name.to_owned()).or_insert(0) += 1;
    }
    // Each worker of the balancer takes turns by itself, so an equal share is not exact.
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.values().all(|count| *count >= 5), "{names:?}");

    let page = lab.relevo(&["lab", "exec", "user", "--", "curl", "--silent", "--fail", &url]);
    assert!(page.contains("<p>Forwarded for: 172.16.1.100</p>"), "the user's own address:\n{page}");
    assert!(page.contains("<p>Client address: 10.0.0.25"), "a director asks the servers:\n{page}");

    let pi = curl(&[&format!("{url}pi.php?n=1000")]);
    assert!(pi.starts_with("pi is about 3.14159"), "{pi}");
    let picture =
        curl(&["--output", "/dev/null", "--write-out", "%{size_download}", &format!("{url}imagen.php")]);
    assert_eq!(picture, "204800");
}

#[test]
fn lab_apache_servers_stop_one_after_the_other_and_a_client_sees_no_error() {
    let lab = Lab::up("s4-apache.toml");
    wait_for_servers(&["serv1", "serv2", "serv3"]);
    let asked = AtomicUsize::new(0);
    let failures = thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut failures = Vec::new();
            for _ in 0..1000 {
                failures.extend(ask().err());
                asked.fetch_add(1, Ordering::Relaxed);
                // So that the thousand questions last longer than the checks need to notice.
                thread::sleep(Duration::from_millis(5));
            }
            failures
        });
        let until = |count| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while asked.load(Ordering::Relaxed) < count && !client.is_finished() && Instant::now() < deadline
            {
                thread::sleep(Duration::from_millis(2));
            }
        };
        until(200);
        lab.relevo(&["lab", "fault", "kill", "serv1"]);
        until(600);
        lab.relevo(&["lab", "fault", "kill", "serv3"]);
        client.join().expect("the client's thread")
    });
    // One question at a time: at most one is in progress on each server when it is killed.
    assert!(failures.len() <= 2, "{} of 1000 failed: {failures:?}", failures.len());
    wait_for_servers(&["serv2"]);

    lab.relevo(&["lab", "fault", "start", "serv1"]);
    lab.relevo(&["lab", "fault", "start", "serv3"]);
    wait_for_servers(&["serv1", "serv2", "serv3"]);
}

#[test]
fn lab_apache_stands_two_thousand_requests_of_ab() {
    let lab = Lab::up("s4-apache.toml");
    wait_for_servers(&["serv1", "serv2", "serv3"]);
    for path in ["", "imagen.php", "pi.php?n=1000"] {
        let count = if path.is_empty() { "2000" } else { "200" };
        let url = format!("http://{FRONT}/{path}");
        let arguments = ["lab", "exec", "user", "--", "ab", "-q", "-l", "-n", count, "-c", "10", &url];
        let report = lab.relevo(&arguments);
        let line = |name: &str| report.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        let complete = line("Complete requests:").expect("a line of ab");
        assert!(complete.ends_with(&format!(" {count}")), "{report}");
        assert!(line("Failed requests:").is_some_and(|line| line.ends_with(" 0")), "{report}");
        assert_eq!(line("Non-2xx responses:"), None, "{report}");
    }
}
