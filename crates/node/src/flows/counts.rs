//! What the rules have counted.

use std::collections::BTreeMap;

use relevo_api::server::Refusal;
use relevo_api::types::{FlowStatus, Passed, ServerFlows, ServiceFlows};
use relevo_net::nft::{Nft, NftError};
use relevo_proto::flows::{Counted, Form, Front, Listing, TABLE};

use super::carrier::Counts;
use super::{Flows, place};

impl Flows {
    /// All services of the kernel's path with what was counted since they have it.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub(crate) fn counts(&self) -> Result<FlowStatus, Refusal> {
        let (fronts, paths): (Vec<Front>, BTreeMap<_, _>) = {
            let state = self.state();
            let chosen = state.paths.iter().filter(|(name, _)| !state.web.contains(*name));
            (state.fronts.clone(), chosen.map(|(name, path)| (name.clone(), path.clone())).collect())
        };
        let Counts { services, fragments } = self.carrier.counts(&fronts).map_err(Refusal::Failed)?;
        let userspace = paths.into_iter().filter(|(_, path)| !path.kernel).collect();
        Ok(FlowStatus { services, userspace, fragments })
    }
}

/// What the rules of the tables have counted.
pub(super) fn of_tables(nft: &Nft, fronts: &[Front]) -> Result<Counts, NftError> {
    let list = |front: &Front, map: &str| -> Result<Listing, NftError> {
        let text = nft.list_map(front.family(), TABLE, map)?;
        Ok(text.as_deref().map(Listing::read).unwrap_or_default())
    };
    let mut families: BTreeMap<&str, Listing> = BTreeMap::new();
    for front in fronts {
        if !families.contains_key(front.family()) {
            let text = nft.list_counters(front.family(), TABLE)?;
            families.insert(front.family(), text.as_deref().map(Listing::read).unwrap_or_default());
        }
    }
    let pieces = families.values().filter_map(|listing| listing.counters.get("fragments"));
    let fragments = pieces.map(|counted| counted.packets).sum();
    let mut services = Vec::new();
    for front in fronts {
        let digit = if front.at.is_ipv4() { '4' } else { '6' };
        let (answers, servers) = match front.form {
            Form::Nat if front.synproxy.is_none() => (format!("out{digit}"), "port"),
            Form::Nat | Form::Source(_) => (format!("late{digit}"), "port"),
            // Answers do not come through: there is no such map.
            Form::Direct => (String::new(), "to"),
        };
        let asked = list(front, &format!("in{digit}"))?;
        let answered = match answers.as_str() {
            "" => Listing::default(),
            map => list(front, map)?,
        };
        let sent = list(front, &format!("{servers}_{}", front.name))?;
        let pins = list(front, &format!("pin_{}", front.name))?;
        let none = Listing::default();
        let counters = families.get(front.family()).unwrap_or(&none);
        services.push(service(front, counters, [&asked, &answered, &sent, &pins]));
    }
    Ok(Counts { services, fragments })
}

fn service(front: &Front, counters: &Listing, lists: [&Listing; 4]) -> ServiceFlows {
    let [asked, answered, sent, pins] = lists;
    let packets = |what: &str| {
        counters.counters.get(&format!("{what}_{}", front.name)).map_or(0, |counted| counted.packets)
    };
    let servers = front.servers.iter().map(|server| ServerFlows {
        at: *server,
        pins: pins.values.get(&server.ip().to_string()).copied().unwrap_or(0),
        sent: passed(sent.elements.get(&server.ip().to_string())),
        received: passed(answered.elements.get(&place(*server, front.udp))),
    });
    ServiceFlows {
        name: front.name.as_str().into(),
        at: front.at,
        pins: pins.count,
        from_clients: passed(asked.elements.get(&place(front.at, front.udp))),
        guesses: packets("guesses"),
        heals: packets("heals"),
        stale: packets("stale"),
        refused: packets("refused"),
        errors: packets("errors"),
        form: form(front),
        servers: servers.collect(),
    }
}

fn form(front: &Front) -> String {
    match front.form {
        Form::Nat if front.synproxy.is_some() => "nat, synproxy".to_owned(),
        Form::Nat => "nat".to_owned(),
        Form::Source(source) => format!("nat, source {source}"),
        Form::Direct => "direct".to_owned(),
    }
}

fn passed(counted: Option<&Counted>) -> Passed {
    let counted = counted.copied().unwrap_or_default();
    Passed { packets: counted.packets, bytes: counted.bytes }
}
