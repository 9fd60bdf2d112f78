//! Words of HAProxy and keepalived, and what they are here. They are hints of the reader, never keys.

use crate::reference::Table;

/// Words of other programs, in a table of ours.
struct Row {
    /// In lower case, with `_`.
    words: &'static [&'static str],
    /// The row is for tables that have this key.
    within: &'static str,
    /// The key of that table which was meant, if it is there.
    meant: Option<&'static str>,
    /// What to do.
    hint: &'static str,
}

/// The first row that fits is taken.
const ROWS: &[Row] = &[
    // The whole file.
    row(&["frontend", "listen"], "service", None, "write [service.NAME]"),
    row(&["backend"], "service", None, "write [pool.NAME], or its keys in [service.NAME]"),
    row(
        &["defaults", "global"],
        "service",
        None,
        "there is none; remove it, `relevo reference` tells the defaults",
    ),
    row(&["userlist"], "service", None, "write [users.NAME] and below it USER = \"$6$...\""),
    row(
        &["vrrp_instance", "vrrp_sync_group"],
        "service",
        None,
        "write [group.NAME] and for its addresses [address.NAME]",
    ),
    row(&["virtual_server"], "service", None, "write [service.NAME]"),
    row(&["virtual_ipaddress"], "service", None, "write [address.NAME]"),
    // A listener.
    row(&["ssl"], "proxy_protocol", Some("tls"), "write tls = true"),
    row(
        &["crt"],
        "proxy_protocol",
        None,
        "write tls = true here, and tls = { certificates = [\"FILE\"] } in the service",
    ),
    row(&["accept_proxy"], "proxy_protocol", Some("proxy_protocol"), "write proxy_protocol = true"),
    row(
        &["deferred", "tcp_defer_accept"],
        "proxy_protocol",
        Some("defer_accept"),
        "write defer_accept = true",
    ),
    row(&["bind"], "proxy_protocol", Some("at"), "write at = \"front:80\""),
    // A service, or the page.
    row(&["bind"], "listen", Some("listen"), "write listen = \"front:80\""),
    row(&["default_backend"], "forwarded_for", Some("pool"), "write pool = \"NAME\""),
    row(
        &["use_backend"],
        "forwarded_for",
        None,
        "write [[service.NAME.rule]] with when = { path = \"/x*\" } and pool = \"NAME\"",
    ),
    row(
        &["acl"],
        "forwarded_for",
        None,
        "write the condition in [[service.NAME.rule]], as in when = { path = \"/x*\" }",
    ),
    row(
        &["http_request", "http_response", "tcp_request", "redirect"],
        "forwarded_for",
        None,
        "write [[service.NAME.rule]] with a condition and what is done",
    ),
    row(&["maxconn"], "forwarded_for", Some("max_connections"), "write max_connections = 1000"),
    row(
        &["errorfile", "errorfiles"],
        "forwarded_for",
        Some("error_pages"),
        "write error_pages = { 503 = \"FILE\" }",
    ),
    row(
        &["ssl"],
        "forwarded_for",
        None,
        "write listen = { at = \"front:443\", tls = true }, and tls = { certificates = [\"FILE\"] }",
    ),
    row(&["crt", "crt_list"], "forwarded_for", Some("tls"), "write tls = { certificates = [\"FILE\"] }"),
    row(
        &["forwardfor", "option_forwardfor"],
        "forwarded_for",
        Some("forwarded_for"),
        "write forwarded_for = true",
    ),
    row(
        &["option"],
        "forwarded_for",
        None,
        "options are keys, as forwarded_for = true or check = { http = \"/\" }",
    ),
    row(&["monitor_uri"], "forwarded_for", Some("monitor"), "write monitor = \"/alive\""),
    row(&["compression"], "forwarded_for", Some("compress"), "write compress = true"),
    row(&["alpn"], "forwarded_for", Some("protocols"), "write protocols = [\"h2\", \"http/1.1\"]"),
    // A pool.
    row(&["proto"], "servers", Some("server_protocols"), "write server_protocols = [\"h2\"]"),
    row(
        &["sticky", "stick", "stick_table", "persistence_timeout"],
        "servers",
        None,
        "write affinity = \"source\", or cookie = \"SERVERID\"",
    ),
    row(
        &["httpchk", "option_httpchk", "http_check"],
        "servers",
        Some("check"),
        "write check = { http = \"/\" }",
    ),
    row(&["tcp_check"], "servers", Some("check"), "write check = { script = [...] }, or check = \"connect\""),
    row(
        &["inter", "fastinter", "downinter", "rise", "fall"],
        "servers",
        None,
        "write check = { interval = \"1s\", fast_interval = \"500ms\", down_interval = \"5s\", rise = 2, fall = 3 }",
    ),
    row(&["slowstart"], "servers", Some("slow_start"), "write slow_start = \"30s\""),
    row(&["maxqueue"], "servers", Some("max_queue"), "write max_queue = 1000"),
    row(&["allbackups"], "servers", Some("all_backups"), "write all_backups = true"),
    row(&["send_proxy_v2"], "servers", Some("send_proxy"), "write send_proxy = \"v2\""),
    row(&["agent_check"], "servers", Some("agent"), "write agent = { port = 9999 }"),
    row(
        &["maxconn", "max_connections", "weight", "backup"],
        "servers",
        None,
        "it is a server's: write it in [pool.NAME.server.NAME]",
    ),
    row(
        &["bind", "listen", "ssl", "crt", "acl", "use_backend", "default_backend"],
        "servers",
        None,
        "it is about clients: write it in [service.NAME]",
    ),
    row(&["lb_algo", "lvs_sched", "algorithm"], "servers", Some("balance"), "write balance = \"roundrobin\""),
    // A server.
    row(&["maxconn"], "check_port", Some("max_connections"), "write max_connections = 100"),
    row(
        &["port"],
        "check_port",
        None,
        "write it in `at`, as in \"web1:80\"; for checks write check_port = 8081",
    ),
    row(
        &["check", "inter", "fastinter", "downinter", "rise", "fall", "slowstart", "ssl"],
        "check_port",
        None,
        "it is for the whole pool: check = { interval, rise, fall }, slow_start, server_tls",
    ),
    // A check.
    row(&["inter"], "rise", Some("interval"), "write interval = \"1s\""),
    row(&["fastinter"], "rise", Some("fast_interval"), "write fast_interval = \"500ms\""),
    row(&["downinter"], "rise", Some("down_interval"), "write down_interval = \"5s\""),
    row(&["httpchk", "uri", "path"], "rise", Some("http"), "write http = \"/\""),
    row(
        &["port", "check_port"],
        "rise",
        None,
        "it is a server's: write check_port = 8081 in [pool.NAME.server.NAME]",
    ),
    row(&["ssl", "check_ssl"], "rise", Some("tls"), "write tls = true"),
    // Timeouts.
    row(&["http_request"], "request", Some("request"), "write request = \"10s\""),
    row(&["http_keep_alive"], "keep_alive", Some("keep_alive"), "write keep_alive = \"10s\""),
    row(&["check"], "queue", None, "write it in the pool's check = { timeout = \"500ms\" }"),
    row(&["tarpit"], "queue", None, "write it in the rule: tarpit = { after = \"10s\" }"),
    // A rule.
    row(&["use_backend"], "when", Some("pool"), "write pool = \"NAME\", with when = { path = \"/x*\" }"),
    row(&["acl", "if"], "when", Some("when"), "write when = { path = \"/x*\" }"),
    row(
        &["http_request", "http_response"],
        "when",
        None,
        "write what is done as a key, as deny = 403 or set_header = { X-A = \"b\" }",
    ),
    row(
        &["path_beg", "path_end", "path_sub", "path_dir", "path_reg", "hdr", "src", "ssl_fc"],
        "when",
        None,
        "it is a condition: when = { path = \"/x*\", header = { X-A = \"b\" }, source = \"10.0.0.0/8\", tls = true }",
    ),
    row(&["del_header"], "when", Some("delete_header"), "write delete_header = \"NAME\""),
    // A condition.
    row(&["src"], "tls_name", Some("source"), "write source = \"10.0.0.0/8\""),
    row(&["path_beg", "path_dir"], "tls_name", Some("path"), "write path = \"/x*\""),
    row(&["path_end"], "tls_name", Some("path"), "write path = \"*.x\""),
    row(&["path_sub"], "tls_name", Some("path"), "write path = \"*x*\""),
    row(&["path_reg"], "tls_name", Some("path"), "write path = \"~^/x[0-9]+\""),
    row(
        &["hdr", "hdr_beg", "hdr_end", "hdr_sub", "req.hdr"],
        "tls_name",
        Some("header"),
        "write header = { NAME = \"VALUE\" }; of the header Host, host = \"shop.example.org\"",
    ),
    row(&["url_param", "urlp"], "tls_name", Some("query"), "write query = { NAME = \"VALUE\" }"),
    row(&["ssl", "ssl_fc"], "tls_name", Some("tls"), "write tls = true"),
    row(
        &["ssl_fc_sni", "req_ssl_sni", "req.ssl_sni"],
        "tls_name",
        Some("tls_name"),
        "write tls_name = \"shop.example.org\"",
    ),
    // TLS.
    row(&["crt", "crt_list"], "certificates", Some("certificates"), "write certificates = [\"FILE\"]"),
    row(&["ca_file"], "certificates", Some("client_ca"), "write client_ca = \"FILE\""),
    row(&["ssl_min_ver"], "certificates", Some("min_version"), "write min_version = \"1.2\""),
    row(&["ca_file"], "verify", Some("ca"), "write ca = \"FILE\""),
    row(&["sni", "verifyhost"], "verify", Some("name"), "write name = \"app.internal\""),
    row(&["crt"], "verify", Some("certificate"), "write certificate = \"FILE\""),
    // A group of keepalived.
    row(&["virtual_router_id"], "vrid", Some("vrid"), "write vrid = 51"),
    row(
        &["virtual_ipaddress", "virtual_ipaddress_excluded"],
        "vrid",
        None,
        "write [address.NAME] and below it network, ip and group",
    ),
    row(&["advert_int"], "vrid", Some("advert"), "write advert = \"1s\""),
    row(&["nopreempt"], "vrid", Some("preempt"), "write preempt = false"),
    row(
        &["auth_pass", "authentication"],
        "vrid",
        Some("password"),
        "write password = \"TEXT\", for VRRP version 2",
    ),
    // dnsmasq.
    row(&["dhcp_range", "dhcp_host", "dhcp_option"], "service", None, "write [dhcp.NETWORK]"),
    row(&["dhcp_range"], "lease", Some("range"), "write range = \"10.0.0.10-10.0.0.99\""),
    row(
        &["dhcp_host"],
        "lease",
        None,
        "write mac.NETWORK in the node, or [dhcp.NETWORK.host.NAME] with mac and ip",
    ),
    row(
        &["dhcp_option"],
        "lease",
        Some("options"),
        "write router, dns, domain, or options = { 42 = \"10.0.0.1\" }",
    ),
    row(&["server", "upstream"], "records", Some("forward"), "write forward = \"9.9.9.9\""),
    row(
        &["listen_address", "interface"],
        "records",
        Some("listen"),
        "write listen = \"inside\", an address's name",
    ),
    row(&["host_record", "cname"], "records", Some("records"), "write records = { NAME = \"10.0.0.1\" }"),
    row(&["state", "interface"], "vrid", None, "remove it: priority and the nodes' addresses tell it"),
];

const fn row(
    words: &'static [&'static str],
    within: &'static str,
    meant: Option<&'static str>,
    hint: &'static str,
) -> Row {
    Row { words, within, meant, hint }
}

/// What a word of another program is in one of these tables: a hint, and the key that was meant.
pub(super) fn hint(word: &str, tables: &[&'static Table]) -> Option<(&'static str, Option<&'static str>)> {
    let word = word.to_ascii_lowercase().replace(['-', ' '], "_");
    let has = |key: &str| tables.iter().any(|table| table.key(key).is_some());
    let row = ROWS.iter().find(|row| row.words.contains(&word.as_str()) && has(row.within))?;
    Some((row.hint, row.meant.filter(|key| has(key))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    #[test]
    fn every_row_names_a_key_that_there_is() {
        let tables = reference::document();
        for row in ROWS {
            let fits = |key: &str| {
                tables.iter().any(|table| table.key(row.within).is_some() && table.key(key).is_some())
            };
            assert!(fits(row.within), "{}", row.within);
            if let Some(meant) = row.meant {
                assert!(fits(meant), "{} has no {meant}", row.within);
            }
        }
    }
}
