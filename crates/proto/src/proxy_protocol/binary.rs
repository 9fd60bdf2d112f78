//! Version 2: binary, with fields that nobody must understand (TLVs).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Ends, Header, LARGEST, NotProxy, as_v6, canonical};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;
/// The TLV that holds a checksum of the whole header (section 2.2.3).
const CRC32C: u8 = 0x03;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, NotProxy> {
    let known = SIGNATURE.len().min(bytes.len());
    if bytes.get(..known) != SIGNATURE.get(..known) {
        return Err(NotProxy::NONE);
    }
    let Some((fixed, _)) = bytes.split_first_chunk::<FIXED>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    if command >> 4 != 2 {
        return Err(NotProxy("the PROXY header's version is not 2"));
    }
    let is_local = match command & 0xf {
        0 => true,
        1 => false,
        _ => return Err(NotProxy("the PROXY header's command is neither LOCAL nor PROXY")),
    };
    // Section 2.2: other values must be refused. 1: TCP, 2: UDP; families 1: IPv4, 2: IPv6, 3: Unix.
    if family >> 4 > 3 || family & 0xf > 2 {
        return Err(NotProxy("the PROXY header's family is none that there is"));
    }
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > LARGEST {
        return Err(NotProxy("the PROXY header is too large"));
    }
    let Some(header) = bytes.get(..length) else { return Ok(None) };
    let rest = header.get(FIXED..).unwrap_or_default();
    let taken = match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    };
    let ends = match (is_local, family) {
        (false, 0x11) => Some(ends::<4>(rest)?),
        (false, 0x21) => Some(ends::<16>(rest)?),
        // Section 2.2: a receiver ignores the addresses of LOCAL, and uses the real ones for what it does not know.
        (true | false, _) => None,
    };
    // A LOCAL header's addresses may be left out.
    match rest.get(taken..) {
        Some(fields) => check_fields(fields, header)?,
        None if is_local => {}
        None => return Err(NotProxy("the PROXY header is too short for its addresses")),
    }
    Ok(Some(Header { ends, length }))
}

/// Two addresses of `N` bytes, two ports.
fn ends<const N: usize>(bytes: &[u8]) -> Result<Ends, NotProxy>
where
    IpAddr: From<[u8; N]>,
{
    let short = NotProxy("the PROXY header is too short for its addresses");
    let (source, rest) = bytes.split_first_chunk::<N>().ok_or(short)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(short)?;
    let ([from_high, from_low, to_high, to_low], _) = rest.split_first_chunk::<4>().ok_or(short)?;
    let port = |high: &u8, low: &u8| u16::from_be_bytes([*high, *low]);
    Ok(canonical(
        ((*source).into(), port(from_high, from_low)),
        ((*destination).into(), port(to_high, to_low)),
    ))
}

/// Walks over the TLVs: each must fit, and a checksum must be right.
fn check_fields(mut fields: &[u8], header: &[u8]) -> Result<(), NotProxy> {
    let broken = NotProxy("the PROXY header's fields do not fit into it");
    while let [kind, high, low, rest @ ..] = fields {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = rest.split_at_checked(length).ok_or(broken)?;
        if *kind == CRC32C {
            let value: [u8; 4] = value.try_into().map_err(|_| broken)?;
            // The place of the value in the header, whose four bytes count as zero.
            let at = header.len() - next.len() - value.len();
            if crc32c(header, at) != u32::from_be_bytes(value) {
                return Err(NotProxy("the PROXY header's checksum is wrong"));
            }
        }
        fields = next;
    }
    if fields.is_empty() { Ok(()) } else { Err(broken) }
}

#[cfg(test)]
pub(super) fn crc32c_of(bytes: &[u8]) -> u32 {
    crc32c(bytes, bytes.len())
}

/// CRC-32C (RFC 9260 appendix A) with four bytes taken as zero.
fn crc32c(bytes: &[u8], zeros: usize) -> u32 {
    let mut sum = u32::MAX;
    for (at, byte) in bytes.iter().enumerate() {
        let byte = if (zeros..zeros + 4).contains(&at) { 0 } else { *byte };
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}

pub(super) fn write(ends: Option<Ends>, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    let Some(ends) = ends else {
        // LOCAL, no family, no addresses.
        out.extend_from_slice(&[0x20, 0, 0, 0]);
        return;
    };
    match (ends.source.ip(), ends.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            for ip in [source, destination] {
                out.extend_from_slice(&Ipv4Addr::octets(&ip));
            }
        }
        (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            for ip in as_v6(ends) {
                out.extend_from_slice(&Ipv6Addr::octets(&ip));
            }
        }
    }
    for end in [ends.source, ends.destination] {
        out.extend_from_slice(&end.port().to_be_bytes());
    }
}
