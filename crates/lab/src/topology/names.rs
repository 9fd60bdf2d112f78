//! How interfaces are called: unlike each other, and within what the kernel and `ip -batch` allow.

use std::collections::BTreeSet;

use super::{BRIDGE, End, TUNNEL};
use crate::{LabError, Result};

/// Longest name of an interface, bytes (IFNAMSIZ less the closing zero).
pub(crate) const INTERFACE_NAME_MAX: usize = 15;

/// Interface names that are taken, by namespace.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: BTreeSet<(String, String)>,
}

impl Names {
    /// An end in this space, called as wanted, or nearly so if that is too long or taken.
    pub(super) fn end(&mut self, space: Option<&str>, wanted: &str) -> End {
        let place = space.unwrap_or_default().to_owned();
        let cut = |length: usize| wanted.chars().take(length).collect::<String>();
        // The last two are folders under /proc/sys/net: the kernel has no interfaces of these names.
        let reserved = [BRIDGE, TUNNEL, "lo", "all", "default"];
        let mut interface = cut(INTERFACE_NAME_MAX);
        let mut number = 2;
        while reserved.contains(&interface.as_str()) || !self.taken.insert((place.clone(), interface.clone()))
        {
            let suffix = format!("~{number}");
            interface = cut(INTERFACE_NAME_MAX - suffix.len()) + &suffix;
            number += 1;
        }
        End { space: space.map(str::to_owned), interface }
    }
}

/// An interface's name from the file, if it can stand in the commands of `ip -batch`: quotes, `#` and backslashes mean
/// something there.
pub(super) fn plain(interface: &str) -> Result<&str> {
    let fits = |char: char| char.is_ascii_alphanumeric() || "-_.+".contains(char);
    match interface.chars().all(fits) {
        true => Ok(interface),
        false => Err(LabError::wrong(format!(
            "a lab cannot call an interface {interface:?}: take letters, digits, `-`, `_`, `.` and `+`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces_fit_and_differ() {
        let mut names = Names::default();
        let mut name = |wanted: &str| names.end(Some("switch"), wanted).interface;
        assert_eq!(name("short"), "short");
        assert_eq!(name("a-name-that-is-long-1"), "a-name-that-is-");
        assert_eq!(name("a-name-that-is-long-2"), "a-name-that-i~2");
        assert_eq!(name("bridge"), "bridge~2");
    }
}
