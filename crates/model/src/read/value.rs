//! Single values: their TOML type, their form and their range.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::findings::{Findings, Span};
use super::suggest;
use super::tree::Item;
use crate::quantity::{format_duration, format_size, parse_duration, parse_size};

/// A value with where it is written.
pub(super) type Placed<T> = (T, Span);

impl<'a> Item<'a> {
    /// A value that a list holds; it has the list's key.
    pub(super) fn of_list(&self, value: &'a toml::Spanned<DeValue<'a>>) -> Self {
        Self { name: self.name, key: self.key.clone(), span: value.span(), value: value.get_ref() }
    }

    /// Text. `example` is a right value as written in the file.
    pub(super) fn text(&self, findings: &mut Findings<'_>, example: &str) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type(findings, "text", example);
        }
        text
    }

    /// A whole number within a range.
    pub(super) fn integer(
        &self,
        findings: &mut Findings<'_>,
        range: RangeInclusive<i64>,
        example: &str,
    ) -> Option<i64> {
        let Some(integer) = self.value.as_integer() else {
            let meant = self.value.as_str().filter(|text| text.parse::<i64>().is_ok());
            self.wrong_type(findings, "a whole number", meant.unwrap_or(example));
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let inside = number.filter(|number| range.contains(number));
        if inside.is_none() {
            let message =
                format!("`{}` is {integer}, outside {} to {}", self.name, range.start(), range.end());
            let said = format!("write a number from {} to {}", range.start(), range.end());
            findings.value(&self.span, message, said);
        }
        inside
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, findings: &mut Findings<'_>) -> Option<bool> {
        let value = self.value.as_bool();
        if value.is_none() {
            let no = self.value.as_str().is_some_and(|text| {
                ["false", "no", "off", "0"].iter().any(|word| text.eq_ignore_ascii_case(word))
            }) || self.value.as_integer().is_some_and(|number| number.as_str() == "0");
            self.wrong_type(findings, "true or false", if no { "false" } else { "true" });
        }
        value
    }

    /// A table.
    pub(super) fn table(&self, findings: &mut Findings<'_>, example: &str) -> Option<&'a DeTable<'a>> {
        let table = self.value.as_table();
        if table.is_none() {
            self.wrong_type(findings, "a table", example);
        }
        table
    }

    /// A duration within a range.
    pub(super) fn duration(
        &self,
        findings: &mut Findings<'_>,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let example = match self.value.as_integer() {
            Some(number) => format!("\"{number}s\" or \"{number}ms\""),
            None => "\"1s\"".to_owned(),
        };
        let text = self.text(findings, &example)?;
        let duration = match parse_duration(text) {
            Ok(duration) => duration,
            Err(hint) => {
                findings.value(&self.span, format!("`{text}` is not a duration"), hint);
                return None;
            }
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        let (least, most) = (format_duration(*range.start()), format_duration(*range.end()));
        let message = format!("`{}` is {text}, outside {least} to {most}", self.name);
        findings.value(&self.span, message, format!("write a time from \"{least}\" to \"{most}\""));
        None
    }

    /// A size in bytes within a range.
    pub(super) fn size(&self, findings: &mut Findings<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let example = match self.value.as_integer() {
            Some(number) => format!("\"{number}B\" or \"{number}KiB\""),
            None => "\"16KiB\"".to_owned(),
        };
        let text = self.text(findings, &example)?;
        let size = match parse_size(text) {
            Ok(size) => size,
            Err(hint) => {
                findings.value(&self.span, format!("`{text}` is not a size"), hint);
                return None;
            }
        };
        if range.contains(&size) {
            return Some(size);
        }
        let (least, most) = (format_size(*range.start()), format_size(*range.end()));
        let message = format!("`{}` is {text}, outside {least} to {most}", self.name);
        findings.value(&self.span, message, format!("write a size from \"{least}\" to \"{most}\""));
        None
    }

    /// An IPv4 address.
    pub(super) fn ipv4(&self, findings: &mut Findings<'_>) -> Option<Ipv4Addr> {
        let text = self.text(findings, "\"10.0.0.1\"")?;
        parse_ipv4(findings, &self.span, text)
    }

    /// An IPv4 or IPv6 address.
    pub(super) fn ip(&self, findings: &mut Findings<'_>) -> Option<IpAddr> {
        let text = self.text(findings, "\"10.0.0.1\"")?;
        if !text.contains(':') {
            return parse_ipv4(findings, &self.span, text).map(IpAddr::V4);
        }
        let ip = text.parse().ok();
        if ip.is_none() {
            let hint = if text.contains('/') {
                "write the address without its prefix length, as in \"2001:db8:1::1\""
            } else if text.contains('%') {
                "write it without its interface, as in \"fe80::1\""
            } else {
                "write up to eight groups of hexadecimal digits, as in \"2001:db8:1::1\""
            };
            findings.value(&self.span, format!("`{text}` is not an IPv6 address"), hint);
        }
        ip.map(IpAddr::V6)
    }

    /// One IPv4 address, or a list of it and one IPv6 address.
    pub(super) fn both(
        &self,
        findings: &mut Findings<'_>,
    ) -> Option<(Placed<Ipv4Addr>, Option<Placed<Ipv6Addr>>)> {
        let Some(list) = self.value.as_array() else {
            return match self.ip(findings)? {
                IpAddr::V4(ip) => Some(((ip, self.span.clone()), None)),
                IpAddr::V6(ip) => {
                    let hint = format!("write {} = [\"10.0.0.1\", \"{ip}\"]", self.name);
                    findings.value(&self.span, format!("{ip} comes beside an IPv4 address"), hint);
                    None
                }
            };
        };
        let (mut ip4, mut ip6) = (None, None);
        for value in list.iter() {
            let entry = self.of_list(value);
            let twice = match entry.ip(findings)? {
                IpAddr::V4(ip) => ip4.replace((ip, entry.span.clone())).is_some(),
                IpAddr::V6(ip) => ip6.replace((ip, entry.span.clone())).is_some(),
            };
            if twice {
                let hint = "write one IPv4 address and at most one IPv6 address";
                findings.value(&entry.span, "there is one of this family already", hint);
            }
        }
        if ip4.is_none() {
            let message = format!("`{}` has no IPv4 address", self.name);
            findings.value(&self.span, message, "write one IPv4 address and at most one IPv6 address");
        }
        Some((ip4?, ip6))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, findings: &mut Findings<'_>, words: &[(&str, T)]) -> Option<T> {
        let example = words.first().map_or_else(String::new, |(word, _)| format!("\"{word}\""));
        let text = self.text(findings, &example)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let hint = suggest::one_of(text, words.iter().map(|(word, _)| *word));
            findings.value(&self.span, format!("`{}` cannot be `{text}`", self.name), hint);
        }
        found
    }

    /// Where a part of a text value is, if the text is written plainly; else the whole value.
    pub(super) fn part(&self, findings: &Findings<'_>, text: &str, part: std::ops::Range<usize>) -> Span {
        let raw = findings.text_of(&self.span);
        if raw.len() == text.len() + 2 && raw.get(1..=text.len()) == Some(text) {
            self.span.start + 1 + part.start..self.span.start + 1 + part.end
        } else {
            self.span.clone()
        }
    }

    /// Reports that the value has another TOML type.
    pub(super) fn wrong_type(&self, findings: &mut Findings<'_>, wanted: &str, example: &str) {
        let message = format!("`{}` must be {wanted}, not {}", self.name, type_words(self.value));
        findings.value(&self.span, message, format!("write {} = {example}", self.name));
    }
}

/// An IPv4 address out of a text.
pub(super) fn parse_ipv4(findings: &mut Findings<'_>, span: &Span, text: &str) -> Option<Ipv4Addr> {
    let ip = text.parse().ok();
    if ip.is_none() {
        let hint = if text.parse::<std::net::Ipv6Addr>().is_ok() {
            "it must be an IPv4 address here, as in \"10.0.0.1\""
        } else if text.contains('/') {
            "write the address without its prefix length, as in \"10.0.0.1\""
        } else {
            "write four numbers from 0 to 255, as in \"10.0.0.1\""
        };
        findings.value(span, format!("`{text}` is not an IPv4 address"), hint);
    }
    ip
}

/// Splits `HOST:PORT`, with the place of the host.
pub(super) fn endpoint<'a>(
    findings: &mut Findings<'_>,
    item: &Item<'a>,
    example: &str,
) -> Option<(&'a str, u16, Span)> {
    let text = item.text(findings, &format!("\"{example}\""))?;
    let Some((host, port)) = text.rsplit_once(':') else {
        findings.value(&item.span, format!("`{text}` has no port"), format!("write \"{text}:80\""));
        return None;
    };
    if host.is_empty() || host == "*" {
        // All addresses are something to listen at, and no server.
        let hint = match port.parse::<u16>() {
            Ok(port) if port > 0 && example.starts_with("front:") => {
                format!("write \"0.0.0.0:{port}\" for all addresses, or \"front:{port}\" for one")
            }
            Ok(_) | Err(_) => format!("write \"{example}\""),
        };
        findings.value(&item.span, format!("`{text}` has no address"), hint);
        return None;
    }
    let host_span = item.part(findings, text, 0..host.len());
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Some(bare) = bare.filter(|bare| bare.parse::<Ipv6Addr>().is_ok()) {
        return port_of(findings, item, text, port).map(|port| (bare, port, host_span));
    }
    if host.contains(':') {
        let hint = if host.parse::<Ipv6Addr>().is_ok() {
            format!("write \"[{host}]:{port}\"")
        } else if text.parse::<Ipv6Addr>().is_ok() {
            format!("write \"[{text}]:80\"")
        } else {
            format!("write \"{example}\"")
        };
        findings.value(&host_span, format!("`{host}` is neither a name nor an address"), hint);
        return None;
    }
    port_of(findings, item, text, port).map(|port| (host, port, host_span))
}

fn port_of(findings: &mut Findings<'_>, item: &Item<'_>, text: &str, port: &str) -> Option<u16> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if number > 0 && digits => Some(number),
        Ok(_) | Err(_) => {
            let span = item.part(findings, text, text.len() - port.len()..text.len());
            findings.value(&span, format!("`{port}` is not a port"), "write a number from 1 to 65535");
            None
        }
    }
}

fn type_words(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
