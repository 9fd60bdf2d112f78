//! DHCP messages on the wire: what a client asks, and what it is told.

use std::net::Ipv4Addr;

use dhcproto::v4::relay::RelayAgentInformation;
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Decodable, Decoder, Encodable};
use relevo_model::cluster::{DhcpHost, Mac};
use thiserror::Error;

use super::lease::{Client, host_name};
use super::settings::Settings;

/// A message shorter than this is not taken by old clients (RFC 1542 section 2.1), bytes.
const LEAST_BYTES: usize = 300;
/// The magic cookie before the options (RFC 2131 section 3).
const MAGIC: [u8; 4] = [99, 130, 83, 99];

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who gives addresses?
    Discover,
    /// This address, please; or still this address.
    Request,
    /// Somebody uses the address already.
    Decline,
    /// It is not needed any more.
    Release,
    /// Only the options.
    Inform,
}

/// A message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it wants.
    pub kind: Kind,
    /// Who it is.
    pub client: Client,
    /// Its hardware address.
    pub mac: Mac,
    /// The number of the exchange.
    pub xid: u32,
    /// The address that it has and uses; unspecified: none.
    pub ciaddr: Ipv4Addr,
    /// The relay agent that the message came through; unspecified: none.
    pub giaddr: Ipv4Addr,
    /// The address that it asks for.
    pub requested: Option<Ipv4Addr>,
    /// The server that it chose.
    pub server: Option<Ipv4Addr>,
    /// What it calls itself, in lower case; empty: nothing that could be a name.
    pub name: String,
    broadcast: bool,
    wanted: Option<Vec<u8>>,
    relay: Option<RelayAgentInformation>,
}

/// Why a message is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// It is not DHCP at all.
    #[error("it is not a DHCP message")]
    Malformed,
    /// Not from a client.
    #[error("it is not a request")]
    Direction,
    /// Not Ethernet.
    #[error("it is not from an Ethernet interface")]
    Hardware,
    /// Of a kind that servers do not answer.
    #[error("its kind is none that a client sends")]
    Kind,
}

impl Request {
    /// Reads a datagram.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.get(236..240) != Some(&MAGIC[..]) {
            return Err(Refused::Malformed);
        }
        let message = Message::decode(&mut Decoder::new(bytes)).map_err(|_| Refused::Malformed)?;
        if message.opcode() != Opcode::BootRequest {
            return Err(Refused::Direction);
        }
        // The library cuts the address by the length that the message says.
        let mac = match (bytes.get(1), bytes.get(2), bytes.get(28..34)) {
            (Some(1), Some(6), Some(mac)) => {
                <[u8; 6]>::try_from(mac).map(Mac).map_err(|_| Refused::Malformed)?
            }
            (Some(_), Some(_), Some(_)) => return Err(Refused::Hardware),
            _ => return Err(Refused::Malformed),
        };
        let options = message.opts();
        let kind = match options.msg_type() {
            Some(MessageType::Discover) => Kind::Discover,
            Some(MessageType::Request) => Kind::Request,
            Some(MessageType::Decline) => Kind::Decline,
            Some(MessageType::Release) => Kind::Release,
            Some(MessageType::Inform) => Kind::Inform,
            Some(_) | None => return Err(Refused::Kind),
        };
        let client = match options.get(OptionCode::ClientIdentifier) {
            Some(DhcpOption::ClientIdentifier(id)) if !id.is_empty() => Client::of_id(id),
            Some(_) | None => Client::of_mac(mac),
        };
        let requested = match options.get(OptionCode::RequestedIpAddress) {
            Some(DhcpOption::RequestedIpAddress(ip)) => Some(*ip),
            Some(_) | None => None,
        };
        let server = match options.get(OptionCode::ServerIdentifier) {
            Some(DhcpOption::ServerIdentifier(ip)) => Some(*ip),
            Some(_) | None => None,
        };
        let name = match options.get(OptionCode::Hostname) {
            Some(DhcpOption::Hostname(name)) => host_name(name).unwrap_or_default(),
            Some(_) | None => String::new(),
        };
        let wanted = match options.get(OptionCode::ParameterRequestList) {
            Some(DhcpOption::ParameterRequestList(list)) => {
                Some(list.iter().map(|code| u8::from(*code)).collect())
            }
            Some(_) | None => None,
        };
        let relay = match options.get(OptionCode::RelayAgentInformation) {
            Some(DhcpOption::RelayAgentInformation(relay)) => Some(relay.clone()),
            Some(_) | None => None,
        };
        Ok(Self {
            kind,
            client,
            mac,
            xid: message.xid(),
            ciaddr: message.ciaddr(),
            giaddr: message.giaddr(),
            requested,
            server,
            name,
            broadcast: message.flags().broadcast(),
            wanted,
            relay,
        })
    }

    fn reply(&self, settings: &Settings, kind: MessageType, ip: Ipv4Addr) -> Message {
        let ciaddr = if kind == MessageType::Ack { self.ciaddr } else { Ipv4Addr::UNSPECIFIED };
        let mut message =
            Message::new_with_id(self.xid, ciaddr, ip, Ipv4Addr::UNSPECIFIED, self.giaddr, &self.mac.0);
        let broadcast = self.broadcast || kind == MessageType::Nak;
        let flags = if broadcast { Flags::default().set_broadcast() } else { Flags::default() };
        message.set_opcode(Opcode::BootReply).set_flags(flags);
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(settings.dhcp.server));
        message
    }

    /// Offers an address, or confirms it.
    pub(super) fn grant(
        &self,
        settings: &Settings,
        kind: MessageType,
        ip: Ipv4Addr,
        host: Option<&DhcpHost>,
    ) -> Vec<u8> {
        let mut message = self.reply(settings, kind, ip);
        let seconds = u32::try_from(settings.dhcp.lease.as_secs()).unwrap_or(u32::MAX);
        message.opts_mut().insert(DhcpOption::AddressLeaseTime(seconds));
        message.opts_mut().insert(DhcpOption::Renewal(seconds / 2));
        message.opts_mut().insert(DhcpOption::Rebinding(seconds - seconds / 8));
        self.finish(settings, message, host)
    }

    /// Tells the options alone.
    pub(super) fn inform(&self, settings: &Settings, host: Option<&DhcpHost>) -> Vec<u8> {
        let message = self.reply(settings, MessageType::Ack, Ipv4Addr::UNSPECIFIED);
        self.finish(settings, message, host)
    }

    /// Says no.
    pub(super) fn refuse(&self, settings: &Settings) -> Vec<u8> {
        let mut message = self.reply(settings, MessageType::Nak, Ipv4Addr::UNSPECIFIED);
        if let Some(relay) = &self.relay {
            message.opts_mut().insert(DhcpOption::RelayAgentInformation(relay.clone()));
        }
        encoded(&message)
    }

    fn finish(&self, settings: &Settings, mut message: Message, host: Option<&DhcpHost>) -> Vec<u8> {
        let dhcp = &settings.dhcp;
        let wants = |code: u8| self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&code));
        let options = message.opts_mut();
        options.insert(DhcpOption::SubnetMask(settings.subnet.netmask()));
        if let Some(router) = dhcp.router.filter(|_| wants(3)) {
            options.insert(DhcpOption::Router(vec![router]));
        }
        if !dhcp.dns.is_empty() && wants(6) {
            options.insert(DhcpOption::DomainNameServer(dhcp.dns.clone()));
        }
        if let Some(host) = host.filter(|_| wants(12)) {
            options.insert(DhcpOption::Hostname(host.name.to_string()));
        }
        if let Some(domain) = dhcp.domain.as_ref().filter(|_| wants(15)) {
            options.insert(DhcpOption::DomainName(domain.clone()));
        }
        if wants(28) {
            options.insert(DhcpOption::BroadcastAddr(settings.subnet.broadcast()));
        }
        for option in dhcp.options.iter().filter(|option| wants(option.code)) {
            let value = UnknownOption::new(OptionCode::Unknown(option.code), option.value.clone());
            options.insert(DhcpOption::Unknown(value));
        }
        if let Some(relay) = &self.relay {
            options.insert(DhcpOption::RelayAgentInformation(relay.clone()));
        }
        encoded(&message)
    }

    /// Where the answer goes (RFC 2131 section 4.1). A client without an address is told by broadcast: its own cannot be resolved.
    pub(super) fn way_back(&self, granted: bool) -> (Ipv4Addr, u16) {
        if !self.giaddr.is_unspecified() {
            (self.giaddr, super::SERVER_PORT)
        } else if granted && !self.ciaddr.is_unspecified() {
            (self.ciaddr, super::CLIENT_PORT)
        } else {
            (Ipv4Addr::BROADCAST, super::CLIENT_PORT)
        }
    }
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = message.to_vec().unwrap_or_default();
    if !bytes.is_empty() && bytes.len() < LEAST_BYTES {
        bytes.resize(LEAST_BYTES, 0);
    }
    bytes
}
