//! Protocol machines without I/O.
//!
//! Every machine has one shape: `handle_input(now, input)`, `handle_timeout(now)`, `poll_timeout()` and
//! `poll_output()`. Time comes in as an argument and effects go out as values, so that the same machine runs
//! on the kernel's sockets, in the simulator and under the fuzzer. Bytes from the network never panic: they
//! become a drop with a reason.
//!
//! This room opens no socket, reads no clock and draws no random number.

pub mod authority;
pub mod balance;
pub mod bfd;
pub mod cache;
pub mod coding;
pub mod dhcp;
pub mod dns;
pub mod flows;
pub mod head;
pub mod health;
pub mod hello;
pub mod moves;
pub mod ownership;
pub mod password;
pub mod peers;
pub mod persistence;
pub mod proxy_protocol;
pub mod rule;
pub mod track;
pub mod vrrp;
