//! A conversation: what the script says is sent, what comes is given to it.

use std::io;
use std::time::Duration;

use relevo_proto::health::ProbeResult;
use relevo_proto::health::script::{Conversation, Script, Turn};

use super::{PIECE, Target, read, send};
use crate::tls::Offer;

/// Has it with a server.
///
/// # Errors
/// When the connection fails.
pub(super) async fn run(script: &Script, target: &Target<'_>, timeout: Duration) -> io::Result<ProbeResult> {
    let mut talk = script.begin();
    match tokio::time::timeout(timeout, converse(&mut talk, target)).await {
        Ok(ended) => ended,
        Err(_) => {
            let late = format!("no answer within {} ms", timeout.as_millis());
            Ok(ProbeResult::Bad(talk.missing(&late)))
        }
    }
}

async fn converse(talk: &mut Conversation<'_>, target: &Target<'_>) -> io::Result<ProbeResult> {
    let mut stream = target.connect(Offer::Http1).await?;
    let mut piece = vec![0; PIECE];
    loop {
        match talk.turn() {
            Err(wrong) => return Ok(ProbeResult::Bad(wrong)),
            Ok(Turn::Done) => return Ok(ProbeResult::Good("answers as its script says".to_owned())),
            Ok(Turn::Send(bytes)) => send(&mut stream, bytes).await?,
            Ok(Turn::Listen) => match read(&mut stream, &mut piece).await? {
                0 => return Ok(ProbeResult::Bad(talk.missing("closed"))),
                count => talk.hear(piece.get(..count).unwrap_or_default()),
            },
        }
    }
}
