//! How a service treats its clients: times, bounds, compression, cache, error pages, log.

use super::fields::Fields;
use super::findings::Findings;
use super::suggest;
use super::texts::{file, listed, named, opened, pairs};
use super::tree::Item;
use crate::cluster::{
    Cache, Coding, Compression, ErrorPage, Limits, LogChoice, Mode, Pool, Protocol, Service, ServiceLog,
    Timeouts,
};
use crate::quantity::format_size;
use crate::reference::{CACHE, COMPRESS, LIMIT, SERVICE_LOG, SERVICE_TIMEOUT};

/// What is compressed unless said.
const TYPES: [&str; 6] = [
    "text/*",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/wasm",
    "image/svg+xml",
];

/// Reads a service's `timeout`.
pub(super) fn timeouts(findings: &mut Findings<'_>, fields: &Fields<'_>, mode: Mode, times: &mut Timeouts) {
    fields.fit(findings, mode, &SERVICE_TIMEOUT);
    times.client = fields.time(findings, "client").unwrap_or(times.client);
    times.request = fields.time(findings, "request").unwrap_or(times.request);
    times.keep_alive = fields.time(findings, "keep_alive").unwrap_or(times.keep_alive);
    times.tunnel = fields.time(findings, "tunnel");
}

/// Reads `max_connections`, `max_header` and `limit`.
pub(super) fn limits(findings: &mut Findings<'_>, fields: &Fields<'_>, mode: Mode, limits: &mut Limits) {
    limits.connections = fields.number(findings, "max_connections").unwrap_or(limits.connections);
    let bytes = |size: u64| usize::try_from(size).ok();
    limits.header = fields.size(findings, "max_header").and_then(bytes).unwrap_or(limits.header);
    limits.uri = limits.uri.min(limits.header);
    let Some(item) = fields.find("limit") else { return };
    let Some(inner) = opened(findings, item, &LIMIT, "a table", "{ body = \"10MiB\" }") else { return };
    inner.fit(findings, mode, &LIMIT);
    if let (Some(uri), Some(item)) = (inner.size(findings, "uri").and_then(bytes), inner.find("uri")) {
        if uri > limits.header {
            let most = format_size(u64::try_from(limits.header).unwrap_or(u64::MAX));
            let message = format!("`uri` is larger than a whole head, {most}");
            findings.error(
                &item.span,
                message,
                format!("write at most \"{most}\", or a larger `max_header`"),
            );
        }
        limits.uri = uri;
    }
    limits.body = inner.size(findings, "body");
    limits.streams = inner.number(findings, "streams").unwrap_or(limits.streams);
    limits.connections_per_source = inner.number(findings, "connections_per_source");
    if let (Some(one), Some(item)) = (limits.connections_per_source, inner.find("connections_per_source"))
        && usize::try_from(one).is_ok_and(|one| one > limits.connections)
    {
        let message =
            format!("one source may have more connections than all together, {}", limits.connections);
        findings.lint(&item.span, message, "write a smaller number, or a larger `max_connections`");
    }
}

const PROTOCOLS: [(&str, Protocol); 2] = [("h2", Protocol::H2), ("http/1.1", Protocol::Http1)];

/// Reads `protocols` and `h2c`.
pub(super) fn protocols(findings: &mut Findings<'_>, fields: &Fields<'_>, service: &mut Service) {
    if let Some(item) = fields.find("protocols") {
        service.protocols = words_of(findings, item, &PROTOCOLS);
    }
    service.h2c = fields.flag(findings, "h2c").unwrap_or(false);
    if let (true, false, Some(item)) =
        (service.h2c, service.protocols.contains(&Protocol::H2), fields.find("h2c"))
    {
        findings.error(
            &item.key,
            "`h2c` needs \"h2\" among the protocols",
            "add \"h2\" to `protocols`, or remove it",
        );
    }
}

/// Reads a pool's `server_protocols`.
pub(super) fn server_protocols(findings: &mut Findings<'_>, fields: &Fields<'_>, pool: &mut Pool) {
    let Some(item) = fields.find("server_protocols") else { return };
    let protocols = words_of(findings, item, &PROTOCOLS);
    if protocols.len() > 1 && fields.find("server_tls").is_none() {
        // RFC 9113 section 3.3: without TLS nothing tells the one from the other.
        let message = "without TLS a server cannot say which of several protocols it speaks";
        findings.error(&item.span, message, "name one of them, or add `server_tls`");
        return;
    }
    if !protocols.is_empty() {
        pool.protocols = protocols;
    }
}

/// A list of words, none twice.
fn words_of<T: Copy + PartialEq>(
    findings: &mut Findings<'_>,
    item: &Item<'_>,
    words: &[(&str, T)],
) -> Vec<T> {
    let example = format!("[\"{}\"]", words.first().map_or("", |(word, _)| word));
    let items = listed(findings, item, &example, 16);
    if items.is_empty() && item.value.as_array().is_some() {
        findings.value(
            &item.span,
            format!("`{}` is empty", item.name),
            format!("write {} = {example}", item.name),
        );
    }
    let mut list = Vec::new();
    for entry in items {
        let Some(word) = entry.word(findings, words) else { continue };
        if list.contains(&word) {
            findings.value(&entry.span, format!("it is there twice in `{}`", item.name), "keep one of them");
        } else {
            list.push(word);
        }
    }
    list
}

/// A key that is `true` for its defaults, `false`, or a table; `None`: off, or wrong.
pub(super) fn switched<'a>(
    findings: &mut Findings<'_>,
    item: &Item<'a>,
    table: &'static crate::reference::Table,
    example: &str,
) -> Option<Fields<'a>> {
    match item.value.as_bool() {
        Some(true) => Some(Fields::none("")),
        Some(false) => None,
        None => opened(findings, item, table, "true, false or a table", &format!("true or {example}")),
    }
}

/// Reads `compress`.
pub(super) fn compression(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Compression> {
    let fields = switched(findings, item, &COMPRESS, "{ codings = [\"gzip\"] }")?;
    let words = [("zstd", Coding::Zstd), ("br", Coding::Br), ("gzip", Coding::Gzip)];
    let codings = fields.find("codings").map(|item| words_of(findings, item, &words));
    let types = fields.find("types").map(|item| {
        let items = listed(findings, item, "[\"text/*\"]", 64);
        items.iter().filter_map(|item| media_type(findings, item)).collect()
    });
    Some(Compression {
        codings: codings.unwrap_or_else(|| words.iter().map(|(_, coding)| *coding).collect()),
        types: types.unwrap_or_else(|| TYPES.iter().map(|text| (*text).to_owned()).collect()),
        least: fields.size(findings, "least").unwrap_or(1 << 10),
    })
}

/// `text/html` or `text/*`, in lower case.
fn media_type(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<String> {
    let text = item.text(findings, "\"text/*\"")?;
    let fits = text.split_once('/').is_some_and(|(kind, rest)| {
        let plain = |part: &str| super::texts::is_token(part) && !part.contains('*');
        plain(kind) && (rest == "*" || plain(rest))
    });
    if !fits {
        let hint = "write one without parameters, as in \"text/html\" or \"text/*\"";
        findings.value(&item.span, format!("{text:?} is not a media type"), hint);
    }
    fits.then(|| text.to_ascii_lowercase())
}

/// Reads `cache`.
pub(super) fn cache(findings: &mut Findings<'_>, item: &Item<'_>) -> Option<Cache> {
    let fields = switched(findings, item, &CACHE, "{ size = \"64MiB\" }")?;
    let cache = Cache {
        size: fields.size(findings, "size").unwrap_or(64 << 20),
        object: fields.size(findings, "object").unwrap_or(1 << 20),
        age: fields.time(findings, "age").unwrap_or(std::time::Duration::from_secs(600)),
    };
    if cache.object > cache.size {
        let (object, size) = (format_size(cache.object), format_size(cache.size));
        let span = fields.find("object").map_or(&item.span, |item| &item.span);
        let message = format!("`object` {object} is larger than the whole cache, {size}");
        findings.error(span, message, format!("write object = \"{size}\" or less"));
    }
    Some(cache)
}

/// Reads `error_pages`.
pub(super) fn error_pages(findings: &mut Findings<'_>, item: &Item<'_>) -> Vec<ErrorPage> {
    let mut pages = Vec::new();
    for entry in pairs(findings, item, "{ 503 = \"/etc/relevo/503.html\" }", 200) {
        let status = entry.name.parse::<u16>().ok().filter(|status| (400..=599).contains(status));
        let Some(status) = status else {
            let message = format!("`{}` is not a status of an error", entry.name);
            findings.value(
                &entry.key,
                message,
                "write a number from 400 to 599, as in 503 = \"/etc/relevo/503.html\"",
            );
            continue;
        };
        let file = file(findings, &entry, "/etc/relevo/503.html");
        pages.extend(file.map(|file| ErrorPage { status, file }));
    }
    pages
}

/// Reads a service's `log`.
pub(super) fn log(findings: &mut Findings<'_>, item: &Item<'_>, mode: Option<Mode>) -> ServiceLog {
    let words = [("all", LogChoice::All), ("errors", LogChoice::Errors), ("none", LogChoice::None)];
    if let Some(text) = item.value.as_str() {
        let what = words.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if what.is_none() {
            let hint = if text.contains(':') || text == "stdout" {
                format!("where the log goes is said once: [log] and below it access = \"{text}\"")
            } else {
                suggest::one_of(text, words.iter().map(|(word, _)| *word))
            };
            findings.value(&item.span, format!("`log` cannot be `{text}`"), hint);
        }
        return ServiceLog { what: what.unwrap_or_default(), capture: Vec::new() };
    }
    let example = "\"all\" or { capture = [\"User-Agent\"] }";
    let Some(fields) = opened(findings, item, &SERVICE_LOG, "text or a table", example) else {
        return ServiceLog::default();
    };
    if let Some(mode) = mode {
        fields.fit(findings, mode, &SERVICE_LOG);
    }
    let what = fields.word(findings, "what", &words).unwrap_or_default();
    let items = fields.find("capture").map(|item| listed(findings, item, "[\"User-Agent\"]", 16));
    let mut capture = Vec::new();
    for item in items.unwrap_or_default() {
        let Some(name) = item.text(findings, "\"User-Agent\"") else { continue };
        if named(findings, &item.span, name, "header", "User-Agent") {
            capture.push(name.to_owned());
        }
    }
    ServiceLog { what, capture }
}
