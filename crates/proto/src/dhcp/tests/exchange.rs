//! One client and one director without others.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, MessageType, OptionCode};
use relevo_model::Time;
use relevo_model::cluster::Mac;

use super::{mac, message, option, settings, told};
use crate::dhcp::*;

const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);
const LINES: &str = r#"
range = "10.0.1.1-10.0.1.20"
lease = "1h"
router = "inside"
dns = ["inside", "9.9.9.9"]
domain = "s2.internal"
options = { 42 = "10.0.0.7", 26 = 1400 }
host.printer = { mac = "52:54:00:12:34:56", ip = "10.0.9.9" }
"#;

struct Desk {
    server: Server,
    now: Time,
    /// Who answers for an address on the link.
    users: BTreeMap<Ipv4Addr, Mac>,
}

impl Desk {
    fn new() -> Self {
        let mut settings = settings(LINES, "a");
        settings.others.clear();
        let now = Time::from_millis(1_700_000_000_000);
        let mut server = Server::new(settings, Table::default(), now);
        server.handle_input(now, Input::Take);
        Self { server, now, users: BTreeMap::new() }
    }

    /// Everything that is sent in answer; the disk is quick.
    fn ask(&mut self, bytes: &[u8]) -> Vec<((Ipv4Addr, u16), Vec<u8>)> {
        self.server.handle_input(self.now, Input::Packet(bytes));
        let mut sent = Vec::new();
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Probe(ip) => match self.users.get(&ip) {
                    Some(mac) => self.server.handle_input(self.now, Input::Used { ip, mac: *mac }),
                    None => {
                        self.now += PROBE;
                        self.server.handle_timeout(self.now);
                    }
                },
                Output::Send { to, bytes } => sent.push((to, bytes)),
                Output::Store { number, .. } => self.server.handle_input(self.now, Input::Stored(number)),
                Output::Publish(_) => panic!("nobody is there"),
            }
        }
        sent
    }

    fn one(&mut self, bytes: &[u8]) -> (MessageType, Ipv4Addr, dhcproto::v4::Message) {
        let sent = self.ask(bytes);
        assert_eq!(sent.len(), 1, "{sent:?}");
        told(&sent[0].1)
    }

    fn lease(&mut self, number: u32) -> Ipv4Addr {
        let (kind, ip, _) = self.one(&message(MessageType::Discover, mac(number), 1, NONE, &[]));
        assert_eq!(kind, MessageType::Offer);
        let (kind, again, _) = self.one(&request(number, ip));
        assert_eq!((kind, again), (MessageType::Ack, ip));
        ip
    }
}

fn request(number: u32, ip: Ipv4Addr) -> Vec<u8> {
    let options = [DhcpOption::ServerIdentifier(SERVER), DhcpOption::RequestedIpAddress(ip)];
    message(MessageType::Request, mac(number), 2, NONE, &options)
}

#[test]
fn a_client_gets_an_address_with_all_that_the_file_says() {
    let mut desk = Desk::new();
    let sent = desk.ask(&message(MessageType::Discover, mac(1), 77, NONE, &[]));
    assert_eq!(sent[0].0, (Ipv4Addr::BROADCAST, CLIENT_PORT));
    assert!(sent[0].1.len() >= 300);
    let (kind, ip, offer) = told(&sent[0].1);
    assert_eq!((kind, offer.xid()), (MessageType::Offer, 77));
    assert!(ip >= Ipv4Addr::new(10, 0, 1, 1) && ip <= Ipv4Addr::new(10, 0, 1, 20), "{ip}");
    let (kind, again, ack) = desk.one(&request(1, ip));
    assert_eq!((kind, again), (MessageType::Ack, ip));
    let has = |code, wanted: DhcpOption| assert_eq!(option(&ack, code), Some(&wanted));
    has(OptionCode::SubnetMask, DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 0, 0)));
    has(OptionCode::Router, DhcpOption::Router(vec![SERVER]));
    has(OptionCode::DomainNameServer, DhcpOption::DomainNameServer(vec![SERVER, Ipv4Addr::new(9, 9, 9, 9)]));
    has(OptionCode::DomainName, DhcpOption::DomainName("s2.internal".to_owned()));
    has(OptionCode::AddressLeaseTime, DhcpOption::AddressLeaseTime(3600));
    has(OptionCode::Renewal, DhcpOption::Renewal(1800));
    has(OptionCode::ServerIdentifier, DhcpOption::ServerIdentifier(SERVER));
    has(OptionCode::NtpServers, DhcpOption::NtpServers(vec![Ipv4Addr::new(10, 0, 0, 7)]));
    has(OptionCode::InterfaceMtu, DhcpOption::InterfaceMtu(1400));
    assert!(desk.server.table().get(ip).is_some_and(|lease| lease.is_bound(1_700_000_000)));
}

#[test]
fn fixed_leases_have_their_address_and_name() {
    let mut desk = Desk::new();
    // Whoever answers for it: the file gives it to that machine.
    desk.users.insert(Ipv4Addr::new(10, 0, 1, 5), mac(8));
    for (text, ip, name) in
        [("52:54:00:12:34:56", [10, 0, 9, 9], "printer"), ("52:54:00:00:00:05", [10, 0, 1, 5], "web1")]
    {
        let mac = text.parse().unwrap();
        let (_, offered, offer) = desk.one(&message(MessageType::Discover, mac, 1, NONE, &[]));
        assert_eq!(offered, Ipv4Addr::from(ip));
        assert_eq!(option(&offer, OptionCode::Hostname), Some(&DhcpOption::Hostname(name.to_owned())));
        // Another address is not for it.
        let other = DhcpOption::RequestedIpAddress(Ipv4Addr::new(10, 0, 1, 7));
        assert_eq!(desk.one(&message(MessageType::Request, mac, 2, NONE, &[other])).0, MessageType::Nak);
        let options = [DhcpOption::ServerIdentifier(SERVER), DhcpOption::RequestedIpAddress(offered)];
        assert_eq!(desk.one(&message(MessageType::Request, mac, 3, NONE, &options)).0, MessageType::Ack);
    }
    // Nobody else gets the fixed address that lies in the range: 19 are left.
    let mut ips: Vec<Ipv4Addr> = (0..19).map(|number| desk.lease(100 + number)).collect();
    ips.sort();
    ips.dedup();
    assert_eq!(ips.len(), 19);
    assert!(!ips.contains(&Ipv4Addr::new(10, 0, 1, 5)));
    assert!(desk.ask(&message(MessageType::Discover, mac(999), 1, NONE, &[])).is_empty(), "all are taken");
}

#[test]
fn a_client_keeps_its_address_and_gives_it_back() {
    let mut desk = Desk::new();
    let ip = desk.lease(1);
    desk.now += Duration::from_secs(1800);
    let sent = desk.ask(&message(MessageType::Request, mac(1), 5, ip, &[]));
    assert_eq!((sent[0].0, told(&sent[0].1).0), ((ip, CLIENT_PORT), MessageType::Ack));
    // After a restart it asks for the one that it had.
    let had = DhcpOption::RequestedIpAddress(ip);
    assert_eq!(
        desk.one(&message(MessageType::Request, mac(1), 6, NONE, std::slice::from_ref(&had))).0,
        MessageType::Ack
    );
    // Nobody else can.
    assert_eq!(
        desk.one(&message(MessageType::Request, mac(2), 7, NONE, std::slice::from_ref(&had))).0,
        MessageType::Nak
    );
    let server = DhcpOption::ServerIdentifier(SERVER);
    assert!(
        desk.ask(&message(MessageType::Release, mac(2), 8, ip, std::slice::from_ref(&server))).is_empty()
    );
    assert_eq!(
        desk.one(&message(MessageType::Request, mac(2), 9, NONE, std::slice::from_ref(&had))).0,
        MessageType::Nak
    );
    assert!(desk.ask(&message(MessageType::Release, mac(1), 10, ip, &[server])).is_empty());
    assert_eq!(desk.one(&message(MessageType::Request, mac(2), 11, NONE, &[had])).0, MessageType::Ack);
}

#[test]
fn a_lease_that_ended_rests_before_somebody_else_gets_it() {
    let mut desk = Desk::new();
    let ip = desk.lease(1);
    let had = || [DhcpOption::RequestedIpAddress(ip)];
    desk.now += Duration::from_secs(3601);
    assert_eq!(desk.one(&message(MessageType::Request, mac(2), 1, NONE, &had())).0, MessageType::Nak);
    assert_eq!(desk.one(&message(MessageType::Request, mac(1), 2, NONE, &had())).0, MessageType::Ack);
    desk.now += Duration::from_secs(3661);
    assert_eq!(desk.one(&message(MessageType::Request, mac(2), 3, NONE, &had())).0, MessageType::Ack);
}

#[test]
fn an_address_that_somebody_uses_is_left_alone() {
    let mut desk = Desk::new();
    let ip = desk.lease(1);
    let options = [DhcpOption::ServerIdentifier(SERVER), DhcpOption::RequestedIpAddress(ip)];
    assert!(desk.ask(&message(MessageType::Decline, mac(1), 3, NONE, &options)).is_empty());
    assert_ne!(desk.lease(1), ip);
    desk.now += Duration::from_secs(601);
    let had = DhcpOption::RequestedIpAddress(ip);
    assert_eq!(desk.one(&message(MessageType::Discover, mac(7), 1, NONE, &[had])).1, ip);
}

#[test]
fn who_only_asks_for_options_gets_them_and_strangers_are_refused() {
    let mut desk = Desk::new();
    let ip = Ipv4Addr::new(10, 0, 7, 7);
    let (kind, none, ack) = desk.one(&message(MessageType::Inform, mac(1), 3, ip, &[]));
    assert_eq!((kind, none), (MessageType::Ack, NONE));
    assert!(option(&ack, OptionCode::AddressLeaseTime).is_none());
    assert!(option(&ack, OptionCode::DomainName).is_some());
    for ip in [[192, 168, 1, 1], [10, 0, 7, 7], [10, 0, 0, 1], [10, 0, 0, 200]] {
        let had = DhcpOption::RequestedIpAddress(ip.into());
        assert_eq!(
            desk.one(&message(MessageType::Request, mac(1), 4, NONE, &[had])).0,
            MessageType::Nak,
            "{ip:?}"
        );
    }
    // Another server was chosen.
    let options =
        [DhcpOption::ServerIdentifier(Ipv4Addr::new(10, 0, 0, 9)), DhcpOption::RequestedIpAddress(ip)];
    assert!(desk.ask(&message(MessageType::Request, mac(1), 5, NONE, &options)).is_empty());
    // A director that waits says nothing.
    desk.server.handle_input(desk.now, Input::Leave);
    assert!(desk.ask(&message(MessageType::Discover, mac(1), 6, NONE, &[])).is_empty());
}

#[test]
fn only_what_a_client_wants_is_told() {
    let mut desk = Desk::new();
    let wanted = DhcpOption::ParameterRequestList(vec![OptionCode::Router]);
    let (_, _, offer) = desk.one(&message(MessageType::Discover, mac(1), 1, NONE, &[wanted]));
    assert!(option(&offer, OptionCode::Router).is_some());
    assert!(
        option(&offer, OptionCode::NtpServers).is_none() && option(&offer, OptionCode::DomainName).is_none()
    );
}

#[test]
fn an_address_that_somebody_answers_for_is_not_offered() {
    let mut desk = Desk::new();
    let first = desk.one(&message(MessageType::Discover, mac(1), 1, NONE, &[])).1;
    // Another machine has it, and nobody told us of its lease.
    let mut desk = Desk::new();
    desk.users.insert(first, mac(8));
    let ip = desk.lease(1);
    assert_ne!(ip, first);
    let found = desk.server.table().get(first).unwrap();
    assert_eq!((found.state, found.mac), (LeaseState::Bound, mac(8)));
    // Who has it goes on with it, whatever it calls itself.
    let named = [DhcpOption::ClientIdentifier(vec![1, 2, 3])];
    assert_eq!(desk.one(&message(MessageType::Request, mac(8), 5, first, &named)).0, MessageType::Ack);
}

#[test]
fn who_comes_back_with_an_address_that_another_one_has_begins_anew() {
    let mut desk = Desk::new();
    let ip = desk.lease(1);
    desk.users.insert(ip, mac(8));
    let had = [DhcpOption::RequestedIpAddress(ip)];
    assert_eq!(desk.one(&message(MessageType::Request, mac(1), 3, NONE, &had)).0, MessageType::Nak);
    // A client that answers for its own address has no trouble.
    let ip = desk.lease(1);
    desk.users.insert(ip, mac(1));
    desk.server.handle_input(
        desk.now,
        Input::Packet(&message(MessageType::Request, mac(1), 4, NONE, &[DhcpOption::RequestedIpAddress(ip)])),
    );
    assert_eq!(desk.server.poll_output(), Some(Output::Probe(ip)));
    desk.server.handle_input(desk.now, Input::Used { ip, mac: mac(1) });
    assert_eq!(desk.server.poll_output(), None);
    desk.now += PROBE;
    desk.server.handle_timeout(desk.now);
    assert!(matches!(desk.server.poll_output(), Some(Output::Store { .. })));
}

#[test]
fn who_never_takes_an_offer_keeps_nobody_out() {
    let mut desk = Desk::new();
    let asks = |number: u32| message(MessageType::Discover, mac(number), number, NONE, &[]);
    let mut offered = Vec::new();
    for stranger in 100..119 {
        offered.extend(desk.ask(&asks(stranger)).iter().map(|(_, bytes)| (stranger, told(bytes).1)));
    }
    let all: std::collections::BTreeSet<Ipv4Addr> = offered.iter().map(|(_, ip)| *ip).collect();
    assert_eq!(all.len(), 19, "as many as there are: one is a node's own");
    desk.now += Duration::from_secs(5);
    let sent = desk.ask(&asks(7));
    let (kind, ip, _) = told(&sent[0].1);
    assert_eq!((kind, ip), (MessageType::Offer, offered[0].1), "the oldest one");
    let (kind, _, _) = told(&desk.ask(&request(7, ip))[0].1);
    assert_eq!(kind, MessageType::Ack);
    // Who was offered it before comes too late, and begins anew.
    let (kind, _, _) = told(&desk.ask(&request(offered[0].0, ip))[0].1);
    assert_eq!(kind, MessageType::Nak);
}
