//! Where lines go: standard output, a file, a syslog daemon.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use relevo_model::cluster::LogTarget;

use super::date::Dates;

/// Facility local0 (16), severity info (6): RFC 3164 section 4.1.1.
const PRIORITY: &[u8] = b"<134>";
/// Longest wait for a syslog daemon to take a line.
const PATIENCE: Duration = Duration::from_millis(500);
/// Shortest time between two attempts to reach a syslog daemon.
const AGAIN: Duration = Duration::from_secs(1);

/// The access log cannot be written there.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The folder of the file is not there.
    #[error("access log: the folder {} is not there; make it, or change `access` in [log]", .0.display())]
    NoFolder(PathBuf),
    /// The file cannot be opened.
    #[error("access log: cannot open {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A socket or a thread cannot be made.
    #[error("access log: cannot be written to {target}")]
    System {
        /// What was wanted.
        target: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// An open target.
#[derive(Debug)]
pub(super) enum Target {
    Nowhere,
    Stdout,
    File { path: PathBuf, file: File },
    Syslog(Syslog),
}

impl Target {
    /// Opens it. A syslog daemon need not be there yet.
    pub(super) fn open(wanted: &LogTarget) -> Result<Self, TargetError> {
        match wanted {
            LogTarget::None => Ok(Self::Nowhere),
            LogTarget::Stdout => Ok(Self::Stdout),
            LogTarget::File(path) => Ok(Self::File { path: path.clone(), file: open_file(path)? }),
            LogTarget::Syslog(path) => {
                let source = |source| TargetError::System { target: path.display().to_string(), source };
                let local = Local::new(path.clone()).map_err(source)?;
                Ok(Self::Syslog(Syslog::new(Way::Local(local))))
            }
            LogTarget::SyslogUdp(at) => {
                let source = |source| TargetError::System { target: format!("udp:{at}"), source };
                let socket = UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0)).map_err(source)?;
                socket.set_nonblocking(true).map_err(source)?;
                Ok(Self::Syslog(Syslog::new(Way::Udp(socket, *at))))
            }
        }
    }

    /// Opens a file again after it was moved away.
    pub(super) fn reopen(&mut self) -> Result<(), TargetError> {
        if let Self::File { path, file } = self {
            *file = open_file(path)?;
        }
        Ok(())
    }

    /// Writes whole lines. What could not be written: how many lines at most, and why.
    pub(super) fn write(&mut self, bytes: &[u8], count: u64) -> Result<(), (u64, io::Error)> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Stdout => io::stdout().lock().write_all(bytes).map_err(|error| (count, error)),
            Self::File { file, .. } => file.write_all(bytes).map_err(|error| (count, error)),
            Self::Syslog(syslog) => syslog.write(bytes),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nowhere => f.write_str("none"),
            Self::Stdout => f.write_str("stdout"),
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Syslog(Syslog { way: Way::Local(local), .. }) => write!(f, "{}", local.path.display()),
            Self::Syslog(Syslog { way: Way::Udp(_, at), .. }) => write!(f, "udp:{at}"),
        }
    }
}

fn open_file(path: &Path) -> Result<File, TargetError> {
    let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    opened.map_err(|source| match path.parent() {
        Some(folder) if source.kind() == io::ErrorKind::NotFound && !folder.exists() => {
            TargetError::NoFolder(folder.to_owned())
        }
        _ => TargetError::File { path: path.to_owned(), source },
    })
}

/// A syslog daemon, one datagram for each line (RFC 3164).
#[derive(Debug)]
pub(super) struct Syslog {
    way: Way,
    dates: Dates,
    /// ` HOST relevo[PID]: `; no host for a local daemon, which knows it.
    tag: Vec<u8>,
    datagram: Vec<u8>,
    /// Until then nobody is there.
    away_until: Option<Instant>,
}

#[derive(Debug)]
enum Way {
    Local(Local),
    Udp(UdpSocket, std::net::SocketAddrV4),
}

/// A daemon on this machine. It is looked up once: finding it by its path costs a third of sending a line.
#[derive(Debug)]
struct Local {
    path: PathBuf,
    socket: UnixDatagram,
    /// The daemon that was found; it may have ended since.
    connected: bool,
}

impl Local {
    fn new(path: PathBuf) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { path, socket, connected: false })
    }

    /// Sends a datagram; to a daemon that was started anew as well.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        if self.connected {
            match self.socket.send(datagram) {
                Ok(_) => return Ok(()),
                // One that reads nothing is looked for again too, but with the next line: its time is over for this one.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.connected = false;
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        self.connected = false;
        self.socket.connect(&self.path)?;
        self.connected = true;
        self.socket.send(datagram).map(drop)
    }
}

impl Syslog {
    fn new(way: Way) -> Self {
        let host = match &way {
            Way::Local(..) => String::new(),
            Way::Udp(..) => nix::unistd::gethostname()
                .ok()
                .and_then(|host| host.into_string().ok())
                .map_or_else(String::new, |host| format!(" {host}")),
        };
        let tag = format!("{host} relevo[{}]: ", std::process::id()).into_bytes();
        Self { way, dates: Dates::local(), tag, datagram: Vec::new(), away_until: None }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), (u64, io::Error)> {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut stamp = Vec::with_capacity(64);
        stamp.extend_from_slice(PRIORITY);
        self.dates.push_syslog(&mut stamp, second);
        stamp.extend_from_slice(&self.tag);
        let (mut lost, mut why) = (0, None);
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.datagram.clear();
            self.datagram.extend_from_slice(&stamp);
            self.datagram.extend_from_slice(line);
            if let Err(error) = self.send() {
                lost += 1;
                why = Some(error);
            }
        }
        why.map_or(Ok(()), |error| Err((lost, error)))
    }

    fn send(&mut self) -> io::Result<()> {
        if self.away_until.is_some_and(|until| Instant::now() < until) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let sent = match &mut self.way {
            Way::Local(local) => local.send(&self.datagram),
            Way::Udp(socket, at) => socket.send_to(&self.datagram, *at).map(drop),
        };
        self.away_until = sent.is_err().then(|| Instant::now() + AGAIN);
        sent
    }
}
