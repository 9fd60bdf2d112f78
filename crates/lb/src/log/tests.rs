//! Lines as HAProxy writes them, and where they go: real files, pipes and sockets.

use std::io::Read;
use std::net::UdpSocket;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use relevo_model::cluster::{LogFormat, LogTarget};

use super::date::Dates;
use super::*;

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("relevo-access-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The example of HAProxy's manual, section 8.2.3.
fn request<'a>(names: &'a [String], captured: &'a [u8], line: &'a [u8]) -> Record<'a> {
    Record {
        client: "10.0.1.2:33317".parse().unwrap(),
        accepted: 1_233_918_854_655,
        service: "http-in",
        tls: false,
        pool: "static",
        answerer: Answerer::Server("srv1"),
        rule: None,
        timers: Timers {
            request: Some(10),
            queue: Some(0),
            connect: Some(30),
            response: Some(69),
            total: 109,
        },
        sent: 2750,
        received: 321,
        termination: Termination::DONE,
        persistence: Persistence::default(),
        load: Load { process: 1, frontend: 1, backend: 1, server: 1, server_queue: 0, backend_queue: 0 },
        retries: 0,
        redispatched: false,
        http: Some(HttpPart { line, status: Some(200), names, captured: Captured::new(captured) }),
    }
}

fn haproxy_line(record: &Record<'_>) -> String {
    let mut out = Vec::new();
    // 2009-02-06 11:14:14 UTC was 12:14:14 in Paris.
    haproxy::push(&mut out, &mut Dates::new(|_| 3600), record);
    String::from_utf8(out).unwrap()
}

fn json_line(record: &Record<'_>) -> String {
    let mut out = Vec::new();
    json::push(&mut out, record);
    String::from_utf8(out).unwrap()
}

#[test]
fn httplog_is_haproxys() {
    let names = ["Host".to_owned()];
    let mut captured = Vec::new();
    Captured::push(&mut captured, b"1wt.eu");
    let record = request(&names, &captured, b"GET /index.html HTTP/1.1");
    assert_eq!(
        haproxy_line(&record),
        "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} \"GET /index.html HTTP/1.1\"\n"
    );
}

#[test]
fn tcplog_is_haproxys() {
    let timers = Timers { queue: Some(0), connect: Some(0), total: 5007, ..Timers::default() };
    let record = Record {
        service: "fnt",
        pool: "bck",
        timers,
        sent: 212,
        load: Load { backend_queue: 0, ..request(&[], b"", b"").load },
        retries: 3,
        http: None,
        ..request(&[], b"", b"")
    };
    assert_eq!(
        haproxy_line(&record),
        "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] fnt bck/srv1 0/0/5007 212 -- 1/1/1/1/3 0/0\n"
    );
}

#[test]
fn what_did_not_happen_is_minus_one() {
    let record = Record {
        tls: true,
        pool: "http-in",
        answerer: Answerer::Nobody,
        timers: Timers { total: 5, ..Timers::default() },
        termination: Termination::new(Cause::Client, Phase::Request),
        redispatched: true,
        retries: 1,
        http: Some(HttpPart::default()),
        ..request(&[], b"", b"")
    };
    assert_eq!(
        haproxy_line(&record),
        "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in~ http-in/<NOSRV> -1/-1/-1/-1/5 -1 2750 - - CR-- 1/1/1/1/+1 0/0 \"<BADREQ>\"\n"
    );
    assert!(record.is_error());
}

#[test]
fn a_client_cannot_forge_a_line_or_a_field() {
    let names = ["User-Agent".to_owned(), "X-None".to_owned()];
    let mut captured = Vec::new();
    Captured::push(&mut captured, b"evil} \"GET / HTTP/1.1\"\n10.0.0.1:1 {|");
    let record = request(&names, &captured, b"GET /a\"b#c\x01\xc3\xa9 HTTP/1.1");
    let line = haproxy_line(&record);
    assert_eq!(line.matches('\n').count(), 1);
    assert!(
        line.ends_with(
            "{evil#7D #22GET / HTTP/1.1#22#0A10.0.0.1:1 #7B#7C|} \"GET /a#22b#23c#01#C3#A9 HTTP/1.1\"\n"
        ),
        "{line}"
    );
    let long = vec![b'a'; 9000];
    assert!(haproxy_line(&request(&[], b"", &long)).len() < 1300);
}

#[test]
fn json_has_names_and_words() {
    let names = ["Host".to_owned()];
    let mut captured = Vec::new();
    Captured::push(&mut captured, b"a\"b");
    let mut record = request(&names, &captured, b"GET /index.html?a=1 HTTP/1.1");
    record.termination = Termination::new(Cause::Server, Phase::Head);
    assert_eq!(
        json_line(&record),
        concat!(
            r#"{"time":"2009-02-06T11:14:14.655Z","client":"10.0.1.2:33317","service":"http-in","tls":false,"pool":"static","server":"srv1","#,
            r#""method":"GET","uri":"/index.html?a=1","protocol":"HTTP/1.1","status":200,"headers":{"Host":"a\"b"},"bytes_in":321,"bytes_out":2750,"#,
            r#""ms":{"request":10,"queue":0,"connect":30,"response":69,"total":109},"ended":"server closed before answering","code":"SH--","#,
            r#""retries":0,"redispatched":false,"connections":{"process":1,"service":1,"pool":1,"server":1,"server_queue":0,"pool_queue":0}}"#,
            "\n"
        )
    );
    // A line of HTTP/0.9 or garbage, and none.
    for line in [&b"GET"[..], b"GET ", b"GET /", b"", b"\xff\xfe  "] {
        assert!(json_line(&request(&[], b"", line)).ends_with("}}\n"));
    }
}

#[test]
fn a_file_is_appended_to_and_opened_again() {
    let folder = Folder::new("file");
    let (path, old) = (folder.join("access.log"), folder.join("access.log.1"));
    std::fs::write(&path, "before\n").unwrap();
    let log = AccessLog::start(&LogTarget::File(path.clone())).unwrap();
    let mut journal = log.journal(LogFormat::Haproxy).unwrap();
    journal.write(&request(&[], b"", b"GET /first HTTP/1.1"));
    journal.hand_over();
    wait_until("the first line is there", || std::fs::read_to_string(&path).unwrap().contains("/first"));
    // As logrotate does it.
    std::fs::rename(&path, &old).unwrap();
    log.reopen();
    wait_until("there is a new file", || path.exists());
    journal.write(&request(&[], b"", b"GET /second HTTP/1.1"));
    drop(journal);
    drop(log);
    let (old, new) = (std::fs::read_to_string(&old).unwrap(), std::fs::read_to_string(&path).unwrap());
    assert!(old.starts_with("before\n") && old.contains("/first") && !old.contains("/second"), "{old}");
    assert!(new.contains("/second") && new.lines().count() == 1, "{new}");
}

#[test]
fn a_folder_that_is_not_there_is_told() {
    let folder = Folder::new("missing");
    let error = AccessLog::start(&LogTarget::File(folder.join("no/access.log"))).unwrap_err().to_string();
    assert!(error.contains("missing/no is not there"), "{error}");
}

#[test]
fn syslog_gets_one_datagram_for_each_line() {
    let folder = Folder::new("syslog");
    let path = folder.join("log");
    let daemon = UnixDatagram::bind(&path).unwrap();
    daemon.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let log = AccessLog::start(&LogTarget::Syslog(path.clone())).unwrap();
    let mut journal = log.journal(LogFormat::Haproxy).unwrap();
    let receive = |daemon: &UnixDatagram| {
        let mut buffer = [0; 4096];
        let count = daemon.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    };
    for _ in 0..2 {
        journal.write(&request(&[], b"", b"GET / HTTP/1.1"));
    }
    journal.hand_over();
    for _ in 0..2 {
        let line = receive(&daemon);
        // `<134>Nov 21 08:29:20 relevo[1]: 10.0.1.2:33317 [...`
        let (stamp, rest) = line.strip_prefix("<134>").unwrap().split_at(15);
        assert_eq!(stamp.as_bytes()[3], b' ', "{stamp}");
        assert_eq!(stamp.matches(':').count(), 2, "{stamp}");
        assert!(rest.starts_with(&format!(" relevo[{}]: 10.0.1.2:33317 [", std::process::id())), "{rest}");
        assert!(rest.ends_with("\"GET / HTTP/1.1\""), "{rest}");
    }
    // The daemon is started anew: at once, ...
    drop(daemon);
    std::fs::remove_file(&path).unwrap();
    let daemon = UnixDatagram::bind(&path).unwrap();
    daemon.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    journal.write(&request(&[], b"", b"GET /new HTTP/1.1"));
    journal.hand_over();
    assert!(receive(&daemon).ends_with("\"GET /new HTTP/1.1\""));
    assert_eq!(log.lost(), 0);
    // ... and later.
    drop(daemon);
    std::fs::remove_file(&path).unwrap();
    journal.write(&request(&[], b"", b"GET / HTTP/1.1"));
    journal.hand_over();
    wait_until("a line is lost while nobody is there", || log.lost() == 1);
    let daemon = UnixDatagram::bind(&path).unwrap();
    daemon.set_nonblocking(true).unwrap();
    wait_until("the new one gets lines", || {
        journal.write(&request(&[], b"", b"GET /again HTTP/1.1"));
        journal.hand_over();
        daemon.recv(&mut [0; 4096]).is_ok()
    });
}

#[test]
fn syslog_by_udp_has_the_host() {
    let daemon = UdpSocket::bind("127.0.0.1:0").unwrap();
    daemon.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let std::net::SocketAddr::V4(at) = daemon.local_addr().unwrap() else { panic!("not IPv4") };
    let log = AccessLog::start(&LogTarget::SyslogUdp(at)).unwrap();
    let mut journal = log.journal(LogFormat::Json).unwrap();
    journal.write(&request(&[], b"", b"GET / HTTP/1.1"));
    drop(journal);
    let mut buffer = [0; 4096];
    let count = daemon.recv(&mut buffer).unwrap();
    let line = String::from_utf8(buffer[..count].to_vec()).unwrap();
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert!(line.contains(&format!(" {host} relevo[")), "{line}");
    assert!(line.ends_with("}}"), "{line}");
}

#[test]
fn a_writer_that_is_stuck_holds_up_nobody_and_loses_are_counted() {
    let folder = Folder::new("stuck");
    let path = folder.join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
    // Opening a pipe for writing waits for a reader; both ends at once do not.
    let mut reader = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let log = AccessLog::start(&LogTarget::File(path)).unwrap();
    let mut journal = log.journal(LogFormat::Haproxy).unwrap();
    let record = request(&[], b"", b"GET / HTTP/1.1");
    let mut written = 0_u64;
    wait_until("lines are dropped", || {
        for _ in 0..1000 {
            journal.write(&record);
        }
        written += 1000;
        log.lost() > 0
    });
    // What was not dropped comes whole when the reader wakes up.
    drop(journal);
    let expected = written - log.lost();
    let counting = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        let mut lines = 0;
        while lines < expected {
            let count = reader.read(&mut buffer).unwrap();
            lines += buffer[..count].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        lines
    });
    assert_eq!(counting.join().unwrap(), expected);
}

#[test]
fn the_target_can_be_changed_and_a_wrong_one_changes_nothing() {
    let folder = Folder::new("change");
    let (one, two) = (folder.join("one"), folder.join("two"));
    let log = AccessLog::start(&LogTarget::File(one.clone())).unwrap();
    let mut journal = log.journal(LogFormat::Haproxy).unwrap();
    assert!(log.change(&LogTarget::File(folder.join("no/two"))).is_err());
    journal.write(&request(&[], b"", b"GET /1 HTTP/1.1"));
    journal.hand_over();
    wait_until("the first target has it", || std::fs::read_to_string(&one).unwrap().contains("GET /1"));
    log.change(&LogTarget::File(two.clone())).unwrap();
    // The writer may have been on its way to the first one just now.
    wait_until("the second one gets lines", || {
        journal.write(&request(&[], b"", b"GET /after HTTP/1.1"));
        journal.hand_over();
        std::fs::read_to_string(&two).unwrap().contains("GET /after")
    });
    // A path that is no file.
    let socket = folder.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert!(log.change(&LogTarget::File(socket)).is_err());
}

#[test]
fn the_writer_does_not_take_the_cpu_from_a_worker() {
    let log = AccessLog::start(&LogTarget::None).unwrap();
    // proc_pid_stat(5): field 41 is the policy, 3 is SCHED_BATCH; the name, field 2, ends with the last parenthesis.
    let policies = || -> Vec<String> {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        let writers = stats.filter(|stat| stat.contains("(access)"));
        writers.filter_map(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(38).map(str::to_owned)).collect()
    };
    wait_until("the writer is of SCHED_BATCH", || {
        let policies = policies();
        !policies.is_empty() && policies.iter().all(|policy| policy == "3")
    });
    drop(log);
}
