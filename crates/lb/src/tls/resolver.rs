//! Which certificate a client gets: by the name that it asks for, the exact one before a wildcard.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::desk::{self, AcmeDesk};
use super::files::Loaded;

thread_local! {
    /// The name that the last client of this thread has asked for. rustls tells it only while it looks for a certificate.
    static ASKED: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// The name that the client asked for whose handshake this thread has just processed.
pub(super) fn take_asked() -> Option<Box<str>> {
    ASKED.take()
}

/// Certificates by their names.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    /// Several for a name are of different kinds, as RSA and ECDSA.
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// `example.org` for `*.example.org`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    first: Vec<Arc<CertifiedKey>>,
    /// Names whose certificates come by ACME, and from where.
    ordered: Vec<String>,
    desk: Arc<AcmeDesk>,
    strict: bool,
}

impl Resolver {
    /// `strict`: who asks for no name that is known gets none.
    pub(super) fn new(
        certificates: &[Loaded],
        ordered: &[String],
        desk: &Arc<AcmeDesk>,
        strict: bool,
    ) -> Self {
        let (ordered, desk) = (ordered.to_vec(), Arc::clone(desk));
        let mut resolver = Self { ordered, desk, strict, ..Self::default() };
        for Loaded { key, snapshot } in certificates {
            // An RSA and an ECDSA certificate for the same names are the first ones together.
            if certificates.first().is_some_and(|first| first.snapshot.names == snapshot.names) {
                resolver.first.push(Arc::clone(key));
            }
            for name in &snapshot.names {
                let list = match name.strip_prefix("*.") {
                    Some(parent) => resolver.wildcard.entry(parent.to_owned()),
                    None => resolver.exact.entry(name.clone()),
                };
                list.or_default().push(Arc::clone(key));
            }
        }
        resolver
    }

    /// A certificate that came by ACME; none of a file is for this name.
    fn ordered(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let is_ours = |name: &str| {
            self.ordered.iter().any(|ours| match ours.strip_prefix("*.") {
                Some(parent) => name.split_once('.').is_some_and(|(_, rest)| rest == parent),
                None => ours == name,
            })
        };
        let name = match name {
            Some(name) if self.exact.contains_key(name) => return None,
            Some(name) if is_ours(name) => name,
            // Nobody else is there for everybody else.
            Some(_) | None if !self.strict && self.first.is_empty() => self.ordered.first()?,
            Some(_) | None => return None,
        };
        Some(Arc::clone(&self.desk.certificate(name)?.key))
    }

    fn find(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let named = name.and_then(|name| {
            let exact = self.exact.get(name);
            // RFC 6125 section 6.4.3: a wildcard stands for one label.
            exact.or_else(|| self.wildcard.get(name.split_once('.')?.1))
        });
        match named {
            Some(keys) => keys,
            None if self.strict => &[],
            None => &self.first,
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name =
            hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase().into_boxed_str());
        if hello.alpn().is_some_and(|mut names| names.next() == Some(desk::ALPN) && names.next().is_none()) {
            return self.desk.proof(name.as_deref()?);
        }
        let ordered = self.ordered(name.as_deref());
        let keys = ordered.as_ref().map_or_else(|| self.find(name.as_deref()), std::slice::from_ref);
        ASKED.set(name);
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        keys.iter().find(fits).or(keys.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};

    use super::super::files;
    use super::*;

    fn loaded(names: &[&str]) -> Loaded {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let path = Path::new("test.pem");
        files::parse(certificate.pem().as_bytes(), path, key.serialize_pem().as_bytes(), path).unwrap()
    }

    #[test]
    fn the_exact_name_goes_before_a_wildcard_and_the_first_is_for_all_others() {
        let list = [loaded(&["a.org"]), loaded(&["*.example.org"]), loaded(&["shop.example.org"])];
        let resolver = Resolver::new(&list, &[], &Arc::default(), false);
        let place = |name: &str| {
            let found = resolver.find(Some(name)).first();
            list.iter().position(|loaded| found.is_some_and(|found| Arc::ptr_eq(found, &loaded.key)))
        };
        assert_eq!(place("shop.example.org"), Some(2));
        assert_eq!(place("www.example.org"), Some(1));
        assert_eq!(place("a.www.example.org"), Some(0), "a wildcard stands for one label");
        assert_eq!(place("example.org"), Some(0));
        assert_eq!(resolver.find(None).len(), 1);
        let strict = Resolver::new(&list, &[], &Arc::default(), true);
        assert!(strict.find(Some("example.org")).is_empty() && strict.find(None).is_empty());
        assert_eq!(strict.find(Some("a.org")).len(), 1);
    }
}
