//! Accept-Encoding (RFC 9110 section 12.5.3): which coding a client gets.

use relevo_model::cluster::Coding;

use super::name;
use crate::head::{elements, has_directive};

/// The coding that the client of this request's head likes best; of several that it likes equally the first one
/// offered. `None`: it gets the answer as it is.
pub fn choose(request: &[u8], offered: &[Coding]) -> Option<Coding> {
    let (mut best, mut best_weight) = (None, 0);
    for coding in offered {
        let weight = weight(request, name(*coding)).unwrap_or(0);
        if weight > best_weight {
            (best, best_weight) = (Some(*coding), weight);
        }
    }
    // RFC 9111 section 5.2.1.6: the request may ask for the bytes as the server has them. One that says what it thinks
    // of no coding gets none if it likes that better; else it is the last resort.
    let plain = elements(request, "accept-encoding").any(|one| matches(one, "identity"));
    let plain = if plain { weight(request, "identity").unwrap_or(0) } else { 0 };
    best.filter(|_| best_weight >= plain && !has_directive(request, "no-transform"))
}

/// What the client thinks of a coding, in thousandths; `None`: nothing.
fn weight(request: &[u8], wanted: &str) -> Option<u16> {
    let (mut exact, mut any) = (None, None);
    for element in elements(request, "accept-encoding") {
        let weight = || quality(element);
        if matches(element, wanted) || wanted == "gzip" && matches(element, "x-gzip") {
            exact = exact.max(Some(weight()));
        } else if matches(element, "*") {
            any = any.max(Some(weight()));
        }
    }
    exact.or(any)
}

fn matches(element: &[u8], wanted: &str) -> bool {
    let found = element.split(|byte| *byte == b';').next().unwrap_or_default();
    found.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
}

/// The weight of an element in thousandths (RFC 9110 section 12.4.2). One that cannot be read is 0.
fn quality(element: &[u8]) -> u16 {
    let mut parameters = element.split(|byte| *byte == b';').skip(1).map(<[u8]>::trim_ascii);
    let Some(value) = parameters.find_map(|one| one.strip_prefix(b"q=").or(one.strip_prefix(b"Q="))) else {
        return 1000;
    };
    match value {
        [b'1'] => 1000,
        [b'1', b'.', zeros @ ..] if zeros.len() <= 3 && zeros.iter().all(|byte| *byte == b'0') => 1000,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            let digit = |place: usize| digits.get(place).map_or(0, |byte| u16::from(byte - b'0'));
            digit(0) * 100 + digit(1) * 10 + digit(2)
        }
        _ => 0,
    }
}
