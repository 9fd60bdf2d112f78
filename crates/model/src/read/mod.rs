//! Reads a cluster file: text becomes a [`ClusterFile`], or a list of all its mistakes.
//!
//! ```text
//! text -> tree (TOML with places) -> networks -> nodes -> groups -> users -> pools -> services -> lab -> timing
//!                              every step adds its findings to one list
//! ```
//! It does not open files: text comes in. Nothing here knows how a cluster is run. A thing that is wrong is
//! reported where it is written, and only there: what refers to it by name stays silent.

mod actions;
mod addresses;
mod along;
mod balance;
mod check;
mod conditions;
mod dhcp;
mod dns;
mod edits;
mod fields;
mod findings;
mod foreign;
mod gateway_ways;
mod gateways;
mod groups;
mod lab;
mod layer2;
mod limits;
mod links;
mod listens;
mod members;
mod names;
mod networks;
mod nodes;
mod operation;
mod options;
mod paths;
mod patterns;
mod peers;
mod persistence;
mod plugs;
mod pools;
mod probe;
mod rules;
mod servers;
mod services;
mod stacks;
mod suggest;
mod switches;
mod texts;
mod timing;
mod tls;
mod topology;
mod track;
mod tree;
mod used;
mod users;
mod value;
mod vrrp;

use toml::de::DeTable;

use crate::cluster::{ClusterFile, Role};
use crate::diagnostic::Diagnostic;
use crate::reference::TOP;
use fields::Fields;
use findings::Findings;
use groups::Groups;
use listens::Listening;
use names::named;
use nodes::Nodes;
use pools::Pools;
use services::{Known, Services};

/// What reading a text gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The cluster; `Some` exactly when no diagnostic is an error.
    pub cluster: Option<ClusterFile>,
    /// Everything that was found, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a cluster file and finds every mistake in one go. Never panics, whatever the text.
///
/// Where the text is not TOML at all, findings that may only be a consequence of that are left out.
pub fn read(text: &str) -> Reading {
    let mut findings = Findings::new(text);
    let cluster = tree::parse(text, &mut findings).and_then(|root| cluster(&mut findings, &root));
    let cluster = cluster.filter(|_| !findings.has_errors());
    Reading { cluster, diagnostics: findings.finish() }
}

fn cluster(findings: &mut Findings<'_>, table: &DeTable<'_>) -> Option<ClusterFile> {
    if table.is_empty() {
        findings.error(&(0..0), "the file says nothing", "`relevo example minimal` prints a small one");
        return None;
    }
    let root = Fields::open(findings, table, &(0..0), "a cluster file", &[&TOP]);
    let name = root.require(findings, "name", "\"mycluster\"").and_then(|item| {
        let name = item.text(findings, "\"mycluster\"")?;
        names::check_name(findings, name, &item.span, "cluster");
        Some(name.to_owned())
    });
    let mut networks = networks::read(findings, &root);
    let nodes = nodes::read(findings, &root, &mut networks);
    let mut groups = groups::read(findings, &root, &mut networks, &nodes);
    let (users, users_names) = users::read(findings, &root);
    let (acme, authorities) = tls::authorities(findings, &root);
    let (tables, service_names) = named(findings, &root, "service", "service", 256);
    let gateways = gateways::read(findings, &root, &networks, &groups);
    let firewall = gateways::firewall(findings, &root);
    let interfaces = layer2::read(findings, &root, &mut networks, &nodes);
    let mut pools = pools::read(findings, &root, &nodes, &tables);
    let mut listening = Listening::new(&networks, &groups);
    let known = Known { nodes: &nodes, users: &users_names, authorities: &authorities };
    let services = services::read(findings, &tables, &known, &mut listening, &mut pools);
    let log = operation::log(findings, &root);
    let stats = operation::stats(findings, &root, &mut listening, &users_names);
    let peers = peers::read(findings, &root);
    peers::check(findings, &root, &groups, &nodes);
    let dns = dns::read(findings, &root, &networks, &nodes, &groups, &mut listening);
    let known = dhcp::Known { nodes: &nodes, groups: &groups, dns: dns.as_ref() };
    let dhcp = dhcp::read(findings, &root, &mut networks, &known);
    services::provable(findings, &services, &acme, &root);
    used::check(findings, &services, stats.as_ref(), &users_names, &authorities);
    along::read(findings, &root, &mut groups, &networks.names, &service_names, &pools.names);
    let lab = lab::read(findings, &root, &mut networks, &nodes, &groups);
    purpose(findings, &root, &nodes, &groups, &services, &pools);
    timing::check(findings, &groups, &services, &pools);
    let Groups { list: groups, addresses, .. } = groups;
    let (networks, nodes) = (networks.list, nodes.list);
    let (services, pools, kernel) = (services.list, pools.list, services.kernel);
    let cluster = ClusterFile {
        name: name?,
        networks,
        nodes,
        groups,
        addresses,
        services,
        pools,
        users,
        acme,
        dhcp,
        dns,
        log,
        stats,
        peers,
        gateways,
        firewall,
        interfaces,
        lab,
    };
    paths::check(findings, &cluster, &kernel);
    Some(cluster)
}

/// Whether there is something to do, and everybody has something to do.
fn purpose(
    findings: &mut Findings<'_>,
    root: &Fields<'_>,
    nodes: &Nodes,
    groups: &Groups,
    services: &Services,
    pools: &Pools,
) {
    if root.find("address").is_none() && root.find("service").is_none() {
        let hint = "add an [address.NAME] for clients to ask and a [service.NAME] that answers there";
        findings.error(root.span(), "the cluster has neither a virtual address nor a service", hint);
        return;
    }
    if root.find("node").is_some() && nodes.directors().next().is_none() && groups.list.is_empty() {
        findings.error(root.span(), "no node is a director", "give two nodes roles = [\"director\"]");
    }
    for node in &nodes.list {
        let idle = !services.list.is_empty()
            && !node.is(Role::Director)
            && node.is(Role::Server)
            && !pools.list.iter().any(|pool| {
                let is = |at: std::net::IpAddr| node.addresses.iter().any(|address| address.has(at));
                pool.servers.iter().any(|server| is(server.at.ip()))
                    || pool.fallback.is_some_and(|fallback| is(fallback.ip()))
            });
        if idle {
            let hint = format!("add it to a service, as in servers = [\"{}:80\"]", node.name);
            findings.lint(&nodes.span(&node.name), format!("no service uses server `{}`", node.name), hint);
        }
        let left_out = node.is(Role::Director)
            && !groups.list.is_empty()
            && !groups.list.iter().any(|group| group.priority_of(&node.name).is_some());
        if left_out {
            let hint = "add it to a group's `priority`, or take the role away";
            let message = format!("director `{}` is in no group: it never holds an address", node.name);
            findings.lint(&nodes.span(&node.name), message, hint);
        }
    }
}
