//! Values with descriptors over a socket between two processes of this machine (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Descriptors in one message; the kernel takes 253.
const AT_A_TIME: usize = 128;
/// Largest value, bytes.
const LARGEST: usize = 256 * 1024 * 1024;
/// Most descriptors of a value.
const MOST: usize = 1 << 20;

/// Sends a value, then the descriptors.
pub(super) fn send(mut stream: &UnixStream, value: &impl Serialize, fds: &[OwnedFd]) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    let mut head = (bytes.len() as u64).to_be_bytes().to_vec();
    head.extend((fds.len() as u64).to_be_bytes());
    stream.write_all(&head)?;
    stream.write_all(&bytes)?;
    for fds in fds.chunks(AT_A_TIME) {
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(b"+")], &rights, MsgFlags::MSG_NOSIGNAL, None)?;
    }
    Ok(())
}

/// Receives what [`send`] sent.
pub(super) fn receive<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut number = [0; 8];
    let mut next = |most: usize| {
        stream.read_exact(&mut number)?;
        let value = usize::try_from(u64::from_be_bytes(number)).unwrap_or(usize::MAX);
        if value > most { Err(io::Error::other("this is not said by a relevo node")) } else { Ok(value) }
    };
    let (length, count) = (next(LARGEST)?, next(MOST)?);
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    let value = serde_json::from_slice(&bytes)?;
    let mut fds = Vec::new();
    while fds.len() < count {
        let before = fds.len();
        receive_rights(stream, &mut fds)?;
        if fds.len() == before {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((value, fds))
}

#[allow(unsafe_code, reason = "descriptors come in as numbers")]
fn receive_rights(stream: &UnixStream, fds: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([RawFd; AT_A_TIME]);
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut bytes, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for message in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = message {
            // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
            fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_with_all_their_descriptors_in_order() {
        let (one, other) = UnixStream::pair().unwrap();
        let mut files = Vec::new();
        let mut ends = Vec::new();
        for number in 0..300_u32 {
            let (reader, mut writer) = io::pipe().unwrap();
            writer.write_all(&number.to_be_bytes()).unwrap();
            files.push(OwnedFd::from(reader));
            ends.push(writer);
        }
        let sender = std::thread::spawn(move || send(&one, &"words", &files).unwrap());
        let (words, fds): (String, _) = receive(&other).unwrap();
        sender.join().unwrap();
        assert_eq!((&*words, fds.len()), ("words", 300));
        for (number, fd) in (0_u32..).zip(fds) {
            let mut bytes = [0; 4];
            std::fs::File::from(fd).read_exact(&mut bytes).unwrap();
            assert_eq!(u32::from_be_bytes(bytes), number);
        }
    }

    #[test]
    fn nonsense_and_an_end_are_errors() {
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(&[0xff; 16]).unwrap();
        assert!(receive::<String>(&other).is_err());
        drop(one);
        assert!(receive::<String>(&other).is_err());
    }
}
