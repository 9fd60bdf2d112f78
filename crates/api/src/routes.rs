//! What the API answers: routes, the words of a request and of an answer.
//!
//! Answers that take time run on a few blocking threads. Every answer is JSON, mistakes too; a body has a limit.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::server::{Control, Refusal};
use crate::types::{AffinityClients, Problem, SetServer, Switchover};

/// Largest body of a request, bytes.
const LARGEST_BODY: usize = 64 * 1024;

/// Who answers what.
pub(crate) fn router(control: Arc<dyn Control>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/flows", get(flows))
        .route("/v1/groups/{group}/switchover", post(switchover))
        .route("/v1/servers/{server}", post(set_server))
        .route("/v1/leases", get(leases))
        .route("/v1/affinity", post(affinity))
        .route("/v1/affinity/clear", post(forget))
        .route("/v1/reload", post(reload))
        .route("/v1/upgrade", post(upgrade))
        .fallback(no_such_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(log))
        .with_state(control)
}

async fn status(State(control): State<Arc<dyn Control>>) -> Response {
    answer(move || Ok::<_, Refusal>(control.status())).await
}

async fn flows(State(control): State<Arc<dyn Control>>) -> Response {
    answer(move || control.flows()).await
}

async fn switchover(
    State(control): State<Arc<dyn Control>>,
    group: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let wish = parse::<Switchover>(body, Some(Switchover::default()));
    let (group, wish) = match (name(group), wish) {
        (Ok(group), Ok(wish)) => (group, wish),
        (Err(problem), _) | (_, Err(problem)) => return problem,
    };
    answer(move || control.switchover(&group, wish)).await
}

async fn set_server(
    State(control): State<Arc<dyn Control>>,
    server: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let (server, wish) = match (name(server), parse::<SetServer>(body, None)) {
        (Ok(server), Ok(wish)) => (server, wish),
        (Err(problem), _) | (_, Err(problem)) => return problem,
    };
    answer(move || control.set_server(&server, wish)).await
}

async fn leases(State(control): State<Arc<dyn Control>>) -> Response {
    answer(move || Ok::<_, Refusal>(control.leases())).await
}

async fn affinity(State(control): State<Arc<dyn Control>>, body: Result<Bytes, BytesRejection>) -> Response {
    match parse::<AffinityClients>(body, Some(AffinityClients::default())) {
        Ok(which) => answer(move || control.affinity(&which)).await,
        Err(problem) => problem,
    }
}

async fn forget(State(control): State<Arc<dyn Control>>, body: Result<Bytes, BytesRejection>) -> Response {
    match parse::<AffinityClients>(body, None) {
        Ok(which) => answer(move || control.forget(&which)).await,
        Err(problem) => problem,
    }
}

async fn reload(State(control): State<Arc<dyn Control>>) -> Response {
    answer(move || control.reload()).await
}

async fn upgrade(State(control): State<Arc<dyn Control>>) -> Response {
    answer(move || control.upgrade()).await
}

async fn no_such_route(request: Request) -> Response {
    let text = format!(
        "there is no {} here; the routes are GET /v1/status, GET /v1/flows, POST /v1/groups/GROUP/switchover, POST /v1/servers/SERVER, GET /v1/leases, POST /v1/affinity, POST /v1/affinity/clear, POST /v1/reload and POST /v1/upgrade",
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

/// The name in a path.
#[expect(clippy::result_large_err, reason = "the error is the answer")]
fn name(path: Result<Path<String>, PathRejection>) -> Result<String, Response> {
    path.map(|Path(name)| name).map_err(|rejection| problem(rejection.status(), rejection.body_text()))
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
                Refusal::Wrong(_) | Refusal::Mistakes { .. } => StatusCode::BAD_REQUEST,
                Refusal::Unknown(_) => StatusCode::NOT_FOUND,
                Refusal::Conflict(_) => StatusCode::CONFLICT,
                Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            let error = refusal.to_string();
            let details =
                if let Refusal::Mistakes { details, .. } = refusal { details } else { String::new() };
            json(status, &Problem { error, details })
        }
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the node could not answer; its log says more".to_owned(),
        ),
    }
}

fn problem(status: StatusCode, error: String) -> Response {
    json(status, &Problem { error, details: String::new() })
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
