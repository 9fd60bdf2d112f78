//! Requests that need neither a rule nor a server: the balancer knows the answer as soon as it has their heads.

use relevo_model::cluster::{Limits, Service};

use super::body::Body;
use super::refusal::{Refusal, Status};
use super::request::{Method, Request};

/// RFC 9110 section 7.4: must be refused, unless a gateway that is trusted has sent it.
const MISDIRECTED: Refusal = Refusal::new(
    Status::Misdirected,
    "the request's target is a URL of https, and this connection has no TLS",
);
const LONG_TARGET: Refusal =
    Refusal::new(Status::UriTooLong, "the request's target is longer than this service allows");
pub(super) const LARGE_BODY: Refusal =
    Refusal::new(Status::ContentTooLarge, "the request's body is larger than this service allows");

/// What the balancer answers by itself.
#[derive(Debug)]
pub(super) enum Own {
    /// To an authority that asks whether a name is ours (ACME).
    Proof(String),
    /// To who asks whether the service works; it is no request of a user.
    Monitor,
    /// That a limit of the service is passed, or that the request is not for here.
    Refused(Refusal),
}

/// Whether a request is one of these: it asks how the service is, or passes a limit, or is not for here. `secure`: it may
/// ask for a URL of `https`.
pub(super) fn find(request: &Request, bytes: &[u8], service: &Service, secure: bool) -> Option<Own> {
    let limits = &service.limits;
    if let Some(path) = &service.monitor
        && request.target(bytes).split(|byte| *byte == b'?').next() == Some(path.as_bytes())
        && matches!(request.method, Method::Head | Method::Safe)
    {
        return Some(Own::Monitor);
    }
    if request.is_for_https() && !secure {
        return Some(Own::Refused(MISDIRECTED));
    }
    if request.target_length() > limits.uri {
        return Some(Own::Refused(LONG_TARGET));
    }
    match (limits.body, request.body) {
        (Some(most), Body::Length(length)) if length > most => Some(Own::Refused(LARGE_BODY)),
        // Chunks are counted while they pass.
        (_, Body::Length(_) | Body::Chunked(_) | Body::UntilClose) => None,
    }
}

/// What a head that is too large, or has no end, is refused with: it may be all target.
pub(super) fn too_large(bytes: &[u8], limits: &Limits, refusal: Refusal) -> Refusal {
    let target = bytes.splitn(3, |byte| *byte == b' ').nth(1);
    match target {
        Some(target) if refusal.status == Status::HeadTooLarge && target.len() > limits.uri => LONG_TARGET,
        Some(_) | None => refusal,
    }
}
