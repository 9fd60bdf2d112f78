//! Keys of TLS.

use super::{Key, Table};

/// A service's `tls`.
pub(crate) const SERVER_TLS: Table = Table {
    title: "### `tls`",
    before: "TLS with clients. At least one of `certificates` and `acme` is needed.",
    keys: &[
        Key::other(
            "certificates",
            "path, table, or a list of them",
            "PEM files with chain and key in one; a folder stands for all `*.pem` in it. The client's name (SNI) chooses, the exact one before a wildcard; the first is for everybody else. At most 256.",
        )
        .or_told("none"),
        Key::other("acme", "authority's name", "The `[acme.NAME]` that certificates for `names` come from.")
            .or_told("none"),
        Key::other("names", "list of host names", "What `acme` gets certificates for. At most 100.").or_told("none"),
        Key::boolean(
            "strict_sni",
            "Whether clients that ask for a name that no certificate has are refused, instead of getting the first.",
        )
        .or("false"),
        Key::words("min_version", &["1.2", "1.3"], "The oldest version spoken.").or("\"1.2\""),
        Key::other("client_ca", "path", "PEM with the authorities of client certificates.").or_told("none"),
        Key::words(
            "client_verify",
            &["none", "optional", "required"],
            "Whether clients need a certificate; `optional`: if there is one, it must be good.",
        )
        .or_told("`\"required\"` with `client_ca`"),
        Key::boolean(
            "ocsp",
            "Whether the file CHAIN`.ocsp` beside a certificate is stapled, an OCSP response in DER.",
        )
        .or("false"),
    ],
    after: "",
};

/// A certificate with its key.
pub(crate) const CERTIFICATE: Table = Table {
    title: "### `certificates`",
    before: "An entry as table, when chain and key are two files: `{ chain = \"shop.crt\", key = \"shop.key\" }`.",
    keys: &[
        Key::other("chain", "path", "PEM with the certificate and its chain.").required(),
        Key::other("key", "path", "PEM with the key.").or_told("in `chain`'s file"),
    ],
    after: "",
};

/// A pool's `server_tls`.
pub(crate) const CLIENT_TLS: Table = Table {
    title: "### `server_tls`",
    before: "TLS with servers.",
    keys: &[
        Key::words("verify", &["required", "none"], "`none`: any certificate will do.").or("\"required\""),
        Key::other("ca", "path", "PEM with the authorities.").or_told("those of the system"),
        Key::other("name", "host name", "The name that is asked for and that the certificate must have.")
            .or_told("the server's address"),
        Key::other("certificate", "path, or table", "The certificate that we show.").or_told("none"),
    ],
    after: "",
};

/// `[acme.NAME]`
pub(crate) const ACME: Table = Table {
    title: "## `[acme.NAME]`",
    before: "A certificate authority that speaks ACME (RFC 8555). At most 16.",
    keys: &[
        Key::other("directory", "URL, `https://`", "Its directory.").required(),
        Key::other("contact", "list of mail addresses", "Whom it may write to. At most 8.").or("[]"),
        Key::words(
            "challenge",
            &["http-01", "tls-alpn-01"],
            "How a name is proved: by a file on port 80 (a service of mode `http` must listen there), or in a handshake on port 443.",
        )
        .or("\"http-01\""),
        Key::other("ca", "path", "PEM with the authorities of the directory's own certificate.")
            .or_told("those of the system"),
    ],
    after: "",
};
