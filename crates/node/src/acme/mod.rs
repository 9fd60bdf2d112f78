//! Certificates by ACME (RFC 8555): when to order one, for whom, and when to try again.
//!
//! One thread looks every few seconds whether a service needs a certificate. The director that has the service's
//! address orders it, since the authority will ask there; the others have nothing to prove. What was given is kept in
//! the state folder and handed to the balancer, which answers the authority's questions meanwhile.

mod order;
mod store;
mod transport;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use relevo_api::types::GroupState;
use relevo_lb::{AcmeDesk, CertificateSnapshot};
use relevo_model::ClusterFile;
use relevo_model::cluster::{Acme, Service};

use self::store::Store;
use crate::control::{Balancer, Node};
use crate::process::wall_ms;

/// How often it is looked whether there is something to do.
const LOOK: Duration = Duration::from_secs(2);
/// The same while no service has its certificate by ACME; another cluster file may say so.
const LOOK_FOR_WORK: Duration = Duration::from_secs(30);
/// Longest time for one order.
const ORDER: Duration = Duration::from_secs(180);
/// The first wait after an order that failed; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3600);

/// The thread that orders. It ends when this is dropped, after the order that it is waiting for.
#[derive(Debug)]
pub(crate) struct Orderer {
    _stop: Sender<()>,
    _thread: JoinHandle<()>,
}

impl Orderer {
    /// Starts it, if the balancer runs.
    pub(crate) fn start(node: &Arc<Node>, state: &Path) -> io::Result<Option<Self>> {
        let desk = match &*node.balancer.read().unwrap_or_else(PoisonError::into_inner) {
            Balancer::Running(engine) => engine.acme(),
            Balancer::Stopped(..) => return Ok(None),
        };
        let mut orders =
            Orders { node: Arc::clone(node), desk, store: Store::new(state), services: BTreeMap::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("acme".to_owned()).spawn(move || {
            loop {
                let is_wanted = runtime.block_on(orders.look());
                let wait = if is_wanted { LOOK } else { LOOK_FOR_WORK };
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        })?;
        Ok(Some(Self { _stop: stop, _thread: thread }))
    }
}

struct Orders {
    node: Arc<Node>,
    desk: Arc<AcmeDesk>,
    store: Store,
    services: BTreeMap<String, Standing>,
}

/// Shows clients what earlier runs, or a former process, have got. It is called before the balancer takes in clients of
/// these services.
pub(crate) fn show_kept(desk: &AcmeDesk, cluster: &ClusterFile, state: &Path) {
    let store = Store::new(state);
    for service in &cluster.services {
        if service.tls.as_ref().is_some_and(|tls| tls.acme.is_some()) {
            kept(desk, &store, &service.name);
        }
    }
}

/// The certificate that an earlier run has got; it is in use from now on.
fn kept(desk: &AcmeDesk, store: &Store, service: &str) -> Option<CertificateSnapshot> {
    let file = store.certificate_file(service);
    let kept = match store.certificate(service) {
        Ok(kept) => desk.install(&file, &kept?).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    kept.inspect_err(|error| tracing::warn!(%service, %error, "a certificate that was kept cannot be used"))
        .ok()
}

/// How it stands with a service's certificate.
#[derive(Default)]
struct Standing {
    certificate: Option<CertificateSnapshot>,
    failures: u32,
    /// Not before.
    again: Option<Instant>,
}

impl Orders {
    /// Orders what is needed; whether any service has its certificate by ACME.
    async fn look(&mut self) -> bool {
        let cluster = self.node.loaded().cluster;
        for service in &cluster.services {
            let Some((authority, names)) = service.tls.as_ref().and_then(|tls| tls.acme.as_ref()) else {
                continue;
            };
            let Some(authority) = cluster.acme.iter().find(|acme| acme.name == *authority) else { continue };
            if !self.services.contains_key(service.name.as_str()) {
                let certificate = kept(&self.desk, &self.store, &service.name);
                let standing = Standing { certificate, ..Standing::default() };
                self.services.insert(service.name.to_string(), standing);
            }
            let Some(standing) = self.services.get(service.name.as_str()) else { continue };
            let now = i64::try_from(wall_ms() / 1000).unwrap_or(i64::MAX);
            if needs_new(standing.certificate.as_ref(), names, now)
                && standing.again.is_none_or(|again| again <= Instant::now())
                && self.is_asked_here(&cluster, service)
            {
                self.order(service, authority, names).await;
            }
        }
        cluster.services.iter().any(|service| service.tls.as_ref().is_some_and(|tls| tls.acme.is_some()))
    }

    /// Whether the authority will find this node when it asks: one of the service's addresses is here, or fixed.
    fn is_asked_here(&self, cluster: &ClusterFile, service: &Service) -> bool {
        let director = self.node.director.read().unwrap_or_else(PoisonError::into_inner);
        let groups = director.as_ref().map_or_else(Vec::new, |director| director.status());
        service.listen.iter().any(|listen| {
            let Some(name) = &listen.address else { return true };
            let Some(address) = cluster.addresses.iter().find(|address| address.name == *name) else {
                return false;
            };
            groups.iter().any(|group| group.name == address.group && group.state == GroupState::Active)
        })
    }

    async fn order(&mut self, service: &Service, authority: &Acme, names: &[String]) {
        let name = &service.name;
        tracing::info!(service = %name, authority = %authority.name, "ordering a certificate for {}", names.join(", "));
        let ordered =
            tokio::time::timeout(ORDER, order::order(authority, names, &self.store, &self.desk)).await;
        self.desk.withdraw_all();
        let result = match ordered {
            Ok(Ok(pem)) => self.keep(name, pem.as_bytes()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the authority took too long".to_owned()),
        };
        let Some(standing) = self.services.get_mut(name.as_str()) else { return };
        match result {
            Ok(certificate) => {
                let days = certificate.days_left();
                tracing::info!(service = %name, "the certificate is here; it ends in {days} days");
                *standing = Standing { certificate: Some(certificate), ..Standing::default() };
            }
            Err(error) => {
                let wait = wait(standing.failures, RandomState::new().hash_one(name));
                standing.failures += 1;
                standing.again = Some(Instant::now() + wait);
                let left = standing.certificate.as_ref().map(CertificateSnapshot::days_left);
                tracing::warn!(service = %name, authority = %authority.name, days_left = left, "no certificate, next try in {} s: {error}", wait.as_secs());
            }
        }
    }

    /// First on the disk, then in use: what the authority counts against us is not lost.
    fn keep(&self, service: &str, pem: &[u8]) -> Result<CertificateSnapshot, String> {
        let kept = self.store.keep_certificate(service, pem);
        let installed = self.desk.install(&self.store.certificate_file(service), pem);
        kept.map_err(|error| format!("it cannot be kept in the state folder: {error}"))?;
        installed.map_err(|error| error.to_string())
    }
}

/// Whether it is time: there is none, it has other names, or less than a third of its life is left. `now` in seconds
/// since 1970.
fn needs_new(certificate: Option<&CertificateSnapshot>, names: &[String], now: i64) -> bool {
    let Some(certificate) = certificate else { return true };
    let has = |name: &String| certificate.names.iter().any(|has| has.eq_ignore_ascii_case(name));
    let (life, left) = (certificate.not_after - certificate.not_before, certificate.not_after - now);
    !names.iter().all(has) || left < life / 3
}

/// How long to wait after so many failures before this one. `chance`: any number; a fifth of the wait hangs on it, so
/// that not everybody asks at once.
fn wait(failures: u32, chance: u64) -> Duration {
    let whole = FIRST_WAIT.saturating_mul(1 << failures.min(20)).min(LONGEST_WAIT);
    whole - whole / 5 * u32::try_from(chance % 100).unwrap_or(0) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let names = ["a.org".to_owned()];
        let certificate = CertificateSnapshot {
            file: "a.pem".into(),
            names: names.to_vec(),
            not_before: 0,
            not_after: 90 * 86_400,
        };
        assert!(needs_new(None, &names, 0));
        assert!(!needs_new(Some(&certificate), &names, 59 * 86_400));
        assert!(needs_new(Some(&certificate), &names, 61 * 86_400));
        assert!(needs_new(Some(&certificate), &["b.org".to_owned()], 0));
    }

    #[test]
    fn waits_grow_and_are_bounded() {
        assert_eq!(wait(0, 0), FIRST_WAIT);
        assert_eq!(wait(1, 0), 2 * FIRST_WAIT);
        for chance in [0, 50, 99] {
            assert!(wait(1000, chance) <= LONGEST_WAIT && wait(1000, chance) >= LONGEST_WAIT / 5 * 4);
        }
    }
}
