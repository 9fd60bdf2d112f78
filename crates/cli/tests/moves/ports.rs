//! A client uses a port anew that a director remembers from an earlier connection.

use super::*;

const PORTS: std::ops::RangeInclusive<u16> = 40_000..=40_039;

#[test]
fn lab_moves_clients_are_told_where_the_new_owner_remembers_their_ports() {
    let lab = up();
    let (second, first) = active(&lab);
    // A client that reads to the end of the connection: the director ends it first, so its kernel remembers it for a minute.
    let (from, to) = (PORTS.start(), PORTS.end());
    let asking = format!(
        "for port in $(seq {from} {to}); do \
         curl -sf0 --ignore-content-length -o /dev/null --local-port $port http://{V4}/healthz || exit 1; done"
    );
    on(&lab, "user", &["sh", "-c", &asking]);
    on(&lab, first, &["relevo", "switchover", "web", "--to", first]);
    wait_until("it has moved", || active(&lab).0 == first);
    wait_until("nothing is left", || [first, second].iter().all(|node| kind(&lab, node) == "ready"));

    let range = format!("{from} {to}");
    on(&lab, "user", &["sh", "-c", &format!("echo {range} > /proc/sys/net/ipv4/ip_local_port_range")]);
    let client = Client::new(&lab, V4);
    // The other director has heard of them.
    thread::sleep(Duration::from_secs(3));
    let remembered = on(&lab, second, &["ss", "-Htn", "state", "time-wait", "src", "10.174.1.200"]);
    assert_eq!(remembered.lines().count(), PORTS.count(), "{remembered}");
    unplug(&lab, client, first, second);
}
