//! What a table is made from, and who of them may get new work.

use crate::health::State;

/// What the operator wants of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admin {
    /// Takes work while it is up.
    #[default]
    Ready,
    /// Finishes what it has, keeps the clients that are bound to it, gets nothing else.
    Drain,
    /// Maintenance: gets nothing, not even from clients that are bound to it; it is not checked.
    Maint,
}

/// A server as the table's maker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// What it is known by to hashes: they do not see its place in the list.
    pub name: &'a str,
    /// Its share, 0 to 256; 0: no new work.
    pub weight: u16,
    /// How much of its share it gets at the moment, percent: a slow start, or what its agent says. 0: no new work.
    pub percent: u16,
    /// Most requests or connections at a time; `None`: no limit.
    pub most: Option<u32>,
    /// Whether it works only while no other server can.
    pub backup: bool,
    /// What the operator wants.
    pub admin: Admin,
    /// What its checks say.
    pub health: State,
}

/// Parts of a weight of 1: a slow start of it needs some.
const PARTS: u32 = 16;
/// Largest weight.
const HEAVIEST: u32 = 256;

impl<'a> Candidate<'a> {
    /// A server of this weight that nothing else is known of.
    pub const fn new(name: &'a str, weight: u16) -> Self {
        Self {
            name,
            weight,
            percent: 100,
            most: None,
            backup: false,
            admin: Admin::Ready,
            health: State::Unknown,
        }
    }

    /// Its share at the moment, in sixteenths of a weight of 1: 1 to 4096; 0 for who gets no new work at all.
    pub(super) fn share(&self, is_static: bool) -> u16 {
        if self.weight == 0 || self.percent == 0 {
            return 0;
        }
        let percent = if is_static { 100 } else { u32::from(self.percent) };
        let share = u32::from(self.weight) * PARTS * percent / 100;
        u16::try_from(share.clamp(1, HEAVIEST * PARTS)).unwrap_or(u16::MAX)
    }

    /// Whether clients that are bound to it may go on asking it.
    pub(super) fn keeps(&self) -> bool {
        self.admin != Admin::Maint && self.health != State::Down
    }

    fn is_wanted(&self) -> bool {
        self.admin == Admin::Ready && self.weight > 0 && self.percent > 0
    }
}

/// Who may get new work, as places in the list.
#[derive(Clone, Debug, Default)]
pub(super) struct Eligible {
    /// Those who share it.
    pub(super) regular: Vec<u16>,
    /// Backups for a request that was tried on all of those in vain, in order.
    pub(super) reserve: Vec<u16>,
}

/// Servers that are up may. Those of unknown health may only while none is up: at the start, before the first
/// checks, it is better to try than to refuse. Backups may while nobody else can: the first one, or all.
pub(super) fn eligible(candidates: &[Candidate<'_>], all_backups: bool) -> Eligible {
    let places = |backup: bool, health: State| -> Vec<u16> {
        (0..u16::MAX)
            .zip(candidates)
            .filter(|(_, one)| one.is_wanted() && one.backup == backup && one.health == health)
            .map(|(place, _)| place)
            .collect()
    };
    let first_of = |backup: bool| {
        let up = places(backup, State::Up);
        if up.is_empty() { places(backup, State::Unknown) } else { up }
    };
    let (regular, mut backups) = (first_of(false), first_of(true));
    if !regular.is_empty() {
        return Eligible { regular, reserve: backups };
    }
    let reserve = if all_backups { Vec::new() } else { backups.split_off(backups.len().min(1)) };
    Eligible { regular: backups, reserve }
}
