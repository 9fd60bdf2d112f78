//! A service as a frontend: where it listens, what clients may, what is said of them.

use relevo_model::ClusterFile;
use relevo_model::cluster::{
    Certificate, Coding, Limits, LogChoice, Mode, Protocol, ServerTls, Service, TlsVersion, Verify,
};

use super::words::{quote, seconds, time};
use super::{Config, Tuning, backend_name, global, rules};

/// Relevo's own bound on a request's target, bytes: nobody wrote it, so nobody asks HAProxy for it.
const URI: usize = 8 << 10;

/// Longest value of a captured header, bytes.
const CAPTURE: usize = 128;

/// Writes the frontend and the tables and caches that it needs.
pub(super) fn write(out: &mut Config, cluster: &ClusterFile, service: &Service, tuning: Tuning) {
    let name = &service.name;
    let http = service.mode == Mode::Http;
    if let Some(cache) = service.cache.filter(|_| http) {
        out.section(&format!("cache {name}"));
        out.line(format!("total-max-size {}", (cache.size >> 20).clamp(1, 4095)));
        out.line(format!("max-object-size {}", cache.object.min(cache.size / 2)));
        out.line(format!("max-age {}", seconds(cache.age)));
        out.line("process-vary on");
    }
    rules::write_tables(out, service);
    if service.limits.connections_per_source.is_some() {
        out.section(&format!("backend {name}-connections"));
        out.line(format!(
            "stick-table type ip size 100k expire {} store conn_cur",
            time(service.timeouts.client)
        ));
    }
    out.section(&format!("frontend {name}"));
    out.line(if http { "mode http" } else { "mode tcp" });
    for listen in &service.listen {
        let mut line = format!("bind {}", listen.at);
        if listen.proxy_protocol {
            line += " accept-proxy";
        }
        // What is not written is each one's own default.
        let tuned = tuning == Tuning::Deferred && cluster.defers_accept(service, listen);
        if tuned || listen.defer_accept == Some(true) {
            line += " defer-accept";
        }
        if let Some(tls) = service.tls.as_ref().filter(|_| listen.tls) {
            line += &bind_tls(out, service, tls, http);
        }
        out.line(line);
    }
    out.line(format!("maxconn {}", service.limits.connections));
    out.line(format!("timeout client {}", time(service.timeouts.client)));
    logs(out, cluster, service, http);
    if http {
        out.line(format!("timeout http-request {}", time(service.timeouts.request)));
        out.line(format!("timeout http-keep-alive {}", time(service.timeouts.keep_alive)));
        if !(service.h2c && service.protocols.contains(&Protocol::H2)) {
            out.line("option disable-h2-upgrade");
        }
        if service.forwarded_for {
            out.line("option forwardfor");
        }
    }
    sources(out, service);
    if http {
        pages(out, cluster, service);
        bounds(out, &service.limits);
    }
    rules::write(out, cluster, service);
    if http {
        answers(out, service);
    }
    out.line(format!("default_backend {}", backend_name(cluster, service.pool.as_str(), service.mode)));
}

fn bind_tls(out: &mut Config, service: &Service, tls: &ServerTls, http: bool) -> String {
    let mut line = String::from(" ssl");
    for certificate in &tls.certificates {
        line += &format!(" crt {}", quote(&certificate.chain.display().to_string()));
        if let Certificate { chain, key: Some(key) } = certificate {
            let beside = format!("{}.key", chain.display());
            if key.display().to_string() != beside {
                out.leave_out(format!(
                    "service {}: HAProxy wants the key of {} in the same file or in {beside}",
                    service.name,
                    chain.display()
                ));
            }
        }
    }
    if tls.acme.is_some() {
        out.leave_out(format!("service {}: certificates by ACME", service.name));
    }
    if tls.strict_sni {
        line += " strict-sni";
    }
    line += match tls.min_version {
        TlsVersion::V12 => " ssl-min-ver TLSv1.2",
        TlsVersion::V13 => " ssl-min-ver TLSv1.3",
    };
    if let Some(file) = &tls.client_ca {
        line += &format!(" ca-file {}", quote(&file.display().to_string()));
        line += match tls.client_verify {
            Verify::None => " verify none",
            Verify::Optional => " verify optional",
            Verify::Required => " verify required",
        };
    }
    if http && !service.protocols.is_empty() {
        let names = service.protocols.iter().map(|protocol| match protocol {
            Protocol::H2 => "h2",
            Protocol::Http1 => "http/1.1",
        });
        line += &format!(" alpn {}", names.collect::<Vec<_>>().join(","));
    }
    line
}

fn logs(out: &mut Config, cluster: &ClusterFile, service: &Service, http: bool) {
    if service.log.what == LogChoice::None || !global::logs(cluster) {
        return;
    }
    global::log_lines(out, cluster, service, http);
    if service.log.what == LogChoice::Errors {
        out.line("option dontlog-normal");
    }
    if http {
        for header in &service.log.capture {
            out.line(format!("capture request header {} len {CAPTURE}", quote(header)));
        }
    }
}

/// Connections of one source address.
fn sources(out: &mut Config, service: &Service) {
    if let Some(most) = service.limits.connections_per_source {
        let table = format!("{}-connections", service.name);
        out.line(format!("tcp-request connection track-sc2 src table {table}"));
        out.line(format!("tcp-request connection reject if {{ sc2_conn_cur({table}) gt {most} }}"));
    }
}

/// What HAProxy answers itself.
fn pages(out: &mut Config, cluster: &ClusterFile, service: &Service) {
    if let Some(path) = &service.monitor {
        out.line(format!("monitor-uri {}", quote(path)));
        let pool = backend_name(cluster, service.pool.as_str(), service.mode);
        out.line(format!("monitor fail if {{ nbsrv({pool}) lt 1 }}"));
    }
    for page in &service.error_pages {
        let known = [200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 425, 429, 500, 501, 502, 503, 504];
        if known.contains(&page.status) {
            let file = quote(&page.file.display().to_string());
            out.line(format!("http-error status {} content-type text/html file {file}", page.status));
        } else {
            out.leave_out(format!("service {}: an error page for status {}", service.name, page.status));
        }
    }
}

fn bounds(out: &mut Config, limits: &Limits) {
    if limits.uri != URI {
        out.line(format!("http-request {} if {{ url_len gt {} }}", rules::deny(414), limits.uri));
    }
    if let Some(most) = limits.body {
        out.line(format!("http-request {} if {{ req.body_size gt {most} }}", rules::deny(413)));
    }
}

/// What is done with answers: compression, the cache, HSTS.
fn answers(out: &mut Config, service: &Service) {
    if service.cache.is_some() {
        out.line(format!("http-request cache-use {}", service.name));
        out.line(format!("http-response cache-store {}", service.name));
    }
    if let Some(age) = service.hsts {
        let value = format!("max-age={}", age.as_secs());
        out.line(format!(
            "http-response set-header Strict-Transport-Security {} if {{ ssl_fc }}",
            quote(&value)
        ));
    }
    if let Some(compression) = &service.compression {
        if compression.codings.contains(&Coding::Gzip) {
            out.line("compression algo gzip");
            // HAProxy compares beginnings.
            let types: Vec<String> =
                compression.types.iter().map(|kind| quote(kind.trim_end_matches('*'))).collect();
            if !types.is_empty() {
                out.line(format!("compression type {}", types.join(" ")));
            }
        }
        if compression.codings.iter().any(|coding| *coding != Coding::Gzip) {
            out.leave_out(format!(
                "service {}: compression by zstd and br; HAProxy knows gzip",
                service.name
            ));
        }
        if compression.least > 0 {
            out.leave_out(format!("service {}: the smallest body that is compressed", service.name));
        }
    }
}
