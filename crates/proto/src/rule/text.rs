//! Texts with placeholders. What a client can influence never becomes a new line of a head.

use super::path::escape;
use super::request::Facts;

/// A text with placeholders, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Host,
    Path,
    Query,
    Uri,
    Method,
    Source,
    TlsName,
    RequestId,
}

/// Where a text goes, which decides what must be percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Into {
    /// A header's value.
    Value,
    /// A URL of a redirect.
    Url,
    /// A path for a server.
    Path,
}

impl Text {
    /// Compiles a text: `{host}` and the like are filled in, `{{` is a brace.
    ///
    /// # Errors
    /// A placeholder that does not exist, a brace without its other half, a control character.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        if text.chars().any(|c| c.is_control()) {
            return Err(format!("the text {text:?} has a control character"));
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            literal.push_str(before);
            if let Some(behind) = behind.strip_prefix('{') {
                literal.push('{');
                rest = behind;
                continue;
            }
            let (name, behind) = behind.split_once('}').ok_or_else(|| {
                format!("the text {text:?} has a {{ without }}; a brace itself is written {{{{")
            })?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(match name {
                "host" => Piece::Host,
                "path" => Piece::Path,
                "query" => Piece::Query,
                "uri" => Piece::Uri,
                "method" => Piece::Method,
                "source" => Piece::Source,
                "tls_name" => Piece::TlsName,
                "request_id" => Piece::RequestId,
                _ => {
                    return Err(format!(
                        "there is no placeholder {{{name}}}; there are host, path, query, uri, method, source, tls_name and \
                         request_id"
                    ));
                }
            });
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// A text that has a literal piece with one of these characters.
    pub(super) fn has(&self, characters: &[char]) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Literal(text) if text.contains(characters)))
    }

    /// Whether it begins with this, whatever is filled in.
    pub(super) fn begins_with(&self, start: &str) -> bool {
        matches!(self.0.first(), Some(Piece::Literal(text)) if text.starts_with(start))
    }

    /// Appends the text.
    pub(super) fn render(&self, facts: &Facts<'_>, into: Into, out: &mut Vec<u8>) {
        let request = &facts.request;
        let mut put = |bytes: &[u8]| put(bytes, into, out);
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => put(text.as_bytes()),
                Piece::Host => put(&facts.host),
                Piece::Path => put(facts.path),
                Piece::Query => put(facts.query.unwrap_or_default()),
                Piece::Uri => {
                    put(facts.path);
                    if let Some(query) = facts.query {
                        put(b"?");
                        put(query);
                    }
                }
                Piece::Method => put(request.method),
                Piece::Source => put(request.source.to_string().as_bytes()),
                Piece::TlsName => put(request.tls_name),
                Piece::RequestId => put(format!("{:032x}", request.id).as_bytes()),
            }
        }
    }
}

/// Appends bytes, those that have no place there percent-encoded.
pub(super) fn put(bytes: &[u8], into: Into, out: &mut Vec<u8>) {
    for byte in bytes {
        let is_fine = match into {
            Into::Value => (*byte >= 0x20 || *byte == b'\t') && *byte != 0x7f,
            Into::Url => byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`'),
            Into::Path => byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'),
        };
        if is_fine { out.push(*byte) } else { escape(*byte, out) }
    }
}
