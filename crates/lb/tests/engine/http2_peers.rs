//! Servers of HTTP/2 as people have them: nginx, Apache and nghttpd, with curl and h2load as clients of both versions.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use relevo_lb::Health;
use relevo_model::cluster::{CheckKind, ClientTls, HttpCheck, Protocol, Verify};

use crate::rig::{Rig, service, wait_until};
use crate::tls_rig::Authority;

/// A program in the foreground; it ends with this.
struct Program(Child);

impl Program {
    fn start(name: &str, args: &[&str], port: u16) -> Self {
        let mut child =
            Command::new(name).args(args).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        wait_until(name, || {
            assert!(child.try_wait().unwrap().is_none(), "{name} has ended");
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
        });
        Self(child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // So that it ends its own children, too.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn run(name: &str, args: &[&str]) -> String {
    let ran = Command::new(name).args(args).output().unwrap();
    assert!(ran.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// One server: what it serves at `/small` and `/large`, by clients of both versions, under load, and checked.
fn is_understood(what: &str, port: u16, tls: bool, protocols: &[Protocol]) {
    let mut front = service(&[SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)]);
    front.h2c = true;
    front.pool.protocols = protocols.to_vec();
    front.pool.check.kind = CheckKind::Http(HttpCheck::get("/small"));
    if tls {
        front.pool.tls = Some(ClientTls { verify: Verify::None, ca: None, name: None, certificate: None });
        front.pool.check.tls = true;
    }
    let rig = Rig::start(front);
    rig.wait_health(1, Health::Up);
    let url = format!("http://{}", rig.at);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let small = run("curl", &["-sS", version, "-w", " %{http_code}", &format!("{url}/small")]);
        assert_eq!(small, "small 200", "{what} {version}");
        let large = ["-sS", version, "-o", "/dev/null", "-w", "%{http_code} %{size_download}"];
        let large = run("curl", &[&large[..], &[&format!("{url}/large")]].concat());
        assert_eq!(large, "200 5000000", "{what} {version}");
        let missing = ["-sS", version, "-o", "/dev/null", "-w", "%{http_code}"];
        assert_eq!(run("curl", &[&missing[..], &[&format!("{url}/missing")]].concat()), "404", "{what}");
    }
    // These servers say GOAWAY again and again: no request may fail for it.
    for more in [&["-m", "20"][..], &["--h1"]] {
        let small = format!("{url}/small");
        let report = run("h2load", &[&["-n", "3000", "-c", "10"][..], more, &[&small]].concat());
        assert!(
            report.contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"),
            "{what} {more:?}: {report}"
        );
        assert!(report.contains("status codes: 3000 2xx"), "{what} {more:?}: {report}");
    }
    let snapshot = rig.engine.snapshot();
    assert_eq!(snapshot.services[0].errors, 0, "{what}");
}

/// Needs Debian's nginx, apache2, nghttp2-server, nghttp2-client and curl.
pub(crate) fn servers_are_understood() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["app.internal"]);
    let folder = &authority.folder;
    let root = folder.0.join("root");
    std::fs::create_dir(&root).unwrap();
    // The servers' own users must read them.
    use std::os::unix::fs::PermissionsExt as _;
    for path in [&folder.0, &root] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::write(root.join("small"), "small").unwrap();
    std::fs::write(root.join("large"), vec![b'x'; 5_000_000]).unwrap();
    let (root, chain) = (root.to_str().unwrap(), chain.to_str().unwrap());

    let [clear, secure] = [port(), port()];
    let text = format!(
        "daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log stderr crit; user root;
         events {{ worker_connections 1000; }}
         http {{ access_log off; keepalive_requests 100; default_type text/plain;
           client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
           uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
           ssl_certificate {chain}; ssl_certificate_key {chain};
           server {{ listen 127.0.0.1:{clear} http2; root {root}; }}
           server {{ listen 127.0.0.1:{secure} ssl http2; root {root}; }} }}",
        dir = folder.0.display()
    );
    let file = folder.write("nginx.conf", text);
    let nginx = Program::start("nginx", &["-c", file.to_str().unwrap()], clear);
    is_understood("nginx in clear", clear, false, &[Protocol::H2]);
    is_understood("nginx by TLS", secure, true, &[Protocol::H2, Protocol::Http1]);
    is_understood("nginx by TLS, HTTP/2 alone", secure, true, &[Protocol::H2]);
    drop(nginx);

    let clear = port();
    let modules = Path::new("/usr/lib/apache2/modules");
    let load = |name: &str| format!("LoadModule {name}_module {}/mod_{name}.so\n", modules.display());
    let text = format!(
        "{}{}{}ServerName app.internal\nServerRoot {dir}\nPidFile {dir}/apache.pid\nErrorLog {dir}/apache.log\n\
         Listen 127.0.0.1:{clear}\nProtocols h2c http/1.1\nDocumentRoot {root}\n\
         KeepAliveTimeout 1\nUser www-data\nGroup www-data\n\
         <Directory {root}>\nRequire all granted\n</Directory>\n",
        load("mpm_event"),
        load("authz_core"),
        load("http2"),
        dir = folder.0.display()
    );
    let file = folder.write("apache.conf", text);
    let apache = Program::start("apache2", &["-X", "-f", file.to_str().unwrap()], clear);
    is_understood("Apache in clear", clear, false, &[Protocol::H2]);
    drop(apache);

    let [clear, secure] = [port(), port()];
    let at = ["-a", "127.0.0.1", "-d", root, "--trailer=x-end: 1"];
    let nghttpd = Program::start("nghttpd", &[&at[..], &["--no-tls", &clear.to_string()]].concat(), clear);
    is_understood("nghttpd in clear", clear, false, &[Protocol::H2]);
    drop(nghttpd);
    let nghttpd =
        Program::start("nghttpd", &[&at[..], &[&secure.to_string(), chain, chain]].concat(), secure);
    is_understood("nghttpd by TLS", secure, true, &[Protocol::H2, Protocol::Http1]);
    drop(nghttpd);
}
