//! Which request gets which answer.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use relevo_model::ClusterFile;
use relevo_model::cluster::Stats;

use super::access::{Access, Visitor};
use super::page::{self, View, Viewer};
use super::rates::Rates;
use super::report::Report;
use super::{Source, Wish, csv, form, json, metrics};

/// Largest body of a form, bytes: room for a thousand ticked servers.
const LARGEST_FORM: usize = 64 << 10;
/// Messages that are kept for the page that will show them.
const MOST_MESSAGES: usize = 32;

type Answer = Response<Full<Bytes>>;

/// What all connections share.
pub(super) struct Shared {
    pub(super) source: Arc<dyn Source>,
    pub(super) rates: Mutex<Rates>,
    pub(super) access: Access,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    next: u64,
    list: VecDeque<(u64, String, bool)>,
}

impl Shared {
    pub(super) fn new(source: Arc<dyn Source>, key: [u8; 32]) -> Self {
        Self { source, rates: Mutex::default(), access: Access::new(key), said: Mutex::default() }
    }

    /// Answers.
    pub(super) async fn answer(&self, from: IpAddr, request: Request<Incoming>) -> Answer {
        let mut answer = self.route(from, request).await;
        let headers = answer.headers_mut();
        let fixed = [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
            ),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    async fn route(&self, from: IpAddr, request: Request<Incoming>) -> Answer {
        let cluster = self.source.cluster();
        let Some(stats) = cluster.stats.as_ref() else {
            return text(StatusCode::NOT_FOUND, "there is no statistics page any more\n");
        };
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/stats.css" if is_read => return typed("text/css; charset=utf-8", include_str!("stats.css")),
            "/stats.js" if is_read => {
                return typed("text/javascript; charset=utf-8", include_str!("stats.js"));
            }
            "/metrics" if is_read && stats.open_metrics => {
                return typed(metrics::TYPE, metrics::render(&self.report()));
            }
            _ => {}
        }
        let authorization = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let is_try = authorization.is_some();
        let Some(visitor) = self.access.find(&cluster, stats, authorization).await else {
            if is_try {
                tracing::warn!(%from, "statistics page: a name or password that is not right");
            }
            return unauthorized(&cluster);
        };
        let (place, option) = path.split_once(';').unwrap_or((path.as_str(), ""));
        let query = request.uri().query().unwrap_or_default().to_owned();
        // HAProxy's address is often /haproxy?stats, and its CSV /haproxy?stats;csv.
        let asked = query.split(';').skip(1).find(|word| matches!(*word, "csv" | "json"));
        let option = match asked {
            Some(asked) if option.is_empty() && matches!(place, "/" | "/stats" | "/haproxy") => asked,
            Some(_) | None => option,
        };
        match (place, option.split(';').next().unwrap_or("")) {
            ("/" | "/stats" | "/haproxy", "") if is_read => self.page(stats, &visitor, &query),
            ("/" | "/stats" | "/haproxy", "") if request.method() == Method::POST => {
                self.post(from, &visitor, &query, request).await
            }
            ("/" | "/stats" | "/haproxy", "csv") | ("/stats.csv", "") if is_read => {
                typed("text/csv; charset=utf-8", csv::render(&self.report()))
            }
            ("/" | "/stats" | "/haproxy", "json") | ("/stats.json", "") if is_read => {
                typed("application/json", format!("{}\n", json::render(&self.report())))
            }
            ("/metrics", "") if is_read => typed(metrics::TYPE, metrics::render(&self.report())),
            ("/" | "/stats" | "/stats.csv" | "/stats.json" | "/metrics", _) if !is_read => {
                text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD here\n")
            }
            _ => text(StatusCode::NOT_FOUND, "here are /stats, /stats;csv, /stats.json and /metrics\n"),
        }
    }

    /// This moment, with rates.
    fn report(&self) -> Report {
        let mut report = self.source.report();
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut report);
        report
    }

    fn page(&self, stats: &Stats, visitor: &Visitor, query: &str) -> Answer {
        let view = view(query);
        let token = visitor.is_admin.then(|| self.access.token(visitor));
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).find(view.said);
        let viewer = Viewer {
            name: &visitor.name,
            token: token.as_deref(),
            message: said.as_ref().map(|(message, done)| (&**message, *done)),
        };
        typed(
            "text/html; charset=utf-8",
            page::render(&self.report(), &view, stats.refresh.as_secs(), viewer),
        )
    }

    async fn post(&self, from: IpAddr, visitor: &Visitor, query: &str, request: Request<Incoming>) -> Answer {
        if !visitor.is_admin {
            return text(StatusCode::FORBIDDEN, "you may look, and change nothing\n");
        }
        let is_ours = comes_from_here(request.headers());
        let Ok(body) = Limited::new(request.into_body(), LARGEST_FORM).collect().await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "this form is too large, or did not come whole\n");
        };
        let fields = form::parse(&body.to_bytes());
        let field = |name| fields.iter().find(|(one, _)| one == name).map_or("", |(_, value)| value.as_str());
        if !is_ours || !self.access.is_token(visitor, field("token")) {
            tracing::warn!(%from, user = visitor.name, "statistics page: a form that is not ours was refused");
            return text(
                StatusCode::FORBIDDEN,
                "this form did not come from this page: open the page again\n",
            );
        }
        let servers: Vec<_> =
            fields.iter().filter(|(name, _)| name == "server").map(|(_, value)| value.clone()).collect();
        let (message, done) = match Wish::from_word(field("action")) {
            None => ("Choose what shall be done.".to_owned(), false),
            Some(_) if servers.is_empty() => ("No server was ticked: nothing was changed.".to_owned(), false),
            Some(wish) => {
                let who = format!("{} at {from}", visitor.name);
                let source = Arc::clone(&self.source);
                // It is written to the disk.
                let done = tokio::task::spawn_blocking(move || act(&*source, wish, &servers, &who));
                done.await.unwrap_or_else(|error| (format!("It did not work: {error}"), false))
            }
        };
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).keep(message, done);
        let view = view(query);
        let place = page::query(&view, view.refresh);
        let place = if place.is_empty() { format!("?said={said}") } else { format!("{place}&said={said}") };
        let mut answer = text(StatusCode::SEE_OTHER, "");
        if let Ok(place) = HeaderValue::try_from(format!("/stats{place}")) {
            answer.headers_mut().insert(header::LOCATION, place);
        }
        answer
    }
}

/// Does it for all of them, and says what came of it.
fn act(source: &dyn Source, wish: Wish, servers: &[String], who: &str) -> (String, bool) {
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for name in servers {
        let result = match name.split_once('/') {
            Some((pool, server)) => source.set(wish, pool, server, who),
            None => Err(format!("{name:?} is not POOL/SERVER")),
        };
        match result {
            Ok(()) => done.push(name.as_str()),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    match (done.as_slice(), failed.as_slice()) {
        (done, []) => (format!("{}: {}", wish.done(), done.join(", ")), true),
        ([], failed) => (format!("Nothing was changed. {}", failed.join("; ")), false),
        (done, failed) => {
            (format!("{}: {}. Not: {}", wish.done(), done.join(", "), failed.join("; ")), false)
        }
    }
}

impl Said {
    fn keep(&mut self, message: String, done: bool) -> u64 {
        self.next += 1;
        self.list.push_back((self.next, message, done));
        while self.list.len() > MOST_MESSAGES {
            self.list.pop_front();
        }
        self.next
    }

    fn find(&self, id: Option<u64>) -> Option<(String, bool)> {
        let found = self.list.iter().find(|(one, ..)| Some(*one) == id)?;
        Some((found.1.clone(), found.2))
    }
}

/// Browsers say where a form comes from (Fetch Metadata; RFC 6454 section 7). What does not say it has the token only.
fn comes_from_here(headers: &HeaderMap) -> bool {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = value("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    // Our pages send no referrer, for which browsers make the origin of a form `null`.
    let origin = value("origin").filter(|origin| *origin != "null");
    let host = value("host").unwrap_or_default();
    site && origin.is_none_or(|origin| origin.split_once("://").is_some_and(|(_, of)| of == host))
}

fn view(query: &str) -> View {
    let mut view = View::default();
    for (name, value) in form::parse(query.as_bytes()) {
        match name.as_str() {
            // At most a day.
            "refresh" => view.refresh = value.parse().ok().filter(|seconds| *seconds <= 86_400),
            "scope" => view.scope = value.chars().take(100).collect(),
            "up" => view.only_up = value == "1",
            "said" => view.said = value.parse().ok(),
            _ => {}
        }
    }
    view
}

fn unauthorized(cluster: &ClusterFile) -> Answer {
    let mut answer = text(StatusCode::UNAUTHORIZED, "a name and a password are needed\n");
    let realm: String =
        cluster.name.chars().filter(|one| one.is_ascii_alphanumeric() || *one == '-').collect();
    let challenge = format!("Basic realm=\"{realm} statistics\", charset=\"UTF-8\"");
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

fn text(status: StatusCode, words: &'static str) -> Answer {
    let mut answer = typed("text/plain; charset=utf-8", words);
    *answer.status_mut() = status;
    answer
}

fn typed(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
