//! The machine of a session (RFC 5880 section 6.8).

use std::collections::VecDeque;
use std::time::Duration;

use relevo_model::Time;

use super::packet::{Diagnostic, DropReason, Packet, SessionState};
use super::{Output, SLOW, Settings};

/// A session with one neighbour on one network; starts Down.
#[derive(Clone, Debug)]
pub struct Session {
    settings: Settings,
    state: SessionState,
    diagnostic: Diagnostic,
    since: Time,
    /// What the neighbour said last; `None`: nothing that counts.
    remote: Option<Remote>,
    /// Asking for an answer to the times that hold now.
    polling: bool,
    sent: Option<Time>,
    send_at: Time,
    /// When the neighbour's silence has lasted long enough.
    detect_at: Option<Time>,
    last_run: Time,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug)]
struct Remote {
    discriminator: u32,
    multiplier: u8,
    transmit: Duration,
    receive: Duration,
    demand: bool,
}

impl Session {
    /// Begins, Down. The first packet is due at once.
    pub fn new(settings: Settings, now: Time) -> Self {
        let interval = settings.interval.max(Duration::from_millis(1));
        let settings = Settings {
            discriminator: settings.discriminator.max(1),
            interval,
            multiplier: settings.multiplier.max(1),
        };
        Self {
            settings,
            state: SessionState::Down,
            diagnostic: Diagnostic::None,
            since: now,
            remote: None,
            polling: false,
            sent: None,
            send_at: now,
            detect_at: None,
            last_run: now,
            outputs: VecDeque::new(),
        }
    }

    /// What it is, and since when.
    pub fn state(&self) -> (SessionState, Time) {
        (self.state, self.since)
    }

    /// For how long the neighbour may be silent: its multiplier times the slower of what it sends and what we want.
    pub fn detection_time(&self) -> Option<Duration> {
        let remote = self.remote?;
        Some(self.settings.interval.max(remote.transmit) * u32::from(remote.multiplier))
    }

    /// Takes a packet that came from the neighbour. `chance` is any random number.
    ///
    /// # Errors
    /// Why it was not used.
    pub fn handle_packet(&mut self, now: Time, ttl: u8, bytes: &[u8], chance: u64) -> Result<(), DropReason> {
        let packet = Packet::decode(ttl, bytes)?;
        if packet.other != 0 && packet.other != self.settings.discriminator {
            return Err(DropReason::Session(packet.other));
        }
        if self.state == SessionState::AdminDown {
            return Err(DropReason::Stopped);
        }
        let now = self.enter(now);
        self.remote = Some(Remote {
            discriminator: packet.own,
            multiplier: packet.multiplier,
            transmit: packet.transmit,
            receive: packet.receive,
            demand: packet.demand && packet.state == SessionState::Up,
        });
        if packet.is_final {
            self.polling = false;
        }
        self.detect_at = self.detection_time().map(|time| now + time);
        self.follow(now, packet.state);
        if packet.poll {
            self.send(now, true);
        }
        // The neighbour may want them faster than the next one is due.
        self.send_at = match self.next_after(chance) {
            Some(pause) => self.send_at.min(self.sent.map_or(now, |sent| sent + pause)),
            None => Time::MAX,
        };
        Ok(())
    }

    /// Does what is due. What waits in the sockets must have been taken before. `chance` is any random number.
    ///
    /// Time in which this machine was not called although it asked to be, beyond two intervals, does not count as the
    /// neighbour's silence: its packets may be waiting, or have been dropped from a full queue. After more than the
    /// detection time asleep the neighbour gets a whole detection time again.
    pub fn handle_timeout(&mut self, now: Time, chance: u64) {
        let now = self.enter(now);
        if self.detect_at.is_some_and(|at| at <= now) {
            self.detect_at = None;
            self.remote = None;
            if matches!(self.state, SessionState::Init | SessionState::Up) {
                self.go_down(now, true, Diagnostic::TimeExpired);
            }
        }
        if self.send_at <= now {
            self.send(now, false);
            self.send_at = self.next_after(chance).map_or(Time::MAX, |pause| now + pause);
        }
    }

    /// When to call [`Session::handle_timeout`]. At least once an interval while somebody is watched, so that it knows how
    /// long it slept.
    pub fn poll_timeout(&self) -> Time {
        match self.detect_at {
            Some(at) => self.send_at.min(at).min(self.last_run + self.settings.interval),
            None => self.send_at,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Stops by the operator's wish: the neighbour is told, now and with every packet that is due. For as long as
    /// [`Session::detection_time`] it should go on to be called.
    pub fn stop(&mut self, now: Time) {
        let now = self.enter(now);
        self.state = SessionState::AdminDown;
        self.diagnostic = Diagnostic::AdminDown;
        self.since = now;
        self.polling = false;
        self.detect_at = None;
        self.send(now, false);
        self.send_at = now + self.settings.interval;
    }

    fn enter(&mut self, now: Time) -> Time {
        let now = now.max(self.last_run);
        let gap = now.since(self.last_run);
        self.last_run = now;
        if let (Some(at), Some(detection)) = (self.detect_at, self.detection_time())
            && gap > self.settings.interval * 2
        {
            let asleep = gap.saturating_sub(self.settings.interval);
            self.detect_at = Some(if gap > detection { now + detection } else { at + asleep });
        }
        now
    }

    /// RFC 5880 section 6.8.6: what the neighbour's state makes of ours.
    fn follow(&mut self, now: Time, theirs: SessionState) {
        match (self.state, theirs) {
            (SessionState::Init | SessionState::Up, SessionState::AdminDown)
            | (SessionState::Up, SessionState::Down) => self.go_down(now, false, Diagnostic::NeighborDown),
            (SessionState::Down, SessionState::Down) => self.change(now, SessionState::Init),
            (SessionState::Down, SessionState::Init)
            | (SessionState::Init, SessionState::Init | SessionState::Up) => {
                self.diagnostic = Diagnostic::None;
                self.change(now, SessionState::Up);
                // From slow to fast; the neighbour confirms it.
                self.polling = true;
                self.outputs.push_back(Output::Up);
            }
            (SessionState::AdminDown, _)
            | (SessionState::Down, SessionState::AdminDown | SessionState::Up)
            | (SessionState::Init, SessionState::Down)
            | (SessionState::Up, SessionState::Init | SessionState::Up) => {}
        }
    }

    fn go_down(&mut self, now: Time, silent: bool, diagnostic: Diagnostic) {
        let was_up = self.state == SessionState::Up;
        self.diagnostic = diagnostic;
        self.polling = false;
        self.change(now, SessionState::Down);
        if was_up {
            self.outputs.push_back(Output::Down { silent, diagnostic });
        }
    }

    /// A change is told at once; the slow pace would hold it up for a second.
    fn change(&mut self, now: Time, state: SessionState) {
        self.state = state;
        self.since = now;
        self.send_at = now;
    }

    /// What is wanted of sending now.
    fn transmit(&self) -> Duration {
        match self.state {
            SessionState::Up => self.settings.interval,
            SessionState::AdminDown | SessionState::Down | SessionState::Init => {
                self.settings.interval.max(SLOW)
            }
        }
    }

    /// Time to the next packet, three quarters to all of the interval; `None`: the neighbour wants none.
    fn next_after(&self, chance: u64) -> Option<Duration> {
        let wanted = match self.remote {
            Some(remote) if remote.receive.is_zero() => return None,
            // In demand mode only polls are sent.
            Some(remote) if remote.demand && self.state == SessionState::Up && !self.polling => return None,
            Some(remote) => self.transmit().max(remote.receive),
            None => self.transmit(),
        };
        // With a multiplier of 1 a tenth is left for the way (RFC 5880 section 6.8.7).
        let (least, spread) = if self.settings.multiplier == 1 { (75, 16) } else { (75, 26) };
        let percent = least + u32::try_from(chance % spread).unwrap_or(0);
        Some(wanted * percent / 100)
    }

    fn send(&mut self, now: Time, is_final: bool) {
        let packet = Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling && !is_final,
            is_final,
            demand: false,
            multiplier: self.settings.multiplier,
            own: self.settings.discriminator,
            other: self.remote.map_or(0, |remote| remote.discriminator),
            transmit: self.transmit(),
            receive: self.settings.interval,
        };
        if !is_final {
            self.sent = Some(now);
        }
        self.outputs.push_back(Output::Send(packet.encode()));
    }
}
