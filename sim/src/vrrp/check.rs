//! What must be true, looked at after every event.
//!
//! | rule | bound |
//! |---|---|
//! | no two nodes hold the addresses on one network that joins them both ways | awake: 10 adverts and delays; one asleep or dead: the lifetime of the lease as the kernel keeps it, and a wake-up |
//! | somebody serves while a node is healthy | two Active_Down intervals of the lowest priority, and delays |
//! | who released does not advertise itself, but for a claim that was asked for | never |
//! | who is worse off than a backup holds nothing | from the settling time on |
//! | who started, or slept longer than its Active_Down interval, listens that long before it advertises | never earlier |
//! | after healing: one holder, no change of state, the last gratuitous ARP is the holder's | from the settling time on |

use std::fmt;
use std::time::Duration;

use relevo_model::Time;
use relevo_proto::vrrp::{CLAIM, CLAIM_GRACE, lease};

use super::node::{Node, Process};

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two nodes held the addresses on one network for too long.
    TwoHolders {
        /// The network.
        net: usize,
        /// The nodes.
        nodes: (usize, usize),
        /// For how long.
        lasted: Duration,
    },
    /// Nobody served for too long though a node could.
    NobodyServes {
        /// Who could.
        healthy: usize,
        /// For how long.
        lasted: Duration,
    },
    /// A node advertised itself without holding.
    SentAfterRelease {
        /// Which node.
        node: usize,
        /// With which priority.
        priority: u8,
    },
    /// A node advertised itself without having listened.
    SentBeforeListening {
        /// Which node.
        node: usize,
        /// With which priority.
        priority: u8,
    },
    /// After healing there is not exactly one holder.
    NotOneHolder {
        /// The holders.
        holders: Vec<usize>,
    },
    /// After healing somebody else is better off.
    WorseHolds {
        /// Who holds.
        holder: usize,
        /// Who should.
        better: usize,
    },
    /// After healing a state changed.
    Restless {
        /// Whose.
        node: usize,
    },
    /// After healing the neighbours' ARP entries point to a node that does not hold.
    StaleArp {
        /// On which network.
        net: usize,
        /// To whom they point.
        points_to: Option<usize>,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The bounds that follow from the settings.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Two holders, both awake.
    pub awake: Duration,
    /// Two holders, one of them asleep or its address left over.
    pub asleep: Duration,
    /// Nobody serves.
    pub nobody: Duration,
    /// From healing to rest.
    pub settle: Duration,
}

impl Bounds {
    /// For adverts every `advert` and packets and wake-ups late by at most `late`.
    pub fn new(node: &Node, late: Duration) -> Self {
        let advert = node.settings.advert;
        let awake = advert * 10 + late * 4;
        let asleep = lease::valid(node.own_down()) + lease::KERNEL_LATE + awake;
        let nobody = advert * 9 + late * 6 + CLAIM_GRACE;
        // A failed resignation may be under way: 5 adverts or 1 s.
        let settle = asleep + nobody * 2 + (advert * 5).max(Duration::from_secs(1));
        Self { awake, asleep, nobody, settle }
    }
}

/// Two nodes that both hold on one network.
#[derive(Clone, Copy, Debug)]
struct Double {
    since: Time,
    asleep: bool,
}

/// The memory of the rules.
#[derive(Clone, Debug)]
pub struct Check {
    bounds: Bounds,
    /// By network and pair.
    doubles: Vec<Vec<Option<Double>>>,
    nobody_since: Time,
    /// The longest times seen, for the report.
    pub longest_double: Duration,
}

impl Check {
    /// Begins at the origin of time.
    pub fn new(bounds: Bounds, nodes: usize, nets: usize) -> Self {
        let doubles = vec![vec![None; nodes * nodes]; nets];
        Self { bounds, doubles, nobody_since: Time::ZERO, longest_double: Duration::ZERO }
    }

    /// Looks at all nodes. `joined(net, a, b)`: whether the network carries packets from `a` to `b`.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn look(
        &mut self,
        now: Time,
        nodes: &[Node],
        joined: impl Fn(usize, usize, usize) -> bool,
    ) -> Result<(), Violation> {
        self.look_for_doubles(now, nodes, joined)?;
        if nodes.iter().any(Node::serves) {
            self.nobody_since = now;
        }
        for (healthy, node) in nodes.iter().enumerate() {
            let Some(since) = node.healthy_since else { continue };
            let lasted = now.since(since.max(self.nobody_since));
            if lasted > self.bounds.nobody {
                return Err(Violation::NobodyServes { healthy, lasted });
            }
        }
        Ok(())
    }

    fn look_for_doubles(
        &mut self,
        now: Time,
        nodes: &[Node],
        joined: impl Fn(usize, usize, usize) -> bool,
    ) -> Result<(), Violation> {
        for (net, doubles) in self.doubles.iter_mut().enumerate() {
            for a in 0..nodes.len() {
                for b in a + 1..nodes.len() {
                    let both = nodes[a].holds() && nodes[b].holds() && joined(net, a, b) && joined(net, b, a);
                    let slot = &mut doubles[a * nodes.len() + b];
                    if !both {
                        *slot = None;
                        continue;
                    }
                    let asleep =
                        [a, b].iter().any(|at| nodes[*at].process != Process::Running || !nodes[*at].holding);
                    let double = slot.get_or_insert(Double { since: now, asleep });
                    double.asleep |= asleep;
                    let lasted = now.since(double.since);
                    let bound = if double.asleep { self.bounds.asleep } else { self.bounds.awake };
                    if lasted > bound {
                        return Err(Violation::TwoHolders { net, nodes: (a, b), lasted });
                    }
                    self.longest_double = self.longest_double.max(lasted);
                }
            }
        }
        Ok(())
    }

    /// Looks at an advert that a node sends.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn look_at_send(
        &self,
        local: Time,
        index: usize,
        node: &Node,
        priority: u8,
    ) -> Result<(), Violation> {
        if priority == 0 {
            return Ok(());
        }
        if local < node.quiet_until {
            return Err(Violation::SentBeforeListening { node: index, priority });
        }
        let claim_lasts = node.own_down() + self.bounds.awake;
        let claims = priority == CLAIM && node.claimed_at.is_some_and(|at| local.since(at) <= claim_lasts);
        if !node.holding && !claims {
            return Err(Violation::SentAfterRelease { node: index, priority });
        }
        Ok(())
    }
}
