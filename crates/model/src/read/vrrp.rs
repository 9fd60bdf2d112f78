//! What a group wishes of the wire: `unicast`, `hmac`, `mac`, `accept`, `announce`.

use std::time::Duration;

use super::fields::Fields;
use super::findings::Findings;
use super::texts::file;
use super::tree::Item;
use crate::cluster::{Announce, Hmac, HmacMode, MacSource, Unicast, VrrpVersion};
use crate::reference::{ANNOUNCE, HMAC, UNICAST};

const KEY_FILE: &str = "/etc/relevo/vrrp.key";

/// These keys of a group.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) unicast: Option<Unicast>,
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
    Wire {
        unicast: fields.find("unicast").and_then(|item| unicast(findings, item)),
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
