//! Serves the control API on its socket, on a thread and a runtime of its own, so that it answers while the
//! balancer is loaded.
//!
//! Answers that take time run on a few blocking threads. Everything has a limit: connections, the size of
//! a body, the time for a request's head.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::socket::ControlSocket;
use crate::types::{Changed, Problem, SetServer, Status, Switched, Switchover};

/// Largest body of a request, bytes.
const LARGEST_BODY: usize = 64 * 1024;
/// Connections at a time; more wait.
const MOST_CONNECTIONS: usize = 64;
/// Threads for answers that take time.
const BLOCKING_THREADS: usize = 8;
/// Time for a request's head, and longest idle time of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What the API can ask of a node. Calls may block; each is bounded by the one who answers.
pub trait Control: Send + Sync + 'static {
    /// How the node sees itself and the cluster.
    fn status(&self) -> Status;

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
            .thread_name("relevo-answers")
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("relevo-api".to_owned()).spawn(move || {
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
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a control connection ended");
            }
            drop(slot);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(Duration::from_millis(200), async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

async fn accept(
    listener: &tokio::net::UnixListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(tokio::net::UnixStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

fn router(control: Arc<dyn Control>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/groups/{group}/switchover", post(switchover))
        .route("/v1/servers/{server}", post(set_server))
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(log))
        .with_state(control)
}

async fn status(State(control): State<Arc<dyn Control>>) -> Response {
    answer(move || Ok::<_, Refusal>(control.status())).await
}

async fn switchover(
    State(control): State<Arc<dyn Control>>,
    Path(group): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let wish = match parse::<Switchover>(body, Some(Switchover::default())) {
        Ok(wish) => wish,
        Err(problem) => return problem,
    };
    answer(move || control.switchover(&group, wish)).await
}

async fn set_server(
    State(control): State<Arc<dyn Control>>,
    Path(server): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let wish = match parse::<SetServer>(body, None) {
        Ok(wish) => wish,
        Err(problem) => return problem,
    };
    answer(move || control.set_server(&server, wish)).await
}

async fn no_such_route(request: Request) -> Response {
    let text = format!(
        "there is no {} here; the routes are GET /v1/status, POST /v1/groups/GROUP/switchover and POST /v1/servers/SERVER",
        request.uri().path()
    );
    problem(StatusCode::NOT_FOUND, text)
}

async fn wrong_method(request: Request) -> Response {
    problem(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take {}", request.uri().path(), request.method()),
    )
}

async fn log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    tracing::debug!(%method, path, status = response.status().as_u16(), "control request");
    response
}

/// Reads a body; an empty one is `empty`, where that is allowed.
#[expect(clippy::result_large_err, reason = "the error is the answer")]
fn parse<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, empty: Option<T>) -> Result<T, Response> {
    let body = body.map_err(|rejection| {
        let status = rejection.status();
        let text = if status == StatusCode::PAYLOAD_TOO_LARGE {
            format!("the body is too large: at most {LARGEST_BODY} bytes")
        } else {
            rejection.body_text()
        };
        problem(status, text)
    })?;
    match empty {
        Some(empty) if body.iter().all(u8::is_ascii_whitespace) => Ok(empty),
        Some(_) | None => serde_json::from_slice(&body).map_err(|error| {
            problem(StatusCode::BAD_REQUEST, format!("the body is not what is expected here: {error}"))
        }),
    }
}

async fn answer<T: Serialize + Send + 'static>(
    ask: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(ask).await {
        Ok(Ok(value)) => json(StatusCode::OK, &value),
        Ok(Err(refusal)) => {
            let status = match &refusal {
                Refusal::Wrong(_) => StatusCode::BAD_REQUEST,
                Refusal::Unknown(_) => StatusCode::NOT_FOUND,
                Refusal::Conflict(_) => StatusCode::CONFLICT,
                Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            problem(status, refusal.to_string())
        }
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the node could not answer; its log says more".to_owned(),
        ),
    }
}

fn problem(status: StatusCode, error: String) -> Response {
    json(status, &Problem { error })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
