//! One request and its whole answer, for looking at it rather than measuring.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::stream::{connect, tls};
use super::{Plan, Protocol, http1};

/// Largest answer that is looked at, bytes.
const ANSWER_MAX: u64 = 64 << 20;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status line and fields.
    pub head: String,
    /// What came after the head.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field; the first, if there are several.
    pub fn field(&self, wanted: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim()).next()
    }
}

/// Asks over a new connection by HTTP/1.1, whatever the plan says of protocols.
///
/// # Errors
///
/// No answer within the plan's patience, or something that is not one.
pub fn ask(plan: &Plan) -> Result<Answer> {
    let plan = Plan { connection_per_request: true, protocol: Protocol::Http1, ..plan.clone() };
    let tls = tls(&plan)?;
    let at = plan.target.at;
    let patience: Duration = plan.patience;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = async {
        let stream = connect(&plan.target, &tls, Protocol::Http1).await;
        let mut stream = stream.map_err(|failure| anyhow!("{at}: {}", failure.words()))?;
        stream.write_all(&http1::request(&plan)).await?;
        stream.flush().await?;
        let mut bytes = Vec::new();
        let read = (&mut stream).take(ANSWER_MAX).read_to_end(&mut bytes).await;
        let end = memmem::find(&bytes, b"\r\n\r\n");
        // A peer that ends TLS without saying so has still answered.
        let end =
            end.with_context(|| format!("no HTTP answer from {at}: {} bytes, {read:?}", bytes.len()))?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        Ok(Answer { head, body: bytes.split_off(end + 4) })
    };
    runtime.block_on(async { tokio::time::timeout(patience, work).await })?
}
