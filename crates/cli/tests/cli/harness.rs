//! Runs the binary, in folders that go away, with nodes that are killed at the end.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use relevo_api::client::Client;
use socket2::{Domain, Socket, Type};

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The exit code and words that must be in what was printed on stderr.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing: {self:?}");
        }
        assert_eq!(self.out, "", "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) const RELEVO: &str = env!("CARGO_BIN_EXE_relevo");

/// The binary without what the caller's environment may say.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for name in ["RELEVO_RUN_DIR", "RELEVO_STATE_DIR", "RELEVO_LOG"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end; one that does not end is killed and is a failure.
pub(crate) fn finish(mut command: Command) -> Ran {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = kill(pid, Signal::SIGKILL);
        panic!("{command:?} did not end within {PATIENCE:?}: {:?}", receiver.recv());
    });
    let output = output.unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn relevo<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    let mut command = command(Path::new(RELEVO));
    command.args(args);
    finish(command)
}

/// A folder that goes away.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let name = format!("relevo-cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            match std::fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // One that was killed had the same number, and has left it.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port that is free for who asks for it, on every address, and that the kernel gives to nobody else as long as this process
/// lives: it is taken here by a socket that does not listen, beside which others may (`SO_REUSEADDR`, socket(7)).
pub(crate) fn free_port() -> u16 {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()).unwrap();
    let at = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    at.port()
}

/// How files of one director begin that need no privileges: it is called `lb1`.
pub(crate) const LOOP: &str = r#"name = "loop"
[network.lan]
subnet = "192.168.99.0/24"
[node.lb1]
roles = ["director"]
address.lan = "192.168.99.1"
"#;

/// A cluster that needs no privileges: one director, services on the loopback interface, servers that are not there.
pub(crate) fn cluster(port: u16) -> String {
    format!(
        r#"{LOOP}[node.web1]
roles = ["server"]
address.lan = "192.168.99.21"
[service.web]
listen = "127.0.0.1:{port}"
mode = "http"
check = "none"
[service.web.server.a]
at = "127.0.0.1:1"
weight = 1
[service.web.server.b]
at = "127.0.0.1:2"
[service.shop]
listen = "127.0.0.2:{port}"
check = "none"
[service.shop.server.a]
at = "127.0.0.1:3"
"#
    )
}

/// A node of [`cluster`] with folders of its own; killed when dropped.
pub(crate) struct Node {
    pub(crate) folder: Folder,
    file: PathBuf,
    /// What is run.
    pub(crate) program: PathBuf,
    /// Seconds that requests in progress have.
    pub(crate) grace: u32,
    /// Threads of the balancer.
    pub(crate) workers: u32,
    child: Option<Child>,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::of(&cluster(free_port()))
    }

    /// A node of another text; it is called `lb1` too.
    pub(crate) fn of(text: &str) -> Self {
        let folder = Folder::new();
        let file = folder.write("cluster.toml", text);
        Self { folder, file, program: RELEVO.into(), grace: 1, workers: 1, child: None }
    }

    /// Started, and answering.
    pub(crate) fn running() -> Self {
        let mut node = Self::new();
        node.start();
        node
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.folder.path("run")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.folder.path("state")
    }

    /// The arguments that run it.
    pub(crate) fn arguments(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = ["node", "run", "--name", "lb1", "--workers"].map(PathBuf::from).into();
        all.push(self.workers.to_string().into());
        all.extend(["--grace".into(), self.grace.to_string().into(), "--file".into(), self.file.clone()]);
        all.extend(["--run-dir".into(), self.run_dir(), "--state-dir".into(), self.state_dir()]);
        all
    }

    pub(crate) fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path("log")).unwrap();
        let mut command = command(&self.program);
        let child = command.args(self.arguments()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let pid = child.id();
        self.child = Some(child);
        let client = Client::of(&self.run_dir());
        until("the node answers", || {
            assert!(self.child.as_mut().unwrap().try_wait().unwrap().is_none(), "it ended: {}", self.log());
            client.status().is_ok_and(|status| status.pid == pid)
        });
    }

    /// Gives it another file.
    pub(crate) fn rewrite(&self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
    }

    /// Changes its file.
    pub(crate) fn change(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.file).unwrap();
        assert!(text.contains(from), "{from:?} is not in {text}");
        std::fs::write(&self.file, text.replace(from, to)).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits until the process has ended; its exit code, `None` after a signal.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        let mut code = None;
        until("the node ends", || match child.try_wait().unwrap() {
            Some(status) => {
                code = status.code();
                true
            }
            None => false,
        });
        code
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path("log")).unwrap_or_default()
    }

    /// Asks it: `relevo ARGS --run-dir ITS`.
    pub(crate) fn ask(&self, args: &[&str]) -> Ran {
        let mut all: Vec<PathBuf> = args.iter().map(PathBuf::from).collect();
        all.extend(["--run-dir".into(), self.run_dir()]);
        relevo(all)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a condition.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
