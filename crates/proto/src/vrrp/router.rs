//! One router of a group: what it heard on its network and when its Active_Down timer runs out.

use std::net::IpAddr;
use std::time::Duration;

use relevo_model::Time;
use relevo_model::cluster::VrrpVersion;

use super::sign::Heard;
use super::timer;
use super::words::RouterSettings;

/// What a router saw last, as to who is active on its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nobody since it began to listen.
    Nobody,
    /// An advert.
    Active { source: IpAddr, priority: u8, at: Time },
    /// Priority 0 of the one that was active.
    Resigned { source: IpAddr },
}

/// Another active of the same priority, heard while active.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rival {
    pub(super) source: IpAddr,
    pub(super) first: Time,
    pub(super) last: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) settings: RouterSettings,
    /// `None`: not told yet.
    pub(super) link: Option<bool>,
    /// Active_Adver_Interval: own, or learned from the active (version 3).
    pub(super) interval: Duration,
    /// Adverts that must be missing.
    missed: u8,
    /// End of the Active_Down timer; it has run out when this is not after now.
    pub(super) down_at: Time,
    pub(super) seen: Seen,
    pub(super) rival: Option<Rival>,
    /// Heard priority 0 as the answer to a claim.
    pub(super) yielded: bool,
    /// When it last answered a lower advert with an own one.
    pub(super) asserted: Option<Time>,
    /// Times of signed adverts that were heard.
    pub(super) heard: Heard,
}

impl Router {
    pub(super) fn new(settings: RouterSettings, interval: Duration, missed: u8) -> Self {
        Self {
            settings,
            link: None,
            interval,
            missed,
            down_at: Time::MAX,
            seen: Seen::Nobody,
            rival: None,
            yielded: false,
            asserted: None,
            heard: Heard::default(),
        }
    }

    /// Whether an advert's source is the peer with this address. The file does not tell link-local addresses; of a single
    /// peer there is no doubt.
    pub(super) fn same(&self, heard: IpAddr, peer: IpAddr) -> bool {
        let is_local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
        heard == peer || (is_local(heard) && !is_local(peer) && self.settings.peers.len() == 1)
    }

    /// Forgets what it heard and starts its timer.
    pub(super) fn listen(&mut self, now: Time, version: VrrpVersion, priority: u8, interval: Duration) {
        self.seen = Seen::Nobody;
        self.rival = None;
        self.yielded = false;
        self.asserted = None;
        self.restart(now, version, priority, interval);
    }

    /// Starts the Active_Down timer with an interval heard.
    pub(super) fn restart(&mut self, now: Time, version: VrrpVersion, priority: u8, interval: Duration) {
        self.interval = interval;
        self.down_at = now + timer::active_down(version, priority, interval, self.missed);
    }

    /// The active said good-bye: Active_Down timer = Skew_Time (RFC 9568 section 6.4.2), never later than before.
    pub(super) fn shorten(&mut self, now: Time, version: VrrpVersion, priority: u8) {
        self.down_at = self.down_at.min(now + timer::skew(version, priority, self.interval));
    }
}
