//! A thousand clients, three directors, and everything that can get lost: nobody ever has an address that another one has.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, MessageType};
use relevo_model::Time;
use relevo_model::cluster::Mac;

use super::{mac, message, settings, told};
use crate::dhcp::*;

const NONE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const CLIENTS: u32 = 1000;
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);
/// 1,100 addresses: whoever forgets something meets somebody soon.
const LINES: &str = "range = \"10.0.4.1-10.0.8.76\"\nlease = \"2m\"";

/// A generator with a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % sides
    }
}

#[derive(Debug)]
enum Event {
    ToServer(usize, Vec<u8>),
    ToClient(Vec<u8>),
    Between(usize, Vec<u8>),
    OnDisk(usize, u64, Lease, u64),
    Answers(usize, Ipv4Addr, Mac),
    Wake(u32, u64),
    Timer(usize, u64),
    Change,
    Up(usize),
    Leave(usize),
}

struct Director {
    /// `None`: it is down.
    server: Option<Server>,
    disk: Table,
    /// Counts its lives, so that nothing of a former one arrives.
    life: u64,
    timer: Option<Time>,
}

#[derive(Default)]
struct Machine {
    /// Its address and when the lease ends, by its own clock.
    has: Option<(Ipv4Addr, Time)>,
    xid: u32,
    /// The address that it asks for.
    asked: Option<Ipv4Addr>,
    offered: bool,
    wake: u64,
    /// What it is called now: some become somebody else.
    number: u32,
    granted: u64,
}

struct World {
    now: Time,
    dice: Dice,
    events: BTreeMap<(Time, u64), Event>,
    count: u64,
    directors: Vec<Director>,
    active: usize,
    clients: Vec<Machine>,
    /// Of 100 datagrams so many get lost.
    loss: u64,
    changes: u32,
    grants: u64,
    /// When a director came up last.
    up: Time,
    /// There is never more than one director, and who dies alone knows of leases.
    alone: bool,
    /// Addresses found in use that no table knew of.
    found: u64,
}

impl World {
    fn new(seed: u64, loss: u64) -> Self {
        let now = Time::from_millis(1_700_000_000_000);
        let server = |name: &str| Server::new(settings(LINES, name), Table::default(), now);
        let director =
            |name| Director { server: Some(server(name)), disk: Table::default(), life: 0, timer: None };
        let mut world = Self {
            now,
            dice: Dice(seed),
            events: BTreeMap::new(),
            count: 0,
            directors: ["a", "b", "c"].into_iter().map(director).collect(),
            active: 0,
            clients: (0..CLIENTS).map(|number| Machine { number, ..Machine::default() }).collect(),
            loss,
            changes: 0,
            grants: 0,
            up: now,
            alone: false,
            found: 0,
        };
        for client in 0..CLIENTS {
            let delay = world.dice.roll(20_000);
            world.after(delay, Event::Wake(client, 0));
        }
        world.input(0, Input::Take);
        world.after(15_000, Event::Change);
        world
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.count += 1;
        self.events.insert((self.now + Duration::from_millis(ms), self.count), event);
    }

    fn send(&mut self, event: Event) {
        if self.dice.roll(100) >= self.loss {
            let delay = 1 + self.dice.roll(20);
            self.after(delay, event);
        }
    }

    fn input(&mut self, at: usize, input: Input<'_>) {
        let now = self.now;
        if let Some(server) = &mut self.directors[at].server {
            server.handle_input(now, input);
        }
        self.outputs(at);
    }

    fn outputs(&mut self, at: usize) {
        let mut list = VecDeque::new();
        if let Some(server) = &mut self.directors[at].server {
            list.extend(std::iter::from_fn(|| server.poll_output()));
        }
        for output in list {
            match output {
                Output::Send { bytes, .. } => self.send(Event::ToClient(bytes)),
                Output::Store { number, lease } => {
                    let (delay, life) = (2 + self.dice.roll(10), self.directors[at].life);
                    self.after(delay, Event::OnDisk(at, number, lease, life));
                }
                Output::Probe(ip) => {
                    let has = |machine: &&Machine| {
                        machine.has.is_some_and(|(its, end)| its == ip && end > self.now)
                    };
                    if let Some(user) = self.clients.iter().find(has) {
                        let mac = mac(user.number);
                        let delay = 1 + self.dice.roll(20);
                        self.after(delay, Event::Answers(at, ip, mac));
                    }
                }
                Output::Publish(bytes) => {
                    assert!(bytes.len() <= 1200);
                    for to in (0..3).filter(|to| *to != at) {
                        self.send(Event::Between(to, bytes.clone()));
                    }
                }
            }
        }
        let due = self.directors[at].server.as_ref().and_then(Server::poll_timeout);
        if let Some(due) = due.filter(|due| self.directors[at].timer.is_none_or(|timer| *due < timer)) {
            self.directors[at].timer = Some(due);
            let life = self.directors[at].life;
            self.count += 1;
            self.events.insert((due.max(self.now), self.count), Event::Timer(at, life));
        }
    }

    fn client(&mut self, client: u32, bytes: Vec<u8>, ms: u64) {
        let machine = &mut self.clients[client as usize];
        machine.wake += 1;
        let wake = machine.wake;
        let at = self.active;
        self.send(Event::ToServer(at, bytes));
        let jitter = self.dice.roll(1000);
        self.after(ms + jitter, Event::Wake(client, wake));
    }

    /// A client does what its time says.
    fn wake(&mut self, client: u32) {
        let now = self.now;
        let change = self.dice.roll(60);
        let xid = u32::try_from(self.count).unwrap();
        let machine = &mut self.clients[client as usize];
        machine.has = machine.has.filter(|(_, end)| *end > now);
        machine.xid = xid;
        if let Some((ip, _)) = machine.has {
            if change == 0 {
                // It goes away without a word, and somebody else comes in its place.
                *machine =
                    Machine { number: machine.number + CLIENTS, wake: machine.wake, ..Machine::default() };
                return self.wake(client);
            }
            if change == 1 {
                let options = [DhcpOption::ServerIdentifier(SERVER)];
                let bytes = message(MessageType::Release, mac(machine.number), xid, ip, &options);
                machine.has = None;
                machine.asked = None;
                return self.client(client, bytes, 5_000);
            }
            machine.asked = Some(ip);
            machine.offered = true;
            let bytes = message(MessageType::Request, mac(machine.number), xid, ip, &[]);
            return self.client(client, bytes, 8_000);
        }
        machine.asked = None;
        machine.offered = false;
        let bytes = message(MessageType::Discover, mac(machine.number), xid, NONE, &[]);
        self.client(client, bytes, 4_000);
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "a client passes over all other kinds")]
    fn answer(&mut self, bytes: &[u8]) {
        let (kind, ip, reply) = told(bytes);
        let Some(client) = self.clients.iter().position(|machine| machine.xid == reply.xid()) else { return };
        let now = self.now;
        let machine = &mut self.clients[client];
        let client = u32::try_from(client).unwrap();
        match kind {
            MessageType::Offer if !machine.offered => {
                machine.offered = true;
                machine.asked = Some(ip);
                let options = [DhcpOption::ServerIdentifier(SERVER), DhcpOption::RequestedIpAddress(ip)];
                let bytes = message(MessageType::Request, mac(machine.number), machine.xid, NONE, &options);
                self.client(client, bytes, 4_000);
            }
            MessageType::Ack if machine.asked == Some(ip) => {
                machine.has = Some((ip, now + Duration::from_secs(120)));
                machine.wake += 1;
                machine.granted += 1;
                self.grants += 1;
                let (wake, jitter) = (machine.wake, self.dice.roll(10_000));
                self.after(55_000 + jitter, Event::Wake(client, wake));
                self.nobody_else_has(client, ip);
            }
            MessageType::Nak => {
                machine.has = None;
                machine.wake += 1;
                let wake = machine.wake;
                self.after(100, Event::Wake(client, wake));
            }
            _ => {}
        }
    }

    fn nobody_else_has(&self, client: u32, ip: Ipv4Addr) {
        for (other, machine) in self.clients.iter().enumerate() {
            let has = machine.has.filter(|(_, end)| *end > self.now).is_some_and(|(its, _)| its == ip);
            assert!(
                !has || other == client as usize,
                "{ip}: {other} has it, and {client} got it, after {} changes",
                self.changes
            );
        }
    }

    /// Another director becomes active: planned, for a moment both, or because the active one died.
    fn change(&mut self) {
        self.changes += 1;
        if self.alone {
            return self.one_after_the_other();
        }
        let before = self.active;
        let up = |at: &usize| *at != before && self.directors[*at].server.is_some();
        let others: Vec<usize> = (0..3).filter(up).collect();
        let choice = self.dice.roll(3);
        let next = 3_000 + self.dice.roll(6_000);
        self.after(next, Event::Change);
        let Some(next) = others.get(self.dice.roll(others.len().max(1) as u64) as usize).copied() else {
            return;
        };
        // The last one who knows a lease does not die here; see `one_after_the_other`.
        let all_know = others.len() == 2 && self.now.since(self.up) > Duration::from_secs(5);
        match choice {
            0 => self.input(before, Input::Leave),
            _ if !all_know || choice == 1 => self.after(30, Event::Leave(before)),
            _ => {
                self.directors[before].server = None;
                self.directors[before].life += 1;
                self.directors[before].timer = None;
                let down = 2_000 + self.dice.roll(15_000);
                self.after(down, Event::Up(before));
            }
        }
        self.active = next;
        self.input(next, Input::Take);
    }

    /// The only director dies, and one comes back that was down and knows what it knew then.
    fn one_after_the_other(&mut self) {
        let before = self.active;
        let next = (before + 1 + usize::from(self.dice.roll(2) == 0)) % 3;
        self.directors[before].server = None;
        self.directors[before].life += 1;
        self.directors[before].timer = None;
        let name = ["a", "b", "c"][next];
        let table = self.directors[next].disk.clone();
        self.directors[next].server = Some(Server::new(settings(LINES, name), table, self.now));
        self.active = next;
        self.input(next, Input::Take);
        let pause = 5_000 + self.dice.roll(20_000);
        self.after(pause, Event::Change);
    }

    fn run(&mut self, changes: u32) {
        while self.changes < changes || self.events.is_empty() {
            let Some(((at, _), event)) = self.events.pop_first() else { return };
            self.now = at;
            match event {
                Event::ToServer(to, bytes) => self.input(to, Input::Packet(&bytes)),
                Event::ToClient(bytes) => self.answer(&bytes),
                Event::Between(to, bytes) => self.input(to, Input::Peer(&bytes)),
                Event::OnDisk(at, number, lease, life) => {
                    if self.directors[at].life == life {
                        self.directors[at].disk.insert(lease);
                        self.input(at, Input::Stored(number));
                    }
                }
                Event::Answers(to, ip, mac) => {
                    let before =
                        self.directors[to].server.as_ref().map(|server| server.table().get(ip).cloned());
                    self.input(to, Input::Used { ip, mac });
                    let after =
                        self.directors[to].server.as_ref().map(|server| server.table().get(ip).cloned());
                    self.found += u64::from(before != after);
                }
                Event::Wake(client, wake) => {
                    if self.clients[client as usize].wake == wake {
                        self.wake(client);
                    }
                }
                Event::Timer(at, life) => {
                    if self.directors[at].life == life {
                        self.directors[at].timer = None;
                        let now = self.now;
                        if let Some(server) = &mut self.directors[at].server {
                            server.handle_timeout(now);
                        }
                        self.outputs(at);
                    }
                }
                Event::Change => self.change(),
                Event::Up(at) => {
                    self.up = self.now;
                    let name = ["a", "b", "c"][at];
                    let table = self.directors[at].disk.clone();
                    self.directors[at].server = Some(Server::new(settings(LINES, name), table, self.now));
                    self.outputs(at);
                }
                Event::Leave(at) => {
                    if at != self.active {
                        self.input(at, Input::Leave);
                    }
                }
            }
        }
    }
}

fn play(seed: u64, loss: u64) -> World {
    let mut world = World::new(seed, loss);
    for at in 0..3 {
        world.outputs(at);
    }
    world.run(50);
    world
}

#[test]
fn no_address_is_given_twice_over_fifty_changes_with_loss() {
    for seed in 1..=2 {
        let world = play(seed, 20);
        let bound = world.clients.iter().filter(|machine| machine.granted > 0).count();
        println!("seed {seed}: {} leases granted, {bound} clients have had one", world.grants);
        assert!(bound > 900, "seed {seed}: only {bound} clients got an address");
        assert!(world.grants > 3000, "seed {seed}: only {} leases", world.grants);
    }
}

#[test]
fn no_address_is_given_twice_when_the_only_one_dies_who_knows_it() {
    let mut world = World::new(21, 5);
    world.alone = true;
    for other in 1..3 {
        world.directors[other].server = None;
    }
    world.outputs(0);
    world.run(50);
    println!("{} leases granted, {} addresses found in use", world.grants, world.found);
    assert!(world.grants > 3000, "only {} leases", world.grants);
    assert!(world.found > 20, "the case hardly happened: {}", world.found);
}

#[test]
fn without_loss_everybody_has_an_address() {
    let world = play(9, 0);
    let has =
        world.clients.iter().filter(|machine| machine.has.is_some_and(|(_, end)| end > world.now)).count();
    assert!(has > 950, "{has}");
}
