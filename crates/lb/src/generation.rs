//! One configuration, ready to run: built whole, with all its sockets, before anybody goes over to it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use relevo_model::cluster::{ClientTls, LogTarget, Mode, Pool, Service, Verify};
use relevo_model::{ClusterFile, PoolName, ServerName, ServiceName, Time};
use relevo_proto::rule::BadRule;

use crate::backend::{Backend, BackendTls};
use crate::bell::Bell;
use crate::frontend::{Frontend, FrontendTls, Places};
use crate::listener::Socket;
use crate::log::TargetError;
use crate::pages::Pages;
use crate::rules::RuleSet;
use crate::tls::{AcmeDesk, Origination, Terminator};
use crate::{Admin, TlsError, listener};

/// What the operator wants of servers that are not simply ready.
pub(crate) type Wishes = BTreeMap<(PoolName, ServerName), Admin>;

/// A configuration as all threads see it.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    /// In the file's order.
    pub(crate) frontends: Vec<Arc<Frontend>>,
    /// In the file's order.
    pub(crate) backends: Vec<Arc<Backend>>,
    /// Where it listens.
    pub(crate) doors: Vec<Door>,
    /// Somebody wants to know how long things take: an access log, or the statistics page.
    pub(crate) measured: bool,
}

/// An address that is listened on, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) place: Place,
    /// Where it really is.
    at: SocketAddr,
    /// The place among the frontends.
    pub(crate) frontend: usize,
    /// The place in its `listen`.
    pub(crate) listen: usize,
    /// Whether connections are accepted only with their clients' first bytes; `None`: it is for datagrams.
    pub(crate) defers_accept: Option<bool>,
}

/// What makes two listening sockets the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// As wanted.
    at: SocketAddr,
    /// Whether it is for datagrams.
    udp: bool,
    /// With port 0 the kernel chooses: then each wish is a place of its own.
    own: Option<(ServiceName, usize)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.udp { "udp" } else { "tcp" }, self.at)?;
        match &self.own {
            Some((service, listen)) => write!(f, " {service} {listen}"),
            None => Ok(()),
        }
    }
}

/// Listening sockets of a former process, by the words of their places.
pub(crate) type Inherited = BTreeMap<String, Vec<OwnedFd>>;

/// Why a configuration cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another process, or another service of the same file, listens there.
    #[error("service {service}: {at} is in use by another program; stop it or change `listen`")]
    AddressInUse {
        /// The service that wanted it.
        service: ServiceName,
        /// The address and port.
        at: SocketAddr,
    },
    /// The kernel refused to listen there.
    #[error("service {service}: cannot listen on {at}")]
    Listen {
        /// The service.
        service: ServiceName,
        /// The address and port.
        at: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The access log cannot be written.
    #[error(transparent)]
    Log(#[from] TargetError),
    /// A file of `error_pages` cannot be used.
    #[error("service {service}: cannot use the error page {}", file.display())]
    ErrorPage {
        /// The service.
        service: ServiceName,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A rule cannot be used.
    #[error("service {service}: {source}")]
    Rule {
        /// The service.
        service: ServiceName,
        /// The rule, and why.
        source: BadRule,
    },
    /// A service's pool is not in the file; the reader of cluster files refuses that.
    #[error("service {service}: there is no pool {pool}")]
    NoPool {
        /// The service.
        service: ServiceName,
        /// Its pool.
        pool: PoolName,
    },
    /// TLS with a service's clients cannot be had.
    #[error("service {service}")]
    ServiceTls {
        /// The service.
        service: ServiceName,
        /// Which file, and what is wrong with it.
        #[source]
        source: TlsError,
    },
    /// TLS with a pool's servers cannot be had.
    #[error("pool {pool}")]
    PoolTls {
        /// The pool.
        pool: PoolName,
        /// Which file, and what is wrong with it.
        #[source]
        source: TlsError,
    },
}

/// The sockets of one worker that were not there before.
pub(crate) type Sockets = Vec<(Place, Socket)>;

/// What a configuration is built from.
pub(crate) struct Builder<'a> {
    pub(crate) cluster: &'a ClusterFile,
    pub(crate) former: &'a Generation,
    pub(crate) wishes: &'a Wishes,
    pub(crate) desk: &'a Arc<AcmeDesk>,
    pub(crate) bell: &'a Arc<Bell>,
    pub(crate) workers: usize,
    /// What is taken out of it is used instead of a new socket.
    pub(crate) inherited: RefCell<Inherited>,
    pub(crate) now: Time,
}

impl Builder<'_> {
    /// Builds it, with new sockets for each worker. `id` gives numbers that nobody has.
    pub(crate) fn build(self, mut id: impl FnMut() -> u64) -> Result<(Generation, Vec<Sockets>), ApplyError> {
        let measured = self.cluster.stats.is_some() || self.cluster.log.target != LogTarget::None;
        let mut generation = Generation { measured, ..Generation::default() };
        let mut pools = Vec::with_capacity(self.cluster.services.len());
        for service in &self.cluster.services {
            let pool = self.cluster.pools.iter().position(|pool| pool.name == service.pool);
            pools.push(pool.ok_or_else(|| ApplyError::NoPool {
                service: service.name.clone(),
                pool: service.pool.clone(),
            })?);
        }
        let terminators = self.terminators()?;
        let pages = self.pages()?;
        let (doors, sockets) = self.open()?;
        generation.doors = doors;
        for pool in &self.cluster.pools {
            let former = self.former.backends.iter().find(|backend| backend.config.name == pool.name);
            generation.backends.push(match former {
                // Files may have changed though their names have not.
                Some(same) if same.config == *pool && pool.tls.is_none() => Arc::clone(same),
                former => {
                    let former = former.map(|former| &**former);
                    let wish = |server: &ServerName| {
                        let wish = self.wishes.get(&(pool.name.clone(), server.clone()));
                        wish.copied().unwrap_or_default()
                    };
                    let tls = pool_tls(pool)
                        .map_err(|source| ApplyError::PoolTls { pool: pool.name.clone(), source })?;
                    let mut backend =
                        Backend::new(pool.clone(), tls, former, self.workers, self.now, &mut id, wish);
                    backend.bell = Arc::clone(self.bell);
                    Arc::new(backend)
                }
            });
        }
        let services = self.cluster.services.iter().zip(pools).zip(terminators).zip(pages);
        for (place, (((service, pool), terminator), pages)) in services.enumerate() {
            let former = self.former.frontends.iter().find(|former| former.config.name == service.name);
            let listen =
                generation.doors.iter().filter(|door| door.frontend == place).map(|door| door.at).collect();
            let former = former.map(|former| &**former);
            let rules = self.rules(service, former)?;
            let tls = FrontendTls { terminator, desk: Arc::clone(self.desk) };
            let pools = Places { own: pool, chosen: self.chosen(service, rules.as_deref())? };
            let mut frontend =
                Frontend::new(service.clone(), pools, rules, listen, tls, former, self.workers);
            frontend.pages = pages;
            generation.frontends.push(Arc::new(frontend));
        }
        Ok((generation, sockets))
    }

    /// Certificates and keys of all services, read anew.
    fn terminators(&self) -> Result<Vec<Option<Arc<Terminator>>>, ApplyError> {
        let load = |service: &Service| {
            let Some(tls) = &service.tls else { return Ok(None) };
            let former = self.former.frontends.iter().find(|former| former.config.name == service.name);
            let former = former.and_then(|former| former.tls.terminator.as_deref());
            match Terminator::load(service, tls, self.desk, former) {
                Ok(terminator) => Ok(Some(Arc::new(terminator))),
                Err(source) => Err(ApplyError::ServiceTls { service: service.name.clone(), source }),
            }
        };
        self.cluster.services.iter().map(load).collect()
    }

    /// The error pages of all services, read anew.
    fn pages(&self) -> Result<Vec<Pages>, ApplyError> {
        let load = |service: &Service| {
            Pages::load(&service.error_pages).map_err(|(file, source)| ApplyError::ErrorPage {
                service: service.name.clone(),
                file,
                source,
            })
        };
        self.cluster.services.iter().map(load).collect()
    }

    /// A service's rules.
    fn rules(
        &self,
        service: &Service,
        former: Option<&Frontend>,
    ) -> Result<Option<Arc<RuleSet>>, ApplyError> {
        let former = former.and_then(|former| former.rules.as_ref());
        RuleSet::new(&service.rules, &self.cluster.users, former, self.workers)
            .map_err(|source| ApplyError::Rule { service: service.name.clone(), source })
    }

    /// The places of the pools that rules choose.
    fn chosen(&self, service: &Service, rules: Option<&RuleSet>) -> Result<Box<[usize]>, ApplyError> {
        let place = |pool: &PoolName| {
            let place = self.cluster.pools.iter().position(|other| other.name == *pool);
            place.ok_or_else(|| ApplyError::NoPool { service: service.name.clone(), pool: pool.clone() })
        };
        rules.map_or(&[][..], |rules| rules.compiled.pools()).iter().map(place).collect()
    }

    /// All doors; sockets for those that are new. All addresses are looked at before the first is taken, so that a
    /// mistake leaves nothing listening for a moment.
    fn open(&self) -> Result<(Vec<Door>, Vec<Sockets>), ApplyError> {
        let mut doors = Vec::new();
        let mut seen = BTreeSet::new();
        for (frontend, service) in self.cluster.services.iter().enumerate() {
            for (listen, wanted) in service.listen.iter().enumerate() {
                let at = wanted.at;
                let own = (at.port() == 0).then(|| (service.name.clone(), listen));
                let udp = service.mode == Mode::Udp;
                let place = Place { at, udp, own };
                if !seen.insert(place.clone()) {
                    return Err(ApplyError::AddressInUse { service: service.name.clone(), at });
                }
                let there = self.former.doors.iter().find(|door| door.place == place);
                let is_ours = there.is_some() || self.inherited.borrow().contains_key(&place.to_string());
                if !is_ours && !self.overlaps(at, udp) {
                    listener::ensure_free(at, udp).map_err(|source| refused(service, at, source))?;
                }
                let defers_accept = (!udp).then(|| self.cluster.defers_accept(service, wanted));
                let at = there.map_or(at, |door| door.at);
                doors.push(Door { place, at, frontend, listen, defers_accept });
            }
        }
        let mut sockets: Vec<Sockets> = (0..self.workers).map(|_| Vec::new()).collect();
        for door in &mut doors {
            if self.former.doors.iter().any(|there| there.place == door.place) {
                continue;
            }
            let Some(service) = self.cluster.services.get(door.frontend) else { continue };
            let inherited = self.inherited.borrow_mut().remove(&door.place.to_string());
            let mut inherited = inherited.unwrap_or_default().into_iter();
            for sockets in &mut sockets {
                let socket = match inherited.next() {
                    Some(socket) => Socket::inherit(socket, door.place.udp),
                    None => listener::listen(door.at, door.place.udp)
                        .map_err(|source| refused(service, door.at, source))?,
                };
                // Port 0: the first socket's port is everyone's.
                if let Ok(local) = socket.local_addr() {
                    door.at = local;
                }
                sockets.push((door.place.clone(), socket));
            }
        }
        Ok((doors, sockets))
    }

    /// Whether one of our own sockets is in the way: on all addresses where one is wanted, or the other way round. It
    /// leaves with the former configuration, or the kernel gives each client to the more exact one.
    fn overlaps(&self, at: SocketAddr, udp: bool) -> bool {
        let in_the_way = |door: &Door| {
            door.place.udp == udp
                && door.at.port() == at.port()
                && door.at.is_ipv4() == at.is_ipv4()
                && (door.at.ip().is_unspecified() || at.ip().is_unspecified())
        };
        self.former.doors.iter().any(in_the_way)
    }
}

/// TLS with a pool's servers, its files read anew.
fn pool_tls(pool: &Pool) -> Result<BackendTls, TlsError> {
    let load = |tls| Origination::load(pool, tls).map(Arc::new);
    let traffic = pool.tls.as_ref().map(load).transpose()?;
    let checks = match &traffic {
        _ if !pool.check.tls => None,
        Some(traffic) => Some(Arc::clone(traffic)),
        None => {
            let any = ClientTls { verify: Verify::None, ca: None, name: None, certificate: None };
            Some(load(&any)?)
        }
    };
    Ok(BackendTls { traffic, checks })
}

fn refused(service: &Service, at: SocketAddr, source: io::Error) -> ApplyError {
    let service = service.name.clone();
    if source.kind() == io::ErrorKind::AddrInUse {
        ApplyError::AddressInUse { service, at }
    } else {
        ApplyError::Listen { service, at, source }
    }
}
