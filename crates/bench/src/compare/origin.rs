//! The servers behind both balancers: as cheap as can be, so that they do not take CPU time from the load.
//!
//! ```text
//! /bytes/N    N bytes, at most 16 MiB; kept ready after the first time
//! /head       the request's head as it came, to see what a balancer added
//! else        "ok"
//! ```
//! Every answer carries `Server-Name`. Request bodies are not understood: nobody here sends any.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use memchr::{memchr, memmem};
use nix::sys::socket::{Backlog, listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

use crate::load::pin;

/// Largest request head, bytes.
const HEAD_MAX: usize = 64 << 10;

/// Largest body, bytes.
const BODY_MAX: usize = 16 << 20;

/// Servers on a thread of their own. They end when this value is dropped.
#[derive(Debug)]
pub(super) struct Origins {
    /// Where they listen, in the order that was asked for.
    pub(super) at: Vec<SocketAddrV4>,
    answered: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Origins {
    /// Listens at these addresses (port 0: any) and answers from one thread on `cpu`. They are called `serv1` and so on.
    pub(super) fn start(addresses: &[SocketAddrV4], cpu: usize) -> Result<Self> {
        let mut listeners = Vec::new();
        for at in addresses {
            let listener =
                std::net::TcpListener::bind(at).with_context(|| format!("cannot listen on {at}"))?;
            // Twice listen: only the length of the queue changes.
            listen(&listener, Backlog::MAXCONN)?;
            listener.set_nonblocking(true)?;
            listeners.push(listener);
        }
        let at = listeners.iter().zip(addresses).map(|(listener, asked)| {
            anyhow::Ok(SocketAddrV4::new(*asked.ip(), listener.local_addr()?.port()))
        });
        let at = at.collect::<Result<Vec<_>>>()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("origins".to_owned()).spawn(move || {
            // A machine with fewer CPUs was refused before.
            let _ = pin(cpu);
            let local = LocalSet::new();
            runtime.block_on(local.run_until(async move {
                for (index, listener) in listeners.into_iter().enumerate() {
                    let Ok(listener) = TcpListener::from_std(listener) else { continue };
                    spawn_local(accept(
                        listener,
                        Rc::from(format!("serv{}", index + 1)),
                        Arc::clone(&counter),
                    ));
                }
                let _ = stopped.await;
            }));
        })?;
        Ok(Self { at, answered, stop: Some(stop), thread: Some(thread) })
    }

    /// Requests answered until now, those of checks too.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Origins {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, name: Rc<str>, counter: Arc<AtomicU64>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (name, counter) = (Rc::clone(&name), Arc::clone(&counter));
                // Balancers come and go: a broken connection is no event.
                spawn_local(async move { drop(serve(stream, &name, &counter).await) });
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

async fn serve(mut stream: TcpStream, name: &str, counter: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::with_capacity(2048);
    let mut ready: HashMap<usize, Vec<u8>> = HashMap::new();
    loop {
        let length = loop {
            if let Some(end) = memmem::find(&input, b"\r\n\r\n") {
                break end + 4;
            }
            if input.len() > HEAD_MAX || stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
        };
        let head = input.get(..length).unwrap_or_default();
        let close = wants_close(head);
        counter.fetch_add(1, Ordering::Relaxed);
        match page(head) {
            Page::Bytes(bytes) => {
                let answer = ready.entry(bytes).or_insert_with(|| answer(name, &vec![b'x'; bytes]));
                stream.write_all(answer).await?;
            }
            Page::Head => stream.write_all(&answer(name, head)).await?,
            Page::Other => stream.write_all(&answer(name, b"ok\n")).await?,
        }
        if close {
            return stream.shutdown().await;
        }
        input.drain(..length);
    }
}

fn answer(name: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer-Name: {name}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

enum Page {
    Bytes(usize),
    Head,
    Other,
}

fn page(head: &[u8]) -> Page {
    let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    if path == b"/head" {
        return Page::Head;
    }
    let number = path.strip_prefix(b"/bytes/").and_then(|number| str::from_utf8(number).ok()?.parse().ok());
    number.filter(|bytes| *bytes <= BODY_MAX).map_or(Page::Other, Page::Bytes)
}

/// HTTP/1.0, or `Connection: close`.
fn wants_close(head: &[u8]) -> bool {
    let Some(end) = memchr(b'\n', head) else { return true };
    let (line, mut rest) = head.split_at(end + 1);
    let mut close = line.ends_with(b"HTTP/1.0\r\n");
    while let Some(end) = memchr(b'\n', rest) {
        let (line, after) = rest.split_at(end + 1);
        rest = after;
        if let (Some(b'c' | b'C'), Some(colon)) = (line.first(), memchr(b':', line)) {
            let (name, value) = line.split_at(colon);
            if name.eq_ignore_ascii_case(b"connection") {
                let value = value.get(1..).unwrap_or_default().trim_ascii();
                close = value.eq_ignore_ascii_case(b"close")
                    || close && !value.eq_ignore_ascii_case(b"keep-alive");
            }
        }
    }
    close
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::load::{self, End, Plan, Protocol, Target};

    fn plan(origins: &Origins, path: &str) -> Plan {
        let mut plan = Plan::new(Target::parse(&format!("http://{}{path}", origins.at[0])).unwrap());
        plan.end = End { after: None, requests: Some(200) };
        plan.connections = 4;
        plan
    }

    #[test]
    fn a_load_is_answered_whole() {
        let origins = Origins::start(&[SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0); 2], 0).unwrap();
        for change in [
            |_: &mut Plan| {},
            |plan: &mut Plan| plan.connection_per_request = true,
            |plan: &mut Plan| plan.rate = Some(20_000.0),
            |plan: &mut Plan| plan.threads = 2,
            |plan: &mut Plan| {
                plan.protocol = Protocol::Tcp;
                plan.body = b"GET /bytes/1000 HTTP/1.0\r\n\r\n".to_vec();
                plan.receive = 1000;
            },
        ] {
            let mut plan = plan(&origins, "/bytes/1000");
            change(&mut plan);
            let outcome = load::run(&plan).unwrap();
            assert_eq!(outcome.fault(), None);
            assert_eq!((outcome.answers, outcome.unsent), (200, 0));
            assert!(outcome.received >= 200 * 1000, "{outcome:?}");
            let each = plan.connection_per_request || plan.protocol == Protocol::Tcp;
            assert_eq!(outcome.connects, if each { 200 } else { 4 });
        }
        assert!(origins.answered() >= 1000);
        let answer = load::ask(&plan(&origins, "/head")).unwrap();
        assert_eq!(answer.field("server-name"), Some("serv1"));
        assert!(String::from_utf8(answer.body).unwrap().contains("Connection: close"));
    }

    #[test]
    fn loads_that_take_turns_keep_their_connections_and_rates() {
        let origins = Origins::start(&[SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0); 2], 0).unwrap();
        let mut plans = [0, 1].map(|index| {
            let mut plan = plan(&origins, "/");
            plan.target.at = origins.at[index].into();
            plan.rate = Some(1000.0);
            plan
        });
        let (turn, gap) = (Duration::from_millis(20), Duration::from_millis(5));
        let begun = Instant::now();
        let outcomes = load::run_in_turns(&plans, turn, gap).unwrap();
        let elapsed = begun.elapsed();
        // The second one's last request is due in the last of 20 turns.
        assert!(elapsed >= Duration::from_millis(19 * 25 + 19), "{elapsed:?}");
        for outcome in outcomes {
            assert_eq!((outcome.fault(), outcome.answers, outcome.connects), (None, 200, 4));
            // 200 requests at that rate, of the load's own time: its turns, not those of the other one.
            assert!(outcome.took >= Duration::from_millis(199), "{outcome:?}");
            assert!(outcome.took <= elapsed / 2, "{outcome:?} of {elapsed:?}");
        }
        plans[1].rate = None;
        assert!(load::run_in_turns(&plans, turn, gap).is_err(), "a closed loop is never at rest");
    }

    #[test]
    fn what_is_not_there_is_counted_by_kind() {
        let origins = Origins::start(&[SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)], 0).unwrap();
        let mut plan = plan(&origins, "/");
        drop(origins);
        plan.end = End { after: Some(Duration::from_millis(50)), requests: Some(8) };
        let outcome = load::run(&plan).unwrap();
        assert!(outcome.fault().unwrap().contains("connection refused"), "{outcome:?}");
    }
}
