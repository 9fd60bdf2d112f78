//! Files and datagrams.

use proptest::prelude::*;

use super::mac;
use crate::dhcp::wire::{self, Word};
use crate::dhcp::*;

fn lease() -> impl Strategy<Value = Lease> {
    let state = prop_oneof![Just(LeaseState::Bound), Just(LeaseState::Free), Just(LeaseState::Declined)];
    let client = proptest::collection::vec(any::<u8>(), 0..60);
    (any::<[u8; 4]>(), any::<u64>(), any::<u32>(), state, any::<u64>(), client, "([a-z0-9]{1,63})?").prop_map(
        |(ip, version, origin, state, until, client, name)| Lease {
            ip: ip.into(),
            version,
            origin,
            state,
            until,
            client: if client.is_empty() { Client::of_mac(mac(origin)) } else { Client::of_id(&client) },
            mac: mac(origin),
            name,
        },
    )
}

proptest! {
    #[test]
    fn a_line_is_read_back(lease in lease()) {
        prop_assert_eq!(lease.to_string().parse(), Ok(lease));
    }

    #[test]
    fn datagrams_are_read_back_and_fit(leases in proptest::collection::vec(lease(), 0..60)) {
        let list = wire::packed(7, 9, true, leases.iter(), 100);
        let mut back = Vec::new();
        for datagram in list {
            prop_assert!(datagram.len() <= 1200);
            let Some((9, Word::Leases { ask: true, leases })) = wire::decode(7, &datagram) else { panic!() };
            back.extend(leases);
            prop_assert_eq!(wire::decode(8, &datagram), None);
        }
        prop_assert_eq!(back, leases);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = wire::decode(7, &bytes);
        let _ = Request::parse(&bytes);
        let _ = String::from_utf8_lossy(&bytes).parse::<Lease>();
    }
}

#[test]
fn a_hello_is_read_back() {
    let word =
        Word::Hello { nonce: 5, heard: vec![(1, 2), (3, 4)], digests: Table::default().digests().collect() };
    let bytes = wire::encode(7, 9, &word);
    assert!(bytes.len() <= 1200);
    assert_eq!(wire::decode(7, &bytes), Some((9, word)));
}
