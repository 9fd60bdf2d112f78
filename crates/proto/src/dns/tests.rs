//! What those who ask are told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;
use relevo_model::{ClusterFile, Time};

use super::*;

const FILE: &str = r#"
name = "shop"
network.lan.subnet = "10.1.0.0/24"
network.wan.subnet = "192.0.2.0/24"
node.lb1 = { roles = ["director"], address = { lan = "10.1.0.11", wan = "192.0.2.11" } }
node.lb2 = { roles = ["director"], address = { lan = "10.1.0.12", wan = "192.0.2.12" } }
node.Web1 = { roles = ["server"], address.lan = "10.1.0.21", mac.lan = "52:54:00:00:00:01" }
address.inside = { network = "lan", ip = "10.1.0.200" }
address.front = { network = "wan", ip = "192.0.2.200" }
dhcp.lan = { range = "10.1.0.50-10.1.0.99", host.printer = { mac = "52:54:00:12:34:56", ip = "10.1.0.9" } }

[service.shop]
listen = ["front:80"]
mode = "http"
servers = ["Web1:8080"]

[dns]
listen = "inside"
domain = "shop.internal"
forward = ["9.9.9.9"]
ttl = "30s"
[dns.records]
www = "front"
"@" = "front"
old = "www.shop.internal"
search = "www.example.org"
six = ["2001:db8::1", "10.1.0.77"]
"*.apps" = "inside"
many = ["10.2.0.1", "10.2.0.2", "10.2.0.3", "10.2.0.4", "10.2.0.5", "10.2.0.6", "10.2.0.7", "10.2.0.8", "10.2.0.9", "10.2.0.10", "10.2.0.11", "10.2.0.12", "10.2.0.13", "10.2.0.14", "10.2.0.15", "10.2.0.16", "10.2.0.17", "10.2.0.18", "10.2.0.19", "10.2.0.20", "10.2.0.21", "10.2.0.22", "10.2.0.23", "10.2.0.24", "10.2.0.25", "10.2.0.26", "10.2.0.27", "10.2.0.28", "10.2.0.29", "10.2.0.30", "10.2.0.31", "10.2.0.32"]
"#;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 60));

struct Laptop;

impl Leases for Laptop {
    fn address(&self, name: &str) -> Option<Ipv4Addr> {
        ["laptop", "web1"].contains(&name).then_some(Ipv4Addr::new(10, 1, 0, 60))
    }

    fn name(&self, ip: Ipv4Addr) -> Option<String> {
        (ip == Ipv4Addr::new(10, 1, 0, 60)).then(|| "laptop".to_owned())
    }
}

fn cluster() -> ClusterFile {
    let reading = relevo_model::read(FILE);
    reading.cluster.unwrap_or_else(|| panic!("{:#?}", reading.diagnostics))
}

fn desk() -> Desk {
    Desk::new(&cluster()).unwrap()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn question(text: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name(text), kind));
    message
}

fn answer(desk: &mut Desk, asked: &Message, datagram: bool) -> Message {
    let step = desk.ask(Time::ZERO, CLIENT, datagram, &asked.to_vec().unwrap(), &Laptop);
    let Step::Answer(bytes) = step else { panic!("{step:?}") };
    let message = Message::from_vec(&bytes).unwrap();
    assert_eq!((message.metadata.id, message.metadata.message_type), (7, MessageType::Response));
    message
}

/// The answers' data as text, or the code.
fn told(text: &str, kind: RecordType) -> String {
    let message = answer(&mut desk(), &question(text, kind), true);
    assert!(message.metadata.authoritative);
    let soa = message.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
    if message.answers.is_empty() {
        assert!(soa, "{text}");
        return if message.metadata.response_code == ResponseCode::NXDomain { "no name" } else { "no data" }
            .to_owned();
    }
    let data: Vec<String> = message.answers.iter().map(|record| record.data.to_string()).collect();
    data.join(" ")
}

#[test]
fn names_of_the_file_and_of_leases() {
    use RecordType::{A, AAAA, CNAME, NS, PTR, SOA, SRV};
    for (text, kind, wanted) in [
        ("web1.shop.internal.", A, "10.1.0.21"),
        ("WEB1.Shop.INTERNAL.", A, "10.1.0.21"),
        ("web1.shop.internal.", AAAA, "no data"),
        ("web1.", A, "10.1.0.21"),
        // The one on the asker's network, unless another is asked for.
        ("lb1.shop.internal.", A, "10.1.0.11"),
        ("lb1.wan.shop.internal.", A, "192.0.2.11"),
        ("wan.shop.internal.", A, "no name"),
        ("inside.shop.internal.", A, "10.1.0.200"),
        ("www.shop.internal.", A, "192.0.2.200"),
        ("shop.internal.", A, "192.0.2.200"),
        ("shop.internal.", NS, "inside.shop.internal."),
        ("shop.internal.", SOA, "inside.shop.internal. hostmaster.shop.internal. 1 3600 600 86400 30"),
        ("shop.shop.internal.", A, "192.0.2.200"),
        ("_http._tcp.shop.shop.internal.", SRV, "0 0 80 front.shop.internal."),
        ("_servers._tcp.shop.shop.internal.", SRV, "0 0 8080 web1.shop.internal."),
        ("_tcp.shop.shop.internal.", SRV, "no data"),
        ("printer.shop.internal.", A, "10.1.0.9"),
        ("laptop.shop.internal.", A, "10.1.0.60"),
        ("nobody.shop.internal.", A, "no name"),
        ("nobody.", A, "no name"),
        ("old.shop.internal.", A, "www.shop.internal. 192.0.2.200"),
        ("old.shop.internal.", CNAME, "www.shop.internal."),
        ("six.shop.internal.", AAAA, "2001:db8::1"),
        ("one.apps.shop.internal.", A, "10.1.0.200"),
        ("a.b.apps.shop.internal.", A, "10.1.0.200"),
        ("apps.shop.internal.", A, "no data"),
        ("21.0.1.10.in-addr.arpa.", PTR, "web1.shop.internal."),
        ("200.2.0.192.in-addr.arpa.", PTR, "front.shop.internal."),
        ("60.0.1.10.in-addr.arpa.", PTR, "laptop.shop.internal."),
        ("61.0.1.10.in-addr.arpa.", PTR, "no name"),
        ("21.0.1.10.in-addr.arpa.", A, "no data"),
    ] {
        if text == "wan.shop.internal." {
            // It has names below it.
            assert_eq!(told(text, kind), "no data");
            continue;
        }
        assert_eq!(told(text, kind), wanted, "{text} {kind}");
    }
}

#[test]
fn the_address_of_a_service_comes_along() {
    let message = answer(&mut desk(), &question("_http._tcp.shop.shop.internal.", RecordType::SRV), true);
    assert_eq!(message.additionals.len(), 1);
    assert_eq!(message.additionals[0].data, RData::A(A(Ipv4Addr::new(192, 0, 2, 200))));
    assert_eq!(message.answers[0].ttl, 30);
}

#[test]
fn what_does_not_fit_is_cut_and_comes_whole_by_tcp() {
    let asked = question("many.shop.internal.", RecordType::A);
    let cut = answer(&mut desk(), &asked, true);
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let whole = answer(&mut desk(), &asked, false);
    assert_eq!((whole.metadata.truncation, whole.answers.len()), (false, 32));
    let mut asked = asked;
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    asked.set_edns(edns);
    let large = answer(&mut desk(), &asked, true);
    assert_eq!((large.metadata.truncation, large.answers.len()), (false, 32));
    assert_eq!(large.edns.unwrap().max_payload(), MOST_UDP);
}

fn forwarded(step: Step) -> Forward {
    let Step::Forward(forward) = step else { panic!("{step:?}") };
    *forward
}

fn from_upstream(forward: &Forward, ttl: u32) -> Message {
    let asked = Message::from_vec(&forward.question(99)).unwrap();
    assert!(asked.metadata.recursion_desired);
    let mut message = Message::response(99, OpCode::Query);
    message.add_queries(asked.queries.iter().cloned());
    let owner = asked.queries[0].name.clone();
    message.add_answer(Record::from_rdata(owner, ttl, RData::A(A(Ipv4Addr::new(203, 0, 113, 9)))));
    forward.read(99, &message.to_vec().unwrap()).unwrap()
}

#[test]
fn other_names_are_asked_elsewhere_and_remembered() {
    let mut desk = desk();
    let asked = question("WWW.example.org.", RecordType::A);
    let bytes = asked.to_vec().unwrap();
    let forward = forwarded(desk.ask(Time::ZERO, CLIENT, true, &bytes, &Laptop));
    assert_eq!(forward.servers, ["9.9.9.9:53".parse().unwrap()]);
    assert!(forward.read(98, &from_upstream(&forward, 100).to_vec().unwrap()).is_none(), "a guessed number");
    let message = from_upstream(&forward, 100);
    let answer = Message::from_vec(&desk.answered(Time::ZERO, &forward, Some(message))).unwrap();
    assert_eq!((answer.metadata.id, answer.answers[0].ttl), (7, 100));
    assert!(answer.queries[0].name.eq_case(&name("WWW.example.org.")), "as it was asked");
    let later = Time::ZERO + Duration::from_secs(40);
    let Step::Answer(bytes) = desk.ask(later, CLIENT, true, &bytes, &Laptop) else { panic!() };
    assert_eq!(Message::from_vec(&bytes).unwrap().answers[0].ttl, 60);
    assert_eq!((desk.figures().cached, desk.figures().remembered), (1, 1));
    let over = Time::ZERO + Duration::from_secs(100);
    let forward = forwarded(desk.ask(over, CLIENT, true, &asked.to_vec().unwrap(), &Laptop));
    let failed = Message::from_vec(&desk.answered(over, &forward, None)).unwrap();
    assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
}

#[test]
fn an_alias_of_a_name_elsewhere_is_followed_there() {
    let mut desk = desk();
    let asked = question("search.shop.internal.", RecordType::A).to_vec().unwrap();
    let forward = forwarded(desk.ask(Time::ZERO, CLIENT, true, &asked, &Laptop));
    let message = from_upstream(&forward, 100);
    let answer = Message::from_vec(&desk.answered(Time::ZERO, &forward, Some(message))).unwrap();
    let data: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    assert_eq!(data, ["www.example.org.", "203.0.113.9"]);
}

#[test]
fn strangers_and_floods_get_nothing() {
    let mut desk = desk();
    let asked = question("web1.shop.internal.", RecordType::A).to_vec().unwrap();
    for source in ["192.0.2.9", "8.8.8.8", "::1"] {
        let step = desk.ask(Time::ZERO, source.parse().unwrap(), true, &asked, &Laptop);
        assert!(matches!(step, Step::Silent), "{source}");
    }
    let mut count = 0;
    while matches!(desk.ask(Time::ZERO, CLIENT, true, &asked, &Laptop), Step::Answer(_)) {
        count += 1;
        assert!(count < 2000);
    }
    assert!(count >= 900, "{count}");
    let later = Time::ZERO + Duration::from_millis(100);
    assert!(matches!(desk.ask(later, CLIENT, true, &asked, &Laptop), Step::Answer(_)));
}

#[test]
fn what_is_not_asked_right_is_refused() {
    let code = |asked: &Message| answer(&mut desk(), asked, true).metadata.response_code;
    let mut two = question("web1.shop.internal.", RecordType::A);
    two.add_query(Query::query(name("b."), RecordType::A));
    assert_eq!(code(&two), ResponseCode::FormErr);
    let mut status = question("web1.shop.internal.", RecordType::A);
    status.metadata.op_code = OpCode::Status;
    assert_eq!(code(&status), ResponseCode::NotImp);
    assert_eq!(code(&question("shop.internal.", RecordType::AXFR)), ResponseCode::Refused);
    let mut alone = question("www.example.org.", RecordType::A);
    alone.metadata.recursion_desired = false;
    assert_eq!(code(&alone), ResponseCode::Refused);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = desk().ask(Time::ZERO, CLIENT, true, &bytes, &Laptop);
    }
}
