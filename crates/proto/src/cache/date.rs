//! HTTP-date (RFC 9110 section 5.6.7), of its three forms the one that is sent: `Sun, 06 Nov 1994 08:49:37 GMT`.

/// Seconds since 1970 UTC; `None`: it is none, or in one of the obsolete forms.
pub fn seconds(text: &[u8]) -> Option<u64> {
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let text = text.trim_ascii();
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        Some(digits.iter().fold(0_u64, |sum, byte| sum * 10 + u64::from(byte - b'0')))
    };
    let is = |from: usize, wanted: &[u8]| text.get(from..from + wanted.len()) == Some(wanted);
    if text.len() != 29 || !(is(3, b", ") && is(7, b" ") && is(11, b" ") && is(16, b" ")) {
        return None;
    }
    if !(is(19, b":") && is(22, b":") && is(25, b" GMT")) {
        return None;
    }
    let month = MONTHS.chunks(3).position(|name| is(8, name))? as u64 + 1;
    let (day, year) = (number(5, 7)?, number(12, 16)?);
    let (hour, minute, second) = (number(17, 19)?, number(20, 22)?, number(23, 25)?);
    if !(1..=31).contains(&day) || year < 1970 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970 in the proleptic Gregorian calendar, years beginning in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second)
}
