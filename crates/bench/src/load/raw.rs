//! TCP without a protocol: send, receive so many bytes.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Failure;
use super::http1::{Seen, read_away};

/// Sends, and receives `receive` bytes or more. The connection is never used again: connect, send, receive, close.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    send: &[u8],
    receive: u64,
) -> Result<Seen, Failure> {
    stream.write_all(send).await.map_err(|_| Failure::broken(false))?;
    stream.flush().await.map_err(|_| Failure::broken(false))?;
    let mut received = 0;
    while received < receive {
        match read_away(stream, u64::MAX).await {
            Ok(read @ 1..) => received += read,
            Ok(0) | Err(_) => return Err(Failure::broken(received > 0)),
        }
    }
    Ok(Seen { status: 0, received, reusable: false })
}
