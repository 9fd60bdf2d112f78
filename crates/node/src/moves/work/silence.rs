//! Addresses that are kept where nobody sees them: their leases, the rules that keep them silent, and their end.

use std::net::IpAddr;

use relevo_proto::moves::{self, Silent};

use super::Work;
use crate::director::moving::{LOOPBACK, SILENT_FOR, silent};

impl Work {
    /// Makes silent what is kept, and nothing else.
    pub(super) fn hush(&self) {
        let kept = self.groups.iter().filter(|group| group.keeps).flat_map(|group| &group.facts.addresses);
        let silent: Vec<Silent> =
            kept.filter_map(|address| Some(Silent { ip: address.ip, own: address.own_same? })).collect();
        if let Err(error) = self.nft.run(&moves::silence(&silent)) {
            tracing::warn!("addresses that this node goes on with may be heard of: {error}");
        }
    }

    /// Refreshes the leases of what is kept.
    pub(super) fn refresh(&mut self) {
        let Some(route) = &mut self.route else { return };
        let kept = self.groups.iter().filter(|group| group.keeps).flat_map(|group| &group.facts.addresses);
        for address in kept {
            if let Err(error) = route.place(&silent(address.ip), Some(SILENT_FOR)) {
                tracing::warn!("{} is not kept: {}", address.ip, crate::in_full(&error));
            }
        }
    }

    pub(super) fn let_go(&mut self, index: usize) {
        self.groups[index].keeps = false;
        let is_back = self.groups[index].active;
        if is_back {
            // They are on the network again, and are asked for.
            self.hush();
        } else {
            tracing::info!(group = %self.groups[index].facts.name, "has no connections to go on with any more");
        }
        if let Some(route) = &mut self.route {
            for address in &self.groups[index].facts.addresses {
                let wish = silent(address.ip);
                if let Err(error) = route.release(LOOPBACK, wish.ip, wish.prefix) {
                    tracing::warn!(
                        "{} stays on the loopback interface: {}",
                        address.ip,
                        crate::in_full(&error)
                    );
                }
            }
        }
        if !is_back {
            self.hush();
        }
    }

    pub(super) fn remove_leftovers(&mut self) {
        // No permission or no program: then there is nothing.
        let _ = self.nft.run(&moves::removal());
        let Some(route) = &mut self.route else { return };
        let present = route.addresses().unwrap_or_default();
        let own = |ip: IpAddr| self.groups.iter().any(|group| group.facts.has(ip));
        // What an operator has put there has no lease.
        for left in present.iter().filter(|it| it.index == LOOPBACK && it.valid.is_some() && own(it.ip)) {
            let _ = route.release(left.index, left.ip, left.prefix);
        }
    }
}
