//! The former process: starts the next one, gives it everything, or goes on.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use relevo_api::server::{Refusal, Server};
use relevo_api::types::Upgraded;

use super::{Answer, Estate, Groups, LANGUAGE, PATIENCE, Place, Program, VARIABLE, wire};
use crate::control::{Balancer, Node};
use crate::director::Director;
use crate::duty::Leaving;
use crate::folder::Folder;

/// Most that is kept of what the next process writes on its standard error, bytes.
const MOST_WORDS: usize = 16 * 1024;
/// Time for the last words of a process that has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is given.
pub(crate) struct Giver<'a> {
    pub(crate) node: &'a Node,
    pub(crate) server: &'a Server,
    pub(crate) run: &'a Folder,
    pub(crate) state: &'a Folder,
    pub(crate) program: &'a Program,
}

impl Giver<'_> {
    /// Starts the next process and hands over. When it returns `Ok`, that process has everything and this one shall end.
    /// When it returns an error, nothing has changed.
    pub(crate) fn hand_over(&self) -> Result<Upgraded, Refusal> {
        let begin = Instant::now();
        // No other file meanwhile, and no wishes that the next process would not know.
        let _no_reload = self.node.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.program.path().map_err(Refusal::Conflict)?;
        if self.node.moves.is_busy() {
            let why = "connections are on their way from one director to another; `relevo status` says for how long";
            return Err(Refusal::Conflict(why.to_owned()));
        }
        self.node.ensure_in_place()?;
        self.node.freeze(true);
        let handed = self.try_hand_over(path);
        if handed.is_err() {
            self.node.freeze(false);
        }
        let (to, version) = handed?;
        let took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(Upgraded { from: std::process::id(), to, program: path.to_owned(), version, took_ms })
    }

    /// The next process and its version.
    fn try_hand_over(&self, path: &Path) -> Result<(u32, String), Refusal> {
        let failed = |error| Refusal::Failed(format!("{} cannot be started: {error}", path.display()));
        let mut next = self.start(path).map_err(failed)?;
        match self.converse(&mut next) {
            Ok(version) => {
                next.forward();
                Ok((next.process.id(), version))
            }
            Err(error) => Err(next.end(&error)),
        }
    }

    fn start(&self, path: &Path) -> io::Result<Started> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        ours.set_write_timeout(Some(PATIENCE))?;
        let mut process = Command::new(path)
            .args(&self.program.arguments)
            .env(VARIABLE, LANGUAGE)
            .stdin(OwnedFd::from(theirs))
            .stderr(Stdio::piped())
            .spawn()?;
        let (to, words) = channel();
        let stderr = process.stderr.take();
        let mut started = Started { process, stream: ours, words };
        let listen = move || {
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = Read::by_ref(&mut stderr).take(MOST_WORDS as u64).read_to_end(&mut text);
                // A program that says more is not held up.
                let _ = io::copy(&mut stderr, &mut io::sink());
            }
            let _ = to.send(text);
        };
        let listening = std::thread::Builder::new().name("next".to_owned()).spawn(listen);
        if let Err(error) = listening {
            started.kill();
            return Err(error);
        }
        Ok(started)
    }

    /// Returns the next process's version.
    fn converse(&self, child: &mut Started) -> io::Result<String> {
        let (estate, fds) = self.estate()?;
        wire::send(&child.stream, &estate, &fds)?;
        drop(fds);
        let version = match wire::receive(&child.stream)? {
            (Answer::Ready { version }, _) => version,
            (Answer::Done, _) => return Err(io::Error::other("it is done before it was ready")),
        };
        let node = self.node;
        let peers = node.peers.get();
        if let Some(peers) = peers {
            peers.pause();
        }
        node.duties.rest(Leaving::HandedOver);
        // The neighbours must not take the moment for a loss.
        drop(node.bfd().take());
        let director = node.director.write().unwrap_or_else(PoisonError::into_inner).take();
        let had_one = director.is_some();
        let handed = director.map(Director::hand_over).unwrap_or_default();
        let told =
            wire::send(&child.stream, &Groups::of(&handed), &[]).and_then(|()| wire::receive(&child.stream));
        let error = match told {
            Ok((Answer::Done, _)) => return Ok(version),
            Ok((Answer::Ready { .. }, _)) => io::Error::other("it is ready twice"),
            Err(error) => error,
        };
        // Before the addresses are taken again nobody else may have them.
        child.kill();
        if let Some(peers) = peers {
            peers.go_on();
        }
        if had_one {
            let cluster = node.loaded().cluster;
            match Director::prepare(&cluster, &node.name).and_then(|prepared| prepared.go_on(&handed, &[])) {
                Ok(again) => {
                    node.duties.watch(&again);
                    node.duties.resume();
                    *node.director.write().unwrap_or_else(PoisonError::into_inner) = Some(again);
                    if let Err(error) = node.start_bfd() {
                        tracing::error!(%error, "BFD cannot go on; restart this node");
                    }
                }
                Err(error) => tracing::error!(%error, "the director cannot go on; restart this node"),
            }
        }
        Err(error)
    }

    fn estate(&self) -> io::Result<(Estate, Vec<OwnedFd>)> {
        let mut sockets = vec![
            (Place::Stderr, io::stderr().as_fd().try_clone_to_owned()?),
            (Place::RunLock, self.run.lock()?),
            (Place::StateLock, self.state.lock()?),
        ];
        sockets.extend(self.server.copy()?.map(|socket| (Place::Control, socket)));
        if let Some(stats) = &*self.node.stats.lock().unwrap_or_else(PoisonError::into_inner) {
            sockets.extend(stats.copies()?.into_iter().map(|(at, socket)| (Place::Stats(at), socket)));
        }
        let former = match &*self.node.balancer.read().unwrap_or_else(PoisonError::into_inner) {
            Balancer::Running(engine) => engine.copies()?,
            Balancer::Stopped(..) => return Err(io::Error::other("this node is being stopped")),
        };
        for (place, copies) in former.sockets {
            sockets.extend(copies.into_iter().map(|socket| (Place::Balancer(place.clone()), socket)));
        }
        let (places, fds) = sockets.into_iter().unzip();
        let estate = Estate {
            pid: std::process::id(),
            workers: former.workers,
            servers: former.servers.into_iter().map(Into::into).collect(),
            sockets: places,
            made: [self.run.made().to_vec(), self.state.made().to_vec()],
        };
        Ok((estate, fds))
    }
}

/// The next process, as long as it is not ready.
struct Started {
    process: Child,
    stream: UnixStream,
    /// What it wrote on its standard error, once it is closed.
    words: Receiver<Vec<u8>>,
}

impl Started {
    /// It has our standard error now; what it wrote before is a part of the log too.
    fn forward(&self) {
        if let Ok(words) = self.words.recv_timeout(LAST_WORDS) {
            let _ = io::stderr().write_all(&words);
        }
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Ends it, and says why it did not go on.
    fn end(&mut self, error: &io::Error) -> Refusal {
        // One that has ended says more about it than the connection.
        let until = Instant::now() + LAST_WORDS;
        let mut status = self.process.try_wait().ok().flatten();
        while status.is_none() && error.kind() != io::ErrorKind::WouldBlock && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
            status = self.process.try_wait().ok().flatten();
        }
        self.kill();
        let words = self.words.recv_timeout(LAST_WORDS).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        let what = match status {
            Some(status) => format!("it ended ({status})"),
            None if error.kind() == io::ErrorKind::WouldBlock => {
                format!("it was not ready within {} s", PATIENCE.as_secs())
            }
            None => error.to_string(),
        };
        let words = words.trim();
        let (colon, words) = if words.is_empty() { ("", "") } else { (":\n", words) };
        Refusal::Failed(format!(
            "the new process did not take over, process {} goes on: {what}{colon}{words}",
            std::process::id()
        ))
    }
}
