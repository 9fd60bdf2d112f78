//! Where the files are that a cluster file names: beside it, if they are not absolute.

use std::path::{Path, PathBuf};

use super::{Certificate, ClusterFile, LogTarget, Watched};

impl ClusterFile {
    /// Makes all names of files absolute: those that are not are in this folder, the cluster file's.
    pub fn resolve(&mut self, folder: &Path) {
        let full = |path: &mut PathBuf| *path = folder.join(&*path);
        let certificate = |one: &mut Certificate| {
            full(&mut one.chain);
            one.key.iter_mut().for_each(full);
        };
        for service in &mut self.services {
            service.error_pages.iter_mut().for_each(|page| full(&mut page.file));
            if let Some(tls) = &mut service.tls {
                tls.certificates.iter_mut().for_each(certificate);
                tls.client_ca.iter_mut().for_each(full);
            }
        }
        for tls in self.pools.iter_mut().filter_map(|pool| pool.tls.as_mut()) {
            tls.ca.iter_mut().for_each(full);
            tls.certificate.iter_mut().for_each(certificate);
        }
        self.acme.iter_mut().filter_map(|acme| acme.ca.as_mut()).for_each(full);
        self.peers.iter_mut().for_each(|peers| full(&mut peers.key));
        match &mut self.log.target {
            LogTarget::File(path) | LogTarget::Syslog(path) => full(path),
            LogTarget::None | LogTarget::Stdout | LogTarget::SyslogUdp(_) => {}
        }
        for group in &mut self.groups {
            group.hmac.iter_mut().for_each(|hmac| full(&mut hmac.keys));
            for tracker in &mut group.trackers {
                if let Watched::File(path) = &mut tracker.what {
                    full(path);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_absolute_are_beside_the_cluster_file() {
        let text = r#"name = "loop"
[network.lan]
subnet = "192.168.99.0/24"
[node.lb1]
roles = ["director"]
address.lan = "192.168.99.1"
[group.main]
hmac = "vrrp.key"
[address.front]
network = "lan"
ip = "192.168.99.200"
[log]
access = "file:/var/log/access.log"
[service.shop]
listen = { at = "127.0.0.1:443", tls = true }
mode = "http"
check = "none"
error_pages = { 503 = "pages/503.html" }
tls = { certificates = ["shop.pem", { chain = "/etc/a.crt", key = "a.key" }], client_ca = "ca.pem" }
server_tls = { ca = "inside.pem" }
servers = ["127.0.0.1:1"]
"#;
        let reading = crate::read(text);
        let mut cluster = reading.cluster.unwrap_or_else(|| panic!("{:?}", reading.diagnostics));
        cluster.resolve(Path::new("/etc/relevo"));
        let service = &cluster.services[0];
        let tls = service.tls.as_ref().unwrap();
        let path = |text: &str| PathBuf::from(text);
        assert_eq!(service.error_pages[0].file, path("/etc/relevo/pages/503.html"));
        assert_eq!(tls.certificates[0].chain, path("/etc/relevo/shop.pem"));
        assert_eq!(tls.certificates[1].chain, path("/etc/a.crt"));
        assert_eq!(tls.certificates[1].key, Some(path("/etc/relevo/a.key")));
        assert_eq!(tls.client_ca, Some(path("/etc/relevo/ca.pem")));
        assert_eq!(cluster.pools[0].tls.as_ref().unwrap().ca, Some(path("/etc/relevo/inside.pem")));
        assert_eq!(cluster.groups[0].hmac.as_ref().unwrap().keys, path("/etc/relevo/vrrp.key"));
        assert_eq!(cluster.log.target, LogTarget::File(path("/var/log/access.log")));
    }
}
