//! A visitor with one cookie: asks again and again over new connections, and takes what cookie it is given.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::ask::Connection;
use super::lost;
use crate::report::LostReason;

/// Longest wait for a whole answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// What one question of a visitor led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// Who answered, as the header `Server-Name` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The cookie's value that the visitor has after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Why there was no good answer; `None`: there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// Asks `target` for `/` so often, each time with the cookie `name` as the answers before have set it; `value` at first.
/// Each visit is given to `sink`. Needs a tokio runtime with I/O and time.
pub async fn visit(
    target: SocketAddr,
    name: &str,
    mut value: Option<String>,
    times: u32,
    mut sink: impl FnMut(&Visit),
) {
    for _ in 0..times {
        let headers = value.as_ref().map(|value| format!("Cookie: {name}={value}\r\n")).unwrap_or_default();
        let answer = async { Connection::open(target).await?.ask_with("/", false, &headers).await };
        let result = match timeout(DEADLINE, answer).await {
            Ok(Ok(answer)) if answer.status < 500 => Ok(answer),
            Ok(Ok(answer)) => Err(LostReason::Status(answer.status)),
            Ok(Err(error)) => Err(lost(error)),
            Err(_elapsed) => Err(LostReason::Timeout),
        };
        match result {
            Ok(answer) => {
                let set = answer.cookies.iter().rev().filter_map(|cookie| cookie.split_once('='));
                if let Some((_, given)) = set.into_iter().find(|(given, _)| *given == name) {
                    value = Some(given.to_owned());
                }
                sink(&Visit { server: answer.server, value: value.clone(), lost: None });
            }
            Err(why) => {
                sink(&Visit { server: None, value: value.clone(), lost: Some(format!("{why:?}")) });
            }
        }
    }
}
