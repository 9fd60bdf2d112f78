//! A small HTTP/1.1 web server that says who it is, when, and who asked.
//!
//! It stands behind the balancer in the lab, in drills and in benches, so that nothing needs to be installed to try a
//! cluster. It is not a web server for real pages: no files, no TLS, no request bodies kept.
//!
//! ```text
//! /           who answered, when, who asked; HTML for a browser, plain text otherwise
//! /healthz    "ok"
//! /bytes/N    N bytes, at most 16 MiB
//! /slow/MS    answers after MS milliseconds, at most 60,000
//! ```
//!
//! Every answer carries `Server-Name`.

mod connection;
mod page;
mod request;
mod text;

pub(crate) use connection::filler;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::origin::connection::Shared;

/// Largest body that the origin makes, bytes.
pub const BODY_MAX: usize = 16 * 1024 * 1024;

/// Longest wait of `/slow/MS`.
pub const SLOW_MAX: Duration = Duration::from_secs(60);

/// How long requests in progress may take after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// Waiting connections that the kernel keeps for us; it cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Pause after `accept` failed, which is when file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What an origin is asked to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; at least one.
    pub listen: Vec<SocketAddr>,
    /// What it calls itself.
    pub name: String,
    /// `/` answers with this many bytes rather than with words; at most [`BODY_MAX`].
    pub body_bytes: Option<usize>,
    /// Further paths that are answered as `/` is, without HTML: those that checks ask for.
    pub pages: Vec<String>,
}

/// An origin that has its ports and does not answer yet.
#[derive(Debug)]
pub struct Origin {
    listeners: Vec<std::net::TcpListener>,
    shared: Arc<Shared>,
}

impl Origin {
    /// Takes the ports.
    ///
    /// # Errors
    ///
    /// A name that cannot stand in a header, a body beyond the limit, no address given, or an address that cannot be
    /// had: each with what would be right.
    pub fn bind(options: &Options) -> Result<Self> {
        if options.name.is_empty() || !options.name.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!("the name {:?} is not printable ASCII without spaces, such as `serv1`", options.name);
        }
        if options.body_bytes.is_some_and(|bytes| bytes > BODY_MAX) {
            bail!(
                "a body of {} bytes is beyond the limit of {BODY_MAX}",
                options.body_bytes.unwrap_or_default()
            );
        }
        if options.listen.is_empty() {
            bail!("no address to listen on: give at least one, such as 127.0.0.1:8080");
        }
        let listeners = options.listen.iter().map(|at| listen(*at)).collect::<Result<Vec<_>>>()?;
        let shared = Arc::new(Shared::new(options));
        Ok(Self { listeners, shared })
    }

    /// Where it listens, with the ports that the kernel chose for port 0.
    ///
    /// # Errors
    ///
    /// The kernel does not say.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>> {
        self.listeners.iter().map(|listener| Ok(listener.local_addr()?)).collect()
    }

    /// Answers until SIGTERM or SIGINT, then finishes what is in progress (at most five seconds).
    ///
    /// # Errors
    ///
    /// The runtime or the signal handlers cannot be set up.
    pub fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            self.serve(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            })
            .await
        })
    }

    /// Answers until `stop` is done, then finishes what is in progress (at most five seconds). Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// A listener cannot be given to the runtime.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<()> {
        let (stopping, stopped) = watch::channel(false);
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        let mut acceptors = Vec::new();
        for listener in self.listeners {
            let listener = TcpListener::from_std(listener)?;
            acceptors.push(tokio::spawn(accept(
                listener,
                Arc::clone(&self.shared),
                stopped.clone(),
                alive.clone(),
            )));
        }
        drop(alive);
        stop.await;
        stopping.send_replace(true);
        for acceptor in acceptors {
            acceptor.abort();
        }
        // Every connection holds a sender: `recv` ends when the last one is gone.
        let _ = tokio::time::timeout(GRACE, all_gone.recv()).await;
        Ok(())
    }
}

/// Opens a listening socket.
fn listen(at: SocketAddr) -> Result<std::net::TcpListener> {
    let open = || -> std::io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket)
    };
    match open() {
        Ok(socket) => Ok(socket.into()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(error)
            .with_context(|| format!("port {} on {} is taken by another process", at.port(), at.ip())),
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
            Err(error).with_context(|| format!("this machine has no interface with the address {}", at.ip()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(error).with_context(|| {
            format!("no permission for port {}: take one from 1024 up, or run as root", at.port())
        }),
        Err(error) => Err(error).with_context(|| format!("cannot listen on {at}")),
    }
}

/// Gives every new connection a task of its own.
async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (shared, stopped, alive) = (Arc::clone(&shared), stopped.clone(), alive.clone());
                tokio::spawn(async move {
                    // A client that went away is no event for a test server.
                    let _ = connection::serve(stream, peer, &shared, stopped).await;
                    drop(alive);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests;
