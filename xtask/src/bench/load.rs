//! The load: wrk with a script that gives its results as JSON, and a slow client that looks at answers one by one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::bench::process::{LOAD_CPU, pinned};
use crate::bench::workload::Workload;

/// Asked of a balancer before anything is measured; a multiple of the number of origins.
const TRIAL_REQUESTS: usize = 30;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// wrk calls this when it is done. Latencies are microseconds.
const SCRIPT: &str = r#"
done = function(summary, latency, requests)
  io.write(string.format(
    '\nRESULT {"requests":%d,"duration_us":%d,"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, summary.errors.status, summary.errors.connect, summary.errors.read,
    summary.errors.write, summary.errors.timeout, latency:percentile(50), latency:percentile(99)))
end
"#;

/// What wrk saw.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Seen {
    /// Answers.
    pub(crate) requests: u64,
    duration_us: u64,
    status: u64,
    connect: u64,
    read: u64,
    write: u64,
    timeout: u64,
    /// Half of the answers came within this time, microseconds.
    pub(crate) p50_us: u64,
    /// 99 of 100 answers came within this time, microseconds.
    pub(crate) p99_us: u64,
}

impl Seen {
    /// Answers in a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 * 1e6 / self.duration_us as f64
    }

    /// What makes the run worthless, in words.
    pub(crate) fn fault(&self) -> Option<String> {
        let kinds = [
            ("answers above 399", self.status),
            ("connects", self.connect),
            ("reads", self.read),
            ("writes", self.write),
            ("timeouts", self.timeout),
        ];
        let found: Vec<String> = kinds
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{count} failed ({kind})"))
            .collect();
        if self.requests == 0 {
            return Some("no answer at all".to_owned());
        }
        (!found.is_empty()).then(|| found.join(", "))
    }
}

/// Runs wrk against a balancer.
pub(crate) fn run(at: SocketAddrV4, workload: &Workload, time: Duration, folder: &Path) -> Result<Seen> {
    let script = folder.join("result.lua");
    fs::write(&script, SCRIPT)?;
    let mut argv = vec!["wrk".to_owned(), "-t1".to_owned(), format!("-c{}", workload.connections)];
    argv.extend([format!("-d{}s", time.as_secs()), "-s".to_owned(), script.display().to_string()]);
    for field in workload.fields {
        argv.extend(["-H".to_owned(), (*field).to_owned()]);
    }
    argv.push(format!("http://{at}{}", workload.path));
    let output = pinned(LOAD_CPU, &argv).output().context("cannot start wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match result(&text) {
        Some(seen) if output.status.success() => Ok(seen),
        _ => bail!("wrk ended with {}:\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}

fn result(output: &str) -> Option<Seen> {
    let line = output.lines().find_map(|line| line.strip_prefix("RESULT "))?;
    serde_json::from_str(line).ok()
}

/// Asks one by one, each over a new connection, and makes sure of what wrk cannot see: that every answer is a 200 of the
/// right size, that all origins took part, and that the client's address was passed on in mode `http`.
pub(crate) fn trial(at: SocketAddrV4, workload: &Workload, origins: &[String]) -> Result<()> {
    let mut by_origin = BTreeMap::new();
    for _ in 0..TRIAL_REQUESTS {
        let answer = ask(at, workload.path)?;
        if !answer.head.starts_with("HTTP/1.1 200 ") || answer.body.len() != workload.body_bytes {
            bail!(
                "asked for {}, expected 200 with {} bytes, got {} bytes and {:?}",
                workload.path,
                workload.body_bytes,
                answer.body.len(),
                answer.head.lines().next().unwrap_or_default()
            );
        }
        *by_origin.entry(answer.origin().to_owned()).or_insert(0) += 1;
    }
    let share = TRIAL_REQUESTS / origins.len() / 2;
    if let Some(missing) = origins.iter().find(|name| by_origin.get(*name).copied().unwrap_or(0) < share) {
        bail!("{missing} got too few of {TRIAL_REQUESTS} requests: {by_origin:?}");
    }
    let page = String::from_utf8_lossy(&ask(at, "/")?.body).into_owned();
    if workload.mode == "http" && !page.contains("forwarded for  127.0.0.1") {
        bail!("the origin was not told the client's address; it saw:\n{page}");
    }
    Ok(())
}

/// Whether the balancer answers with a 200 already.
pub(crate) fn answers(at: SocketAddrV4) -> bool {
    ask(at, "/healthz").is_ok_and(|answer| answer.head.starts_with("HTTP/1.1 200 "))
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn origin(&self) -> &str {
        let field = self.head.lines().filter_map(|line| line.split_once(':'));
        field
            .filter(|(name, _)| name.eq_ignore_ascii_case("server-name"))
            .map(|(_, value)| value.trim())
            .next()
            .unwrap_or("nobody")
    }
}

fn ask(at: SocketAddrV4, path: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&at.into(), ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.with_context(|| format!("no HTTP answer from {at}: {} bytes", bytes.len()))?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    Ok(Answer { head, body: bytes.split_off(end + 4) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_with_errors_is_worthless_and_says_why() {
        let text = "Running 1s test\n\nRESULT {\"requests\":1000,\"duration_us\":2000000,\"status\":0,\"connect\":0,\
                    \"read\":3,\"write\":0,\"timeout\":1,\"p50_us\":100,\"p99_us\":900}\n";
        let mut seen = result(text).unwrap();
        assert_eq!(seen.per_second(), 500.0);
        assert_eq!(seen.fault().unwrap(), "3 failed (reads), 1 failed (timeouts)");
        (seen.read, seen.timeout) = (0, 0);
        assert_eq!(seen.fault(), None);
        seen.requests = 0;
        assert_eq!(seen.fault().unwrap(), "no answer at all");
    }
}
