//! Interfaces with a virtual router's hardware address (RFC 9568 section 7.3): macvlans in private mode over the interface of
//! a network.
//!
//! Such an interface is up only while its addresses are held: as long as it is down, frames for the virtual hardware address are
//! none of this machine's business, as section 6.4.2 wants it of a backup. What it needs of its base (`arp_ignore`,
//! `arp_announce`: that the base does not answer for its addresses, nor ask in their name) is set with the first one there and put
//! back with the last. What was there before stands in the interface's alias (`IFLA_IFALIAS`), so that it outlives a crash.

use std::fs;
use std::io;
use std::path::PathBuf;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use nix::libc;
use relevo_model::cluster::Family;

use crate::Error;
use crate::link::Link;
use crate::route::{Route, is_gone};

/// What the base of such an interface needs, in `net.ipv4.conf`: an ARP request is answered only on the interface that has the
/// address, and own requests carry an address of the interface itself. Otherwise neighbours would learn the base's hardware
/// address.
const BASE: [(&str, i64); 2] = [("arp_ignore", 1), ("arp_announce", 2)];
/// The same for the interface: only its own addresses are answered, and packets may come in here whose answers leave by the base.
const OWN: [(&str, i64); 2] = [("arp_ignore", 1), ("rp_filter", 2)];
/// Begins the alias of what this program makes.
const MARK: &str = "relevo";

/// An interface with a virtual hardware address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualLink {
    /// The interface.
    pub link: Link,
    /// Whether it is switched on (`IFF_UP`).
    pub on: bool,
    /// Whose it is, as [`VirtualLink::owner`] was when it was made; empty: whoever made it was ended before it could tell.
    pub owner: String,
    /// The interface below it.
    pub base: String,
    /// What [`BASE`] was before, in its order.
    before: Vec<i64>,
}

/// A virtual router's hardware address (RFC 9568 section 7.3).
pub const fn hardware(family: Family, vrid: u8) -> [u8; 6] {
    let kind = match family {
        Family::V4 => 1,
        Family::V6 => 2,
    };
    [0, 0, 0x5e, 0, kind, vrid]
}

/// The name of such an interface, as in `vr4.51.2f09`: the same as long as its base is called the same.
pub fn name(family: Family, vrid: u8, base: &str) -> String {
    let family = match family {
        Family::V4 => 4,
        Family::V6 => 6,
    };
    // FNV-1a, folded to 16 bits: of the few interfaces of a machine hardly two meet.
    let hash =
        base.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("vr{family}.{vrid}.{:04x}", (hash >> 16) ^ (hash & 0xffff))
}

impl Route {
    /// All interfaces that this program made, of all owners.
    ///
    /// # Errors
    /// [`Error::Kernel`] when the kernel refuses the dump.
    pub fn virtual_links(&mut self) -> Result<Vec<VirtualLink>, Error> {
        let rows = self
            .dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))
            .map_err(|source| Error::kernel("list the interfaces", source))?;
        let found = rows.into_iter().filter_map(|row| {
            let RouteNetlinkMessage::NewLink(message) = row else { return None };
            VirtualLink::from_message(&message)
        });
        Ok(found.collect())
    }

    /// Whether the kernel has macvlan. Nothing is made: what is asked for lacks the interface below.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`.
    pub fn has_macvlan(&mut self) -> Result<bool, Error> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::MacVlan)])];
        let answer = self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL);
        match answer.map_err(|error| (error.raw_os_error(), error)) {
            Err((Some(libc::EOPNOTSUPP), _)) => Ok(false),
            Err((Some(libc::EPERM | libc::EACCES), error)) => Err(Error::kernel("ask for a macvlan", error)),
            Ok(()) | Err(_) => Ok(true),
        }
    }

    /// Makes one over `base`, or takes the one that is there. It stays as it is: a new one is off. Tells whether it is new.
    ///
    /// # Errors
    /// [`Error::Permission`]; [`Error::Kernel`]: no macvlan in this kernel, `/proc/sys` cannot be written, or another
    /// interface is called so.
    pub fn virtual_link(
        &mut self,
        base: &Link,
        name: &str,
        hardware: [u8; 6],
        owner: &str,
    ) -> Result<(VirtualLink, bool), Error> {
        let present = self.virtual_links()?;
        if let Some(found) = present.iter().find(|found| found.link.name == name)
            && found.link.hardware == hardware
            && found.base == base.name
            && found.owner == owner
        {
            return Ok((found.clone(), false));
        }
        let is_ours = |found: &&VirtualLink| found.owner == owner || found.owner.is_empty();
        if let Some(other) = present.iter().find(|found| found.link.name == name && is_ours(found)) {
            self.remove_virtual(other)?;
        }
        let siblings = present.iter().find(|found| found.base == base.name);
        let before = match siblings {
            Some(sibling) => sibling.before.clone(),
            None => {
                let now = BASE.iter().map(|(key, _)| read(&base.name, key));
                now.collect::<Result<Vec<_>, _>>()?
            }
        };
        let doing =
            || format!("make {name}, an interface with a virtual hardware address over {}", base.name);
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(hardware.to_vec()),
            LinkAttribute::Link(base.index),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::MacVlan),
                LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Private)])),
            ]),
        ];
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).map_err(|source| {
            match source.raw_os_error() {
                Some(libc::EOPNOTSUPP) => {
                    Error::kernel(format!("{}: this kernel has no macvlan", doing()), source)
                }
                Some(_) | None => Error::kernel(doing(), source),
            }
        })?;
        let made = self.virtual_links()?.into_iter().find(|found| found.link.name == name);
        if let Some(made) = &made {
            // The kernel takes no alias with a new link.
            let mut message = LinkMessage::default();
            message.header.index = made.link.index;
            message.attributes.push(LinkAttribute::IfAlias(alias(owner, &base.name, &before)));
            self.request(RouteNetlinkMessage::SetLink(message), 0)
                .map_err(|source| Error::kernel(format!("mark the interface {name}"), source))?;
        }
        let made = made.map(|made| VirtualLink {
            owner: owner.to_owned(),
            base: base.name.clone(),
            before: before.clone(),
            ..made
        });
        let made =
            made.ok_or_else(|| Error::Answer { doing: doing(), detail: "it is not there".to_owned() })?;
        if let Err(error) = prepare(&made) {
            // Half of it would answer wrongly.
            let _ = self.remove_virtual(&made);
            return Err(error);
        }
        Ok((made, true))
    }

    /// Switches it on or off. What forwards packets below it does here too.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `ENODEV` when it is gone.
    pub fn switch_virtual(&mut self, link: &VirtualLink, on: bool) -> Result<(), Error> {
        if on {
            for (family, key) in
                [("ipv4", "forwarding"), ("ipv6", "forwarding"), ("ipv6", "force_forwarding")]
            {
                let (own, base) = (path_of(family, &link.link.name, key), path_of(family, &link.base, key));
                // Without IPv6, or on a kernel without the switch, there is none of the two.
                if let (Ok(base), Ok(now)) = (fs::read_to_string(base), fs::read_to_string(&own))
                    && base != now
                {
                    fs::write(own, base).map_err(|source| {
                        Error::kernel(format!("forward packets on {}", link.link.name), source)
                    })?;
                }
            }
        }
        let mut message = LinkMessage::default();
        message.header.index = link.link.index;
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if on { LinkFlags::Up } else { LinkFlags::empty() };
        let word = if on { "on" } else { "off" };
        self.request(RouteNetlinkMessage::SetLink(message), 0)
            .map_err(|source| Error::kernel(format!("switch {} {word}", link.link.name), source))
    }

    /// Removes it with all its addresses. With the last one over its base the base is put back as it was.
    ///
    /// # Errors
    /// [`Error::Permission`] without `CAP_NET_ADMIN`.
    pub fn remove_virtual(&mut self, link: &VirtualLink) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = link.link.index;
        match self.request(RouteNetlinkMessage::DelLink(message), 0) {
            Err(error) if !is_gone(&error) => {
                return Err(Error::kernel(format!("remove the interface {}", link.link.name), error));
            }
            Ok(()) | Err(_) => {}
        }
        if self.virtual_links()?.iter().any(|other| other.base == link.base) {
            return Ok(());
        }
        for ((key, wanted), before) in BASE.iter().zip(&link.before) {
            // Somebody else may have set it meanwhile, or the base is gone.
            if read(&link.base, key).is_ok_and(|now| now == *wanted) {
                write(&link.base, key, *before)?;
            }
        }
        Ok(())
    }
}

/// Sets what the interface and its base need.
fn prepare(made: &VirtualLink) -> Result<(), Error> {
    for (key, wanted) in BASE {
        // A higher one does the same and more.
        if read(&made.base, key)? < wanted {
            write(&made.base, key, wanted)?;
        }
    }
    let name = &made.link.name;
    for (key, wanted) in OWN {
        write(name, key, wanted)?;
    }
    // No address of its own, and nothing learned from routers: with one hardware address on two machines it would be the same.
    for (key, value) in [("addr_gen_mode", "1"), ("accept_ra", "0"), ("autoconf", "0"), ("accept_dad", "0")] {
        match fs::write(path_of("ipv6", name, key), value) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::kernel(format!("set net.ipv6.conf.{name}.{key} = {value}"), error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn read(interface: &str, key: &str) -> Result<i64, Error> {
    let doing = || format!("read net.ipv4.conf.{interface}.{key}");
    let text = fs::read_to_string(path_of("ipv4", interface, key))
        .map_err(|source| Error::kernel(doing(), source))?;
    let number = text.trim().parse();
    number.map_err(|_| Error::Answer { doing: doing(), detail: format!("`{}` is no number", text.trim()) })
}

fn write(interface: &str, key: &str, value: i64) -> Result<(), Error> {
    fs::write(path_of("ipv4", interface, key), value.to_string())
        .map_err(|source| Error::kernel(format!("set net.ipv4.conf.{interface}.{key} = {value}"), source))
}

fn path_of(family: &str, interface: &str, key: &str) -> PathBuf {
    ["/proc/sys/net", family, "conf", interface, key].iter().collect()
}

fn alias(owner: &str, base: &str, before: &[i64]) -> String {
    let before: Vec<String> = before.iter().map(i64::to_string).collect();
    // The base last: it is the only one that may have blanks.
    format!("{MARK} {owner} {} {base}", before.join(","))
}

impl VirtualLink {
    /// Who makes such interfaces: one node of one cluster.
    pub fn owner(cluster: &str, node: &str) -> String {
        let bare =
            |text: &str| -> String { text.chars().filter(|it| !it.is_whitespace()).take(64).collect() };
        format!("{}/{}", bare(cluster), bare(node))
    }

    fn from_message(message: &LinkMessage) -> Option<Self> {
        let link = Link::from_message(message)?;
        let mut alias = None;
        let mut is_macvlan = false;
        for attribute in &message.attributes {
            if let LinkAttribute::IfAlias(text) = attribute {
                alias = Some(text);
            } else if let LinkAttribute::LinkInfo(info) = attribute {
                is_macvlan = info.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::MacVlan)));
            }
        }
        let is_virtual =
            link.name.starts_with("vr") && link.hardware.starts_with(&hardware(Family::V4, 0)[..4]);
        let (owner, before, base) = match alias {
            Some(alias) => parts(alias).filter(|_| is_macvlan)?,
            None if is_macvlan && is_virtual => Default::default(),
            None => return None,
        };
        let on = message.header.flags.contains(LinkFlags::Up);
        Some(Self { link, on, owner, base, before })
    }
}

fn parts(alias: &str) -> Option<(String, Vec<i64>, String)> {
    let mut words = alias.splitn(4, ' ');
    let (mark, owner, before, base) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let before: Option<Vec<i64>> = before.split(',').map(|word| word.parse().ok()).collect();
    let before = before.filter(|before| mark == MARK && before.len() == BASE.len())?;
    Some((owner.to_owned(), before, base.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_are_those_of_the_rfc() {
        assert_eq!(hardware(Family::V4, 51), [0, 0, 0x5e, 0, 1, 51]);
        assert_eq!(hardware(Family::V6, 255), [0, 0, 0x5e, 0, 2, 255]);
    }

    #[test]
    fn names_fit_and_tell_bases_apart() {
        assert!(name(Family::V4, 255, "enp129s0f1np1.x").len() <= 15);
        assert_ne!(name(Family::V4, 51, "eth0"), name(Family::V4, 51, "eth1"));
        assert_ne!(name(Family::V4, 51, "eth0"), name(Family::V6, 51, "eth0"));
        assert_eq!(name(Family::V6, 9, "eth0"), name(Family::V6, 9, "eth0"));
    }

    #[test]
    fn the_alias_tells_what_was_before() {
        let owner = VirtualLink::owner("my cluster", "lb1");
        assert_eq!(owner, "mycluster/lb1");
        let text = alias(&owner, "eth0", &[0, 2]);
        assert_eq!(parts(&text), Some((owner, vec![0, 2], "eth0".to_owned())));
        for other in
            ["", "relevo", "relevo a/b 0 eth0", "relevo a/b 0,x eth0", "other a/b 0,0 eth0", "relevo a/b 0,0"]
        {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}
