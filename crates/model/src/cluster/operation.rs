//! What operators look at: the access log, the statistics page, who may see it.

use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::name::UsersName;

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// HAProxy's `httplog` and `tcplog`.
    #[default]
    Haproxy,
    /// One JSON object a line.
    Json,
}

/// Where the access log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogTarget {
    /// Nowhere.
    #[default]
    None,
    /// To the program's standard output.
    Stdout,
    /// To a file, opened again on SIGHUP.
    File(PathBuf),
    /// To a syslog daemon's datagram socket, as `/dev/log` (RFC 3164, facility local0).
    Syslog(PathBuf),
    /// To a syslog daemon by UDP.
    SyslogUdp(SocketAddrV4),
}

/// The access log, `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccessLog {
    /// Where it goes.
    pub target: LogTarget,
    /// How a line looks.
    pub format: LogFormat,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password's hash in the form of crypt(5), SHA-256 or SHA-512: what `openssl passwd -6` prints.
    #[serde(skip)]
    pub hash: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A list of users, `[users.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Users {
    /// Its name.
    pub name: UsersName,
    /// Who is in it.
    pub users: Vec<User>,
}

/// The statistics page, `[stats]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Where each director shows it: a virtual address, or its own.
    pub listen: Vec<SocketAddr>,
    /// Who may see it.
    pub users: UsersName,
    /// Who may change servers there; `None`: nobody.
    pub admins: Option<UsersName>,
    /// How often the page asks for itself again.
    pub refresh: Duration,
    /// Whether `/metrics` may be read without a password, for Prometheus. Only on an address that is not for everybody.
    pub open_metrics: bool,
}
