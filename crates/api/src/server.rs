//! Serves the control API on its socket, on a thread and a runtime of its own, so that it answers while the
//! balancer is loaded.
//!
//! Everything has a limit: connections, their lives, the time for a request's head. What is answered to which request
//! is in `routes`.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::routes::router;
use crate::socket::ControlSocket;
use crate::types::{
    AffinityClients, AffinityStatus, Changed, FlowStatus, Forgotten, LeaseStatus, Reloaded, SetServer,
    Status, Switched, Switchover, Upgraded,
};

/// Connections at a time; more wait.
const MOST_CONNECTIONS: usize = 64;
/// Threads for answers that take time.
const BLOCKING_THREADS: usize = 8;
/// Time for a request's head, and longest idle time of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest life of a connection: a client that sends half a body, or does not read its answer, must not keep a place
/// for ever. Longer than any answer takes.
const LONGEST_LIFE: Duration = Duration::from_secs(30);

/// Time for answers that are being written when the server stops.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What the API can ask of a node. Calls may block; each is bounded by the one who answers.
pub trait Control: Send + Sync + 'static {
    /// How the node sees itself and the cluster.
    fn status(&self) -> Status;

    /// What the kernel's path has counted.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    fn flows(&self) -> Result<FlowStatus, Refusal>;

    /// Moves a group of addresses.
    ///
    /// # Errors
    /// When it cannot or did not move.
    fn switchover(&self, group: &str, wish: Switchover) -> Result<Switched, Refusal>;

    /// Sets a server's administrative state.
    ///
    /// # Errors
    /// When there is no such server or it cannot be kept.
    fn set_server(&self, server: &str, wish: SetServer) -> Result<Changed, Refusal>;

    /// The addresses that DHCP gave, as far as this node knows.
    fn leases(&self) -> Vec<LeaseStatus> {
        Vec::new()
    }

    /// The tables of clients and their servers.
    ///
    /// # Errors
    /// When what is meant is not there.
    fn affinity(&self, _which: &AffinityClients) -> Result<Vec<AffinityStatus>, Refusal> {
        Ok(Vec::new())
    }

    /// Forgets clients: they get a server anew when they come again.
    ///
    /// # Errors
    /// When what is meant is not there.
    fn forget(&self, _which: &AffinityClients) -> Result<Forgotten, Refusal> {
        Ok(Forgotten { pools: Vec::new() })
    }

    /// Reads the cluster file again and follows it.
    ///
    /// # Errors
    /// When it cannot be followed; then nothing was changed.
    fn reload(&self) -> Result<Reloaded, Refusal>;

    /// Lets a new process of the program go on with everything.
    ///
    /// # Errors
    /// When it cannot; then this one goes on.
    fn upgrade(&self) -> Result<Upgraded, Refusal>;
}

/// Why a wish was not done; each says what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The wish itself is wrong: 400.
    #[error("{0}")]
    Wrong(String),
    /// What it names is not there: 404.
    #[error("{0}")]
    Unknown(String),
    /// The cluster file has mistakes: 400.
    #[error("{error}")]
    Mistakes {
        /// How many, and in which file.
        error: String,
        /// All of them at their places.
        details: String,
    },
    /// It cannot be done as things are: 409.
    #[error("{0}")]
    Conflict(String),
    /// It was tried and did not work: 500.
    #[error("{0}")]
    Failed(String),
}

/// A running API server.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    socket: Option<ControlSocket>,
}

impl Server {
    /// Serves on the socket until the server is stopped or dropped.
    ///
    /// # Errors
    /// When no thread or runtime can be had.
    pub fn start(socket: ControlSocket, control: Arc<dyn Control>) -> io::Result<Self> {
        let listener = socket.listener()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("api-answers")
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("api".to_owned()).spawn(move || {
            runtime.block_on(async move {
                match tokio::net::UnixListener::from_std(listener) {
                    Ok(listener) => serve(listener, router(control), stopped).await,
                    Err(error) => tracing::error!(%error, "the control socket cannot be served"),
                }
            });
            // Answers that still block are not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread), socket: Some(socket) })
    }

    /// Stops: the socket goes away, answers that are being written have a moment to end.
    pub fn stop(mut self) {
        self.finish();
    }

    /// Stops, and leaves the socket to another process: what waits in it is answered there.
    pub fn leave(mut self) {
        if let Some(socket) = &mut self.socket {
            socket.leave();
        }
        self.finish();
    }

    /// A second descriptor of the listening socket, for a process that takes over.
    ///
    /// # Errors
    /// When there are too few descriptors.
    pub fn copy(&self) -> io::Result<Option<OwnedFd>> {
        self.socket.as_ref().map(|socket| socket.listener().map(OwnedFd::from)).transpose()
    }

    fn finish(&mut self) {
        drop(self.socket.take());
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.finish();
    }
}

async fn serve(listener: tokio::net::UnixListener, router: Router, mut stopped: oneshot::Receiver<()>) {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            _ = &mut stopped => break,
        };
        while connections.try_join_next().is_some() {}
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the control socket cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            match tokio::time::timeout(LONGEST_LIFE, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a control connection ended"),
                Err(_) => tracing::debug!("a control connection took too long"),
            }
            drop(slot);
        });
    }
    drop(listener);
    let _ =
        tokio::time::timeout(LAST_WORDS, async { while connections.join_next().await.is_some() {} }).await;
}

async fn accept(
    listener: &tokio::net::UnixListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(tokio::net::UnixStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use relevo_model::NodeName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    struct Idle;

    impl Control for Idle {
        fn status(&self) -> Status {
            Status::new("", NodeName::new("a"))
        }

        fn flows(&self) -> Result<FlowStatus, Refusal> {
            Ok(FlowStatus::default())
        }

        fn switchover(&self, _: &str, _: Switchover) -> Result<Switched, Refusal> {
            Err(Refusal::Failed(String::new()))
        }

        fn set_server(&self, _: &str, _: SetServer) -> Result<Changed, Refusal> {
            Err(Refusal::Failed(String::new()))
        }

        fn reload(&self) -> Result<Reloaded, Refusal> {
            Err(Refusal::Failed(String::new()))
        }

        fn upgrade(&self) -> Result<Upgraded, Refusal> {
            Err(Refusal::Failed(String::new()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_in_the_middle_of_a_body_loses_its_place() {
        let path = std::env::temp_dir().join(format!("relevo-places-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, router(Arc::new(Idle)), stopped));
        let mut stuck = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            let half = b"POST /v1/servers/a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{";
            stream.write_all(half).await.unwrap();
            stuck.push(stream);
        }
        let real = Instant::now();
        let mut stream = UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET /v1/status HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let answered = tokio::time::timeout(2 * LONGEST_LIFE, stream.read_to_string(&mut answer)).await;
        answered.expect("an answer after the others lost their places").unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        assert!(real.elapsed() < LONGEST_LIFE, "this clock is paused");
        let _ = stop.send(());
        server.await.unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
