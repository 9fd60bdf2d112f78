//! Drills on those who serve: a server's process stops, a host is unplugged, a crowd comes, a client keeps its cookie.
//! What each allows, where it means something, and what it does.

use std::time::Duration;

use relevo_model::cluster::{Balance, CheckKind, CookieMode, Mode, Server};
use relevo_model::{ClusterFile, ServerName};
use relevo_net::clock;

use super::facts::Facts;
use super::observation::KEPT;
use super::scripts::{ANSWER_WITHIN, LOOK, whole_again};
use super::stage::{Stage, Stop};
use crate::Fault;
use crate::probe::Visit;
use crate::report::Limits;

/// Clients of a crowd, if the cluster file does not say how many would be too many at once.
const CROWD: u32 = 200;
/// The smallest and the largest crowd.
const CROWD_RANGE: (u32, u32) = (50, 500);
/// How long crowds come, one a second.
const CROWDS: Duration = Duration::from_millis(2900);
/// How long a client of a crowd waits in the queue before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a visitor with a cookie asks to see that it stays.
const VISITS: u32 = 12;
/// How long the kernel's table may take to follow the checks.
const TABLE_WITHIN: Duration = Duration::from_secs(1);
/// The probe's deadline: what was begun before is known after it.
const DEADLINE: Duration = Duration::from_secs(2);

/// Some server whose process the lab runs, and another one that goes on.
pub(super) fn two_processes(_cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    if own_server(facts).is_none() {
        return Err("the service's servers are no nodes of the lab".to_owned());
    }
    if facts.pool.servers.len() < 2 { Err("this service has one server".to_owned()) } else { Ok(()) }
}

/// Requests in progress on a server that stops may fail; the next ones go elsewhere at once.
pub(super) fn process_limits(facts: &Facts) -> Limits {
    let cut = match facts.service.mode {
        Mode::Http => 0,
        Mode::Tcp | Mode::Udp => KEPT,
    };
    // The kernel does not try another server: whoever is sent there waits until the checks have noticed. The script demands
    // that nothing is lost after that.
    let lost = (!facts.by_kernel).then_some(5);
    Limits { gap_ms: Some(300), lost, cut: Some(cut), two_holders_ms: Some(0), ..Limits::default() }
}

/// On the kernel's path nothing may be lost any more once the checks have seen these servers down; elsewhere there is nothing
/// to wait for.
pub(super) fn noticed_by_kernel(stage: &Stage<'_>, servers: &[ServerName]) -> Result<(), Stop> {
    if !stage.facts().by_kernel || stage.facts().pool.check.kind == CheckKind::None {
        return Ok(());
    }
    stage.wait_down(servers, notice_time(stage.facts()))?;
    let noticed = clock::now() + TABLE_WITHIN;
    stage.linger(noticed, LOOK + DEADLINE)?;
    match stage.lost_since(noticed) {
        0 => Ok(()),
        lost => Err(Stop::Problem(format!("{lost} were lost after the servers were seen down"))),
    }
}

/// When all servers are gone, each connection that begins after the checks have seen it is refused at once.
pub(super) fn told_by_kernel(stage: &Stage<'_>) -> Result<(), Stop> {
    if !stage.facts().by_kernel || stage.facts().pool.check.kind == CheckKind::None {
        return Ok(());
    }
    let servers: Vec<_> = stage.facts().pool.servers.iter().map(|server| server.name.clone()).collect();
    stage.wait_down(&servers, notice_time(stage.facts()))?;
    let noticed = clock::now() + TABLE_WITHIN;
    stage.linger(noticed, LOOK + DEADLINE)?;
    match stage.hung_since(noticed) {
        0 => Ok(()),
        hung => Err(Stop::Problem(format!(
            "{hung} were left without any answer after all servers were seen down"
        ))),
    }
}

/// One container stops; those beside it on the same host go on.
pub(super) fn server_process(stage: &mut Stage<'_>) -> Result<(), Stop> {
    let server = own_server(stage.facts()).cloned().ok_or_else(|| problem("no server of the lab"))?;
    stage.observe()?;
    stage.strike(vec![stop(&server)])?;
    if stage.facts().pool.check.kind != CheckKind::None {
        stage.wait_down(std::slice::from_ref(&server.name), notice_time(stage.facts()))?;
    }
    noticed_by_kernel(stage, std::slice::from_ref(&server.name))?;
    stage.linger_after_fault(LOOK)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    whole_again(stage)
}

pub(super) fn host_can_go(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    if facts.pool.check.kind == CheckKind::None {
        return Err("this service does not check its servers: nobody would notice".to_owned());
    }
    host(cluster, facts).map(|_| ()).ok_or_else(|| {
        "no host of the lab has only some of the service's servers and is not a director".to_owned()
    })
}

/// A host without cable does not even refuse: whoever is sent there waits. Until the checks have noticed, that may be
/// every connection whose turn it is; the others are answered all the time. The script itself demands that nothing
/// is lost any more once the servers are down, and nothing may be lost by the return.
pub(super) fn unplug_limits(facts: &Facts) -> Limits {
    let in_turn = match &facts.pool.balance {
        Balance::RoundRobin | Balance::StaticRr | Balance::LeastConn | Balance::Random => true,
        Balance::First | Balance::Hash(_) => false,
    };
    let gap = if in_turn && facts.pool.affinity.is_none() {
        Duration::from_millis(500)
    } else {
        // The one client that looks may have its place on that very host.
        notice_time(facts) + DEADLINE
    };
    Limits { gap_ms: Some(millis(gap)), two_holders_ms: Some(0), undo_gap_ms: Some(300), ..Limits::default() }
}

/// A host of servers loses its cable: all its servers are seen down, the others carry the load, and it returns.
pub(super) fn host_unplug(stage: &mut Stage<'_>) -> Result<(), Stop> {
    let (node, network) = host(stage.cluster(), stage.facts()).ok_or_else(|| problem("no host to unplug"))?;
    let on_host = |server: &&Server| server.node.as_ref().is_some_and(|own| own.as_str() == node);
    let servers: Vec<_> =
        stage.facts().pool.servers.iter().filter(on_host).map(|server| server.name.clone()).collect();
    stage.observe()?;
    let (node_again, network_again) = (node.clone(), network.clone());
    stage.strike(vec![(
        Fault::Unplug { node, network },
        Fault::Plug { node: node_again, network: network_again },
    )])?;
    stage.wait_down(&servers, notice_time(stage.facts()))?;
    let noticed = clock::now();
    stage.linger(noticed, LOOK + DEADLINE)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    let lost = stage.lost_since(noticed);
    if lost > 0 {
        return Err(Stop::Problem(format!("{lost} were lost after the servers were seen down")));
    }
    whole_again(stage)
}

/// Everybody of a crowd is meant to be answered.
pub(super) fn crowd_is_welcome(_cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    let crowd = crowd(facts);
    if facts.service.limits.connections_per_source.is_some_and(|most| most < crowd * 2) {
        return Err("the service turns away many connections from one address, as it was told".to_owned());
    }
    if facts.pool.max_queue.is_some_and(|most| most < crowd * 2) {
        return Err("the pool turns away whoever finds its queue full, as it was told".to_owned());
    }
    Ok(())
}

/// Nobody is refused: who cannot be served at once waits in the queue, and the one who looks with them.
pub(super) fn peak_limits(_facts: &Facts) -> Limits {
    Limits {
        gap_ms: Some(1000),
        lost: Some(0),
        cut: Some(0),
        two_holders_ms: Some(0),
        undo_moves: Some(0),
        ..Limits::default()
    }
}

/// Crowds come, more clients at once than servers may have connections.
pub(super) fn load_peak(stage: &mut Stage<'_>) -> Result<(), Stop> {
    stage.observe()?;
    stage.mark_fault();
    stage.crowds(crowd(stage.facts()), CROWDS, PATIENCE)?;
    stage.mark_repair();
    stage.linger_after_fault(LOOK)?;
    stage.wait_answers(ANSWER_WITHIN)?;
    stage.wait_ready()
}

pub(super) fn has_cookie(cluster: &ClusterFile, facts: &Facts) -> Result<(), String> {
    let cookie = facts.pool.cookie.as_ref().filter(|_| facts.service.mode == Mode::Http);
    let Some(cookie) = cookie else { return Err("the service keeps no client by a cookie".to_owned()) };
    if cookie.mode != CookieMode::Insert || cookie.postonly {
        return Err("the cookie is one that servers set, or only for POST".to_owned());
    }
    two_processes(cluster, facts)
}

/// A client asks with its cookie: always the same server. That one stops: another one at once, with a new cookie, and it
/// stays there, also when the first one is back. Who still has the first cookie finds its server again.
pub(super) fn cookie_stays(stage: &mut Stage<'_>) -> Result<(), Stop> {
    let name = stage.facts().pool.cookie.as_ref().map(|cookie| cookie.name.clone()).unwrap_or_default();
    stage.observe()?;
    let first = one_server(&stage.visits(&name, None, VISITS)?)?;
    let server = server_of(stage.facts(), &first)?.clone();
    if server.node.is_none() {
        return Err(Stop::Problem(format!("{} is no node of the lab", server.name)));
    }
    stage.strike(vec![stop(&server)])?;
    let second = one_server(&stage.visits(&name, Some(&first), VISITS)?)?;
    if second == first {
        return Err(Stop::Problem(format!("{first} went on answering after it was stopped")));
    }
    server_of(stage.facts(), &second)?;
    stage.linger_after_fault(LOOK)?;
    whole_again(stage)?;
    for value in [&second, &first] {
        let now = one_server(&stage.visits(&name, Some(value), VISITS)?)?;
        if now != *value {
            return Err(Stop::Problem(format!("a client of {value} went to {now} after all were back")));
        }
    }
    Ok(())
}

/// The cookie that a visitor has in the end, if it was answered each time, and with that cookie from the first answer on.
fn one_server(visits: &[Visit]) -> Result<String, Stop> {
    let mut values = visits.iter().enumerate().map(|(index, visit)| match (&visit.lost, &visit.value) {
        (Some(why), _) => Err(Stop::Problem(format!("visit {} was lost: {why}", index + 1))),
        (None, None) => Err(problem("an answer set no cookie")),
        (None, Some(value)) => Ok(value.clone()),
    });
    let first = values.next().unwrap_or_else(|| Err(problem("nobody visited")))?;
    for value in values {
        let value = value?;
        if value != first {
            return Err(Stop::Problem(format!("a client with a cookie went from {first} to {value}")));
        }
    }
    Ok(first)
}

fn server_of<'a>(facts: &'a Facts, value: &str) -> Result<&'a Server, Stop> {
    let found = facts.pool.servers.iter().find(|server| server.cookie == value);
    found.ok_or_else(|| Stop::Problem(format!("the cookie {value} is no server's")))
}

/// The first server that the lab runs.
fn own_server(facts: &Facts) -> Option<&Server> {
    let is_own = |server: &&Server| server.node.as_ref().is_some_and(|node| facts.servers.contains(node));
    facts.pool.servers.iter().find(is_own)
}

/// The first node with some servers of the service but not all, and the network they are on.
fn host(cluster: &ClusterFile, facts: &Facts) -> Option<(String, String)> {
    facts.servers.iter().filter(|node| !facts.directors.contains(node)).find_map(|name| {
        let elsewhere = |server: &Server| server.node.as_ref() != Some(name) && !server.backup;
        let server = facts.pool.servers.iter().find(|server| server.node.as_ref() == Some(name))?;
        let address = cluster.node(name)?.addresses.iter().find(|address| address.has(server.at.ip()))?;
        let some = facts.pool.servers.iter().any(elsewhere);
        some.then(|| (name.to_string(), address.network.to_string()))
    })
}

/// Twice as many clients as may be served at once, where the file says so and a lab can do it.
fn crowd(facts: &Facts) -> u32 {
    let each: Option<Vec<u32>> = facts.pool.servers.iter().map(|server| server.max_connections).collect();
    let servers = each.map(|each| each.iter().fold(0, |sum: u32, most| sum.saturating_add(*most)));
    let service = u32::try_from(facts.service.limits.connections).ok();
    let most = [servers, service].into_iter().flatten().filter(|most| *most <= CROWD_RANGE.1 / 2).min();
    most.map_or(CROWD, |most| (most * 2).clamp(CROWD_RANGE.0, CROWD_RANGE.1))
}

/// How long the checks need at most to see a silent server down, with two seconds for everybody to hear of it.
fn notice_time(facts: &Facts) -> Duration {
    let check = &facts.pool.check;
    (check.interval + check.timeout) * (check.fall + 1) + Duration::from_secs(2)
}

fn stop(server: &Server) -> (Fault, Fault) {
    let node = server.node.as_ref().map(ToString::to_string).unwrap_or_default();
    (Fault::ServerStop { node: node.clone(), port: Some(server.at.port()) }, Fault::ServerStart { node })
}

fn problem(words: &str) -> Stop {
    Stop::Problem(words.to_owned())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s2() -> ClusterFile {
        relevo_model::read(include_str!("../../../../examples/s2.toml"))
            .cluster
            .expect("the example is right")
    }

    #[test]
    fn on_s2_the_service_with_the_cookie_is_asked() {
        let cluster = s2();
        let facts = Facts::new(&cluster).unwrap();
        assert_eq!(facts.service.name.as_str(), "pages-http");
        assert_eq!(host(&cluster, &facts), Some(("cluster2".to_owned(), "internal".to_owned())));
        assert_eq!(own_server(&facts).unwrap().name.as_str(), "cluster2:8081");
        for applies in [two_processes, host_can_go, crowd_is_welcome, has_cookie] {
            assert_eq!(applies(&cluster, &facts), Ok(()));
        }
    }

    #[test]
    fn a_cookie_makes_an_http_service_fitter() {
        let mut cluster = s2();
        cluster.pools[0].cookie = None;
        let facts = Facts::new(&cluster).unwrap();
        assert_eq!(facts.service.name.as_str(), "replica-http");
        cluster.pools[1].cookie = None;
        let facts = Facts::new(&cluster).unwrap();
        assert_eq!(facts.service.name.as_str(), "pages-http");
        assert!(has_cookie(&cluster, &facts).unwrap_err().contains("no client by a cookie"));
    }

    #[test]
    fn a_crowd_is_twice_what_the_servers_take() {
        let mut facts = Facts::new(&s2()).unwrap();
        assert_eq!(crowd(&facts), 200);
        facts.pool.servers.iter_mut().for_each(|server| server.max_connections = Some(10));
        assert_eq!(crowd(&facts), 180);
        facts.pool.max_queue = Some(100);
        assert!(crowd_is_welcome(&s2(), &facts).unwrap_err().contains("queue full"));
    }

    #[test]
    fn a_client_that_changes_its_server_did_not_stay() {
        let visit = |value: &str| Visit { server: None, value: Some(value.to_owned()), lost: None };
        assert_eq!(one_server(&[visit("a"), visit("a")]).unwrap(), "a");
        let Err(Stop::Problem(why)) = one_server(&[visit("a"), visit("b")]) else {
            panic!("it did not stay")
        };
        assert_eq!(why, "a client with a cookie went from a to b");
    }
}
