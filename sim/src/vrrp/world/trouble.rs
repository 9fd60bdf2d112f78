//! What is done to the cluster during a run, and its undoing at the end.

use std::time::Duration;

use relevo_proto::vrrp::{Group, Input};

use super::super::check::Violation;
use super::super::faults::Fault;
use super::super::node::Process;
use super::{Mutant, NODES, Weather, World};

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
        node.quiet_until = local + node.own_down();
        // The director removes what an earlier process left.
        if std::mem::take(&mut node.left_over) {
            node.lease_ends = None;
        }
        for net in 0..self.reach.len() {
            self.tell_link(index, net)?;
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
            node.quiet_until = node.local(self.now) + node.own_down();
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
