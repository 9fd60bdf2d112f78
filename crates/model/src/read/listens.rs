//! Where services and the statistics page listen.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::fields::Fields;
use super::findings::{Findings, Span};
use super::groups::Groups;
use super::networks::{Networks, is_link_local};
use super::suggest;
use super::tree::Item;
use super::value::endpoint;
use crate::cluster::{Listen, Mode};
use crate::name::AddressName;
use crate::reference::LISTEN;

/// Most places where one service listens.
const MOST: usize = 64;

/// All places that are taken: by whom, and where that is written.
#[derive(Debug)]
pub(super) struct Listening<'x> {
    networks: &'x Networks,
    groups: &'x Groups,
    /// Datagrams and connections have ports of their own.
    taken: BTreeMap<(bool, SocketAddr), (String, Span)>,
}

/// A place to listen, with where it is written.
pub(super) type Placed = (Listen, Span);

impl<'x> Listening<'x> {
    /// Nobody listens yet.
    pub(super) const fn new(networks: &'x Networks, groups: &'x Groups) -> Self {
        Self { networks, groups, taken: BTreeMap::new() }
    }

    /// The groups and their addresses.
    pub(super) const fn groups(&self) -> &'x Groups {
        self.groups
    }

    /// Reads `listen` of a service or of the page; `what` names it. `mode`: of the service, if it is known.
    pub(super) fn read(
        &mut self,
        findings: &mut Findings<'_>,
        item: &Item<'_>,
        what: &str,
        mode: Option<Mode>,
    ) -> Vec<Placed> {
        let items = match item.value.as_array() {
            Some(list) => list.iter().map(|value| item.of_list(value)).collect(),
            None => vec![item.clone()],
        };
        if items.is_empty() {
            findings.value(&item.span, format!("{what} listens nowhere"), "write listen = \"front:80\"");
        }
        if items.len() > MOST {
            let message = format!("{what} listens at more than {MOST} places");
            findings.value(&item.span, message, "split the service");
        }
        let items = items.into_iter().take(MOST);
        items.filter_map(|item| self.one(findings, &item, what, mode)).collect()
    }

    fn one(
        &mut self,
        findings: &mut Findings<'_>,
        item: &Item<'_>,
        what: &str,
        mode: Option<Mode>,
    ) -> Option<Placed> {
        let (mut tls, mut proxy_protocol, mut defer_accept) = (false, false, None);
        let table = item.value.as_table().map(|table| {
            let fields = Fields::open(findings, table, &item.span, "`listen`", &[&LISTEN]);
            if let Some(mode) = mode {
                fields.fit(findings, mode, &LISTEN);
            }
            tls = fields.flag(findings, "tls").unwrap_or(false);
            proxy_protocol = fields.flag(findings, "proxy_protocol").unwrap_or(false);
            defer_accept = fields.flag(findings, "defer_accept");
            fields.require(findings, "at", "\"front:443\"").cloned()
        });
        let item = match &table {
            Some(at) => at.as_ref()?,
            None => item,
        };
        let (host, port, at) = endpoint(findings, item, "front:80")?;
        let (address, ip) = self.address(findings, host, &at)?;
        let socket = SocketAddr::new(ip, port);
        let place = (mode == Some(Mode::Udp), socket);
        if let Some((other, before)) = self.taken.get(&place) {
            let message = format!("{other} listens on {socket} already, line {}", findings.line_of(before));
            findings.error(&item.span, message, "give each service its own address or port");
        } else {
            self.taken.insert(place, (what.to_owned(), item.span.clone()));
        }
        Some((Listen { address, at: socket, tls, proxy_protocol, defer_accept }, item.span.clone()))
    }

    /// Takes a port of an address for something else than a service, for datagrams and connections.
    pub(super) fn claim(
        &mut self,
        findings: &mut Findings<'_>,
        span: &Span,
        ip: IpAddr,
        port: u16,
        what: &str,
    ) {
        self.accepted(findings, ip, span);
        let socket = SocketAddr::new(ip, port);
        let anywhere = match ip {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let anywhere = SocketAddr::new(anywhere, port);
        for datagrams in [false, true] {
            let taken = [socket, anywhere].into_iter().find_map(|at| self.taken.get(&(datagrams, at)));
            if let Some((other, before)) = taken {
                let message =
                    format!("{other} listens on {socket} already, line {}", findings.line_of(before));
                findings.error(span, message, format!("{what} needs port {port} for itself"));
                return;
            }
            self.taken.insert((datagrams, socket), (what.to_owned(), span.clone()));
        }
    }

    fn address(
        &self,
        findings: &mut Findings<'_>,
        host: &str,
        span: &Span,
    ) -> Option<(Option<AddressName>, IpAddr)> {
        let names = &self.groups.address_names;
        let Ok(ip) = host.parse::<IpAddr>() else {
            let known = names.resolve(findings, host, span);
            let address =
                self.groups.addresses.iter().find(|address| known && address.name.as_str() == host)?;
            if is_link_local(address.ip) {
                let hint = "listen at another address: clients of this one would have to name an interface";
                findings.error(span, format!("address `{host}` is link-local"), hint);
            }
            self.accepted(findings, address.ip, span);
            return Some((Some(address.name.clone()), address.ip));
        };
        if !ip.is_unspecified() && !ip.is_loopback() && self.networks.owner(ip).is_none() {
            let hint = format!("write a virtual address's name; {}", suggest::one_of(host, names.iter()));
            findings.error(span, format!("no director has or gets the address {ip}"), hint);
            return None;
        }
        self.accepted(findings, ip, span);
        Some((None, ip))
    }

    /// Nobody listens at an address that accepts nothing.
    fn accepted(&self, findings: &mut Findings<'_>, ip: IpAddr, span: &Span) {
        if let Some(group) = self.groups.closed(ip) {
            let message = format!("group `{group}` accepts no connections to its addresses");
            findings.error(span, message, "remove its accept = false, or listen elsewhere");
        }
    }
}
