//! Options of DHCP by their codes (RFC 2132): values become what is sent.

use std::net::Ipv4Addr;

use toml::de::DeValue;

use super::findings::Findings;
use super::texts::pairs;
use super::tree::Item;
use crate::cluster::DhcpOption;

/// Options that have keys of their own, or are made from the rest of the file.
const KEYS: [(u8, &str); 6] = [
    (1, "the network's `subnet` says it"),
    (3, "write router = ..."),
    (6, "write dns = ..."),
    (12, "names are those of nodes and of [dhcp.NETWORK.host.NAME]"),
    (15, "write domain = ..."),
    (28, "the network's `subnet` says it"),
];

/// Options that the protocol itself uses: of messages (RFC 2132 section 9), and what a relay adds (RFC 3046).
const PROTOCOLS: [u8; 12] = [50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 82];

/// Reads `options`.
pub(super) fn read(findings: &mut Findings<'_>, item: &Item<'_>) -> Vec<DhcpOption> {
    let mut list: Vec<DhcpOption> = Vec::new();
    for entry in pairs(findings, item, "{ 42 = \"10.0.0.1\" }", 64) {
        let code = entry.name.parse::<u8>().ok().filter(|code| (1..=254).contains(code));
        let Some(code) = code else {
            let hint = "write its code, 2 to 254, as in 42 = \"10.0.0.1\" (RFC 2132)";
            findings.value(&entry.key, format!("`{}` is not the code of an option", entry.name), hint);
            continue;
        };
        if let Some((_, hint)) = KEYS.iter().find(|(known, _)| *known == code) {
            findings.value(&entry.key, format!("option {code} is made from other keys"), hint);
            continue;
        }
        if PROTOCOLS.contains(&code) {
            findings.value(&entry.key, format!("option {code} is the protocol's own"), "remove it");
            continue;
        }
        if list.iter().any(|option| option.code == code) {
            findings.value(&entry.key, format!("option {code} is there twice"), "keep one of them");
            continue;
        }
        list.extend(value(findings, &entry, code).map(|value| DhcpOption { code, value }));
    }
    list
}

fn value(findings: &mut Findings<'_>, item: &Item<'_>, code: u8) -> Option<Vec<u8>> {
    let bytes = match item.value {
        DeValue::Boolean(yes) if width(code) == Some(1) => vec![u8::from(*yes)],
        DeValue::Integer(_) if width(code).is_some() => number(findings, item, width(code)?)?,
        DeValue::Integer(_) => {
            let message = format!("option {code} is not known to be a number");
            findings.value(&item.span, message, "write its bytes, as in \"hex:0000012c\"");
            return None;
        }
        DeValue::Array(list) => {
            let mut bytes = Vec::new();
            for value in list.iter() {
                bytes.extend(item.of_list(value).ipv4(findings)?.octets());
            }
            bytes
        }
        DeValue::String(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => text(findings, item)?,
    };
    if bytes.is_empty() || bytes.len() > 255 {
        let message = format!("option {code} has {} bytes", bytes.len());
        findings.value(&item.span, message, "an option has 1 to 255 bytes");
        return None;
    }
    Some(bytes)
}

fn text(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Vec<u8>> {
    let text = item.text(findings, "\"10.0.0.1\"")?;
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(ip.octets().to_vec());
    }
    let Some(digits) = text.strip_prefix("hex:") else { return Some(text.as_bytes().to_vec()) };
    let digits: Vec<u8> = digits.bytes().filter(|byte| ![b':', b' '].contains(byte)).collect();
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok().filter(|text| !text.starts_with('+'))?;
        if pair.len() == 2 { u8::from_str_radix(text, 16).ok() } else { None }
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
    if bytes.is_none() {
        let hint = "write two hexadecimal digits for each byte, as in \"hex:00ff\"";
        findings.value(&item.span, format!("`{text}` is not hexadecimal"), hint);
    }
    bytes
}

/// The bytes of an option that is one number.
const fn width(code: u8) -> Option<usize> {
    match code {
        19 | 20 | 23 | 27 | 29 | 30 | 31 | 34 | 36 | 37 | 39 | 46 | 116 => Some(1),
        13 | 22 | 26 => Some(2),
        2 | 24 | 35 | 38 | 108 => Some(4),
        _ => None,
    }
}

fn number(findings: &mut Findings<'_>, item: &Item<'_>, width: usize) -> Option<Vec<u8>> {
    let (least, most) = match width {
        1 => (0, 0xff),
        2 => (0, 0xffff),
        _ => (i64::from(i32::MIN), 0xffff_ffff),
    };
    let number = item.integer(findings, least..=most, "1")?;
    let bytes = number.to_be_bytes();
    Some(bytes.get(bytes.len() - width..)?.to_vec())
}
