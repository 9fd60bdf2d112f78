//! What the nodes watch: looks drawn from the seed, trackers, and what they tell the machine.
//!
//! Each node has three trackers: one whose fault makes the group give way, a light weight that flaps, and a heavy one that
//! is down until the first look, as for a balancer that has not found its servers.

use std::time::Duration;

use relevo_model::Time;
use relevo_proto::track::{Reading, Settings, Standing, Tracker, Verdict};

use super::faults::Fault;
use crate::random::Random;

/// Trackers of a node.
pub const TRACKERS: usize = 3;

/// What every look sees.
const LOOK: &str = "look";

/// What a node watches.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What is true, whoever looks.
    pub world: [Reading; TRACKERS],
    /// The trackers of the running process; none if this run has none.
    trackers: Vec<Tracker>,
    /// What the machine was told last.
    pub told: Option<Standing>,
}

impl Watch {
    /// Nothing is watched.
    pub const fn none() -> Self {
        Self { world: [Reading::Up; TRACKERS], trackers: Vec::new(), told: None }
    }

    /// A process begins to watch.
    pub fn begin(&mut self, now: Time, advert: Duration) {
        self.told = None;
        let weights = [None, Some(-30), Some(-253)];
        let of = |(place, weight): (usize, Option<i16>)| {
            let settings = Settings {
                weight,
                reverse: false,
                rise: 1,
                fall: 1,
                up_delay: if place == 1 { advert * 2 } else { Duration::ZERO },
                down_delay: if place == 1 { advert / 2 } else { Duration::ZERO },
                at_start: if place == 2 { Verdict::Down } else { Verdict::Unknown },
            };
            Tracker::new(settings, now)
        };
        self.trackers = weights.into_iter().enumerate().map(of).collect();
    }

    /// Looks at one thing.
    pub fn look(&mut self, now: Time, place: usize) {
        let reading = self.world[place];
        if let Some(tracker) = self.trackers.get_mut(place) {
            tracker.handle_input(now, reading, LOOK);
        }
    }

    /// When something is due.
    pub fn due(&self) -> Option<Time> {
        self.trackers.iter().filter_map(Tracker::poll_timeout).min()
    }

    /// Whether it knows how well it is: it has looked, and nothing speaks against what it saw.
    pub fn is_ready(&self) -> bool {
        let is_certain = |tracker: &Tracker| tracker.is_certain() && tracker.evidence() == LOOK;
        self.trackers.iter().all(is_certain)
    }

    /// What must be told to the machine, if it is new.
    pub fn news(&mut self, now: Time, priority: u8) -> Option<Standing> {
        for tracker in &mut self.trackers {
            tracker.handle_timeout(now);
            while tracker.poll_output().is_some() {}
        }
        let standing = Standing::of(priority, self.trackers.iter().map(Tracker::effect));
        (self.told.replace(standing) != Some(standing)).then_some(standing)
    }
}

/// Draws what happens to the watched things: blinks, and what lasts.
pub fn draw(random: &mut Random, nodes: usize, advert: Duration, until: Time) -> Vec<(Time, Fault)> {
    let mut looks = Vec::new();
    for node in 0..nodes {
        for tracker in 0..TRACKERS {
            let mut now = Time::ZERO;
            let mut up = true;
            while now < until {
                let longest = random.pick(&[2, 20, 60]);
                let steps = u32::try_from(random.between(1, longest)).unwrap_or(1);
                now += advert / 4 * steps * if up { 8 } else { 2 };
                up = !up;
                looks.push((now, Fault::Look { node, tracker, up }));
            }
        }
    }
    looks.retain(|(at, _)| *at < until);
    looks
}
