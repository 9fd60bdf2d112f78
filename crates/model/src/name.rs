//! Names that an operator gives, one type for each kind of thing, so that they cannot be mixed up.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($($(#[$doc:meta])* $type:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Takes the text as it is; the cluster file's reader has checked it.
            pub fn new(text: &str) -> Self {
                Self(Arc::from(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $type {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $type {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    )*};
}

names! {
    /// A network of the cluster file, `[network.NAME]`.
    NetworkName,
    /// A machine of the cluster, `[node.NAME]`; also a client machine of the lab.
    NodeName,
    /// A set of virtual addresses that move together, `[group.NAME]`.
    GroupName,
    /// A virtual address, `[address.NAME]`.
    AddressName,
    /// Something that a group watches, `[group.NAME.track.NAME]`.
    TrackerName,
    /// A balanced service, `[service.NAME]`.
    ServiceName,
    /// A set of servers that can answer alike, `[pool.NAME]`, or a service's own.
    PoolName,
    /// A server of one pool, `[pool.NAME.server.NAME]` or `[service.NAME.server.NAME]`.
    ServerName,
    /// A list of users, `[users.NAME]`.
    UsersName,
    /// A certificate authority, `[acme.NAME]`.
    AcmeName,
    /// A way between networks, `[gateway.NAME]`.
    GatewayName,
    /// A switch of the lab, `[lab.switch.NAME]`.
    SwitchName,
}
