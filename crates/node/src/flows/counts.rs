//! What the rules have counted.

use relevo_api::server::Refusal;
use relevo_api::types::{FlowStatus, Passed, ServerFlows, ServiceFlows};
use relevo_net::nft::NftError;
use relevo_proto::flows::{Counted, Front, Listing, TABLE};

use super::{Flows, place};

impl Flows {
    /// All services of the kernel's path with what they have counted since their rules stand.
    ///
    /// # Errors
    /// nft does not answer.
    pub(crate) fn counts(&self) -> Result<FlowStatus, Refusal> {
        let (fronts, paths) = {
            let state = self.state();
            (state.fronts.clone(), state.paths.clone())
        };
        let failed = |error: NftError| Refusal::Failed(error.to_string());
        let list = |map: &str| -> Result<Listing, Refusal> {
            let text = self.nft.list_map("inet", TABLE, map).map_err(failed)?;
            Ok(text.as_deref().map(Listing::read).unwrap_or_default())
        };
        let mut services = Vec::new();
        let mut fragments = 0;
        if !fronts.is_empty() {
            let counters = self.nft.list_counters("inet", TABLE).map_err(failed)?;
            let counters = counters.as_deref().map(Listing::read).unwrap_or_default();
            fragments = counters.counters.get("fragments").map_or(0, |counted| counted.packets);
            for front in &fronts {
                let digit = if front.at.is_ipv4() { '4' } else { '6' };
                let asked = list(&format!("in{digit}"))?;
                let answered = list(&format!("out{digit}"))?;
                let sent = list(&format!("port_{}", front.name))?;
                let pins = list(&format!("pin_{}", front.name))?;
                services.push(service(front, &counters, [&asked, &answered, &sent, &pins]));
            }
        }
        let userspace = paths.into_iter().filter(|(_, path)| !path.kernel).collect();
        Ok(FlowStatus { services, userspace, fragments })
    }
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
        servers: servers.collect(),
    }
}

fn passed(counted: Option<&Counted>) -> Passed {
    let counted = counted.copied().unwrap_or_default();
    Passed { packets: counted.packets, bytes: counted.bytes }
}
