//! Certificates from a real authority's test server: Debian's `pebble`, with the name server that comes with it.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use rcgen::{CertificateParams, KeyPair};

use crate::harness::{Folder, Node, finish, free_port, until};

/// An authority that asks at these ports.
struct Pebble {
    folder: Folder,
    port: u16,
    management: u16,
    children: [Child; 2],
}

impl Pebble {
    fn start(http: u16, tls: u16) -> Self {
        let folder = Folder::new();
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let own = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let certificate = folder.write("own.crt", own.pem());
        let key = folder.write("own.key", key.serialize_pem());
        let [port, management, dns, dns_management] = [(); 4].map(|()| free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": certificate, "privateKey": key, "httpPort": http, "tlsPort": tls,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        let config = folder.write("pebble.json", config.to_string());
        let start = |command: &mut Command| {
            let log = std::fs::File::options().create(true).append(true).open(folder.path("log")).unwrap();
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
        };
        let at = |port: u16| format!("127.0.0.1:{port}");
        let names = start(
            Command::new("pebble-challtestsrv")
                .args(["-dns01", &at(dns), "-management", &at(dns_management)])
                .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]),
        );
        let authority = start(
            Command::new("pebble")
                .args(["-dnsserver", &at(dns), "-config"])
                .arg(config)
                .env("PEBBLE_VA_NOSLEEP", "1"),
        );
        let pebble = Self { folder, port, management, children: [names, authority] };
        until("pebble listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        pebble
    }

    /// The certificate that everything it gives hangs on.
    fn root(&self) -> std::path::PathBuf {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--cacert"]).arg(self.folder.path("own.crt"));
        command.arg(format!("https://127.0.0.1:{}/roots/0", self.management));
        let ran = finish(command);
        assert_eq!(ran.code, 0, "{ran:?}");
        self.folder.write("root.pem", ran.out)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path("log")).unwrap_or_default()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn cluster(pebble: &Pebble, challenge: &str, http: u16, tls: u16) -> String {
    let (directory, ca) = (pebble.port, pebble.folder.path("own.crt"));
    format!(
        r#"name = "acme"
[network.lan]
subnet = "192.168.99.0/24"
[node.lb1]
roles = ["director"]
address.lan = "192.168.99.1"
[acme.pebble]
directory = "https://localhost:{directory}/dir"
contact = ["admin@example.org"]
challenge = "{challenge}"
ca = "{}"
[service.shop]
listen = ["127.0.0.1:{http}", {{ at = "127.0.0.1:{tls}", tls = true }}]
mode = "http"
tls = {{ acme = "pebble", names = ["shop.example.org", "www.example.org"] }}
check = "none"
[service.shop.server.a]
at = "127.0.0.1:1"
"#,
        ca.display()
    )
}

/// 503 over TLS: there is no server behind it, but the certificate is good.
fn is_served(root: &Path, name: &str, port: u16) -> bool {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--max-time",
        "5",
        "-o",
        "-",
        "-w",
        "%{http_code}",
        "--cacert",
    ]);
    command.arg(root).args(["--resolve", &format!("{name}:{port}:127.0.0.1")]);
    command.arg(format!("https://{name}:{port}/"));
    let ran = finish(command);
    ran.code == 0 && ran.out.ends_with("503")
}

fn is_ordered_once_and_kept(challenge: &str) {
    let (http, tls) = (free_port(), free_port());
    let pebble = Pebble::start(http, tls);
    let mut node = Node::of(&cluster(&pebble, challenge, http, tls));
    node.start();
    until("the certificate is here", || {
        assert!(!node.log().contains("no certificate, next try"), "{}\n{}", node.log(), pebble.log());
        node.log().contains("the certificate is here")
    });
    let root = pebble.root();
    for name in ["shop.example.org", "www.example.org"] {
        assert!(is_served(&root, name, tls), "{name}: {}", node.log());
    }
    node.signal(Signal::SIGTERM);
    assert_eq!(node.ended(), Some(0));
    node.start();
    until("the certificate of the former run is shown", || is_served(&root, "shop.example.org", tls));
    assert_eq!(node.log().matches("ordering a certificate").count(), 1, "{}", node.log());
}

pub(crate) fn http_01() {
    is_ordered_once_and_kept("http-01");
}

pub(crate) fn tls_alpn_01() {
    is_ordered_once_and_kept("tls-alpn-01");
}
