//! The name that a TLS client asks for, read from its first message without answering it.
//!
//! A service of mode `tcp` that passes TLS on to servers can so choose among them by name (RFC 6066 section 3). Only the
//! ClientHello is looked at (RFC 8446 section 4.1.2, the same in TLS 1.0 to 1.3), and only at its `server_name`.
//! Not here: TLS itself. What is read is not proved by anything: a client may ask for one name here and for
//! another one in HTTP.

/// Longest hello that is waited for, bytes. Those of browsers have up to about 2,000.
pub const LONGEST: usize = 16 << 10;

/// What the first bytes of a connection say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// More bytes are needed.
    More,
    /// A TLS client, and the name that it asks for, in lower case; empty: none, or none that is a name.
    Name(String),
    /// Not TLS, or broken, or too long.
    Other,
}

/// Reads the first bytes of a connection.
pub fn read(bytes: &[u8]) -> Hello {
    match message(bytes) {
        Ok(Some(message)) => match server_name(&message) {
            Some(name) => Hello::Name(name),
            None => Hello::Other,
        },
        Ok(None) if bytes.len() < LONGEST => Hello::More,
        Ok(None) | Err(Broken) => Hello::Other,
    }
}

struct Broken;

/// The body of the first handshake message, put together from its records (RFC 8446 section 5.1); `None`: not all of it
/// is here.
fn message(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
    let mut message = Vec::new();
    loop {
        // Type 22, version 3.x, a length of 1 to 2^14.
        let is_record = bytes.iter().zip([22, 3]).all(|(byte, wanted)| *byte == wanted)
            && bytes.get(2).is_none_or(|minor| *minor <= 4);
        if !is_record {
            return Err(Broken);
        }
        let Some((header, rest)) = bytes.split_at_checked(5) else { return Ok(None) };
        let length = number(header.get(3..).unwrap_or_default());
        if !(1..=1 << 14).contains(&length) {
            return Err(Broken);
        }
        let (piece, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        message.extend_from_slice(piece);
        // Type 1, client_hello.
        if message.first().is_some_and(|kind| *kind != 1) {
            return Err(Broken);
        }
        if let Some((header, body)) = message.split_at_checked(4) {
            let wanted = number(header.get(1..).unwrap_or_default());
            if wanted > LONGEST {
                return Err(Broken);
            }
            if let Some(body) = body.get(..wanted) {
                return Ok(Some(body.to_vec()));
            }
        }
        if piece.len() < length {
            return Ok(None);
        }
        bytes = behind;
    }
}

/// The name in a hello; empty: there is none. `None`: it is broken.
fn server_name(hello: &[u8]) -> Option<String> {
    let mut reader = Reader(hello);
    // legacy_version and random.
    reader.take(34)?;
    // legacy_session_id, cipher_suites, legacy_compression_methods.
    reader.vector(1)?;
    reader.vector(2)?;
    reader.vector(1)?;
    if reader.0.is_empty() {
        // A hello of TLS 1.0 without extensions.
        return Some(String::new());
    }
    let mut extensions = Reader(reader.vector(2)?);
    while !extensions.0.is_empty() {
        let kind = number(extensions.take(2)?);
        let data = extensions.vector(2)?;
        if kind == 0 {
            let mut names = Reader(Reader(data).vector(2)?);
            while !names.0.is_empty() {
                let kind = number(names.take(1)?);
                let name = names.vector(2)?;
                if kind == 0 {
                    return Some(host_name(name));
                }
            }
        }
    }
    Some(String::new())
}

/// A name of DNS in lower case, without the dot at its end; empty if it is none.
fn host_name(name: &[u8]) -> String {
    let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.len() > 253 || !name.iter().all(is_fine) {
        return String::new();
    }
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

/// A big-endian number of at most three bytes.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().take(3).fold(0, |number, byte| number << 8 | usize::from(*byte))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// What stands behind a length of so many bytes.
    fn vector(&mut self, length: usize) -> Option<&'a [u8]> {
        let length = number(self.take(length)?);
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(length: usize, data: &[u8]) -> Vec<u8> {
        let mut out = data.len().to_be_bytes()[8 - length..].to_vec();
        out.extend_from_slice(data);
        out
    }

    /// A hello with these extensions, in records of at most so many bytes.
    fn hello(extensions: &[(u16, Vec<u8>)], record: usize) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend_from_slice(&[7; 32]);
        body.extend(vector(1, &[1; 32]));
        body.extend(vector(2, &[0x13, 1, 0x13, 2]));
        body.extend(vector(1, &[0]));
        let list: Vec<u8> = extensions
            .iter()
            .flat_map(|(kind, data)| [kind.to_be_bytes().to_vec(), vector(2, data)].concat())
            .collect();
        body.extend(vector(2, &list));
        let message = [vec![1], vector(3, &body)].concat();
        message.chunks(record).flat_map(|piece| [vec![22, 3, 1], vector(2, piece)].concat()).collect()
    }

    fn name(name: &str) -> (u16, Vec<u8>) {
        (0, vector(2, &[vec![0], vector(2, name.as_bytes())].concat()))
    }

    #[test]
    fn the_name_is_found_however_the_hello_is_cut() {
        let extensions = [(43, vec![2, 3, 4]), name("Shop.Example.ORG"), (16, vec![0, 3, 2, b'h', b'2'])];
        for record in [1, 7, 100, 16_000] {
            let bytes = hello(&extensions, record);
            assert_eq!(read(&bytes), Hello::Name("shop.example.org".to_owned()));
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end]), Hello::More, "{end} of {}", bytes.len());
            }
            // What follows is not looked at.
            assert_eq!(read(&[&bytes[..], b"\x17\x03\x03"].concat()), read(&bytes));
        }
    }

    #[test]
    fn a_hello_without_a_usable_name_has_an_empty_one() {
        for extensions in
            [vec![], vec![(43, vec![2, 3, 4])], vec![name("")], vec![name("a b")], vec![name("a\r\nb")]]
        {
            assert_eq!(read(&hello(&extensions, 16_000)), Hello::Name(String::new()), "{extensions:?}");
        }
    }

    #[test]
    fn what_is_not_tls_is_told_at_its_first_byte() {
        for bytes in [
            &b"G"[..],
            b"GET / HTTP/1.1\r\n",
            b"\x15\x03\x01",
            b"\x16\x02",
            b"\x16\x03\x09",
            b"\x16\x03\x01\x00\x00",
            b"\x16\x03\x01\xff\xff",
            b"\x16\x03\x01\x00\x01\x02",
            b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        ] {
            assert_eq!(read(bytes), Hello::Other, "{bytes:?}");
        }
    }

    #[test]
    fn wrong_lengths_are_no_name() {
        let mut bytes = hello(&[name("a.example")], 16_000);
        // The length of the extensions.
        let place = bytes.len() - (4 + 5 + 9) - 2;
        bytes[place + 1] += 1;
        assert_eq!(read(&bytes), Hello::Other);
    }

    #[test]
    fn nobody_is_waited_for_for_ever() {
        // Records of one byte each: five bytes of header for one of the message.
        let bytes: Vec<u8> = [1, 0, 0x3f, 0xff]
            .into_iter()
            .chain(std::iter::repeat(0))
            .take(5000)
            .flat_map(|byte| [22, 3, 1, 0, 1, byte])
            .collect();
        assert_eq!(read(&bytes[..6000]), Hello::More);
        assert_eq!(read(&bytes), Hello::Other);
    }
}
