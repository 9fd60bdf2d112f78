//! What an earlier process left on the interfaces.

use relevo_net::address::Address;
use tracing::{error, info};

use super::super::leg::Leg;
use super::super::setup::Site;
use super::{Holder, Kernel};

impl Holder {
    /// An earlier process that was killed may have left its addresses, with or without a lease. They are ours alone: the
    /// cluster file gives them to this group. Nothing else is touched.
    pub(super) fn remove_leftovers(&mut self, kernel: &mut Kernel) {
        let present: Vec<Address> = kernel.route.addresses().unwrap_or_default();
        self.switch_off(kernel);
        for (number, address) in self.member.addresses.iter().enumerate() {
            let Some(link) = self.link_of(number) else { continue };
            // Before, it may have been on the interface below.
            let base = match address.site {
                Site::Leg(leg) => self.legs.get(leg).and_then(Leg::link).map(|link| link.index),
                Site::Named(_) | Site::Own { .. } => None,
            };
            let is_here = |left: &&Address| left.index == link.index || Some(left.index) == base;
            for left in present.iter().filter(|left| is_here(left) && left.ip == address.ip) {
                match kernel.route.release(left.index, left.ip, left.prefix) {
                    Ok(_) => {
                        info!(group = %self.member.name, "removed {}/{}, left by an earlier process", left.ip, left.prefix)
                    }
                    Err(error) => {
                        error!(group = %self.member.name, error = crate::director::chain(&error), "leftover stays")
                    }
                }
            }
        }
    }
}
