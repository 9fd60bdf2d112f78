//! Files that the cluster file names: there, and for the right eyes only.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Findings, Patient};

pub(super) fn look(patient: Patient<'_>, findings: &mut Findings) {
    if let Some(peers) = &patient.cluster.peers {
        secret(
            "the key of [peers]",
            &peers.key,
            &format!(
                "(umask 077 && relevo key > {}), then copy it to the other directors: all have the same",
                peers.key.display()
            ),
            findings,
        );
    }
    for group in patient.groups() {
        let Some(hmac) = &group.hmac else { continue };
        secret(
            &format!("the keys of group {}", group.name),
            &hmac.keys,
            &format!(
                "(umask 077 && relevo key --id 1 > {}), then copy it to the other directors: all have the same",
                hmac.keys.display()
            ),
            findings,
        );
    }
    for service in &patient.cluster.services {
        let Some(tls) = &service.tls else { continue };
        for certificate in &tls.certificates {
            // A folder stands for all that is in it.
            if certificate.chain.is_dir() {
                continue;
            }
            // As HAProxy has it: in the chain's file, or in the one beside it.
            let mut beside = certificate.chain.clone().into_os_string();
            beside.push(".key");
            let beside = PathBuf::from(beside);
            let unsaid = if beside.exists() { &beside } else { &certificate.chain };
            secret(
                &format!("a key of {}", service.name),
                certificate.key.as_ref().unwrap_or(unsaid),
                "put the certificate's key there: install -m 600 KEY.pem THERE",
                findings,
            );
        }
    }
}

fn secret(what: &str, path: &Path, remedy: &str, findings: &mut Findings) {
    match fs::metadata(path) {
        Ok(file) if file.mode() & 0o077 == 0 => {
            findings.good("files", format!("{what} is there, for its owner only: {}", path.display()));
        }
        Ok(file) => findings.bad(
            "files",
            format!("{what} can be read by others: {} has mode {:04o}", path.display(), file.mode() & 0o7777),
            format!("chmod 600 {}", path.display()),
        ),
        Err(error) => findings.bad("files", format!("{what}: {}: {error}", path.display()), remedy),
    }
}
