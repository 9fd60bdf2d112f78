//! The next process: gets everything, says when it is ready, and goes on.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use relevo_lb::Former;
use relevo_model::GroupName;
use relevo_proto::vrrp::Handed;

use super::{Answer, Estate, Groups, LANGUAGE, PATIENCE, Place, VARIABLE, wire};

/// What the former process should have handed over cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HeirError {
    /// It speaks another language.
    #[error(
        "{VARIABLE} is {0:?}: a relevo node that hands over to this version says {LANGUAGE:?}; restart it instead"
    )]
    Language(String),
    /// The connection to it broke, or what it says makes no sense.
    #[error("the node that hands over does not say what it should")]
    Broken(#[from] io::Error),
    /// Something is not among what it gave.
    #[error("the node that hands over did not give its {0}")]
    Missing(&'static str),
}

/// What a former process hands over to this one.
#[derive(Debug)]
pub(crate) struct Heir {
    pub(crate) belongings: Belongings,
    pub(crate) voice: Voice,
}

impl Heir {
    /// `None`: this process was started as usual.
    ///
    /// # Errors
    /// See [`HeirError`].
    pub(crate) fn of_this_process() -> Result<Option<Self>, HeirError> {
        let Some(language) = std::env::var_os(VARIABLE) else { return Ok(None) };
        if language != LANGUAGE {
            return Err(HeirError::Language(language.to_string_lossy().into_owned()));
        }
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        nix::unistd::dup2_stdin(File::open("/dev/null")?).map_err(io::Error::from)?;
        let (estate, fds): (Estate, _) = wire::receive(&stream)?;
        let mut former = Former {
            workers: estate.workers,
            servers: estate.servers.into_iter().map(Into::into).collect(),
            ..Former::default()
        };
        let (mut stats, mut stderr, mut control, mut run, mut state) = (Vec::new(), None, None, None, None);
        for (place, fd) in estate.sockets.into_iter().zip(fds) {
            match place {
                Place::Stderr => stderr = Some(fd),
                Place::RunLock => run = Some(fd),
                Place::StateLock => state = Some(fd),
                Place::Control => control = Some(fd),
                Place::Stats(at) => stats.push((at, fd)),
                Place::Balancer(place) => former.sockets.entry(place).or_default().push(fd),
            }
        }
        let [run_made, state_made] = estate.made;
        let lock = |lock: Option<OwnedFd>, what| lock.map(File::from).ok_or(HeirError::Missing(what));
        let belongings = Belongings {
            former,
            stats,
            control: control.ok_or(HeirError::Missing("control socket"))?,
            run: (lock(run, "run folder")?, run_made),
            state: (lock(state, "state folder")?, state_made),
        };
        let stderr = stderr.ok_or(HeirError::Missing("standard error"))?;
        Ok(Some(Self { belongings, voice: Voice { stream, pid: estate.pid, stderr } }))
    }
}

/// What the former process had.
#[derive(Debug)]
pub(crate) struct Belongings {
    pub(crate) former: Former,
    pub(crate) stats: Vec<(SocketAddr, OwnedFd)>,
    pub(crate) control: OwnedFd,
    pub(crate) run: (File, Vec<PathBuf>),
    pub(crate) state: (File, Vec<PathBuf>),
}

/// The way to the former process.
#[derive(Debug)]
pub(crate) struct Voice {
    stream: UnixStream,
    pub(crate) pid: u32,
    stderr: OwnedFd,
}

impl Voice {
    /// Says that all is there. From the return on the groups are this process's: by name, what to know of them.
    ///
    /// # Errors
    /// When the former process does not hand over; then it goes on, and this one must end.
    pub(crate) fn ready(&self) -> Result<Vec<(GroupName, Handed)>, HeirError> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        wire::send(&self.stream, &Answer::Ready { version }, &[])?;
        let (groups, _): (Groups, _) = wire::receive(&self.stream)?;
        // What is wrong from now on is no answer to somebody's wish any more.
        nix::unistd::dup2_stderr(self.stderr.as_fd()).map_err(io::Error::from)?;
        Ok(groups.into_handed())
    }

    /// Says that this process has everything.
    ///
    /// # Errors
    /// When the former process is gone.
    pub(crate) fn done(self) -> Result<(), HeirError> {
        Ok(wire::send(&self.stream, &Answer::Done, &[])?)
    }
}
