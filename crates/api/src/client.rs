//! Asks a node over its control socket. Every call blocks, has a deadline and a connection of its own.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::socket::LONGEST_PATH;
use crate::types::{
    AffinityClients, AffinityStatus, Changed, FlowStatus, Forgotten, LeaseStatus, Problem, Reloaded,
    SetServer, Status, Switched, Switchover, Upgraded,
};

/// Time for an answer that needs no waiting.
const DEADLINE: Duration = Duration::from_secs(3);
/// Time for counters of the kernel's path: many pins take a while to list.
const FLOWS_DEADLINE: Duration = Duration::from_secs(15);
/// Time for a switch-over, which the node itself bounds to less.
const SWITCHOVER_DEADLINE: Duration = Duration::from_secs(15);
/// Time for a reload, which waits until every worker follows.
const RELOAD_DEADLINE: Duration = Duration::from_secs(15);
/// Time for an upgrade, which the node itself bounds to less.
const UPGRADE_DEADLINE: Duration = Duration::from_secs(25);
/// Largest answer that is read, bytes.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// A node did not answer, or said no.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no relevo node answers at {}: is it running? (relevo node run --file FILE --name NAME)", .0.display())]
    NotRunning(PathBuf),
    /// The socket belongs to somebody else.
    #[error("no permission to open {}: ask as the user that runs the node (root, or with sudo)", .0.display())]
    Denied(PathBuf),
    /// The node took too long.
    #[error("the node at {} gave no answer within {} s", .0.display(), .1.as_secs())]
    TimedOut(PathBuf, Duration),
    /// The path cannot be a socket's.
    #[error("the path {} has {} bytes, a socket's path may have {LONGEST_PATH}", .0.display(), .0.as_os_str().len())]
    TooLong(PathBuf),
    /// The node said no, in its own words.
    #[error("{error}")]
    Refused {
        /// The HTTP status, 400 or more.
        status: u16,
        /// What is wrong and what would be right.
        error: String,
        /// The mistakes of a cluster file at their places; mostly empty.
        details: String,
    },
    /// The connection broke.
    #[error("the connection to {} broke", .path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not one of ours.
    #[error("what answers at {} does not speak like a relevo node of this version", .path.display())]
    Garbled {
        /// The socket.
        path: PathBuf,
        /// What was wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// A node to ask.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
    deadline: Option<Duration>,
}

impl Client {
    /// A client of the node at this socket. Nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), deadline: None }
    }

    /// A client of the node with this run folder.
    pub fn of(run_dir: &Path) -> Self {
        Self::new(crate::socket_path(run_dir))
    }

    /// The same with a deadline for each call of its own.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How the node sees itself and the cluster.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn status(&self) -> Result<Status, ClientError> {
        self.call(Method::GET, "/v1/status", None::<&()>, DEADLINE)
    }

    /// The addresses that DHCP gave, as far as the node knows.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn leases(&self) -> Result<Vec<LeaseStatus>, ClientError> {
        self.call(Method::GET, "/v1/leases", None::<&()>, DEADLINE)
    }

    /// The tables of clients and their servers.
    ///
    /// # Errors
    /// When the node does not answer in time, or says no.
    pub fn affinity(&self, which: &AffinityClients) -> Result<Vec<AffinityStatus>, ClientError> {
        self.call(Method::POST, "/v1/affinity", Some(which), DEADLINE)
    }

    /// Makes the node forget clients' servers.
    ///
    /// # Errors
    /// When the node does not answer in time, or says no.
    pub fn forget(&self, which: &AffinityClients) -> Result<Forgotten, ClientError> {
        self.call(Method::POST, "/v1/affinity/clear", Some(which), DEADLINE)
    }

    /// What the kernel's path has counted.
    ///
    /// # Errors
    /// When the node does not answer in time, or cannot ask its kernel.
    pub fn flows(&self) -> Result<FlowStatus, ClientError> {
        self.call(Method::GET, "/v1/flows", None::<&()>, FLOWS_DEADLINE)
    }

    /// Moves a group of addresses; returns when it has moved.
    ///
    /// # Errors
    /// When the node does not answer in time, or says no.
    pub fn switchover(&self, group: &str, wish: &Switchover) -> Result<Switched, ClientError> {
        let route = format!("/v1/groups/{}/switchover", segment(group));
        self.call(Method::POST, &route, Some(wish), SWITCHOVER_DEADLINE)
    }

    /// Sets a server's administrative state.
    ///
    /// # Errors
    /// When the node does not answer in time, or says no.
    pub fn set_server(&self, server: &str, wish: &SetServer) -> Result<Changed, ClientError> {
        self.call(Method::POST, &format!("/v1/servers/{}", segment(server)), Some(wish), DEADLINE)
    }

    /// Makes the node read its cluster file again and follow it.
    ///
    /// # Errors
    /// When the node does not answer in time, or says no.
    pub fn reload(&self) -> Result<Reloaded, ClientError> {
        self.call(Method::POST, "/v1/reload", None::<&()>, RELOAD_DEADLINE)
    }

    /// Makes the node start its program anew and leave everything to it.
    ///
    /// # Errors
    /// When the node does not answer in time, or says no.
    pub fn upgrade(&self) -> Result<Upgraded, ClientError> {
        self.call(Method::POST, "/v1/upgrade", None::<&()>, UPGRADE_DEADLINE)
    }

    fn call<T: DeserializeOwned + Send>(
        &self,
        method: Method,
        route: &str,
        body: Option<&impl Serialize>,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        if self.path.as_os_str().len() > LONGEST_PATH {
            return Err(ClientError::TooLong(self.path.clone()));
        }
        let deadline = self.deadline.unwrap_or(deadline);
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|source| self.garbled(source))?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(route)
            .header(header::HOST, "relevo")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.broken(error))?;
        // On a thread of its own, so that a caller inside a runtime may ask too.
        let (status, body) = std::thread::scope(|scope| {
            let asked = std::thread::Builder::new().spawn_scoped(scope, || self.ask(request, deadline));
            match asked.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(self.broken("the asking thread failed")),
                Err(error) => Err(self.broken(error)),
            }
        })?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|source| self.garbled(source));
        }
        let problem: Problem = serde_json::from_slice(&body).map_err(|source| self.garbled(source))?;
        Err(ClientError::Refused { status: status.as_u16(), error: problem.error, details: problem.details })
    }

    fn ask(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| self.broken(error))?;
        runtime.block_on(async {
            match tokio::time::timeout(deadline, self.exchange(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(ClientError::TimedOut(self.path.clone(), deadline)),
            }
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.path).await.map_err(|error| self.unreachable(error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
            Ok((status, body.map_err(|error| self.broken(error))?.to_bytes()))
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The connection has ended: what it has delivered is still there.
            _ = connection => exchange.await,
        }
    }

    fn unreachable(&self, error: io::Error) -> ClientError {
        let path = self.path.clone();
        if error.kind() == io::ErrorKind::PermissionDenied {
            ClientError::Denied(path)
        } else if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            ClientError::NotRunning(path)
        } else {
            self.broken(error)
        }
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Broken { path: self.path.clone(), source: source.into() }
    }

    fn garbled(&self, source: serde_json::Error) -> ClientError {
        ClientError::Garbled { path: self.path.clone(), source }
    }
}

/// A name as one segment of a path: what is not plain is written as `%XX`.
fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
