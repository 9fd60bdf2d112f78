//! Any bytes as a PROXY header: taken or refused, never a panic; what was taken is written so that it is read alike.

#![no_main]

use libfuzzer_sys::fuzz_target;
use relevo_model::cluster::ProxyVersion;
use relevo_proto::proxy_protocol::{Header, LARGEST, write};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(header)) = Header::parse(bytes) else { return };
    assert!(header.length <= bytes.len() && header.length <= LARGEST);
    for end in [0, header.length / 2, header.length - 1] {
        assert_eq!(Header::parse(&bytes[..end]), Ok(None));
    }
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut out = Vec::new();
        write(version, header.ends, &mut out);
        assert_eq!(Header::parse(&out), Ok(Some(Header { ends: header.ends, length: out.len() })));
    }
});
