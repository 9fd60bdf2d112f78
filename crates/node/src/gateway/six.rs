//! Forwarding of IPv6 for the ways of this node: which switches of the kernel are wanted, and which are put back.

use std::collections::BTreeSet;

use relevo_net::Error;
use relevo_net::forwarding6::{self, Setting};
use relevo_net::gateway::Way;

/// What has to change so that these ways are open.
pub(super) fn wanted(ways: &[Way]) -> Vec<Setting> {
    let settings = forwarding6::plan(&names(ways));
    for setting in &settings {
        let Setting { interface, key, before, wanted } = setting;
        if before != wanted {
            tracing::info!(
                "net.ipv6.conf.{interface}.{key} is {wanted} now, and was {before}: IPv6 is forwarded"
            );
        }
    }
    settings
}

/// Puts back what no way needs any more, and takes it from the list.
pub(super) fn end(done: &mut Vec<Setting>, ways: &[Way]) {
    let names = names(ways);
    let is_needed = |setting: &Setting| {
        // What is for all interfaces stays as long as there is any way.
        !names.is_empty()
            && (setting.interface == "all"
                || setting.key == "accept_ra"
                || names.contains(&setting.interface))
    };
    // With the one switch for all, those for each are only there to be kept.
    let one_for_all = done.iter().any(|setting| setting.interface == "all");
    let (stay, go): (Vec<Setting>, Vec<Setting>) =
        done.drain(..).partition(|setting| is_needed(setting) || (one_for_all && !names.is_empty()));
    *done = stay;
    for error in forwarding6::restore(&go) {
        tracing::warn!("{error}");
    }
}

/// Interfaces with virtual hardware addresses: one that is not there yet learns it from its base when it is switched on.
pub(super) fn also(ways: &[Way]) -> Result<(), Error> {
    let six = ways.iter().filter(|way| way.subnet.addr().is_ipv6());
    six.flat_map(|way| way.from_also.iter().chain(&way.to_also)).try_for_each(|name| forwarding6::allow(name))
}

/// The interfaces by which packets of these ways come in.
fn names(ways: &[Way]) -> Vec<String> {
    let six = ways.iter().filter(|way| way.subnet.addr().is_ipv6());
    let names: BTreeSet<String> = six.flat_map(|way| [way.from.clone(), way.to.clone()]).collect();
    names.into_iter().collect()
}
