//! Which server of a pool gets a request, as far as that can be known beforehand.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use relevo_api::types::{AdminState, HealthState, PoolStatus};
use relevo_model::cluster::{Balance, Pool};
use relevo_proto::balance::{self, Admin, Ask, Table, Tried};
use relevo_proto::health::State;
use relevo_proto::health::agent::Report;
use relevo_proto::persistence::{Cookies, hash_key};

use super::{Candidate, Explained};
use crate::words;

/// Fills in the candidates, the server and how it is chosen. `known`: what a running node says; `head`: as the server would
/// get it.
pub(super) fn choose(
    explained: &mut Explained,
    pool: &Pool,
    known: Option<&PoolStatus>,
    source: IpAddr,
    head: Option<&[u8]>,
) {
    let mut candidates = Vec::new();
    for server in &pool.servers {
        let status = known.and_then(|known| known.servers.iter().find(|one| one.name == server.name));
        let weight = status.map_or(server.weight, |status| status.weight);
        let mut candidate = balance::Candidate::new(&server.name, weight);
        candidate.backup = server.backup;
        if let Some(status) = status {
            candidate.health = match status.health {
                HealthState::Unknown => State::Unknown,
                HealthState::Up => State::Up,
                HealthState::Down => State::Down,
            };
            candidate.admin = match status.wanted() {
                AdminState::Ready => Admin::Ready,
                AdminState::Drain => Admin::Drain,
                AdminState::Maint => Admin::Maint,
            };
            candidate.percent = percent(status.agent.as_deref()).unwrap_or(candidate.percent);
        }
        let mut why = format!("{}, weight {weight}", server.at);
        if weight != server.weight {
            why.push_str(&format!(" (the file says {})", server.weight));
        }
        if server.backup {
            why.push_str(", a backup");
        }
        match status {
            None => why.push_str(", health not known"),
            Some(status) => {
                why.push_str(match (status.admin, status.wanted()) {
                    (_, AdminState::Maint) => ", in maintenance",
                    (AdminState::Drain, _) => ", drained by the operator",
                    (_, AdminState::Drain) => ", wants no new work",
                    (_, AdminState::Ready) => "",
                });
                let health = match status.health {
                    HealthState::Unknown => "not checked yet",
                    HealthState::Up => "up",
                    HealthState::Down => "down",
                };
                why.push_str(&format!(", {health}: {}", status.reason));
            }
        }
        explained.candidates.push(Candidate { name: server.name.clone(), may: false, why });
        candidates.push(candidate);
    }
    let table = Table::new(&candidates, &pool.balance, pool.all_backups);
    for (number, candidate) in (0..u16::MAX).zip(&mut explained.candidates) {
        candidate.may = table.contains(number);
    }
    let name = |number: u16| pool.servers.get(usize::from(number)).map(|server| server.name.clone());
    let sure = if known.is_some() { "" } else { ", if it is up" };

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let cookie = pool.cookie.as_ref().zip(head).and_then(|(cookie, head)| {
        let cookies = Cookies::new(cookie, pool.servers.iter().map(|server| server.cookie.as_str()));
        cookies.visit(head, now).server.map(|server| (server, &cookie.name))
    });
    if let Some((number, cookie)) = cookie {
        if table.keeps(number) {
            explained.server = name(number);
            explained.choice = format!("its cookie {cookie} names this server, which gets it{sure}");
            return;
        }
        explained.choice = format!("the server that its cookie {cookie} names cannot work; ");
        if !pool.redispatch {
            explained.choice.push_str("without `redispatch` nobody else gets it: 503");
            return;
        }
    }
    let words = words::balance(&pool.balance);
    let hash = match &pool.balance {
        Balance::Hash(by) => hash_key(&by.key, source, head),
        Balance::RoundRobin | Balance::StaticRr | Balance::LeastConn | Balance::First | Balance::Random => {
            None
        }
    };
    let tried = Tried::new();
    let ask = Ask { turn: 0, random: 0, hash, load: |_| 0, tried: &tried };
    let first = table.choose(&ask).server();
    let choice = match (first, table.len(), hash) {
        (None, ..) => match pool.fallback {
            Some(at) => format!("no server may get it: the fallback {at} does"),
            None => "no server may get it: 503".to_owned(),
        },
        (Some(only), 1, _) => {
            explained.server = name(only);
            format!("it is the only one that may get it{sure}")
        }
        (Some(owner), _, Some(_)) => {
            explained.server = name(owner);
            format!(
                "balance {words}: its key belongs to this server, as long as the same ones can work{sure}"
            )
        }
        (Some(_), count, None) => format!("balance {words}: one of {count}, as it comes"),
    };
    explained.choice.push_str(&choice);
    if pool.affinity.is_some() {
        explained.choice.push_str("; a client that is in the affinity table keeps its server");
    }
}

/// The share of its weight that a server's agent wants.
fn percent(said: Option<&str>) -> Option<u16> {
    Report::parse(said?.as_bytes()).ok()?.percent
}
