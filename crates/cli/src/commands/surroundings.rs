//! The networks around a node in `relevo status`: ways between them, and bridges.

use relevo_api::types::Status;

use crate::printer::{BAD, GOOD, TITLE, paint};

/// Lines about gateways and bridges; empty without any.
pub(crate) fn words(status: &Status) -> String {
    let mut text = String::new();
    for way in &status.gateways {
        let here = if way.here { paint(GOOD, "here") } else { paint(TITLE, "not here") };
        let source = way
            .source
            .map_or_else(|| "under the machines' own addresses".to_owned(), |source| format!("as {source}"));
        let router = way.router.map(|router| format!(", router {router}")).unwrap_or_default();
        text.push_str(&format!(
            "\ngateway {}: {} to {} {source}{router}: {here}\n",
            way.name, way.from, way.to
        ));
    }
    for bridge in &status.bridges {
        if !bridge.present {
            text.push_str(&format!("\nbridge {}: {}\n", bridge.name, paint(BAD, "missing; relevo net plan")));
            continue;
        }
        let tree = match bridge.root {
            Some(true) => ", root of the spanning tree",
            Some(false) => ", in a spanning tree",
            None => "",
        };
        let mut parts = Vec::new();
        for (word, ports) in
            [("passes", &bridge.forwarding), ("blocked", &bridge.blocked), ("waits", &bridge.other)]
        {
            if !ports.is_empty() {
                parts.push(format!("{word}: {}", ports.join(", ")));
            }
        }
        text.push_str(&format!("\nbridge {}{tree}  {}\n", bridge.name, parts.join("; ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use relevo_api::types::{BridgeStatus, GatewayStatus};

    use super::*;

    #[test]
    fn ways_and_bridges_are_lines() {
        let status = Status {
            gateways: vec![GatewayStatus {
                name: "main".into(),
                group: "farm".into(),
                from: "internal".into(),
                to: "external".into(),
                router: Some([10, 0, 10, 200].into()),
                source: Some([192, 168, 1, 200].into()),
                here: true,
            }],
            bridges: vec![BridgeStatus {
                name: "br-int".to_owned(),
                present: true,
                root: Some(false),
                forwarding: vec!["eth1".to_owned()],
                blocked: vec!["vx100".to_owned()],
                other: Vec::new(),
            }],
            ..Status::new("s1", "master".into())
        };
        let plain = anstream::adapter::strip_str(&words(&status)).to_string();
        assert_eq!(
            plain,
            "\ngateway main: internal to external as 192.168.1.200, router 10.0.10.200: here\n\
             \nbridge br-int, in a spanning tree  passes: eth1; blocked: vx100\n"
        );
    }
}
