//! A question to a server's agent: the connection is the question, one line is the answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use relevo_proto::health::agent::{LONGEST, Report};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Asks it.
///
/// # Errors
/// Why nothing is known, in words.
pub(crate) async fn ask(at: SocketAddr, timeout: Duration) -> Result<Report, String> {
    match tokio::time::timeout(timeout, line(at)).await {
        Ok(Ok(line)) => Report::parse(&line).map_err(|error| error.to_string()),
        Ok(Err(error)) => Err(super::words(&error)),
        Err(_) => Err(format!("no answer within {} ms", timeout.as_millis())),
    }
}

async fn line(at: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(at).await?;
    let mut line = Vec::new();
    let mut piece = [0; LONGEST];
    // One byte more than the longest: then it is too long.
    while line.len() <= LONGEST && !line.contains(&b'\n') {
        match stream.read(&mut piece).await? {
            0 => break,
            count => line.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
    Ok(line)
}
