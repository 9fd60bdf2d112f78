//! TLS with clients.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use relevo_lb::{ApplyError, Engine, Settings, StartError};
use relevo_model::cluster::{TlsVersion, Verify};

use crate::rig::{Client, LONG, Origin, Rig, cluster, service, wait_until};
use crate::tls_rig::{Authority, curl, greet, s_client, server_tls, with_tls};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn a_browser_is_answered_and_servers_learn_that_it_came_by_https() {
    let authority = Authority::new();
    let chain = authority.issue("shop.pem", &["shop.example.org"]);
    let origin = Origin::mirror();
    let rig = Rig::start(with_tls(service(&[origin.at]), server_tls(&[&chain])));
    for options in [&[][..], &["--tls-max", "1.2"], &["--http1.0"]] {
        let forged = ["-H", "X-Forwarded-Proto: http"];
        let said = curl(&authority.file, "shop.example.org", rig.at, "/x", &[options, &forged].concat());
        assert!(said.good, "{said:?}");
        let protos: Vec<&str> =
            said.out.lines().filter(|line| line.starts_with("X-Forwarded-Proto")).collect();
        assert_eq!(protos, ["X-Forwarded-Proto: https"], "{said:?}");
    }
    // Several requests on one connection.
    let url = format!("https://shop.example.org:{}/y", rig.at.port());
    let said = curl(&authority.file, "shop.example.org", rig.at, "/x", &[&url, &url]);
    assert_eq!(said.out.matches("GET /").count(), 3);
}

#[test]
fn http2_is_agreed_on_where_both_speak_it() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["a.org"]);
    let origin = Origin::mirror();
    let mut front = with_tls(service(&[origin.at]), server_tls(&[&chain]));
    let ask = |rig: &Rig, options: &[&str]| {
        let options = [&["-w", "\nHTTP/%{http_version}"][..], options].concat();
        curl(&authority.file, "a.org", rig.at, "/", &options).out
    };
    let rig = Rig::start(front.clone());
    let said = ask(&rig, &[]);
    assert!(said.ends_with("HTTP/2") && said.contains("X-Forwarded-Proto: https"), "{said}");
    assert!(ask(&rig, &["--http1.1"]).ends_with("HTTP/1.1"));
    front.protocols = vec![relevo_model::cluster::Protocol::Http1];
    assert!(ask(&Rig::start(front), &[]).ends_with("HTTP/1.1"));
}

#[test]
fn large_bodies_go_both_ways_unchanged() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["a.org"]);
    let origin = Origin::answering(|request| {
        [
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len()).as_bytes(),
            &request.body,
        ]
        .concat()
    });
    let rig = Rig::start(with_tls(service(&[origin.at]), server_tls(&[&chain])));
    let body: Vec<u8> =
        (0..5_000_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (sent, got) = (authority.folder.write("sent", &body), authority.folder.0.join("got"));
    for version in ["1.2", "1.3"] {
        let data = format!("@{}", sent.display());
        let options =
            ["--tls-max", version, "-H", "Expect:", "--data-binary", &data, "-o", got.to_str().unwrap()];
        let said = curl(&authority.file, "a.org", rig.at, "/", &options);
        assert!(said.good, "{said:?}");
        assert!(fs::read(&got).unwrap() == body, "TLS {version}: the body has changed");
    }
}

#[test]
fn the_name_chooses_the_certificate() {
    let authority = Authority::new();
    let pem = |name: &str, names: &[&str]| authority.issue(name, names);
    let (first, wild) = (pem("1.pem", &["first.org"]), pem("2.pem", &["*.example.org"]));
    let exact = pem("3.pem", &["shop.example.org"]);
    let origin = Origin::named("a");
    let mut tls = server_tls(&[&first, &wild, &exact]);
    let rig = Rig::start(with_tls(service(&[origin.at]), tls.clone()));
    let subject = |rig: &Rig, options: &[&str]| {
        let said = s_client(rig.at, options, None);
        said.out.lines().find(|line| line.starts_with("subject=")).unwrap_or("none").to_owned()
    };
    assert_eq!(subject(&rig, &["-servername", "shop.example.org"]), "subject=CN = shop.example.org");
    assert_eq!(subject(&rig, &["-servername", "WWW.example.org"]), "subject=CN = *.example.org");
    assert_eq!(subject(&rig, &["-servername", "nobody.net"]), "subject=CN = first.org");
    assert_eq!(subject(&rig, &["-noservername"]), "subject=CN = first.org");
    tls.strict_sni = true;
    let strict = Rig::start(with_tls(service(&[origin.at]), tls));
    assert_eq!(subject(&strict, &["-servername", "shop.example.org"]), "subject=CN = shop.example.org");
    assert_eq!(subject(&strict, &["-servername", "nobody.net"]), "none");
    wait_until("the refusal is counted", || {
        strict.engine.snapshot().services[0].figures.handshakes_failed == 1
    });
}

#[test]
fn old_versions_are_refused_where_they_are_not_wanted() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["a.org"]);
    let origin = Origin::named("a");
    let mut tls = server_tls(&[&chain]);
    tls.min_version = TlsVersion::V13;
    let rig = Rig::start(with_tls(service(&[origin.at]), tls));
    assert!(!curl(&authority.file, "a.org", rig.at, "/", &["--tls-max", "1.2"]).good);
    assert_eq!(curl(&authority.file, "a.org", rig.at, "/", &[]).out, "a");
}

#[test]
fn sessions_go_on_even_after_certificates_were_read_anew() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["a.org"]);
    let origin = Origin::named("a");
    let front = with_tls(service(&[origin.at]), server_tls(&[&chain]));
    let cluster = cluster([front]);
    let engine = Engine::start(Settings { workers: 2, ..Settings::default() }, &cluster).unwrap();
    let at = crate::rig::v4(engine.snapshot().services[0].listen[0]);
    for version in ["-tls1_3", "-tls1_2"] {
        let session = authority.folder.0.join(version);
        let session = session.to_str().unwrap();
        let said = s_client(at, &[version, "-sess_out", session], Some(GET));
        assert!(said.out.contains("New, TLSv1"), "{said:?}");
        engine.apply(&cluster).unwrap();
        let said = s_client(at, &[version, "-sess_in", session], Some(GET));
        assert!(said.out.contains("Reused, TLSv1"), "{said:?}");
        assert!(said.out.ends_with("a") || said.out.contains("\r\n\r\na"), "{said:?}");
    }
    // Without tickets, from the memory of the balancer.
    let said = s_client(at, &["-tls1_2", "-no_ticket", "-reconnect"], None);
    assert!(said.out.contains("Reused, TLSv1.2"), "{said:?}");
}

#[test]
fn certificates_are_read_anew_without_a_break_and_their_ends_are_told() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["old.org"]);
    let origin = Origin::named("a");
    let cluster = cluster([with_tls(service(&[origin.at]), server_tls(&[&chain]))]);
    let engine = Engine::start(Settings { workers: 2, ..Settings::default() }, &cluster).unwrap();
    let at = crate::rig::v4(engine.snapshot().services[0].listen[0]);
    assert!(curl(&authority.file, "old.org", at, "/", &[]).good);
    authority.issue("a.pem", &["new.org"]);
    engine.apply(&cluster).unwrap();
    assert!(curl(&authority.file, "new.org", at, "/", &[]).good);
    assert!(!curl(&authority.file, "old.org", at, "/", &[]).good);
    let certificates = &engine.snapshot().services[0].certificates;
    assert_eq!((certificates[0].names[0].as_str(), &certificates[0].file), ("new.org", &chain));
    // As rcgen makes them.
    assert!(certificates[0].days_left() > 700_000, "{}", certificates[0].days_left());
    // A file that is broken changes nothing.
    authority.folder.write("a.pem", "nothing");
    assert!(matches!(engine.apply(&cluster), Err(ApplyError::ServiceTls { .. })));
    assert!(curl(&authority.file, "new.org", at, "/", &[]).good);
}

#[test]
fn clients_show_certificates_where_they_must() {
    let (authority, theirs) = (Authority::new(), Authority::new());
    let chain = authority.issue("a.pem", &["a.org"]);
    let good = theirs.issue("good.pem", &["client"]);
    let strange = authority.issue("strange.pem", &["client"]);
    let origin = Origin::named("a");
    let mut tls = server_tls(&[&chain]);
    tls.client_ca = Some(theirs.file.clone());
    for verify in [Verify::Required, Verify::Optional] {
        tls.client_verify = verify;
        let rig = Rig::start(with_tls(service(&[origin.at]), tls.clone()));
        for version in ["1.2", "1.3"] {
            let ask = |options: &[&str]| {
                let options = [&["--tls-max", version][..], options].concat();
                curl(&authority.file, "a.org", rig.at, "/", &options)
            };
            assert_eq!(ask(&[]).good, verify == Verify::Optional);
            assert_eq!(ask(&["--cert", good.to_str().unwrap()]).out, "a");
            assert!(!ask(&["--cert", strange.to_str().unwrap()]).good);
        }
    }
    tls.client_ca = None;
    let refused = Engine::start(Settings::default(), &cluster([with_tls(service(&[origin.at]), tls)]));
    assert!(matches!(refused, Err(StartError::Apply(ApplyError::ServiceTls { .. }))));
}

#[test]
fn a_stapled_answer_is_given() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["a.org"]);
    let file = |name: &str| authority.folder.0.join(name).to_str().unwrap().to_owned();
    authority.folder.write("index", "");
    let openssl = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let (ca, key, request) = (file("ca.crt"), file("ca.key"), file("request"));
    openssl(&["ocsp", "-issuer", &ca, "-cert", chain.to_str().unwrap(), "-reqout", &request]);
    let (index, answer) = (file("index"), file("a.pem.ocsp"));
    openssl(&[
        "ocsp", "-index", &index, "-CA", &ca, "-rsigner", &ca, "-rkey", &key, "-reqin", &request, "-respout",
        &answer, "-ndays", "1",
    ]);
    let origin = Origin::named("a");
    let mut tls = server_tls(&[&chain]);
    tls.ocsp = true;
    let rig = Rig::start(with_tls(service(&[origin.at]), tls));
    let said = s_client(rig.at, &["-status"], None);
    assert!(said.out.contains("OCSP Response Status: successful"), "{said:?}");
}

#[test]
fn plain_http_on_the_port_is_answered_with_400() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["a.org"]);
    let origin = Origin::named("a");
    let rig = Rig::start(with_tls(service(&[origin.at]), server_tls(&[&chain])));
    let answer = rig.get("/");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("HTTPS"), "{}", answer.body);
}

#[test]
fn slow_and_senseless_greetings_are_cut() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["a.org"]);
    let origin = Origin::named("a");
    let mut front = with_tls(service(&[origin.at]), server_tls(&[&chain]));
    front.timeouts.request = Duration::from_millis(200);
    let rig = Rig::start(front);
    let mut streams = Vec::new();
    // Silence; a record that does not come to its end; records of all kinds full of nonsense.
    for start in [&[][..], &[0x16, 3, 1, 0x40, 0, 1], &[0x16, 3, 1, 0, 4, 1, 0, 0, 0], &[0x17, 3, 3, 0, 1, 0]]
    {
        let mut stream = TcpStream::connect(rig.at).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(start).unwrap();
        streams.push(stream);
    }
    for seed in 0..200u32 {
        let mut stream = TcpStream::connect(rig.at).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let noise: Vec<u8> =
            (0..300u32).map(|at| (seed.wrapping_mul(48_271).wrapping_add(at * 69_621) >> 7) as u8).collect();
        let _ =
            stream.write_all(&[&[0x16, 3, (seed % 4) as u8, 1, 39, (seed % 5) as u8][..], &noise].concat());
        streams.push(stream);
    }
    for mut stream in streams {
        // An alert at most.
        assert!(
            !matches!(stream.read_to_end(&mut Vec::new()), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        );
    }
    assert_eq!(curl(&authority.file, "a.org", rig.at, "/", &[]).out, "a");
}

/// RFC 8446 section 6.2: the client is told, and its connection ends; others go on.
#[test]
fn a_broken_record_in_the_middle_ends_the_connection_only() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["a.org"]);
    let origin = Origin::named("a");
    let rig = Rig::start(with_tls(service(&[origin.at]), server_tls(&[&chain])));
    let mut other = greet(&authority, rig.at, &[]);
    for place in [5, 40, usize::MAX] {
        let mut client = greet(&authority, rig.at, &[]);
        client.conn.writer().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut record = Vec::new();
        client.conn.write_tls(&mut record).unwrap();
        let place = place.min(record.len() - 1);
        record[place] ^= 1;
        client.sock.write_all(&record).unwrap();
        let error = client.read(&mut [0; 100]).unwrap_err();
        assert!(error.to_string().contains("BadRecordMac"), "{error}");
        assert!(matches!(client.sock.read(&mut [0]), Ok(0) | Err(_)), "it goes on");
    }
    other.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_ne!(other.read(&mut [0; 100]).unwrap(), 0);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let authority = Authority::new();
    let (a, b) = (authority.issue("a.pem", &["a.org"]), authority.issue("b.pem", &["b.org"]));
    let (a, b) = (fs::read_to_string(a).unwrap(), fs::read_to_string(b).unwrap());
    let key_at = |text: &str| text.find("-----BEGIN PRIVATE KEY").unwrap();
    let cases = [
        ("nothing.pem", None, "cannot read"),
        ("text.pem", Some("hello".to_owned()), "there is no certificate in"),
        ("broken.pem", Some(a[..200].to_owned()), "is not a PEM file"),
        ("keyless.pem", Some(a[..key_at(&a)].to_owned()), "there is no private key in"),
        (
            "mixed.pem",
            Some(a[..key_at(&a)].to_owned() + &b[key_at(&b)..]),
            "is not the one of the first certificate",
        ),
    ];
    for (name, text, wanted) in cases {
        let path = authority.folder.0.join(name);
        if let Some(text) = text {
            authority.folder.write(name, text);
        }
        let front = with_tls(service(&[]), server_tls(&[&path]));
        let error = Engine::start(Settings::default(), &cluster([front])).unwrap_err();
        let mut words = error.to_string();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(next) = cause {
            words += &format!(": {next}");
            cause = next.source();
        }
        assert!(words.contains(wanted) && words.contains(path.to_str().unwrap()), "{words}");
    }
    // A folder stands for all that is in it.
    let folder = authority.folder.0.join("all");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.pem"), a).unwrap();
    fs::write(folder.join("b.pem"), b).unwrap();
    let origin = Origin::named("x");
    let rig = Rig::start(with_tls(service(&[origin.at]), server_tls(&[&folder])));
    for name in ["a.org", "b.org"] {
        assert_eq!(curl(&authority.file, name, rig.at, "/", &[]).out, "x");
    }
}

#[test]
fn mode_tcp_terminates_too() {
    let authority = Authority::new();
    let chain = authority.issue("a.pem", &["a.org"]);
    let origin = Origin::named("x");
    let mut front = with_tls(service(&[origin.at]), server_tls(&[&chain]));
    front.mode = relevo_model::cluster::Mode::Tcp;
    let rig = Rig::start(front);
    assert_eq!(curl(&authority.file, "a.org", rig.at, "/", &[]).out, "x");
    let mut plain = Client::connect(origin.at);
    assert_eq!(plain.get("/").unwrap().body, "x");
}
