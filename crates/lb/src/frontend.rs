//! A service as all threads see it: where clients come in, and their limits. Who answers is its pool, a
//! [`crate::backend::Backend`].

use std::net::SocketAddr;
use std::sync::Arc;

use relevo_model::cluster::Service;
use relevo_proto::rule::Changes;

use crate::cache::Cache;
use crate::counters::Counters;
use crate::figures::Figures;
use crate::gate::Gate;
use crate::pages::Pages;
use crate::rules::RuleSet;
use crate::snapshot::ServiceSnapshot;
use crate::sources::Sources;
use crate::tls::{AcmeDesk, Terminator};

/// A service in one configuration; the next configuration makes a new one that goes on with its counters.
#[derive(Debug)]
pub(crate) struct Frontend {
    /// The service as the operator wrote it.
    pub(crate) config: Service,
    /// The places of its pools.
    pub(crate) pools: Places,
    /// What is decided about requests; `None`: nothing.
    pub(crate) rules: Option<Arc<RuleSet>>,
    /// Answers that are kept; none of a configuration that was another one.
    pub(crate) cache: Option<Arc<Cache>>,
    /// What answers over TLS get.
    pub(crate) hsts: Option<Changes>,
    /// What is answered instead of a short sentence.
    pub(crate) pages: Pages,
    /// Where it really listens, in the order of its `listen`.
    pub(crate) listen: Vec<SocketAddr>,
    /// The Host for clients of HTTP/1.0 that send none.
    pub(crate) host: Vec<u8>,
    /// One for each worker.
    pub(crate) counters: Arc<[Counters]>,
    /// Its clients.
    pub(crate) gate: Arc<Gate>,
    /// How many each source has of them, if that is limited.
    pub(crate) sources: Arc<Sources>,
    /// What proves to clients, and to authorities, who it is.
    pub(crate) tls: FrontendTls,
}

/// Places among all pools.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Of the pool that answers unless a rule chooses another one.
    pub(crate) own: usize,
    /// Of those that rules choose, by their numbers in the rules.
    pub(crate) chosen: Box<[usize]>,
}

/// What proves who a service is.
#[derive(Debug)]
pub(crate) struct FrontendTls {
    /// What clients over TLS need.
    pub(crate) terminator: Option<Arc<Terminator>>,
    /// What an authority may ask for.
    pub(crate) desk: Arc<AcmeDesk>,
}

impl Frontend {
    /// The service, going on with what a former one of its name has counted.
    pub(crate) fn new(
        config: Service,
        pools: Places,
        rules: Option<Arc<RuleSet>>,
        listen: Vec<SocketAddr>,
        tls: FrontendTls,
        former: Option<&Self>,
        workers: usize,
    ) -> Self {
        let most = config.limits.connections;
        Self {
            host: listen.first().map(ToString::to_string).unwrap_or_default().into_bytes(),
            counters: former.map_or_else(
                || (0..workers).map(|_| Counters::default()).collect(),
                |former| Arc::clone(&former.counters),
            ),
            gate: former.map_or_else(|| Arc::new(Gate::new(most)), |former| Arc::clone(&former.gate)),
            sources: former.map_or_else(Arc::default, |former| Arc::clone(&former.sources)),
            cache: kept(&config, former),
            hsts: config.hsts.map(|age| Changes {
                left_out: vec!["Strict-Transport-Security".to_owned()],
                lines: format!("Strict-Transport-Security: max-age={}\r\n", age.as_secs()).into_bytes(),
            }),
            config,
            pools,
            rules,
            pages: Pages::default(),
            listen,
            tls,
        }
    }

    pub(crate) fn snapshot(&self) -> ServiceSnapshot {
        let sum =
            |value: &dyn Fn(&Counters) -> u64| self.counters.iter().map(value).fold(0, u64::wrapping_add);
        let mut figures = Figures::default();
        self.counters.iter().for_each(|counters| counters.add_to(&mut figures));
        (figures.current, figures.most) = (self.gate.connections() as u64, self.gate.most() as u64);
        ServiceSnapshot {
            name: self.config.name.clone(),
            mode: self.config.mode,
            pool: self.config.pool.clone(),
            listen: self.listen.clone(),
            connections: self.gate.connections() as u64,
            requests: sum(&|counters| counters.requests.value()),
            errors: sum(&|counters| counters.errors.value()),
            limit: self.config.limits.connections as u64,
            figures,
            certificates: self.tls.terminator.as_ref().map_or_else(Vec::new, |tls| tls.certificates()),
        }
    }
}

/// What a service keeps answers in: as it was, if the service is.
fn kept(config: &Service, former: Option<&Frontend>) -> Option<Arc<Cache>> {
    let wanted = config.cache?;
    let same = former.filter(|former| former.config == *config).and_then(|former| former.cache.clone());
    Some(same.unwrap_or_else(|| Arc::new(Cache::new(wanted))))
}
