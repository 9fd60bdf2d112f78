//! TLS with clients and with servers, and `[acme.NAME]`.

use super::fields::Fields;
use super::findings::Findings;
use super::names::{Named, Names, named};
use super::texts::{file, host, listed, opened, several, useless};
use super::tree::Item;
use crate::cluster::{Acme, Certificate, Challenge, ClientTls, ServerTls, TlsVersion, Verify};
use crate::name::AcmeName;
use crate::reference::{ACME, CERTIFICATE, CLIENT_TLS, SERVER_TLS};

const PEM: &str = "/etc/relevo/tls/shop.pem";

/// Reads a service's `tls`.
pub(super) fn server(findings: &mut Findings<'_>, item: &Item<'_>, authorities: &Names) -> Option<ServerTls> {
    let example = format!("{{ certificates = [\"{PEM}\"] }}");
    let fields = opened(findings, item, &SERVER_TLS, "a table", &example)?;
    let certificates =
        fields.find("certificates").map(|item| several(findings, item, 256)).unwrap_or_default();
    let certificates: Vec<Certificate> =
        certificates.iter().filter_map(|item| certificate(findings, item)).collect();
    let versions = [("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)];
    let ca = fields.find("client_ca");
    let client_ca = ca.and_then(|item| file(findings, item, "/etc/relevo/tls/clients.pem"));
    let verifies = [("none", Verify::None), ("optional", Verify::Optional), ("required", Verify::Required)];
    let default = if ca.is_some() { Verify::Required } else { Verify::None };
    let client_verify = fields.word(findings, "client_verify", &verifies).unwrap_or(default);
    if let (Verify::Optional | Verify::Required, None, Some(item)) =
        (client_verify, ca, fields.find("client_verify"))
    {
        let hint = "add client_ca = \"/etc/relevo/tls/clients.pem\"";
        findings.error(
            &item.key,
            "client certificates are asked for, and no authority is named for them",
            hint,
        );
    }
    if let (Verify::None, Some(item)) = (client_verify, ca) {
        let hint = "write client_verify = \"required\" or \"optional\", or remove it";
        findings.error(&item.key, "`client_ca` has no meaning with client_verify = \"none\"", hint);
    }
    let tls = ServerTls {
        acme: acme(findings, &fields, authorities),
        strict_sni: fields.flag(findings, "strict_sni").unwrap_or(false),
        min_version: fields.word(findings, "min_version", &versions).unwrap_or_default(),
        client_ca,
        client_verify,
        ocsp: fields.flag(findings, "ocsp").unwrap_or(false),
        certificates,
    };
    if fields.find("certificates").is_none() && fields.find("acme").is_none() {
        let hint = format!("add certificates = [\"{PEM}\"], or acme and names");
        findings.error(fields.span(), "`tls` has no certificate", hint);
    }
    Some(tls)
}

fn acme(
    findings: &mut Findings<'_>,
    fields: &Fields<'_>,
    authorities: &Names,
) -> Option<(AcmeName, Vec<String>)> {
    let Some(item) = fields.find("acme") else {
        let hint = "add acme = \"NAME\", or remove it: names of files come from their certificates";
        useless(findings, fields, &["names"], "is for certificates that come by ACME", hint);
        return None;
    };
    let names = fields.require(findings, "names", "[\"shop.example.org\"]")?;
    let items = listed(findings, names, "[\"shop.example.org\"]", 100);
    if items.is_empty() {
        findings.value(&names.span, "`names` is empty", "write names = [\"shop.example.org\"]");
    }
    let mut list: Vec<String> = Vec::new();
    for item in items {
        if item.value.as_str().is_some_and(|text| text.starts_with("*.")) {
            let hint = "name each host; a wildcard needs DNS (RFC 8555 section 7.1.3), use a file for it";
            findings.value(&item.span, "a wildcard cannot be proved by http-01 or tls-alpn-01", hint);
            continue;
        }
        let Some(name) = host(findings, &item, "shop.example.org") else { continue };
        if list.contains(&name) {
            findings.value(&item.span, format!("`{name}` is there twice"), "keep one of them");
        } else {
            list.push(name);
        }
    }
    let authority = item.text(findings, "\"letsencrypt\"")?;
    authorities.resolve(findings, authority, &item.span).then(|| (AcmeName::new(authority), list))
}

/// A certificate: a file with chain and key, or two.
fn certificate(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Certificate> {
    if item.value.as_str().is_some() {
        return file(findings, item, PEM).map(|chain| Certificate { chain, key: None });
    }
    let example = "{ chain = \"/etc/relevo/tls/shop.crt\", key = \"/etc/relevo/tls/shop.key\" }";
    let Some(table) = item.value.as_table() else {
        item.wrong_type(findings, "paths or tables", &format!("\"{PEM}\" or {example}"));
        return None;
    };
    let fields = Fields::open(findings, table, &item.span, "a certificate", &[&CERTIFICATE]);
    let key = fields.find("key").and_then(|item| file(findings, item, "/etc/relevo/tls/shop.key"));
    let chain = fields.require(findings, "chain", "\"/etc/relevo/tls/shop.crt\"")?;
    file(findings, chain, "/etc/relevo/tls/shop.crt").map(|chain| Certificate { chain, key })
}

/// Reads a pool's `server_tls`.
pub(super) fn client(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<ClientTls> {
    let fields = opened(
        findings,
        item,
        &CLIENT_TLS,
        "a table",
        "{ verify = \"required\", ca = \"/etc/relevo/tls/ca.pem\" }",
    )?;
    let verify = fields.word(findings, "verify", &[("required", Verify::Required), ("none", Verify::None)]);
    let verify = verify.unwrap_or(Verify::Required);
    if verify == Verify::None {
        let hint = "remove it, or write verify = \"required\"";
        useless(findings, &fields, &["ca"], "has no meaning with verify = \"none\"", hint);
    }
    Some(ClientTls {
        verify,
        ca: fields.find("ca").and_then(|item| file(findings, item, "/etc/relevo/tls/ca.pem")),
        name: fields.find("name").and_then(|item| host(findings, item, "app.internal")),
        certificate: fields.find("certificate").and_then(|item| certificate(findings, item)),
    })
}

/// Reads all authorities.
pub(super) fn authorities<'a>(findings: &mut Findings<'_>, root: &Fields<'a>) -> (Vec<Acme>, Names) {
    let (tables, names) = named(findings, root, "acme", "authority", 16);
    let mut list = Vec::new();
    for Named { name, header, table, .. } in tables {
        let what = format!("authority `{name}`");
        let fields = Fields::open(findings, table, &header, &what, &[&ACME]);
        let example = "https://acme-v02.api.letsencrypt.org/directory";
        let directory = fields.require(findings, "directory", &format!("\"{example}\""));
        let directory = directory.and_then(|item| url(findings, item, example));
        let contact = fields.find("contact").map(|item| listed(findings, item, "[\"admin@example.org\"]", 8));
        let contact: Vec<String> =
            contact.unwrap_or_default().iter().filter_map(|item| mail(findings, item)).collect();
        let challenges = [("http-01", Challenge::Http01), ("tls-alpn-01", Challenge::TlsAlpn01)];
        let challenge = fields.word(findings, "challenge", &challenges).unwrap_or_default();
        let ca = fields.find("ca").and_then(|item| file(findings, item, "/etc/relevo/tls/ca.pem"));
        let directory = directory.unwrap_or_default();
        list.push(Acme { name: AcmeName::new(name), directory, contact, challenge, ca });
    }
    (list, names)
}

fn url(findings: &mut Findings<'_>, item: &Item<'_>, example: &str) -> Option<String> {
    let text = item.text(findings, &format!("\"{example}\""))?;
    let rest = text.strip_prefix("https://").filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if rest.is_none() || text.len() > 1024 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        findings.value(
            &item.span,
            format!("{text:?} is not a URL with https"),
            format!("write \"{example}\""),
        );
        return None;
    }
    Some(text.to_owned())
}

fn mail(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<String> {
    let text = item.text(findings, "\"admin@example.org\"")?;
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    let fits = text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && local.bytes().all(|byte| byte.is_ascii_graphic() && !b",;<>@\"".contains(&byte))
            && super::texts::is_host(domain)
    });
    if !fits {
        findings.value(&item.span, format!("{text:?} is not a mail address"), "write \"admin@example.org\"");
    }
    fits.then(|| text.to_owned())
}
