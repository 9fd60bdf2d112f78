//! The world: true time, the event queue, the networks, and what the machines' outputs do.

mod settings;
mod trouble;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::Announce;
use relevo_proto::vrrp::{Envelope, Group, Input, Output, lease};

use self::settings::draw_settings;
use super::check::{Bounds, Check, Violation};
use super::faults::{self, Fault};
use super::health;
use super::node::{Node, Packet, Process};
use super::wire;
use crate::random::Random;

const NODES: usize = 3;

/// A machine or a kernel made wrong on purpose, to see that the rules notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// All is as it should be.
    None,
    /// The machine's clock stands still while its process is paused: it cannot know that it slept.
    BlindToPauses,
    /// The kernel keeps addresses for ever.
    EternalLease,
    /// The node does not remove addresses when told to.
    KeepsAddresses,
    /// The clock of node 1 runs five times too fast: it takes over from living ones.
    Hasty,
    /// Nodes hear nothing.
    Deaf,
    /// Nodes are not told that their links are up.
    NoLinks,
    /// Nodes announce once and never again.
    AnnouncesOnce,
    /// Nodes do not know the priorities of healthy ones.
    NoPeers,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The rule that was broken and when, if any.
    pub broken: Option<(Time, Violation)>,
    /// Events played.
    pub events: u64,
    /// How often a node became active.
    pub takeovers: u64,
    /// The longest time that two joined nodes both held.
    pub longest_double: Duration,
}

/// Plays a seed.
pub fn run(seed: u64, mutant: Mutant) -> Run {
    World::new(seed, mutant, false).play().0
}

/// Plays a seed again and tells what happened, one line each.
pub fn trace(seed: u64, mutant: Mutant) -> Vec<String> {
    World::new(seed, mutant, true).play().1
}

#[derive(Clone, Debug)]
enum Event {
    Deliver { to: usize, packet: Packet },
    Wake { node: usize, number: u64 },
    LeaseEnds { node: usize, at: Time },
    Judge { node: usize },
    Fault(Fault),
    Heal,
    Settled,
    End,
}

#[derive(Clone, Copy, Debug)]
struct Weather {
    loss: u64,
    twice: u64,
    delay: Duration,
    jitter: Duration,
}

struct World {
    random: Random,
    mutant: Mutant,
    now: Time,
    queue: BTreeMap<(Time, u64), Event>,
    queued: u64,
    nodes: Vec<Node>,
    /// By network, from, to.
    reach: Vec<[[bool; NODES]; NODES]>,
    weather: Weather,
    check: Check,
    settled: bool,
    /// Whether the nodes watch something.
    watching: bool,
    /// Whether what they watch stays ill after healing.
    ill: bool,
    /// By network and observer: who announced the addresses last.
    arp: Vec<[Option<usize>; NODES]>,
    announced: [bool; NODES],
    run: Run,
    lines: Option<Vec<String>>,
}

impl World {
    fn new(seed: u64, mutant: Mutant, tracing: bool) -> Self {
        let mut random = Random::new(seed);
        let nets = random.pick(&[1, 2]);
        let mut settings = draw_settings(&mut random, nets);
        // Of its own too.
        wire::draw(&mut Random::new(seed ^ 0x7769_7265), &mut settings);
        let advert = settings[0].advert;
        let mut nodes: Vec<Node> = settings
            .into_iter()
            .map(|settings| {
                let ppm = i64::try_from(random.between(0, 20_000)).unwrap_or(0) - 10_000;
                Node::new(settings, ppm)
            })
            .collect();
        if mutant == Mutant::Hasty {
            nodes[1] = Node::new(nodes[1].settings.clone(), 4_000_000);
        }
        if mutant == Mutant::NoPeers {
            let settings = nodes.iter_mut().flat_map(|node| &mut node.settings.routers);
            settings.for_each(|router| router.peers.clear());
        }
        let trouble = Time::ZERO + advert * 150;
        let mut drawn = faults::draw(&mut random, NODES, nets, advert, trouble);
        // Of its own, so that what else happens in a seed stays the same.
        let mut looks = Random::new(seed ^ 0x7261_636b);
        let (watching, ill) = (looks.chance(50), looks.chance(50));
        if watching {
            drawn.extend(health::draw(&mut looks, NODES, advert, trouble));
            let delay = advert * looks.pick(&[0, 0, 3, 30]);
            for node in &mut nodes {
                node.settings.preempt_delay = delay;
            }
        }
        let late = drawn
            .iter()
            .map(|(_, fault)| match fault {
                Fault::Weather { delay, jitter, .. } => *delay + *jitter,
                Fault::Pause(_)
                | Fault::Resume(_)
                | Fault::Kill(_)
                | Fault::Start(_)
                | Fault::Link { .. }
                | Fault::Cut { .. }
                | Fault::OneWay { .. }
                | Fault::Mend(_)
                | Fault::Look { .. }
                | Fault::Resign(_)
                | Fault::Claim(_)
                | Fault::Shutdown(_) => Duration::ZERO,
            })
            .max()
            .unwrap_or_default();
        let mut lowest = nodes.iter().min_by_key(|node| node.settings.priority).unwrap_or(&nodes[0]).clone();
        if watching {
            lowest.settings.priority = 1;
        }
        let bounds = Bounds::new(&lowest, late.max(Duration::from_millis(5)));
        let fair = Duration::from_millis(1);
        let mut world = Self {
            random,
            mutant,
            now: Time::ZERO,
            queue: BTreeMap::new(),
            queued: 0,
            nodes,
            reach: vec![[[true; NODES]; NODES]; nets],
            weather: Weather { loss: 0, twice: 0, delay: fair, jitter: fair },
            check: Check::new(bounds, NODES, nets),
            settled: false,
            watching,
            ill,
            arp: vec![[None; NODES]; nets],
            announced: [false; NODES],
            run: Run { broken: None, events: 0, takeovers: 0, longest_double: Duration::ZERO },
            lines: tracing.then(Vec::new),
        };
        for node in 0..NODES {
            let at = Time::ZERO + advert / 10 * u32::try_from(world.random.between(0, 50)).unwrap_or(0);
            world.schedule(at, Event::Fault(Fault::Start(node)));
        }
        for (at, fault) in drawn {
            world.schedule(at, Event::Fault(fault));
        }
        world.schedule(trouble, Event::Heal);
        let settled = trouble + bounds.settle + if watching { advert * 40 } else { Duration::ZERO };
        world.schedule(settled, Event::Settled);
        world.schedule(settled + Announce::default().refresh + Duration::from_secs(1), Event::End);
        if world.lines.is_some() {
            let text = format!("{:#?}", world.nodes.iter().map(|node| &node.settings).collect::<Vec<_>>());
            world.tell(|| text);
        }
        world
    }

    fn play(mut self) -> (Run, Vec<String>) {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            self.now = at;
            self.run.events += 1;
            if matches!(event, Event::End) {
                break;
            }
            let result = self.on_event(event).and_then(|()| self.look());
            if let Err(violation) = result {
                self.tell(|| format!("BROKEN {violation}"));
                self.run.broken = Some((at, violation));
                break;
            }
        }
        if self.run.broken.is_none() {
            self.run.broken = self.look_at_arp().err().map(|violation| (self.now, violation));
        }
        self.run.longest_double = self.check.longest_double;
        (self.run, self.lines.unwrap_or_default())
    }

    fn on_event(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Deliver { to, packet } => self.on_deliver(to, packet),
            Event::Wake { node, number } if self.nodes[node].wake == number => {
                self.handle(node, |group, now| group.handle_timeout(now))
            }
            Event::Wake { .. } => Ok(()),
            Event::LeaseEnds { node, at } => {
                if self.nodes[node].lease_ends == Some(at) {
                    self.tell(|| format!("node {node}: the kernel removes the addresses"));
                    self.nodes[node].lease_ends = None;
                }
                Ok(())
            }
            Event::Judge { node } => self.judge(node),
            Event::Fault(fault) => {
                self.tell(|| format!("-- {fault:?}"));
                self.on_fault(fault)
            }
            Event::Heal => self.on_heal(),
            Event::Settled => {
                self.tell(|| String::from("-- settled"));
                self.settled = true;
                self.look_at_holders()
            }
            Event::End => Ok(()),
        }
    }

    fn on_deliver(&mut self, to: usize, packet: Packet) -> Result<(), Violation> {
        match self.nodes[to].process {
            _ if self.mutant == Mutant::Deaf || !self.nodes[to].links[packet.net] => Ok(()),
            Process::Dead => Ok(()),
            Process::Paused => {
                self.nodes[to].keep(packet);
                Ok(())
            }
            Process::Running => self.hear(to, &packet),
        }
    }

    fn hear(&mut self, to: usize, packet: &Packet) -> Result<(), Violation> {
        let Packet { net, source, destination, bytes } = packet;
        let envelope = Envelope { source: *source, destination: *destination, ttl: 255 };
        self.handle(to, |group, now| {
            group.handle_input(now, Input::Packet { router: *net, envelope, bytes });
        })
    }

    fn tell_link(&mut self, node: usize, net: usize) -> Result<(), Violation> {
        if self.mutant == Mutant::NoLinks {
            return Ok(());
        }
        let up = self.nodes[node].links[net];
        self.handle(node, |group, now| group.handle_input(now, Input::Link { router: net, up }))
    }

    /// Runs an entry of a node's machine, does what comes out, and asks for its next wake-up.
    fn handle(&mut self, index: usize, entry: impl FnOnce(&mut Group, Time)) -> Result<(), Violation> {
        let local = self.nodes[index].local(self.now);
        let Some(mut group) = self.nodes[index].group.take() else { return Ok(()) };
        if self.nodes[index].process != Process::Running {
            self.nodes[index].group = Some(group);
            return Ok(());
        }
        entry(&mut group, local);
        let mut finished = false;
        while let Some(output) = group.poll_output() {
            finished |= output == Output::Finished;
            self.on_output(index, output)?;
        }
        let due = group.poll_timeout();
        self.nodes[index].group = Some(group);
        self.nodes[index].wake += 1;
        if finished {
            self.on_death(index);
        } else if let Some(due) = due {
            let late = self.some(self.weather.jitter);
            let at = self.nodes[index].when(due).max(self.now) + late;
            let number = self.nodes[index].wake;
            self.schedule(at, Event::Wake { node: index, number });
        }
        Ok(())
    }

    fn on_output(&mut self, index: usize, output: Output) -> Result<(), Violation> {
        match output {
            Output::Send { router, to, bytes } => self.on_send(index, router, to, bytes),
            Output::Hold { valid } => {
                let random =
                    u64::try_from((lease::KERNEL_EARLY + lease::KERNEL_LATE).as_nanos()).unwrap_or(0);
                let late = Duration::from_nanos(self.random.between(0, random));
                let node = &mut self.nodes[index];
                node.holding = true;
                node.left_over = false;
                let at = match self.mutant {
                    Mutant::EternalLease => Time::MAX,
                    Mutant::None
                    | Mutant::BlindToPauses
                    | Mutant::KeepsAddresses
                    | Mutant::Hasty
                    | Mutant::Deaf
                    | Mutant::NoLinks
                    | Mutant::AnnouncesOnce
                    | Mutant::NoPeers => self.now + valid - lease::KERNEL_EARLY + late,
                };
                node.lease_ends = Some(at);
                self.schedule(at, Event::LeaseEnds { node: index, at });
                Ok(())
            }
            Output::Release => {
                self.nodes[index].holding = false;
                self.announced[index] = false;
                if self.mutant != Mutant::KeepsAddresses {
                    self.nodes[index].lease_ends = None;
                }
                Ok(())
            }
            Output::Announce => {
                self.on_announce(index);
                Ok(())
            }
            Output::Changed { from, to, reason } => {
                self.tell(|| format!("node {index}: {from} -> {to}: {reason}"));
                self.run.takeovers += u64::from(to == relevo_proto::vrrp::State::Active);
                if self.settled { Err(Violation::Restless { node: index }) } else { Ok(()) }
            }
            Output::Rival { source, priority } => {
                self.tell(|| format!("node {index}: {source} is active too, with priority {priority}"));
                Ok(())
            }
            Output::Dropped { router, source, reason } => {
                self.tell(|| format!("node {index}: dropped on {router} from {source}: {reason}"));
                Ok(())
            }
            Output::Finished => Ok(()),
        }
    }

    fn on_send(
        &mut self,
        index: usize,
        net: usize,
        destination: IpAddr,
        bytes: Vec<u8>,
    ) -> Result<(), Violation> {
        let priority = bytes[2];
        self.tell(|| format!("node {index}: net {net} priority {priority}"));
        let local = self.nodes[index].local(self.now);
        self.check.look_at_send(local, index, &self.nodes[index], priority)?;
        let source = self.nodes[index].settings.routers[net].source;
        for to in 0..NODES {
            let is_meant =
                destination.is_multicast() || self.nodes[to].settings.routers[net].source == destination;
            if to == index || !is_meant || !self.joined(net, index, to) {
                continue;
            }
            let copies = if self.random.chance(self.weather.twice) { 2 } else { 1 };
            for _ in 0..copies {
                if !self.random.chance(self.weather.loss) {
                    let at = self.now + Duration::from_micros(50) + self.some(self.weather.delay);
                    let packet = Packet { net, source, destination, bytes: bytes.clone() };
                    self.schedule(at, Event::Deliver { to, packet });
                }
            }
        }
        Ok(())
    }

    fn on_announce(&mut self, index: usize) {
        if self.mutant == Mutant::AnnouncesOnce && std::mem::replace(&mut self.announced[index], true) {
            return;
        }
        for net in 0..self.reach.len() {
            for observer in 0..NODES {
                if self.joined(net, index, observer) {
                    self.arp[net][observer] = Some(index);
                }
            }
        }
    }

    fn joined(&self, net: usize, from: usize, to: usize) -> bool {
        self.nodes[from].links[net] && self.nodes[to].links[net] && self.reach[net][from][to]
    }

    fn look(&mut self) -> Result<(), Violation> {
        for node in &mut self.nodes {
            let healthy = node.process == Process::Running
                && node.links.iter().all(|up| *up)
                && !node.stopping
                && !node.is_troubled();
            node.healthy_since = if healthy { node.healthy_since.or(Some(self.now)) } else { None };
        }
        let (links, reach) = (&self.nodes, &self.reach);
        self.check.look(self.now, &self.nodes, |net, from, to| {
            links[from].links[net] && links[to].links[net] && reach[net][from][to]
        })
    }

    fn look_at_holders(&self) -> Result<(), Violation> {
        let holders: Vec<usize> = (0..NODES).filter(|node| self.nodes[*node].holds()).collect();
        let [holder] = holders[..] else { return Err(Violation::NotOneHolder { holders }) };
        let nodes = &self.nodes;
        let is_better = |node: &usize| {
            let (other, own) = (&nodes[*node], &nodes[holder]);
            !other.is_troubled() && other.priority() > own.priority() && other.lost() < own.lost()
        };
        match (0..NODES).find(is_better) {
            Some(better) => Err(Violation::WorseHolds { holder, better }),
            None => Ok(()),
        }
    }

    fn look_at_arp(&self) -> Result<(), Violation> {
        self.look_at_holders()?;
        let holder = (0..NODES).find(|node| self.nodes[*node].holds());
        for (net, observers) in self.arp.iter().enumerate() {
            for points_to in observers {
                if *points_to != holder {
                    return Err(Violation::StaleArp { net, points_to: *points_to });
                }
            }
        }
        Ok(())
    }

    fn some(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.random.between(0, u64::try_from(most.as_nanos()).unwrap_or(0)))
    }

    fn schedule(&mut self, at: Time, event: Event) {
        self.queued += 1;
        self.queue.insert((at, self.queued), event);
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{} {}", self.now, line()));
        }
    }
}
