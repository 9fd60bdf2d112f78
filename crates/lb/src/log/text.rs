//! Writing numbers and foreign bytes into a line, without the machinery of `format!`.

/// Writes a number in decimal.
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    // u64::MAX has 20 digits.
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        start -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// Writes a number that may not be known, as HAProxy does: -1.
pub(super) fn push_known(out: &mut Vec<u8>, number: Option<u32>) {
    match number {
        Some(number) => push_number(out, u64::from(number)),
        None => out.extend_from_slice(b"-1"),
    }
}

/// Writes two decimal digits; `number` is below 100.
pub(super) fn push_two(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

/// Writes three decimal digits; `number` is below 1000.
pub(super) fn push_three(out: &mut Vec<u8>, number: u64) {
    out.push(b'0' + (number / 100 % 10) as u8);
    push_two(out, number % 100);
}

/// Writes foreign bytes as HAProxy does: what is not printable ASCII, and what is in `also`, as `#XX`.
pub(super) fn push_escaped(out: &mut Vec<u8>, bytes: &[u8], also: &[u8]) {
    let is_plain = |byte: u8| (0x20..0x7f).contains(&byte) && !also.contains(&byte);
    let mut rest = bytes;
    // Nearly always nothing is to be escaped: copied in one piece.
    while let Some(at) = rest.iter().position(|byte| !is_plain(*byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else { break };
        out.extend_from_slice(&[b'#', hex(byte >> 4), hex(byte & 15)]);
        rest = tail;
    }
    out.extend_from_slice(rest);
}

/// Writes foreign bytes as a JSON string (RFC 8259 section 7) with its quotes. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn push_json(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0x20.. if byte != 0x7f => out.push(byte),
                _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn hex(half: u8) -> u8 {
    match half {
        0..=9 => b'0' + half,
        _ => b'A' + half.saturating_sub(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_of_all_lengths() {
        for number in [0, 7, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(text(|out| push_number(out, number)), number.to_string());
        }
        assert_eq!(text(|out| push_known(out, None)), "-1");
        assert_eq!(text(|out| push_three(out, 7)), "007");
    }

    #[test]
    fn foreign_bytes_cannot_break_a_line_or_a_field() {
        assert_eq!(text(|out| push_escaped(out, b"a\nb\"c#d\xff", b"\"#")), "a#0Ab#22c#23d#FF");
        assert_eq!(text(|out| push_escaped(out, b"{a|b}", b"\"#{|}")), "#7Ba#7Cb#7D");
        assert_eq!(
            text(|out| push_json(out, b"a\"\\\n\x7f\xffz")),
            r#""a\"\\\u000A\u007F"#.to_owned() + "\u{fffd}z\""
        );
    }
}
