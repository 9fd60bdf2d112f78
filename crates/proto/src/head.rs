//! Reading a head that was written for the other side: its lines end in CRLF, and an empty one ends it.

/// A field line, as places in the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where the line begins.
    pub start: usize,
    /// Where its name ends.
    pub name_end: usize,
    /// Behind the colon and white space.
    pub value: usize,
    /// Before white space and CRLF.
    pub value_end: usize,
    /// Where the next line begins.
    pub end: usize,
}

impl Line {
    /// Whether it is the field of this name.
    pub fn is(&self, head: &[u8], name: &[u8]) -> bool {
        head.get(self.start..self.name_end).is_some_and(|found| found.eq_ignore_ascii_case(name))
    }

    /// The value without white space around it.
    pub fn value<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        head.get(self.value..self.value_end).unwrap_or_default()
    }
}

/// The field lines from a place where a line begins; the first line of a head is none.
pub fn lines_from(head: &[u8], mut at: usize) -> impl Iterator<Item = Line> {
    std::iter::from_fn(move || {
        loop {
            let rest = head.get(at..)?;
            let length = memchr::memchr(b'\n', rest)? + 1;
            let start = at;
            at += length;
            let line = rest.get(..length)?;
            if line == b"\r\n" || line == b"\n" {
                at = usize::MAX;
                return None;
            }
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let value = line.get(colon + 1..)?;
            let before = value.len() - value.trim_ascii_start().len();
            let value_start = start + colon + 1 + before;
            let value_end = value_start + value.trim_ascii().len();
            return Some(Line {
                start,
                name_end: start + colon,
                value: value_start,
                value_end,
                end: start + length,
            });
        }
    })
}

/// Where the fields begin.
pub fn fields_start(head: &[u8]) -> usize {
    memchr::memchr(b'\n', head).map_or(head.len(), |feed| feed + 1)
}

/// The value of the first field of a name.
pub fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines_from(head, fields_start(head)).find(|line| line.is(head, name)).map(|line| line.value(head))
}

/// The value of the field of a name, if there is exactly one.
pub fn only_field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut found = lines_from(head, fields_start(head)).filter(|line| line.is(head, name));
    let first = found.next()?;
    found.next().is_none().then(|| first.value(head))
}

/// The elements of all fields of a name, which are comma-separated lists (RFC 9110 section 5.6.1); empty ones left out.
/// A comma within quotes does not separate.
pub fn elements<'a>(head: &'a [u8], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    lines_from(head, fields_start(head))
        .filter(|line| line.is(head, name.as_bytes()))
        .flat_map(|line| split_list(line.value(head)))
}

/// The elements of one comma-separated list.
pub fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |byte| {
            let is_end = *byte == b',' && !quoted;
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = quoted,
                b'"' => quoted = !quoted,
                _ => {}
            }
            is_end
        })
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether a field of Cache-Control has this directive, with an argument or without.
pub fn has_directive(head: &[u8], name: &str) -> bool {
    elements(head, "cache-control").any(|element| {
        let found = element.split(|byte| *byte == b'=').next().unwrap_or_default();
        found.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
    })
}

/// The status of an answer; 0: there is none.
pub fn status(head: &[u8]) -> u16 {
    let digits = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The target of a request: its path, and its query if it has one.
pub fn path_and_query(head: &[u8]) -> &[u8] {
    head.split(|byte| matches!(byte, b' ' | b'\r' | b'\n')).nth(1).unwrap_or_default()
}

/// A request's path without its query.
pub fn path(head: &[u8]) -> &[u8] {
    let target = path_and_query(head);
    target.split(|byte| *byte == b'?').next().unwrap_or_default()
}

/// The value of the first parameter of a name in a request's query, as it was written.
pub fn query_parameter<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let target = path_and_query(head);
    let query = target.get(memchr::memchr(b'?', target)? + 1..)?;
    query.split(|byte| *byte == b'&').find_map(|parameter| {
        let (found, value) = parameter.split_at_checked(memchr::memchr(b'=', parameter)?)?;
        (found == name).then_some(value.get(1..)?)
    })
}
