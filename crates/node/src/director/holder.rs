//! One group at work: the machine, its legs, and its addresses in the kernel.

mod leftovers;
mod log;
mod status;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use relevo_model::{NodeName, Time};
use relevo_net::address::Wish;
use relevo_net::arp::ArpSocket;
use relevo_net::clock;
use relevo_net::conflict::{Claim, ConflictWatch};
use relevo_net::link::Link;
use relevo_net::route::Route;
use relevo_proto::vrrp::{Envelope, Group, Handed, Input, Output, State, lease};
use tracing::{debug, error, warn};

use super::along::Along;
use super::conflict::Conflicts;
use super::herald::{Herald, News};
use super::leg::Leg;
use super::moving::Moving;
use super::queue::Queue;
use super::setup::{Member, Site, VirtualAddress};
use super::tidings;
use crate::track::Stand;

/// What all groups share to change the world with.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) route: Route,
    pub(super) arp: ArpSocket,
    pub(super) watch: ConflictWatch,
}

/// A group with its machine.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) member: Member,
    pub(super) machine: Group,
    pub(super) legs: Vec<Leg>,
    /// The interfaces of addresses that are not on a leg's; `None` also for the others.
    sites: Vec<Option<Link>>,
    /// Announcements that wait for their turn.
    queue: Queue,
    /// When it begins to take part; `None`: it does.
    begin: Option<Time>,
    /// What the machine was last told about each leg.
    told: Vec<Option<bool>>,
    /// Until when the group stays in Fault because an address could not be put on, and why.
    refused: Option<(Time, String)>,
    conflicts: Conflicts,
    along: Along,
    herald: Option<Herald>,
    /// The lifetime that the machine last asked for; `None` while nothing is held.
    held: Option<Duration>,
    pub(super) moving: Moving,
    pub(super) finished: bool,
    /// `since` of the status on the wall clock, counted once for each change of state.
    since: (Time, u64),
}

impl Holder {
    /// Opens the legs of a group and removes what an earlier process left behind.
    /// What a former process handed over is kept instead.
    pub(super) fn new(
        node: &NodeName,
        member: Member,
        legs: Vec<Leg>,
        kernel: &mut Kernel,
        now: Time,
        handed: Option<Handed>,
    ) -> Self {
        let settings = member.settings.clone();
        let is_held = handed.is_some_and(|handed| handed.active.is_some());
        let mut along = Along::new(member.along.clone());
        if is_held {
            along.adopt(&mut kernel.route);
        }
        let state = handed.map(|handed| if handed.active.is_some() { "active" } else { "backup" });
        let herald = Herald::start(node, &member.name, &member.notify, state);
        let mut holder = Self {
            machine: match handed {
                Some(handed) => Group::adopt(settings, now, handed),
                None => Group::new(settings, now),
            },
            begin: match handed {
                Some(_) => None,
                None => begin(&member, now),
            },
            told: vec![None; legs.len()],
            sites: vec![None; member.addresses.len()],
            queue: Queue::new(member.spacing),
            member,
            legs,
            refused: None,
            conflicts: Conflicts::default(),
            along,
            herald,
            held: None,
            moving: Moving::default(),
            finished: false,
            since: (now, clock::wall_millis(now)),
        };
        holder.find_sites(kernel);
        for leg in &mut holder.legs {
            // What another process switched since it was opened.
            leg.refresh(&mut kernel.route, now);
        }
        if !is_held {
            holder.remove_leftovers(kernel);
        }
        holder
    }

    /// Tells the machine which links are up, where that changed.
    pub(super) fn tell_links(&mut self, kernel: &mut Kernel, now: Time) {
        if self.begin.is_some() {
            return;
        }
        for router in 0..self.legs.len() {
            if let Some(source) = self.legs[router].source {
                self.machine.handle_input(now, Input::Source { router, source });
            }
            let up = self.refused.is_none() && self.legs[router].is_up();
            if self.told[router] != Some(up) {
                self.told[router] = Some(up);
                self.input(kernel, now, Input::Link { router, up });
            }
        }
    }

    /// Looks at the interfaces again.
    pub(super) fn refresh(&mut self, kernel: &mut Kernel, now: Time) {
        let places = |holder: &Self| -> Vec<Option<u32>> {
            holder.legs.iter().map(|leg| leg.place().map(|link| link.index)).collect()
        };
        let before = places(self);
        for leg in &mut self.legs {
            leg.refresh(&mut kernel.route, now);
        }
        self.find_sites(kernel);
        self.tell_links(kernel, now);
        // An interface that was made anew has nothing on it.
        if let Some(valid) = self.held
            && places(self) != before
        {
            self.hold(kernel, now, valid);
            self.announce(kernel, now);
        }
    }

    /// Where its addresses belong: interface and address.
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, IpAddr)> {
        let places = self.member.addresses.iter().enumerate();
        places.filter_map(|(number, address)| Some((self.link_of(number)?.index, address.ip)))
    }

    /// The interface of an address, if it was found.
    fn link_of(&self, number: usize) -> Option<&Link> {
        match self.member.addresses.get(number)?.site {
            Site::Leg(leg) => self.legs.get(leg)?.place(),
            Site::Named(_) | Site::Own { .. } => self.sites.get(number)?.as_ref(),
        }
    }

    /// Looks for the interfaces of addresses that are not on a leg's.
    fn find_sites(&mut self, kernel: &mut Kernel) {
        for (number, address) in self.member.addresses.iter().enumerate() {
            self.sites[number] = match &address.site {
                Site::Leg(_) => None,
                Site::Own { ip, interface } => {
                    kernel.route.interface(*ip, interface.as_deref()).ok().map(|found| found.link)
                }
                Site::Named(name) => {
                    let links = kernel.route.links().unwrap_or_default();
                    links.into_iter().find(|link| link.name == *name)
                }
            };
        }
    }

    /// Takes in how the group stands.
    pub(super) fn stand(&mut self, kernel: &mut Kernel, now: Time, stand: Stand) {
        self.input(kernel, now, Input::Ready(stand.ready));
        self.input(kernel, now, Input::Priority(stand.priority));
        self.input(kernel, now, Input::Trouble(stand.trouble.as_deref()));
    }

    /// Gives the machine an input and does what it answers.
    pub(super) fn input(&mut self, kernel: &mut Kernel, now: Time, input: Input<'_>) {
        self.machine.handle_input(now, input);
        self.outputs(kernel, now);
    }

    /// Takes all packets that wait.
    pub(super) fn receive(&mut self, kernel: &mut Kernel, now: Time) {
        for (router, own) in (0..self.legs.len()).flat_map(|router| [(router, true), (router, false)]) {
            for _ in 0..MOST_PACKETS {
                let Some(socket) = self.legs[router].hearing(own) else { break };
                match socket.receive() {
                    Ok(Some(datagram)) => {
                        let relevo_net::vrrp_socket::Datagram { source, destination, ttl, payload } =
                            datagram;
                        if let Some(priority) = payload.get(2) {
                            self.member.learn(source, *priority);
                        }
                        if self.member.settings.signing.is_some() {
                            self.machine.handle_input(now, Input::Wall(clock::wall_at_zero()));
                        }
                        let envelope = Envelope { source, destination, ttl };
                        self.machine.handle_input(now, Input::Packet { router, envelope, bytes: payload });
                        self.outputs(kernel, now);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        debug!(error = super::chain(&error), "receiving");
                        break;
                    }
                }
            }
        }
    }

    /// When to call [`Holder::fire`].
    pub(super) fn timeout(&self) -> Option<Time> {
        let retries = self.legs.iter().filter_map(|leg| leg.retry);
        let refused = self.refused.as_ref().map(|(until, _)| *until);
        retries
            .chain(refused)
            .chain(self.begin)
            .chain(self.queue.due())
            .chain(self.machine.poll_timeout())
            .min()
    }

    /// Does what is due.
    pub(super) fn fire(&mut self, kernel: &mut Kernel, now: Time) {
        self.announce_next(kernel, now);
        if self.machine.poll_timeout().is_some_and(|due| due <= now) {
            if self.member.settings.signing.is_some() {
                self.machine.handle_input(now, Input::Wall(clock::wall_at_zero()));
            }
            self.machine.handle_timeout(now);
            self.outputs(kernel, now);
        }
        let mut links = false;
        for leg in &mut self.legs {
            if leg.retry.is_some_and(|due| due <= now) {
                leg.refresh(&mut kernel.route, now);
                links = true;
            }
        }
        if self.refused.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.refused = None;
            links = true;
        }
        if self.begin.is_some_and(|begin| begin <= now) {
            self.begin = None;
            links = true;
        }
        if links {
            self.tell_links(kernel, now);
        }
    }

    /// Somebody removed addresses. Those that are held here are put on again.
    pub(super) fn restore(&mut self, kernel: &mut Kernel, now: Time, removed: &BTreeSet<(u32, IpAddr)>) {
        let Some(valid) = self.held else { return };
        let ours: Vec<(u32, IpAddr)> = self.places().filter(|place| removed.contains(place)).collect();
        if ours.is_empty() {
            return;
        }
        // The message may be older than the last Hold: ask what is true.
        let Ok(present) = kernel.route.addresses() else { return };
        let gone = |(index, ip)| !present.iter().any(|address| (address.index, address.ip) == (index, ip));
        let missing: Vec<String> =
            ours.into_iter().filter(|place| gone(*place)).map(|(_, ip)| ip.to_string()).collect();
        if !missing.is_empty() {
            warn!(group = %self.member.name, "somebody removed {}: putting it on again", missing.join(", "));
            self.hold(kernel, now, valid);
            self.announce(kernel, now);
        }
    }

    /// Takes all addresses off, whatever the machine thinks.
    pub(super) fn release(&mut self, kernel: &mut Kernel) {
        self.held = None;
        self.queue.clear();
        self.along.release(&mut kernel.route, &self.member.name);
        self.switch_off(kernel);
        for (number, address) in self.member.addresses.iter().enumerate() {
            let Some(link) = self.link_of(number) else { continue };
            if let Err(error) = kernel.route.release(link.index, address.ip, address.prefix) {
                error!(group = %self.member.name, error = super::chain(&error), "address not removed");
            }
        }
    }

    /// Switches off what has a virtual hardware address. Before its addresses are removed: the kernel tells that an IPv6 address
    /// has left its multicast group (RFC 3810), and from that hardware address switches would learn once more that it is here.
    fn switch_off(&mut self, kernel: &mut Kernel) {
        for leg in &mut self.legs {
            if let Err(error) = leg.switch(&mut kernel.route, false) {
                error!(group = %self.member.name, error = super::chain(&error), "it may still answer");
            }
        }
    }

    /// Removes what was made for the group; it is released.
    pub(super) fn dismantle(&mut self, kernel: &mut Kernel) {
        for leg in &mut self.legs {
            leg.dismantle(&mut kernel.route);
        }
    }

    /// Ends and leaves what is held to another process.
    pub(super) fn hand_over(&mut self, kernel: &mut Kernel, now: Time) -> Handed {
        let handed = self.machine.hand_over(now);
        self.outputs(kernel, now);
        handed
    }

    fn outputs(&mut self, kernel: &mut Kernel, now: Time) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Send { router, to, bytes } => {
                    let held = self.machine.is_active() && bytes.get(2) != Some(&0);
                    self.legs[router].send(&kernel.arp, to, &bytes, held);
                }
                Output::Hold { valid } => self.hold(kernel, now, valid),
                Output::Release => {
                    if self.held.is_some() {
                        self.keep_silent(kernel);
                    }
                    self.release(kernel);
                }
                Output::Announce => {
                    self.announce(kernel, now);
                    self.probe(kernel, now);
                }
                Output::Changed { from, to, reason } => {
                    self.log_change(from, to, &reason);
                    let state = match to {
                        State::Active => Some("active"),
                        State::Backup => Some("backup"),
                        State::Fault => Some("fault"),
                        State::Init => None,
                    };
                    if let Some(state) = state {
                        let reason = self.reason(to, &reason);
                        self.tell(state, &reason);
                    }
                }
                Output::Rival { source, priority } => self.log_rival(&source.to_string(), priority),
                Output::Dropped { router, source, reason } => {
                    let from = self.member.with_names(&source.to_string());
                    self.legs[router].dropped(now, &self.member.name, &from, &reason.to_string());
                }
                Output::Finished => {
                    self.finished = true;
                    self.tell("stop", "it is stopped");
                }
            }
        }
        // A director that cannot hold an address must not say that it is active. Each pass tells the machine about one more
        // leg, so this ends.
        if self.refused.is_some()
            && let Some(router) = self.told.iter().position(|told| *told == Some(true))
        {
            self.told[router] = Some(false);
            self.input(kernel, now, Input::Link { router, up: false });
        }
    }

    /// Tells who wants to know.
    fn tell(&mut self, state: &'static str, reason: &str) {
        let priority = self.machine.status().priority;
        if let Some(herald) = &mut self.herald {
            herald.tell(News { state, priority, reason: reason.to_owned() });
        }
    }

    /// What moves along with the addresses.
    pub(super) const fn along(&self) -> &Along {
        &self.along
    }

    fn hold(&mut self, kernel: &mut Kernel, now: Time, valid: Duration) {
        self.held = Some(valid);
        for leg in &mut self.legs {
            if let Err(error) = leg.switch(&mut kernel.route, true) {
                let why = super::chain(&error);
                error!(group = %self.member.name, "{why}");
                self.refused = Some((now + REFUSED, why));
                return;
            }
        }
        for (number, address) in self.member.addresses.iter().enumerate() {
            let VirtualAddress { ip, prefix, scope, .. } = *address;
            let index = self.link_of(number).map_or(0, |link| link.index);
            let wish = Wish { index, ip, prefix, scope, label: address.label.as_deref() };
            if let Err(error) = kernel.route.place(&wish, Some(valid)) {
                let why = super::chain(&error);
                error!(group = %self.member.name, "{why}");
                self.refused = Some((now + REFUSED, why));
                return;
            }
        }
        self.along.hold(&mut kernel.route, now, &self.member.name);
    }

    fn announce(&mut self, kernel: &Kernel, now: Time) {
        self.queue.fill(now, self.member.addresses.len());
        self.announce_next(kernel, now);
    }

    /// Announces what is due: all at once, or one after the other if the file wants some time between them.
    fn announce_next(&mut self, kernel: &Kernel, now: Time) {
        while let Some(number) = self.queue.take(now) {
            let Some(link) = self.link_of(number) else { continue };
            if let Err(error) = tidings::announce(kernel, link, self.member.addresses[number].ip) {
                debug!(group = %self.member.name, error = super::chain(&error), "not announced");
            }
        }
    }

    /// Asks who else has the addresses, once it cannot be the one that had them before.
    fn probe(&self, kernel: &Kernel, now: Time) {
        if !self.is_settled(now) {
            return;
        }
        for (number, address) in self.member.addresses.iter().enumerate() {
            let Some(link) = self.link_of(number) else { continue };
            if let Err(error) = kernel.watch.probe(link, address.ip) {
                debug!(group = %self.member.name, error = super::chain(&error), "not probed");
            }
        }
    }

    /// Somebody says that an address is his. While it is held here that is a warning.
    pub(super) fn claimed(&mut self, now: Time, claim: &Claim) {
        let Some(address) = self.member.addresses.iter().find(|address| address.ip == claim.ip) else {
            return;
        };
        let mut links = (0..self.member.addresses.len()).filter_map(|number| self.link_of(number));
        let ours = links.any(|link| link.hardware == claim.hardware);
        if !ours && self.is_settled(now) && self.conflicts.show(now, claim.ip) {
            let hardware = claim.hardware.map(|byte| format!("{byte:02x}")).join(":");
            let network = &address.network;
            warn!(
                group = %self.member.name, %network,
                "{} is held here, and also by the machine with the hardware address {hardware}: clients reach one or the other",
                claim.ip
            );
        }
    }

    /// Whether it is active for so long that the one before it, alive or dead, cannot have the addresses any more.
    fn is_settled(&self, now: Time) -> bool {
        let status = self.machine.status();
        let lease = self.held.unwrap_or_default();
        status.state == State::Active && now.since(status.since) > lease + lease::KERNEL_LATE
    }
}

/// When a group begins to take part; `None`: at once.
fn begin(member: &Member, now: Time) -> Option<Time> {
    let [startup, boot] = member.delays;
    // The clock counts from the start of the machine.
    let begin = (now + startup).max(Time::ZERO + boot);
    (begin > now).then_some(begin)
}

/// How long a group stays in Fault after the kernel refused an address.
const REFUSED: Duration = Duration::from_secs(5);
/// Most packets taken in one turn from one socket, so that a flood cannot keep the timers waiting.
const MOST_PACKETS: usize = 1024;
