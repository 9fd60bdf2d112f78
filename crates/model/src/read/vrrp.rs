//! What a group wishes of the wire: `unicast`, `multicast`, `hmac`, `mac`, `accept`, `announce`.

use std::net::IpAddr;
use std::time::Duration;

use super::fields::Fields;
use super::findings::Findings;
use super::texts::file;
use super::tree::Item;
use crate::cluster::{Announce, Hmac, HmacMode, MacSource, Multicast, Unicast, VrrpVersion};
use crate::reference::{ANNOUNCE, HMAC, UNICAST};

const KEY_FILE: &str = "/etc/relevo/vrrp.key";

/// These keys of a group.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) unicast: Option<Unicast>,
    pub(super) multicast: Multicast,
    pub(super) hmac: Option<Hmac>,
    pub(super) mac: MacSource,
    pub(super) no_accept: bool,
    pub(super) announce: Announce,
}

/// Reads them.
pub(super) fn read(findings: &mut Findings<'_>, fields: &Fields<'_>, version: VrrpVersion) -> Wire {
    let macs = [("interface", MacSource::Interface), ("virtual", MacSource::Virtual)];
    let hmac = fields.find("hmac").and_then(|item| hmac(findings, item));
    if let (Some(_), Some(item), VrrpVersion::V2) = (&hmac, fields.find("password"), version) {
        findings.error(
            &item.key,
            "`password` has no meaning beside `hmac`",
            "remove it: the signature is more",
        );
    }
    let unicast = fields.find("unicast").and_then(|item| unicast(findings, item));
    let group = fields.find("multicast").map(|item| multicast(findings, item));
    if let (Some(_), Some(_), Some(item)) = (&unicast, group, fields.find("multicast")) {
        findings.error(
            &item.key,
            "`multicast` has no meaning beside `unicast`",
            "remove one of the two: adverts go to single directors or to a multicast group",
        );
    }
    Wire {
        unicast,
        multicast: group.unwrap_or_default(),
        hmac,
        mac: fields.word(findings, "mac", &macs).unwrap_or_default(),
        no_accept: fields.flag(findings, "accept") == Some(false),
        announce: fields.find("announce").map(|item| announce(findings, item)).unwrap_or_default(),
    }
}

fn unicast(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Unicast> {
    let plain = Unicast { ttl: 255, min_ttl: 255, check_source: true };
    let Some(table) = item.value.as_table() else {
        return item.boolean(findings)?.then_some(plain);
    };
    let fields = Fields::open(findings, table, &item.span, "`unicast`", &[&UNICAST]);
    Some(Unicast {
        ttl: fields.number(findings, "ttl").unwrap_or(plain.ttl),
        min_ttl: fields.number(findings, "min_ttl").unwrap_or(plain.min_ttl),
        check_source: fields.flag(findings, "check_source").unwrap_or(plain.check_source),
    })
}

/// One group, or one of each family.
fn multicast(findings: &mut Findings<'_>, item: &Item<'_>) -> Multicast {
    let mut groups = Multicast::default();
    let (mut v4, mut v6) = (false, false);
    let values: Vec<Item<'_>> = item
        .value
        .as_array()
        .into_iter()
        .flat_map(|list| list.iter())
        .map(|value| item.of_list(value))
        .collect();
    let single = values.is_empty().then_some(item);
    for value in single.into_iter().chain(&values) {
        let twice = match value.ip(findings) {
            Some(IpAddr::V4(ip)) if ip.octets()[..3] == [224, 0, 0] => {
                groups.v4 = ip;
                std::mem::replace(&mut v4, true)
            }
            Some(IpAddr::V6(ip)) if ip.segments()[0] == 0xff02 => {
                groups.v6 = ip;
                std::mem::replace(&mut v6, true)
            }
            Some(ip) => {
                let message = format!("{ip} is no multicast group that stays on one network");
                findings.value(&value.span, message, "write one of 224.0.0.0/24, or of ff02::/16");
                false
            }
            None => false,
        };
        if twice {
            findings.value(&value.span, "there is a group of this family already", "remove one of the two");
        }
    }
    groups
}

fn hmac(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Hmac> {
    let Some(table) = item.value.as_table() else {
        return file(findings, item, KEY_FILE).map(|keys| Hmac { keys, mode: HmacMode::Enforce });
    };
    let fields = Fields::open(findings, table, &item.span, "`hmac`", &[&HMAC]);
    let modes = [
        ("enforce", HmacMode::Enforce),
        ("permissive", HmacMode::Permissive),
        ("receive-only", HmacMode::ReceiveOnly),
    ];
    let mode = fields.word(findings, "mode", &modes).unwrap_or(HmacMode::Enforce);
    let keys = fields.require(findings, "keys", &format!("\"{KEY_FILE}\""))?;
    Some(Hmac { keys: file(findings, keys, KEY_FILE)?, mode })
}

fn announce(findings: &mut Findings<'_>, item: &Item<'_>) -> Announce {
    let plain = Announce::default();
    let Some(table) = item.table(findings, "{ repeat = 5, delay = \"2500ms\" }") else { return plain };
    let fields = Fields::open(findings, table, &item.span, "`announce`", &[&ANNOUNCE]);
    let mut up_to = |key: &str, most: Duration| {
        let item = fields.find(key)?;
        item.duration(findings, Duration::ZERO..=most)
    };
    let refresh = up_to("refresh", Duration::from_secs(86_400)).unwrap_or(plain.refresh);
    let interval = up_to("interval", Duration::from_secs(1)).unwrap_or(plain.interval);
    Announce {
        repeat: fields.number(findings, "repeat").unwrap_or(plain.repeat),
        delay: fields.time(findings, "delay").unwrap_or(plain.delay),
        refresh,
        interval,
    }
}
