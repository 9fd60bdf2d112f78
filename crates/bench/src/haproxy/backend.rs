//! A pool as a backend: who is next, who stays with whom, the servers.

use relevo_model::ClusterFile;
use relevo_model::cluster::{
    Affinity, AffinityKey, Balance, ClientTls, Cookie, CookieMode, HashKey, HashMethod, Mode, Observe,
    OnError, OnMarkedDown, Pool, Protocol, ProxyVersion, SameSite, Server, Service, Verify,
};

use super::words::{quote, time};
use super::{Config, backend_name, check};

/// Writes the backend that `service` knows as `pool`.
pub(super) fn write(out: &mut Config, cluster: &ClusterFile, pool: &str, service: &Service) {
    let Some(pool) = cluster.pool(pool) else { return };
    let http = service.mode == Mode::Http;
    out.section(&format!("backend {}", backend_name(cluster, pool.name.as_str(), service.mode)));
    out.line(if http { "mode http" } else { "mode tcp" });
    balance(out, pool, http);
    out.line(format!("timeout connect {}", time(pool.timeouts.connect)));
    out.line(format!("timeout server {}", time(pool.timeouts.server)));
    out.line(format!("timeout queue {}", time(pool.timeouts.queue)));
    if let Some(tunnel) = service.timeouts.tunnel {
        out.line(format!("timeout tunnel {}", time(tunnel)));
    }
    out.line(format!("retries {}", pool.retries));
    if pool.redispatch {
        out.line("option redispatch");
    }
    if http {
        out.line("http-reuse always");
    }
    if pool.all_backups {
        out.line("option allbackups");
    }
    if let Some(one) = pool.cookie.as_ref().filter(|_| http) {
        cookie(out, one);
    }
    if let Some(affinity) = &pool.affinity {
        stick(out, pool, affinity, http);
    }
    let checked = check::write(out, pool);
    let common = default_server(out, pool, &checked);
    out.line(format!("default-server{common}"));
    for one in &pool.servers {
        out.line(server(pool, one, http));
    }
    if let Some(at) = pool.fallback {
        out.line(format!("server fallback {at} backup no-check"));
    }
    if pool.max_queue.is_some() {
        out.leave_out(format!(
            "pool {}: max_queue of the whole pool; HAProxy counts for each server",
            pool.name
        ));
    }
}

fn balance(out: &mut Config, pool: &Pool, http: bool) {
    let hash = match &pool.balance {
        Balance::RoundRobin => return out.line("balance roundrobin"),
        Balance::StaticRr => return out.line("balance static-rr"),
        Balance::LeastConn => return out.line("balance leastconn"),
        Balance::First => return out.line("balance first"),
        Balance::Random => return out.line("balance random(2)"),
        Balance::Hash(hash) => hash,
    };
    let key = match &hash.key {
        HashKey::Source => "source".to_owned(),
        HashKey::Uri { query: false } => "uri".to_owned(),
        HashKey::Uri { query: true } => "uri whole".to_owned(),
        HashKey::Header(name) => format!("hdr({name})"),
        HashKey::UrlParam(name) => format!("url_param {}", quote(name)),
        HashKey::Cookie(name) => format!("hash req.cook({name})"),
    };
    if !http && hash.key != HashKey::Source {
        out.leave_out(format!("pool {}: balancing by {key} in mode tcp", pool.name));
        return out.line("balance roundrobin");
    }
    out.line(format!("balance {key}"));
    match hash.method {
        HashMethod::Consistent => out.line("hash-type consistent"),
        HashMethod::MapBased => out.line("hash-type map-based"),
        HashMethod::Maglev => {
            out.line("hash-type consistent");
            out.leave_out(format!("pool {}: HAProxy has a ring instead of Maglev", pool.name));
        }
    }
    if let Some(bound) = hash.bound {
        out.line(format!("hash-balance-factor {bound}"));
    }
}

fn cookie(out: &mut Config, cookie: &Cookie) {
    let mut line = format!("cookie {}", quote(&cookie.name));
    line += match cookie.mode {
        CookieMode::Insert => " insert",
        CookieMode::Rewrite => " rewrite",
        CookieMode::Prefix => " prefix",
    };
    let flags = [
        (cookie.indirect, " indirect"),
        (cookie.nocache, " nocache"),
        (cookie.postonly, " postonly"),
        (cookie.preserve, " preserve"),
        (cookie.httponly, " httponly"),
        (cookie.secure, " secure"),
    ];
    line.extend(flags.into_iter().filter(|(set, _)| *set).map(|(_, word)| word));
    if let Some(domain) = &cookie.domain {
        line += &format!(" domain {}", quote(domain));
    }
    if let Some(idle) = cookie.max_idle {
        line += &format!(" maxidle {}", time(idle));
    }
    if let Some(life) = cookie.max_life {
        line += &format!(" maxlife {}", time(life));
    }
    line += match cookie.samesite {
        None => "",
        Some(SameSite::Strict) => " attr SameSite=Strict",
        Some(SameSite::Lax) => " attr SameSite=Lax",
        Some(SameSite::None) => " attr SameSite=None",
    };
    out.line(line);
}

fn stick(out: &mut Config, pool: &Pool, affinity: &Affinity, http: bool) {
    let kind = if affinity.key == AffinityKey::Source { "ip" } else { "string len 128" };
    if !http && affinity.key != AffinityKey::Source {
        return out.leave_out(format!("pool {}: affinity by HTTP in mode tcp", pool.name));
    }
    out.line(format!("stick-table type {kind} size {} expire {}", affinity.size, time(affinity.expire)));
    match &affinity.key {
        AffinityKey::Source => out.line("stick on src"),
        AffinityKey::Header(name) => out.line(format!("stick on req.hdr({name})")),
        AffinityKey::Cookie(name) => {
            out.line(format!("stick match req.cook({name})"));
            out.line(format!("stick store-response res.cook({name})"));
        }
    }
}

/// What all servers of the pool have in common.
fn default_server(out: &mut Config, pool: &Pool, checked: &str) -> String {
    let mut line = checked.to_owned();
    if let Some(observe) = pool.observe {
        line += match observe {
            Observe::Layer4 => " observe layer4",
            Observe::Layer7 => " observe layer7",
        };
        line += &format!(" error-limit {}", pool.error_limit);
        line += match pool.on_error {
            OnError::Fastinter => " on-error fastinter",
            OnError::FailCheck => " on-error fail-check",
            OnError::SuddenDeath => " on-error sudden-death",
            OnError::MarkDown => " on-error mark-down",
        };
    }
    if pool.on_marked_down == OnMarkedDown::ShutdownSessions {
        line += " on-marked-down shutdown-sessions";
    }
    if let Some(time_to_grow) = pool.slow_start {
        line += &format!(" slowstart {}", time(time_to_grow));
    }
    if let Some(agent) = pool.agent {
        line += &format!(" agent-check agent-port {} agent-inter {}", agent.port, time(agent.interval));
    }
    if let Some(version) = pool.proxy_protocol {
        line += match version {
            ProxyVersion::V1 => " send-proxy",
            ProxyVersion::V2 => " send-proxy-v2",
        };
    }
    if let Some(tls) = &pool.tls {
        line += &server_tls(out, pool, tls);
    }
    if pool.protocols.contains(&Protocol::H2) {
        line += match (&pool.tls, pool.protocols.contains(&Protocol::Http1)) {
            (Some(_), true) => " alpn h2,http/1.1",
            (Some(_), false) => " proto h2 alpn h2",
            (None, _) => " proto h2",
        };
    }
    // HAProxy does not take the word alone.
    if line.is_empty() { " weight 1".to_owned() } else { line }
}

fn server_tls(out: &mut Config, pool: &Pool, tls: &ClientTls) -> String {
    let mut line = String::from(" ssl");
    if tls.verify == Verify::None {
        line += " verify none";
    } else {
        let system = || "@system-ca".to_owned();
        let file = tls.ca.as_ref().map_or_else(system, |file| quote(&file.display().to_string()));
        line += &format!(" verify required ca-file {file}");
    }
    if let Some(name) = &tls.name {
        line += &format!(" sni {} verifyhost {}", quote(&format!("str({name})")), quote(name));
    }
    if let Some(certificate) = &tls.certificate {
        line += &format!(" crt {}", quote(&certificate.chain.display().to_string()));
        if certificate.key.is_some() {
            out.leave_out(format!(
                "pool {}: HAProxy wants the key of its certificate in the same file",
                pool.name
            ));
        }
    }
    line
}

fn server(pool: &Pool, server: &Server, http: bool) -> String {
    let mut line = format!("server {} {}", server.name, server.at);
    if server.weight != 1 || pool.servers.iter().any(|other| other.weight != server.weight) {
        line += &format!(" weight {}", server.weight);
    }
    if let Some(most) = server.max_connections {
        line += &format!(" maxconn {most}");
    }
    if server.backup {
        line += " backup";
    }
    if http && pool.cookie.is_some() {
        line += &format!(" cookie {}", quote(&server.cookie));
    }
    if server.check_port != server.at.port() {
        line += &format!(" port {}", server.check_port);
    }
    line
}
