//! The world of a run.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use relevo_model::cluster::{Announce, Multicast, VrrpVersion};
use relevo_model::{AddressName, GroupName, NetworkName, NodeName, Time};
use relevo_proto::ownership::{self, GroupSettings, Output as Said, Own, Ownership, pace};
use relevo_proto::vrrp::{Envelope, Group, Input, Output, RouterSettings, Settings, State, Told, timer};

use super::{Mutant, Plot, Run, Violation};
use crate::random::Random;

const NODES: usize = 3;
/// The networks: of the addresses, and the heartbeat.
const NETS: [&str; 2] = ["lan", "heart"];
const NAMES: [&str; NODES] = ["a", "b", "c"];
const ADVERT: Duration = Duration::from_millis(100);
/// Everybody has started and one is active.
const SETTLED: u64 = 3_000;
/// Trouble ends.
const HEALED: u64 = 14_000;
const END: u64 = 20_000;

struct Node {
    group: Option<Group>,
    watch: Option<Ownership>,
    holding: bool,
    settings: Settings,
    runs: u64,
    phase: u64,
}

enum Packet {
    Advert(Vec<u8>),
    Word(Vec<u8>),
}

struct World {
    random: Random,
    plot: Plot,
    mutant: Mutant,
    nodes: Vec<Node>,
    /// By network, from, to.
    reach: [[[bool; NODES]; NODES]; 2],
    loss: u64,
    wire: BTreeMap<(u64, u64), (usize, usize, usize, Packet)>,
    sent: u64,
    double_since: Option<u64>,
    nobody_since: u64,
    told: bool,
    run: Run,
}

/// Plays a seed.
pub fn run(seed: u64, plot: Plot, mutant: Mutant) -> Run {
    let mut world = World::new(Random::new(seed), plot, mutant);
    let faults = world.draw();
    let mut faults = faults.into_iter().peekable();
    for ms in 0..END {
        while let Some((_, fault)) = faults.next_if(|(at, _)| *at <= ms) {
            world.fault(ms, fault);
        }
        if ms == HEALED {
            world.heal(ms);
        }
        world.step(ms);
        if let Some(violation) = world.look(ms) {
            world.run.broken = Some((Time::from_millis(ms), violation));
            break;
        }
    }
    world.run
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut { net: usize, alone: usize },
    OneWay { net: usize, from: usize, to: usize },
    Mend(usize),
    Loss(u64),
    Kill(usize),
    KillActive,
    Start,
}

impl World {
    fn new(mut random: Random, plot: Plot, mutant: Mutant) -> Self {
        let preempt = random.chance(40);
        let priorities: [u8; NODES] = random.pick(&[[150, 100, 90], [90, 100, 150], [100, 100, 100]]);
        let nodes = (0..NODES).map(|index| Node {
            group: None,
            watch: None,
            holding: false,
            settings: Settings {
                routers: vec![RouterSettings {
                    vrid: 51,
                    source: address(index),
                    addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254))],
                    peers: Vec::new(),
                }],
                priority: priorities[index],
                healthy: priorities[index],
                advert: ADVERT,
                preempt,
                preempt_delay: Duration::ZERO,
                version: VrrpVersion::V3,
                password: None,
                unicast: None,
                signing: None,
                announce: Announce::default(),
                missed: 3,
                multicast: Multicast::default(),
            },
            runs: 0,
            phase: random.between(0, 19),
        });
        let mut world = Self {
            nodes: nodes.collect(),
            random,
            plot,
            mutant,
            reach: [[[true; NODES]; NODES]; 2],
            loss: 0,
            wire: BTreeMap::new(),
            sent: 0,
            double_since: None,
            nobody_since: 0,
            told: false,
            run: Run {
                broken: None,
                takeovers: 0,
                longest_double: Duration::ZERO,
                yields: 0,
                lines: Vec::new(),
            },
        };
        for index in 0..NODES {
            world.start(0, index);
        }
        world
    }

    fn draw(&mut self) -> Vec<(u64, Fault)> {
        let mut faults = Vec::new();
        let random = &mut self.random;
        match self.plot {
            Plot::Crash => {
                if random.chance(50) {
                    faults.push((SETTLED, Fault::Loss(random.pick(&[0, 2]))));
                }
                faults.push((SETTLED + random.between(0, 500), Fault::KillActive));
            }
            Plot::HeartbeatReturns => {
                let alone = random.index(NODES);
                let at = SETTLED + random.between(0, 500);
                let order = random.pick(&[[0, 1], [1, 0]]);
                faults.push((at, Fault::Cut { net: order[0], alone }));
                faults.push((at + random.between(0, 1500), Fault::Cut { net: order[1], alone }));
                faults.push((8_000, Fault::Mend(1)));
            }
            Plot::AddressesOnly | Plot::Both => {
                let nets: &[usize] = if self.plot == Plot::Both { &[0, 1] } else { &[0] };
                let mut at = SETTLED;
                while at < HEALED {
                    let net = random.pick(nets);
                    let node = random.index(NODES);
                    let fault = match random.index(10) {
                        0..=3 => Fault::Cut { net, alone: node },
                        4..=6 => Fault::OneWay { net, from: node, to: (node + 1 + random.index(2)) % NODES },
                        7 if self.plot == Plot::Both => Fault::Kill(node),
                        8 if self.plot == Plot::Both => Fault::Loss(random.pick(&[0, 2, 10])),
                        _ => Fault::Start,
                    };
                    faults.push((at, fault));
                    let pause = random.between(50, 2_000);
                    if random.chance(60) {
                        faults.push((at + pause / 2, Fault::Mend(net)));
                    }
                    at += pause;
                }
            }
        }
        faults.sort_by_key(|(at, _)| *at);
        faults.retain(|(at, _)| *at < HEALED);
        faults
    }

    fn fault(&mut self, ms: u64, fault: Fault) {
        self.tell(ms, || format!("-- {fault:?}"));
        match fault {
            Fault::Cut { net, alone } => {
                for other in 0..NODES {
                    self.reach[net][alone][other] = false;
                    self.reach[net][other][alone] = false;
                }
            }
            Fault::OneWay { net, from, to } => self.reach[net][from][to] = false,
            Fault::Mend(net) => self.reach[net] = [[true; NODES]; NODES],
            Fault::Loss(percent) => self.loss = percent,
            Fault::Kill(node) => self.kill(node),
            Fault::KillActive => {
                if let Some(node) = (0..NODES).find(|node| self.nodes[*node].holding) {
                    self.kill(node);
                }
            }
            Fault::Start => {
                for node in 0..NODES {
                    if self.nodes[node].group.is_none() {
                        self.start(ms, node);
                    }
                }
            }
        }
    }

    fn heal(&mut self, ms: u64) {
        self.fault(ms, Fault::Loss(0));
        if self.plot != Plot::Crash {
            for net in 0..2 {
                self.fault(ms, Fault::Mend(net));
            }
            self.fault(ms, Fault::Start);
        }
    }

    fn kill(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        (node.group, node.watch, node.holding) = (None, None, false);
    }

    fn start(&mut self, ms: u64, index: usize) {
        let now = Time::from_millis(ms);
        let down = timer::active_down(VrrpVersion::V3, self.nodes[index].settings.priority, ADVERT, 3);
        let (period, validity) = pace(ADVERT, None);
        let others = || (0..NODES).filter(|other| *other != index);
        let settings = ownership::Settings {
            own: NodeName::new(NAMES[index]),
            groups: vec![GroupSettings {
                name: GroupName::new("web"),
                directors: (0..NODES).map(|node| (NodeName::new(NAMES[node]), address(node))).collect(),
                proofs: NETS.map(NetworkName::new).to_vec(),
                active_down: down,
                addresses: vec![AddressName::new("front")],
                validity,
            }],
            paths: others()
                .flat_map(|other| NETS.map(|net| (NodeName::new(NAMES[other]), NetworkName::new(net))))
                .collect(),
            period,
        };
        let node = &mut self.nodes[index];
        node.runs += 1;
        node.watch = Some(Ownership::new(settings, ms + node.runs, now));
        let mut group = Group::new(node.settings.clone(), now);
        group.handle_input(now, Input::Link { router: 0, up: true });
        node.group = Some(group);
        self.drain(ms, index);
    }

    fn step(&mut self, ms: u64) {
        let now = Time::from_millis(ms);
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= ms) {
            let (from, to, net, packet) = entry.remove();
            match packet {
                Packet::Advert(bytes) => {
                    if let Some(group) = &mut self.nodes[to].group {
                        let envelope = Envelope::multicast(address(from));
                        group.handle_input(now, Input::Packet { router: 0, envelope, bytes: &bytes });
                    }
                }
                Packet::Word(bytes) => {
                    if let Some(watch) = &mut self.nodes[to].watch {
                        let (from, net) = (NodeName::new(NAMES[from]), NetworkName::new(NETS[net]));
                        watch.handle_message(now, &from, &net, &bytes);
                    }
                }
            }
            self.drain(ms, to);
        }
        for index in 0..NODES {
            let node = &mut self.nodes[index];
            let (Some(group), Some(watch)) = (&mut node.group, &mut node.watch) else { continue };
            if group.poll_timeout().is_some_and(|due| due <= now) {
                group.handle_timeout(now);
            }
            if ms % 20 == node.phase {
                let own = own(group);
                watch.handle_own(now, 0, own);
                watch.handle_timeout(now);
            }
            self.drain(ms, index);
        }
    }

    fn drain(&mut self, ms: u64, index: usize) {
        let now = Time::from_millis(ms);
        loop {
            let node = &mut self.nodes[index];
            let (Some(group), Some(watch)) = (&mut node.group, &mut node.watch) else { return };
            if let Some(output) = group.poll_output() {
                match output {
                    Output::Send { bytes, .. } => self.send(ms, index, 0, || Packet::Advert(bytes.clone())),
                    Output::Hold { .. } => node.holding = true,
                    Output::Release => node.holding = false,
                    Output::Changed { from, to, reason } => {
                        self.run.takeovers += u32::from(to == State::Active);
                        self.tell(ms, || format!("{}: {from} -> {to}: {reason}", NAMES[index]));
                        if ms > HEALED + 4_000 && self.plot != Plot::Crash {
                            let broken = (now, Violation::Restless { node: index });
                            self.run.broken.get_or_insert(broken);
                        }
                    }
                    Output::Announce | Output::Rival { .. } | Output::Dropped { .. } | Output::Finished => {}
                }
                continue;
            }
            let Some(said) = watch.poll_output() else { return };
            let told = match said {
                Said::Publish(bytes) => {
                    for net in 0..2 {
                        self.send(ms, index, net, || Packet::Word(bytes.clone()));
                    }
                    continue;
                }
                Said::Event(event) => {
                    self.told |= matches!(event, ownership::Event::TwoActives { .. });
                    self.tell(ms, || format!("{}: {event}", NAMES[index]));
                    continue;
                }
                Said::Proven { .. } if self.mutant == Mutant::Deaf => continue,
                Said::Proven { until, .. } => Told::Proven { until },
                Said::Lost { node, .. } => {
                    let lost = NAMES.iter().position(|name| *name == node.as_str()).unwrap_or(0);
                    Told::Lost { router: 0, source: address(lost), wait: Duration::from_millis(20) }
                }
                Said::Yield { .. } if self.mutant == Mutant::Stubborn => continue,
                Said::Yield { to, .. } => {
                    self.run.yields += 1;
                    let to = NAMES.iter().position(|name| *name == to.as_str()).unwrap_or(0);
                    Told::Yield { to: address(to) }
                }
                Said::Reannounce { .. } => Told::Reannounce,
            };
            if let Some(group) = &mut self.nodes[index].group {
                group.handle_input(now, Input::Told(told));
            }
        }
    }

    fn send(&mut self, ms: u64, from: usize, net: usize, packet: impl Fn() -> Packet) {
        for to in (0..NODES).filter(|to| *to != from) {
            if self.reach[net][from][to] && !self.random.chance(self.loss) {
                self.sent += 1;
                let at = ms + 1 + u64::from(self.random.chance(10));
                self.wire.insert((at, self.sent), (from, to, net, packet()));
            }
        }
    }

    fn look(&mut self, ms: u64) -> Option<Violation> {
        let holders: Vec<usize> = (0..NODES).filter(|node| self.nodes[*node].holding).collect();
        if !holders.is_empty() {
            self.nobody_since = ms;
        }
        if holders.len() < 2 {
            self.double_since = None;
        }
        let double = Duration::from_millis(self.double_since.map_or(0, |since| ms - since));
        if holders.len() > 1 {
            self.double_since.get_or_insert(ms);
            self.run.longest_double = self.run.longest_double.max(double);
        }
        let nobody = ms - self.nobody_since;
        let most = match self.plot {
            Plot::AddressesOnly if ms > SETTLED => Duration::from_millis(350),
            Plot::HeartbeatReturns if ms > 8_000 + 3_000 => Duration::from_millis(350),
            Plot::AddressesOnly | Plot::HeartbeatReturns | Plot::Both | Plot::Crash => Duration::MAX,
        };
        if ms == HEALED - 1 && self.plot == Plot::HeartbeatReturns && self.run.yields > 0 && !self.told {
            return Some(Violation::Untold);
        }
        let is_at_rest = ms > HEALED + 4_000;
        if double > most || (is_at_rest && holders.len() > 1) {
            return Some(Violation::TwoHolders { nodes: holders, lasted: double });
        }
        // Active_Down of the lowest priority, an advert, a wake-up of the detector and the second in rank.
        let bound = if self.plot == Plot::Crash && ms > SETTLED { 365 + 40 } else { 3_000 };
        if (nobody > bound && self.plot != Plot::Both) || (is_at_rest && holders.is_empty()) {
            return Some(Violation::Nobody { lasted: Duration::from_millis(nobody) });
        }
        None
    }

    fn tell(&mut self, ms: u64, line: impl FnOnce() -> String) {
        self.run.lines.push(format!("{ms} {}", line()));
    }
}

fn own(group: &Group) -> Own {
    let status = group.status();
    let name = |source: IpAddr| {
        NAMES
            .iter()
            .enumerate()
            .find(|(index, _)| address(*index) == source)
            .map(|(_, name)| NodeName::new(name))
    };
    let heard = group.heard(0).and_then(|(source, at)| Some((NetworkName::new("lan"), name(source)?, at)));
    Own {
        state: status.state,
        resigning: group.is_resigning(),
        since: status.since,
        priority: status.priority,
        owner: status.active.and_then(name),
        heard: heard.into_iter().collect(),
        hardware: Vec::new(),
    }
}

fn address(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1 + u8::try_from(index).unwrap_or(0)))
}
