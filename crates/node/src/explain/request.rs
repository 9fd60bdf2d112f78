//! A request as an operator writes it, made one of HTTP.

use relevo_lb::http::fields::Field;
use relevo_proto::rule::{self, Headers, NoHeaders};

use super::Ask;

/// The request.
#[derive(Debug)]
pub(super) struct Sent {
    /// As a client of HTTP/1.1 would send it.
    pub(super) head: Vec<u8>,
    tls: bool,
    tls_name: String,
    line: String,
}

impl Sent {
    /// Understands what was written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(ask: &Ask<'_>) -> Result<Self, String> {
        let text = ask.request.trim();
        let (method, url) = text.split_once(' ').unwrap_or(("GET", text));
        let url = url.trim();
        let help =
            || format!("{text:?} is not a request: write it as in 'GET http://shop.example.org/cart?item=7'");
        let (scheme, rest) = url.split_once("://").ok_or_else(help)?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(help()),
        };
        // What stands behind # is never sent.
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(end);
        if host.is_empty() || text.chars().any(char::is_control) {
            return Err(help());
        }
        if method != method.to_ascii_uppercase() {
            return Err(format!(
                "{method} is not a method that servers know: methods are written in capitals, as in '{} {url}'",
                method.to_ascii_uppercase()
            ));
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        let mut has_host = false;
        for line in ask.headers {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| format!("{line:?} is not a header: write it as in 'Cookie: a=b'"))?;
            if line.chars().any(char::is_control) {
                return Err(format!("the header {name:?} has a control character"));
            }
            has_host |= name.eq_ignore_ascii_case("host");
            head.push_str(&format!("{name}: {}\r\n", value.trim()));
        }
        if !has_host {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        head.push_str("\r\n");
        let tls = https || ask.tls;
        let name = if host.starts_with('[') { "" } else { host.split(':').next().unwrap_or_default() };
        let tls_name = ask.tls_name.unwrap_or(name).to_ascii_lowercase();
        Ok(Self { head: head.into_bytes(), tls, tls_name, line: format!("{method} {url}") })
    }

    /// The request in one line.
    pub(super) fn words(&self, ask: &Ask<'_>) -> String {
        let tls = match (self.tls, self.tls_name.as_str()) {
            (false, _) => "without TLS".to_owned(),
            (true, "") => "over TLS".to_owned(),
            (true, name) => format!("over TLS for {name}"),
        };
        format!("{} from {}, {tls}", self.line, ask.source)
    }

    /// What is known of its connection.
    pub(super) fn connection(&self, ask: &Ask<'_>) -> rule::Request<'_> {
        rule::Request {
            method: b"",
            host: b"",
            target: b"",
            headers: &NoHeaders,
            source: ask.source,
            tls: self.tls,
            tls_name: if self.tls { self.tls_name.as_bytes() } else { b"" },
            id: 0,
        }
    }
}

/// The fields of its head.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) fields: &'a [Field],
}

impl Headers for Wanted<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.fields.iter().any(|field| {
            field.name(self.bytes).eq_ignore_ascii_case(name.as_bytes()) && test(field.value(self.bytes))
        })
    }
}
