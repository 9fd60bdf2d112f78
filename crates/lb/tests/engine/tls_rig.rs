//! Certificates made for a test, and the programs that users have: curl and openssl.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use relevo_model::cluster::{Certificate, Listen, ServerTls, TlsVersion, Verify};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::rig::{Front, LONG};

/// A folder that is gone with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tls-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) folder: Folder,
    /// Its own certificate.
    pub(crate) file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = Folder::new();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let file = folder.write("ca.crt", params.self_signed(&key).unwrap().pem());
        folder.write("ca.key", key.serialize_pem());
        Self { folder, file, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key in one file, as HAProxy wants it. The common name is the first name.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> PathBuf {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0].as_str());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.folder.write(file, certificate.pem() + &key.serialize_pem())
    }
}

/// What `tls` says when nothing but this is written.
pub(crate) fn server_tls(chains: &[&Path]) -> ServerTls {
    ServerTls {
        certificates: chains.iter().map(|chain| certificate(chain)).collect(),
        acme: None,
        strict_sni: false,
        min_version: TlsVersion::V12,
        client_ca: None,
        client_verify: Verify::None,
        ocsp: false,
    }
}

pub(crate) fn certificate(chain: &Path) -> Certificate {
    Certificate { chain: chain.to_owned(), key: None }
}

/// The service over TLS.
pub(crate) fn with_tls(mut front: Front, tls: ServerTls) -> Front {
    let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    front.listen = vec![Listen { tls: true, ..Listen::plain(at.into()) }];
    front.service.tls = Some(tls);
    front
}

/// A client's connection.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A client that knows the authority and has said these protocols (ALPN), and whose handshake with `a.org` is done.
pub(crate) fn greet(authority: &Authority, at: SocketAddrV4, protocols: &[&[u8]]) -> Tls {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut tls = StreamOwned::new(client_side(authority, protocols, rustls::DEFAULT_VERSIONS), stream);
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock).unwrap();
    }
    tls
}

/// The same client before it has said anything.
pub(crate) fn client_side(
    authority: &Authority,
    protocols: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&authority.file).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    ClientConnection::new(Arc::new(config), ServerName::try_from("a.org").unwrap()).unwrap()
}

/// What a program has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) good: bool,
    pub(crate) out: String,
    #[allow(dead_code, reason = "shown when a test fails")]
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            good: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// `curl https://NAME:PORT/PATH` with the name led to the loopback.
pub(crate) fn curl(ca: &Path, name: &str, at: SocketAddrV4, path: &str, options: &[&str]) -> Said {
    let port = at.port();
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--resolve",
            &format!("{name}:{port}:{}", at.ip()),
        ])
        .arg("--cacert")
        .arg(ca)
        .args(options)
        .arg(format!("https://{name}:{port}{path}"))
        .output();
    output.unwrap().into()
}

/// `openssl s_client`, with a request on its standard input if there is one.
pub(crate) fn s_client(at: SocketAddrV4, options: &[&str], request: Option<&str>) -> Said {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &at.to_string()]).args(options);
    if request.is_some() {
        command.arg("-ign_eof");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    {
        use std::io::Write as _;
        let mut input = child.stdin.take().unwrap();
        let _ = input.write_all(request.unwrap_or_default().as_bytes());
    }
    child.wait_with_output().unwrap().into()
}
