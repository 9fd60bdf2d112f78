//! What browsers send: `name=value&name=value` (application/x-www-form-urlencoded, WHATWG URL section 5).

use std::fmt::Write;

/// Most pairs that are looked at.
const MOST_PAIRS: usize = 10_000;

/// The pairs in order. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn parse(text: &[u8]) -> Vec<(String, String)> {
    text.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .take(MOST_PAIRS)
        .map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            (decode(pair.get(..at).unwrap_or_default()), decode(pair.get(at + 1..).unwrap_or_default()))
        })
        .collect()
}

/// A value as it stands behind a `=`.
pub(super) fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            // Writing into a `String` cannot fail.
            byte => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

fn decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let pair = tail.first_chunk::<2>().map(|pair| pair.map(|byte| char::from(byte).to_digit(16)));
        match (first, pair) {
            (b'%', Some([Some(high), Some(low)])) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = tail.get(2..).unwrap_or_default();
            }
            (b'+', _) => {
                out.push(b' ');
                rest = tail;
            }
            (byte, _) => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_read_again() {
        let text = "a b+c&d=e%/ü\n";
        assert_eq!(parse(format!("x={}", encode(text)).as_bytes()), [("x".to_owned(), text.to_owned())]);
    }

    #[test]
    fn anything_can_be_read() {
        let pairs = parse(b"&&a&b=&=c&d=%&e=%4&f=%zz&g=%ff&h=1+2");
        let values: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
        let expected = [
            ("a", ""),
            ("b", ""),
            ("", "c"),
            ("d", "%"),
            ("e", "%4"),
            ("f", "%zz"),
            ("g", "\u{fffd}"),
            ("h", "1 2"),
        ];
        assert_eq!(values, expected);
    }
}
