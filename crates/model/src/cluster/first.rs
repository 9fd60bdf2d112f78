//! Who speaks first on a service's connections, as far as the cluster file tells. Pure.

use super::{CheckKind, ClusterFile, Condition, Listen, Mode, Pool, Service};

impl ClusterFile {
    /// Whether connections to a place of a service are taken only with the first bytes of their client: as written, or
    /// where clients are known to be the ones who speak first.
    pub fn defers_accept(&self, service: &Service, listen: &Listen) -> bool {
        service.mode != Mode::Udp
            && listen.defer_accept.unwrap_or_else(|| self.clients_speak_first(service, listen))
    }

    /// Whether nothing can be said on a connection before its client has said something: HTTP, TLS, a PROXY header; and, in
    /// mode `tcp`, where all pools that may answer are checked by HTTP, or by a TLS handshake that their clients make as well.
    fn clients_speak_first(&self, service: &Service, listen: &Listen) -> bool {
        if service.mode == Mode::Http || listen.tls || listen.proxy_protocol {
            return true;
        }
        let mut conditions = service.rules.iter().flat_map(|rule| [Some(&rule.when), rule.unless.as_ref()]);
        conditions.any(|condition| condition.is_some_and(Condition::looks_at_tls))
            || service.pools().into_iter().all(|name| self.pool(name).is_some_and(is_asked_first))
    }
}

/// Whether the pool's check shows that a server waits for whom it serves. What it says of another port shows nothing: a
/// database's state is often told over HTTP.
fn is_asked_first(pool: &Pool) -> bool {
    if pool.servers.iter().any(|server| server.check_port != server.at.port()) {
        return false;
    }
    match pool.check.kind {
        CheckKind::Http(_) => true,
        // With `server_tls` it is the balancer that begins the handshake; what is said in it is not known.
        CheckKind::Connect => pool.check.tls && pool.tls.is_none(),
        // A question may be sent to a server that greets as well.
        CheckKind::Script { .. } | CheckKind::None | CheckKind::Command { .. } | CheckKind::Ping => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::cluster::{Action, HttpCheck, Rule, Server, Step};

    fn defers(change: impl FnOnce(&mut ClusterFile)) -> bool {
        let at: SocketAddr = ([127, 0, 0, 1], 80).into();
        let pools = vec![Pool::new("mail".into()), Pool::new("web".into())];
        let mut cluster = ClusterFile { pools, ..ClusterFile::default() };
        let mut service = Service::new("web".into(), Mode::Tcp, "web".into());
        service.listen = vec![Listen::plain(at)];
        cluster.services = vec![service];
        change(&mut cluster);
        cluster.defers_accept(&cluster.services[0], &cluster.services[0].listen[0])
    }

    fn http() -> CheckKind {
        CheckKind::Http(HttpCheck::get("/"))
    }

    fn rule(cluster: &mut ClusterFile) -> &mut Rule {
        let rule = Rule { line: 1, when: Condition::default(), unless: None, actions: Vec::new() };
        cluster.services[0].rules.push(rule);
        cluster.services[0].rules.last_mut().unwrap()
    }

    #[test]
    fn a_connection_alone_says_nothing_of_who_speaks() {
        assert!(!defers(|_| ()));
        assert!(!defers(|cluster| {
            cluster.pools[1].check.kind = CheckKind::Script { steps: vec![Step::Send(b"QUIT\r\n".to_vec())] };
        }));
    }

    #[test]
    fn http_tls_and_a_header_before_all_are_the_clients() {
        assert!(defers(|cluster| cluster.services[0].mode = Mode::Http));
        assert!(defers(|cluster| cluster.services[0].listen[0].tls = true));
        assert!(defers(|cluster| cluster.services[0].listen[0].proxy_protocol = true));
        assert!(defers(|cluster| rule(cluster).when.tls = Some(true)));
        assert!(defers(|cluster| cluster.pools[1].check.tls = true));
    }

    #[test]
    fn all_pools_that_may_answer_must_wait_for_clients() {
        let chooses = |cluster: &mut ClusterFile| {
            cluster.pools[1].check.kind = http();
            rule(cluster).actions = vec![Action::Pool("mail".into())];
        };
        assert!(defers(|cluster| cluster.pools[1].check.kind = http()));
        assert!(!defers(chooses));
        assert!(defers(|cluster| {
            chooses(cluster);
            cluster.pools[0].check.kind = http();
        }));
    }

    #[test]
    fn a_check_of_another_port_says_nothing() {
        let mut server = Server::new("db1".into(), ([127, 0, 0, 1], 3306).into());
        server.check_port = 9200;
        assert!(!defers(|cluster| {
            cluster.pools[1].check.kind = http();
            cluster.pools[1].servers = vec![server];
        }));
    }

    #[test]
    fn what_is_written_counts() {
        assert!(defers(|cluster| cluster.services[0].listen[0].defer_accept = Some(true)));
        assert!(!defers(|cluster| {
            cluster.services[0].mode = Mode::Http;
            cluster.services[0].listen[0].defer_accept = Some(false);
        }));
        assert!(!defers(|cluster| {
            cluster.services[0].mode = Mode::Udp;
            cluster.services[0].listen[0].defer_accept = Some(true);
        }));
    }
}
