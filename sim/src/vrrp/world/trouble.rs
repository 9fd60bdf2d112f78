//! What is done to the cluster during a run, and its undoing at the end.

use std::time::Duration;

use relevo_proto::track::Reading;
use relevo_proto::vrrp::{Group, Input};

use super::super::check::Violation;
use super::super::faults::Fault;
use super::super::health::TRACKERS;
use super::super::node::Process;
use super::{Event, Mutant, NODES, Weather, World};

impl World {
    pub(super) fn on_fault(&mut self, fault: Fault) -> Result<(), Violation> {
        match fault {
            Fault::Pause(node) => {
                if self.nodes[node].process == Process::Running {
                    self.nodes[node].process = Process::Paused;
                    self.nodes[node].paused_at = self.now;
                }
                Ok(())
            }
            Fault::Resume(node) => self.on_resume(node),
            Fault::Kill(node) => {
                self.on_death(node);
                Ok(())
            }
            Fault::Start(node) => self.on_start(node),
            Fault::Link { node, net, up } => {
                self.nodes[node].links[net] = up;
                if !up {
                    self.arp[net][node] = None;
                }
                if self.nodes[node].process == Process::Running { self.tell_link(node, net) } else { Ok(()) }
            }
            Fault::Cut { net, alone } => {
                for other in 0..NODES {
                    self.reach[net][alone][other] = false;
                    self.reach[net][other][alone] = false;
                }
                Ok(())
            }
            Fault::OneWay { net, from, to } => {
                self.reach[net][from][to] = false;
                Ok(())
            }
            Fault::Mend(net) => {
                self.reach[net] = [[true; NODES]; NODES];
                Ok(())
            }
            Fault::Weather { loss, twice, delay, jitter } => {
                self.weather = Weather { loss, twice, delay, jitter };
                Ok(())
            }
            Fault::Look { node, tracker, up } => {
                self.nodes[node].watch.world[tracker] = if up { Reading::Up } else { Reading::Down };
                self.look_at_trackers(node)
            }
            Fault::Resign(node) => self.command(node, Input::Resign),
            Fault::Claim(node) => {
                self.nodes[node].claimed_at = Some(self.nodes[node].local(self.now));
                self.command(node, Input::Claim)
            }
            Fault::Shutdown(node) => {
                self.nodes[node].stopping = true;
                self.command(node, Input::Shutdown)
            }
        }
    }

    fn command(&mut self, node: usize, input: Input<'static>) -> Result<(), Violation> {
        if self.nodes[node].process != Process::Running {
            return Ok(());
        }
        self.handle(node, |group, now| group.handle_input(now, input))
    }

    fn on_start(&mut self, index: usize) -> Result<(), Violation> {
        if self.nodes[index].process != Process::Dead {
            return Ok(());
        }
        let node = &mut self.nodes[index];
        let local = node.local(self.now);
        node.group = Some(Group::new(node.settings.clone(), local));
        node.process = Process::Running;
        node.stopping = false;
        node.claimed_at = None;
        if self.watching {
            node.watch.begin(local, node.settings.advert);
            // The first looks take their time.
            let first = self.now + node.settings.advert * 5;
            self.schedule(first, Event::Judge { node: index });
        }
        let node = &mut self.nodes[index];
        let standing = node.watch.news(local, node.settings.priority);
        if let (Some(standing), Some(group)) = (standing, &mut node.group) {
            group.handle_input(local, Input::Ready(!self.watching));
            group.handle_input(local, Input::Priority(standing.priority));
        }
        node.quiet_until = local + node.least_down();
        // The director removes what an earlier process left.
        if std::mem::take(&mut node.left_over) {
            node.lease_ends = None;
        }
        for net in 0..self.reach.len() {
            self.tell_link(index, net)?;
        }
        Ok(())
    }

    /// A running process looks at all that it watches.
    pub(super) fn look_at_trackers(&mut self, index: usize) -> Result<(), Violation> {
        if self.nodes[index].process != Process::Running {
            return Ok(());
        }
        let local = self.nodes[index].local(self.now);
        for place in 0..TRACKERS {
            self.nodes[index].watch.look(local, place);
        }
        self.judge(index)
    }

    /// Tells the machine what the trackers say, if that is new.
    pub(super) fn judge(&mut self, index: usize) -> Result<(), Violation> {
        if self.nodes[index].process != Process::Running || !self.watching {
            return Ok(());
        }
        let local = self.nodes[index].local(self.now);
        for place in 0..TRACKERS {
            self.nodes[index].watch.look(local, place);
        }
        let priority = self.nodes[index].settings.priority;
        let before = self.nodes[index].is_troubled();
        let ready = self.nodes[index].watch.is_ready();
        self.handle(index, |group, now| group.handle_input(now, Input::Ready(ready)))?;
        if let Some(standing) = self.nodes[index].watch.news(local, priority) {
            self.tell(|| format!("node {index}: {standing:?}"));
            let trouble = standing.fault.map(|_| "a tracker");
            self.handle(index, |group, now| group.handle_input(now, Input::Priority(standing.priority)))?;
            if before != trouble.is_some() {
                self.handle(index, |group, now| group.handle_input(now, Input::Trouble(trouble)))?;
            }
        }
        if let Some(due) = self.nodes[index].watch.due() {
            let at = self.nodes[index].when(due).max(self.now);
            self.schedule(at, Event::Judge { node: index });
        }
        Ok(())
    }

    pub(super) fn on_death(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.group = None;
        node.process = Process::Dead;
        node.left_over = node.holds();
        node.holding = false;
        node.inbox.clear();
        node.wake += 1;
    }

    fn on_resume(&mut self, index: usize) -> Result<(), Violation> {
        if self.nodes[index].process != Process::Paused {
            return Ok(());
        }
        let node = &mut self.nodes[index];
        let slept = node.local(self.now).since(node.local(node.paused_at));
        if slept > node.own_down() {
            node.quiet_until = node.local(self.now) + node.least_down();
        }
        if self.mutant == Mutant::BlindToPauses {
            node.hide(slept);
        }
        node.process = Process::Running;
        // A loop may look at its timers or at its sockets first.
        if self.random.chance(50) {
            self.handle(index, |group, now| group.handle_timeout(now))?;
        }
        while let Some(packet) = self.nodes[index].inbox.pop_front() {
            if self.nodes[index].process == Process::Running {
                self.hear(index, &packet)?;
            }
        }
        for net in 0..self.reach.len() {
            self.tell_link(index, net)?;
        }
        self.look_at_trackers(index)?;
        self.handle(index, |group, now| group.handle_timeout(now))
    }

    pub(super) fn on_heal(&mut self) -> Result<(), Violation> {
        self.tell(|| String::from("-- all is healed"));
        let fair = Duration::from_millis(1);
        self.weather = Weather { loss: 0, twice: 0, delay: fair, jitter: fair };
        for net in 0..self.reach.len() {
            self.reach[net] = [[true; NODES]; NODES];
            for node in 0..NODES {
                self.on_fault(Fault::Link { node, net, up: true })?;
            }
        }
        // What is a fault is mended; what is only worse may stay so.
        for node in 0..NODES {
            self.on_fault(Fault::Look { node, tracker: 0, up: true })?;
            if !self.ill {
                self.on_fault(Fault::Look { node, tracker: 1, up: true })?;
                self.on_fault(Fault::Look { node, tracker: 2, up: true })?;
            }
        }
        for node in 0..NODES {
            self.on_resume(node)?;
            self.on_start(node)?;
            // Who is shutting down is killed and comes back.
            if self.nodes[node].stopping {
                self.on_death(node);
                self.on_start(node)?;
            }
        }
        Ok(())
    }
}
