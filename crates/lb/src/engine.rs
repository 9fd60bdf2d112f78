//! Starting, asking, changing and stopping the whole data plane.

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use relevo_model::cluster::Service;
use relevo_model::{ServerName, ServiceName};

use crate::Admin;
use crate::snapshot::ServiceSnapshot;

/// How the engine uses the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Worker threads; 0: one for each CPU that this process may use.
    pub workers: usize,
    /// The CPU of each worker, used in turn; `None`: the kernel places them.
    pub cpu_pin: Option<Vec<usize>>,
}

/// The running data plane. Dropping it stops it at once; [`Engine::shutdown`] lets requests finish.
#[derive(Debug)]
pub struct Engine {}

/// Why the data plane could not start. Nothing is left listening.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process, or another service of the same file, listens there.
    #[error("service {service}: {at} is in use by another program; stop it or change `listen`")]
    AddressInUse {
        /// The service that wanted it.
        service: ServiceName,
        /// The address and port.
        at: SocketAddrV4,
    },
    /// The kernel refused to listen there.
    #[error("service {service}: cannot listen on {at}")]
    Listen {
        /// The service.
        service: ServiceName,
        /// The address and port.
        at: SocketAddrV4,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A thread or its event loop could not be made.
    #[error("cannot start the balancer's thread {name}")]
    Thread {
        /// The thread.
        name: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl Engine {
    /// Listens for all services and starts to balance. Addresses that are not on this machine yet are fine.
    ///
    /// # Errors
    /// See [`StartError`]; then nothing was started.
    pub fn start(settings: Settings, services: &[Service]) -> Result<Self, StartError> {
        let _ = (settings, services);
        Ok(Self {})
    }

    /// Every service as it is now, in the file's order.
    pub fn snapshot(&self) -> Vec<ServiceSnapshot> {
        Vec::new()
    }

    /// Sets what the operator wants of a server, in one service or in all that have it. Returns those that have
    /// it; empty: there is no such server.
    pub fn set_admin(
        &self,
        service: Option<&str>,
        server: &str,
        admin: Admin,
    ) -> Vec<(ServiceName, ServerName)> {
        let _ = (service, server, admin);
        Vec::new()
    }

    /// Stops: accepts nothing new, tells clients to close, waits at most `grace` for what is running, closes.
    pub fn shutdown(self, grace: Duration) {
        let _ = grace;
    }
}
