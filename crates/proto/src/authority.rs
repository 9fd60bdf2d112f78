//! The host and port that a request names (RFC 9112 section 3.2, RFC 3986 section 3.2), read in one way only.
//!
//! Stricter than RFC 3986, which lets a name have escapes, `!$&'()*+,;=` and empty labels: DNS has no such names, and
//! servers differ in what they make of them. A rule about a host must see the host that the server will see.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Longest name, with the dot of a complete one (RFC 1035 section 2.3.4).
const LONGEST: usize = 254;

/// A host with the port that was written behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// A name, an address of IPv4, or one of IPv6 in its brackets; as it was written. Empty: none.
    pub host: &'a [u8],
    /// `None`: the scheme's.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads the value of a Host field, or the part of a URL behind its scheme. Nothing at all is an authority without a
    /// host: a client sends that where its URL has none.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (host, port) = match bytes {
            [] => return Ok(Self { host: b"", port: None }),
            [b'[', rest @ ..] => {
                let end =
                    memchr::memchr(b']', rest).ok_or("the host has a bracket without its other half")?;
                ipv6(rest.get(..end).unwrap_or_default())
                    .ok_or("what stands in brackets is no address of IPv6")?;
                bytes.split_at(end + 2)
            }
            _ => {
                let (name, port) = bytes.split_at(memchr::memchr(b':', bytes).unwrap_or(bytes.len()));
                check_name(name)?;
                (name, port)
            }
        };
        let port = match port {
            // RFC 3986 section 3.2.3: a colon alone says nothing.
            [] | b":" => None,
            [b':', digits @ ..] => Some(number(digits).ok_or("the port is no number up to 65535")?),
            _ => return Err("behind the address of the host there is no port"),
        };
        Ok(Self { host, port })
    }

    /// Whether both mean the same place; `port`: that of the scheme.
    pub fn is_same(&self, other: &Self, port: u16) -> bool {
        self.port.unwrap_or(port) == other.port.unwrap_or(port)
            && normal(self.host).eq_ignore_ascii_case(&normal(other.host))
    }
}

/// The host of an authority as it is compared, letters of any case: without port, without the dot at the end of a complete
/// name (RFC 1034 section 3.1), an address of IPv6 in its shortest form (RFC 5952).
pub fn normal(authority: &[u8]) -> Cow<'_, [u8]> {
    if let [b'[', rest @ ..] = authority {
        let end = memchr::memchr(b']', rest).unwrap_or(rest.len());
        return match ipv6(rest.get(..end).unwrap_or_default()) {
            Some(address) => Cow::Owned(format!("[{address}]").into_bytes()),
            None => Cow::Borrowed(authority),
        };
    }
    let end = memchr::memchr(b':', authority).unwrap_or(authority.len());
    let host = authority.get(..end).unwrap_or_default();
    Cow::Borrowed(host.strip_suffix(b".").unwrap_or(host))
}

/// Labels of letters, digits, `-`, `_` and `~`, with one dot between them; one may stand at the end.
fn check_name(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("there is a port, and no host");
    }
    if name.len() > LONGEST {
        return Err("the host is longer than 254 bytes");
    }
    let mut before = b'.';
    for byte in name {
        match byte {
            b'.' if before == b'.' => return Err("the host has an empty label"),
            b'.' | b'-' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => before = *byte,
            _ => return Err("the host has a character that no name has"),
        }
    }
    Ok(())
}

fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn number(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_one_way() {
        let cases: [(&str, &str, Option<u16>); 13] = [
            ("", "", None),
            ("a", "a", None),
            ("shop.example.org", "shop.example.org", None),
            ("shop.example.org.", "shop.example.org.", None),
            ("a_b-c~d", "a_b-c~d", None),
            ("a:8080", "a", Some(8080)),
            ("a:", "a", None),
            ("a:0", "a", Some(0)),
            ("a:00080", "a", Some(80)),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[::FFFF:192.0.2.1]:443", "[::FFFF:192.0.2.1]", Some(443)),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ];
        for (text, host, port) in cases {
            assert_eq!(
                Authority::parse(text.as_bytes()),
                Ok(Authority { host: host.as_bytes(), port }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_servers_could_read_otherwise_is_no_host() {
        let long = "a".repeat(255);
        for wrong in [
            ".",
            "..",
            "a..b",
            ".a",
            "a..",
            "a%2eb",
            "%61",
            "a b",
            "a,b",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            "u@a",
            "a;b",
            "a*",
            "\u{e9}",
            "a\0",
            "a\"",
            "a:80:80",
            "a::80",
            "a:x",
            "a:+80",
            "a:65536",
            "a:000080",
            ":",
            ":80",
            "[",
            "[]",
            "[::1",
            "::1",
            "[::1]a",
            "[::1]:80:80",
            "[::1]]",
            "[[::1]]",
            "[name]",
            "[v1.a]",
            "[192.0.2.1]",
            "[fe80::1%25eth0]",
            "[::1]80",
            "a]",
            &long,
        ] {
            assert!(Authority::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_same_place_is_found_however_it_is_written() {
        let same = |a: &str, b: &str, port| {
            Authority::parse(a.as_bytes()).unwrap().is_same(&Authority::parse(b.as_bytes()).unwrap(), port)
        };
        for (a, b) in
            [("a", "A."), ("a", "a:80"), ("a:", "a:0080"), ("[::1]", "[0:0::1]:80"), ("a:81", "A:81")]
        {
            assert!(same(a, b, 80) && same(b, a, 80), "{a} {b}");
        }
        assert!(same("a", "a:443", 443));
        for (a, b) in [("a", "b"), ("a", "a:443"), ("a:80", "a:81"), ("[::1]", "[::2]"), ("", "a")] {
            assert!(!same(a, b, 80), "{a} {b}");
        }
    }

    proptest::proptest! {
        /// No separator of a URL, no second reading of the port.
        #[test]
        fn an_authority_is_a_host_and_a_number(text in "[-a-z0-9.:%\\[\\]@/;, ]{0,20}") {
            if let Ok(found) = Authority::parse(text.as_bytes()) {
                let host = std::str::from_utf8(found.host).unwrap();
                proptest::prop_assert!(text.starts_with(host));
                proptest::prop_assert!(!host.contains(['%', '@', '/', ';', ',', ' ']));
                proptest::prop_assert!(!host.contains("..") && (host.starts_with('[') || !host.contains(':')));
                // Normal forms are their own.
                let normal = normal(text.as_bytes()).into_owned();
                proptest::prop_assert_eq!(super::normal(&normal), &normal[..]);
            }
        }
    }
}
