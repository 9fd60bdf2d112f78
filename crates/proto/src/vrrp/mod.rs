//! VRRP: who holds the virtual addresses (RFC 9568 version 3, IPv4 and IPv6; RFC 3768 version 2).
//!
//! A [`Group`] is a set of VRRP routers, one on each network of a group of addresses, that change state
//! and for each family there, that change state together: all active or none.
//!
//! ```text
//!            all links up            all Active_Down timers ran out, or Claim
//!    Init ───────────────► Backup ──────────────────────────────────────────► Active
//!     │                    ▲  │  ▲                                             │  │
//!     │ a link down        │  │  └─────────────────────────────────────────────┘  │
//!     ▼         all up     │  │      higher priority heard, resigned, stalled     │
//!   Fault ◄────────────────┼──┘ a link down                                       │
//!     ▲ └──────────────────┘                                                      │
//!     └───────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Where this machine does more than the RFCs, and why:
//!
//! - **Groups.** A group takes over when the Active_Down timers of all its routers have run out and all links
//!   are up. A loss on one router is a loss of the group.
//! - **Sticky.** With `preempt = false` a router of higher priority does not take over from a living active
//!   (RFC 9568 Preempt_Mode). It always yields to a higher advert when active, as the RFC says.
//! - **Health.** Trackers change the priority while it runs ([`Input::Priority`]) or put the group into Fault
//!   ([`Input::Trouble`]). An active that is worse off than its file says gives way to a backup that is better off, also
//!   without preemption.
//! - **Listening.** A router that starts, comes back from Fault, or was asleep listens for a full Active_Down
//!   interval before it takes over; a priority 0 advert does not shorten that.
//! - **Stalls.** An active that has sent nothing for longer than its own Active_Down interval (paused process,
//!   stopped machine) must expect that another took over: it releases the addresses and listens, before it
//!   sends anything. A backup counts only the time in which it ran: see [`Group::handle_timeout`].
//! - **Leases.** Addresses are given to the kernel for a short time and refreshed: see [`lease`].
//! - **Planned moves.** [`Input::Resign`] makes before it breaks; [`Input::Claim`] takes with priority 254:
//!   see [`Input`].
//! - **Priority 0** is believed only from the router that is seen as the active one (or when none is seen), so
//!   that a loser that says good-bye does not wake the others.
//! - **Ties.** Equal priorities are decided by the higher source address (RFC 9568 section 6.4.3). In a group on several
//!   networks the first router that hears the rival decides for all, so that both sides decide alike.
//!
//! Each entry ends with [`Group::check_invariants`]. The simulator (`sim/`) plays three of these in trouble, the fuzz
//! target `vrrp_packet` plays any bytes.
//!
//! Not here: sockets, addresses on interfaces, ARP and neighbour discovery, address owners (priority 255), virtual MAC
//! addresses, Accept_Mode (the addresses are always answered).

pub mod announce;
mod group;
pub mod lease;
pub mod packet;
mod router;
pub mod sign;
pub mod timer;
mod words;

#[cfg(test)]
mod tests;

pub use group::{CLAIM, CLAIM_GRACE, CLAIMED, Group, Handed, Parting, Passed, Told};
pub use packet::{Advert, DropReason, Envelope};
pub use words::{Input, Output, Peer, RouterSettings, Settings, State, Status};
