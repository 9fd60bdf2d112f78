//! The trouble of a run, drawn from its seed.

use relevo_model::Time;
use std::time::Duration;

use crate::random::Random;

/// Something that is done to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Stops a process; its packets wait.
    Pause(usize),
    /// Lets it go on.
    Resume(usize),
    /// Kills a process; the kernel keeps its addresses until the lease ends.
    Kill(usize),
    /// Starts a dead process.
    Start(usize),
    /// A cable out or in.
    Link {
        /// Whose.
        node: usize,
        /// On which network.
        net: usize,
        /// In or out.
        up: bool,
    },
    /// Cuts a network between one node and the others.
    Cut {
        /// Which network.
        net: usize,
        /// Who is alone.
        alone: usize,
    },
    /// Cuts one direction.
    OneWay {
        /// Which network.
        net: usize,
        /// Who is not heard any more.
        from: usize,
        /// By whom.
        to: usize,
    },
    /// Makes a network whole.
    Mend(usize),
    /// Loses this share of packets, percent, and keeps the others for up to this long.
    Weather {
        /// Percent of packets lost.
        loss: u64,
        /// Percent of packets that come twice.
        twice: u64,
        /// Longest delay.
        delay: Duration,
        /// Longest lateness of a process.
        jitter: Duration,
    },
    /// Something that a node watches changes.
    Look {
        /// Whose.
        node: usize,
        /// Which tracker.
        tracker: usize,
        /// Whether it is well.
        up: bool,
    },
    /// The operator gives the group away.
    Resign(usize),
    /// The operator takes the group.
    Claim(usize),
    /// A clean stop.
    Shutdown(usize),
}

/// Draws the faults of a run of `nodes` on `nets` with adverts every `advert`, in order of time.
pub fn draw(
    random: &mut Random,
    nodes: usize,
    nets: usize,
    advert: Duration,
    until: Time,
) -> Vec<(Time, Fault)> {
    let mut faults = Vec::new();
    let mut now = Time::ZERO + advert * pick(random, 2, 20);
    while now < until {
        let node = random.index(nodes);
        let net = random.index(nets);
        // From a blink to many Active_Down intervals.
        let longest = random.pick(&[4, 12, 60]);
        let later = now + advert / 2 * pick(random, 1, longest);
        match random.index(12) {
            0 | 1 => {
                faults.push((now, Fault::Pause(node)));
                faults.push((later, Fault::Resume(node)));
            }
            2 => {
                faults.push((now, Fault::Kill(node)));
                faults.push((later, Fault::Start(node)));
            }
            3 => {
                faults.push((now, Fault::Link { node, net, up: false }));
                faults.push((later, Fault::Link { node, net, up: true }));
            }
            4 => {
                faults.push((now, Fault::Cut { net, alone: node }));
                faults.push((later, Fault::Mend(net)));
            }
            5 => {
                for net in 0..nets {
                    faults.push((now, Fault::Cut { net, alone: node }));
                    faults.push((later, Fault::Mend(net)));
                }
            }
            6 => {
                let to = (node + 1 + random.index(nodes - 1)) % nodes;
                faults.push((now, Fault::OneWay { net, from: node, to }));
                faults.push((later, Fault::Mend(net)));
            }
            7 => faults.push((now, weather(random, advert))),
            8 => faults.push((now, Fault::Resign(node))),
            9 | 10 => faults.push((now, Fault::Claim(node))),
            _ => {
                faults.push((now, Fault::Shutdown(node)));
                faults.push((later + advert * 12, Fault::Start(node)));
            }
        }
        now += advert / 4 * pick(random, 0, 40);
    }
    faults.retain(|(at, _)| *at < until);
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn weather(random: &mut Random, advert: Duration) -> Fault {
    Fault::Weather {
        loss: random.pick(&[0, 0, 2, 10]),
        twice: random.pick(&[0, 0, 5]),
        delay: advert / 100 * random.pick(&[0, 1, 10, 40]),
        jitter: advert / 100 * random.pick(&[0, 1, 10, 50]),
    }
}

fn pick(random: &mut Random, low: u64, high: u64) -> u32 {
    u32::try_from(random.between(low, high)).unwrap_or(1)
}
