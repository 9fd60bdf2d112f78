//! What can go wrong between us and the kernel, in words that say what would be right.

use std::io;
use std::net::Ipv4Addr;

/// A request that the kernel refused or an interface that is not there.
///
/// `Display` does not repeat the source: print the chain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process lacks a capability.
    #[error("no permission to {doing}: run as root or with CAP_NET_RAW and CAP_NET_ADMIN")]
    Permission {
        /// What was tried.
        doing: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The kernel refused for another reason.
    #[error("cannot {doing}")]
    Kernel {
        /// What was tried.
        doing: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// An answer of the kernel could not be understood.
    #[error("cannot understand the kernel's answer to: {doing}: {detail}")]
    Answer {
        /// What was asked.
        doing: String,
        /// What was wrong with the answer.
        detail: String,
    },
    /// No interface of this name.
    #[error("there is no interface {name}; there is: {present}")]
    NoInterface {
        /// The name that was looked for.
        name: String,
        /// The interfaces that exist, with their addresses.
        present: String,
    },
    /// No interface carries this address.
    #[error("no interface has the address {ip}; there is: {present}")]
    NoAddress {
        /// The address that was looked for.
        ip: Ipv4Addr,
        /// The interfaces that exist, with their addresses.
        present: String,
    },
    /// The interface exists, but without the address that is its node's.
    #[error("the interface {name} does not have the address {ip}; there is: {present}")]
    NotOnInterface {
        /// The interface.
        name: String,
        /// The address that was looked for.
        ip: Ipv4Addr,
        /// The interfaces that exist, with their addresses.
        present: String,
    },
    /// The interface cannot carry gratuitous ARP.
    #[error("the interface {name} is not Ethernet: its hardware address has {length} bytes, not 6")]
    NotEthernet {
        /// The interface.
        name: String,
        /// The length of its hardware address, bytes.
        length: usize,
    },
}

impl Error {
    /// Sorts what the kernel said while we were `doing` something: a verb and its object, as in `open a raw socket`.
    pub(crate) fn kernel(doing: impl Into<String>, source: io::Error) -> Self {
        let doing = doing.into();
        if source.kind() == io::ErrorKind::PermissionDenied {
            Self::Permission { doing, source }
        } else {
            Self::Kernel { doing, source }
        }
    }

    /// Whether the process lacks a capability: trying again will not help.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Permission { .. })
    }

    /// The error number that the kernel answered with.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Permission { source, .. } | Self::Kernel { source, .. } => source.raw_os_error(),
            Self::Answer { .. }
            | Self::NoInterface { .. }
            | Self::NoAddress { .. }
            | Self::NotOnInterface { .. }
            | Self::NotEthernet { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_capability_says_what_would_be_right() {
        let error = Error::kernel("open a raw socket", io::Error::from_raw_os_error(nix::libc::EPERM));
        assert!(error.is_permission());
        assert_eq!(
            error.to_string(),
            "no permission to open a raw socket: run as root or with CAP_NET_RAW and CAP_NET_ADMIN"
        );
        let error = Error::kernel("add 10.0.0.1/32", io::Error::from_raw_os_error(nix::libc::ENODEV));
        assert!(!error.is_permission());
        assert_eq!(error.raw_os_error(), Some(nix::libc::ENODEV));
        assert_eq!(error.to_string(), "cannot add 10.0.0.1/32");
    }
}
