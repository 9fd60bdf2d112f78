//! Plans, as an operator reads them.

use super::*;

fn card(addresses: &[&str]) -> Device {
    Device {
        index: 2,
        kind: Kind::Other { word: String::new() },
        mtu: 1500,
        up: true,
        carrier: true,
        addresses: addresses.iter().map(|net| net.parse().unwrap()).collect(),
        leased: BTreeSet::new(),
        routes: BTreeSet::new(),
        controller: None,
        cost: None,
        state: None,
        root: None,
    }
}

fn observed() -> Observed {
    let mut eth0 = card(&["172.16.1.250/24"]);
    eth0.routes.insert(Route {
        to: "0.0.0.0/0".parse().unwrap(),
        via: Some("172.16.1.1".parse().unwrap()),
        metric: None,
        source: None,
    });
    [("eth0".to_owned(), eth0), ("eth1".to_owned(), card(&["10.9.9.9/24"]))].into()
}

fn cluster(interfaces: &str) -> relevo_model::ClusterFile {
    let text = format!(
        r#"
name = "l2"
[network.public]
subnet = "172.16.1.0/24"
[network.internal]
subnet = "10.0.0.0/24"
[node.bal1]
roles = ["director"]
address.public = "172.16.1.250"
address.internal = {{ ip = "10.0.0.250", interface = "br-int" }}
[node.bal2]
roles = ["director"]
address.public = "172.16.1.251"
address.internal = {{ ip = "10.0.0.251", interface = "br-int" }}
[address.front]
network = "public"
ip = "172.16.1.254"
{interfaces}"#
    );
    let reading = relevo_model::read(&text);
    reading.cluster.unwrap_or_else(|| panic!("{:#?}", reading.diagnostics))
}

fn of(interfaces: &str, observed: &Observed) -> (Wanted, Plan) {
    let cluster = cluster(interfaces);
    let wanted = super::super::wanted(&cluster, &cluster.nodes[0], observed);
    let plan = plan(observed, &wanted);
    (wanted, plan)
}

fn shown(plan: &Plan) -> String {
    let lines = |head: &str, list: Vec<String>| {
        list.into_iter().map(|line| format!("{head}{line}\n")).collect::<String>()
    };
    lines("", plan.steps.iter().map(Step::to_string).collect())
        + &lines("cut: ", plan.cuts.clone())
        + &lines("problem: ", plan.problems.clone())
}

const BRIDGE: &str = r#"
[interface.br-int]
kind = "bridge"
ports = ["eth1", "vx100"]
stp = true
cost = { eth1 = 10 }
[interface.vx100]
kind = "vxlan"
id = 100
over = "public"
"#;

#[test]
fn a_bridge_with_a_tunnel_is_made_in_order() {
    insta::assert_snapshot!(shown(&of(BRIDGE, &observed()).1));
}

#[test]
fn an_address_that_moves_to_a_bridge_takes_its_routes_along_and_comes_back_with_them() {
    let text = "[interface.br0]\nnodes = [\"bal1\"]\nkind = \"bridge\"\nports = [\"eth0\"]\naddresses = [\"172.16.1.250/24\"]\n";
    // The node's own address on the bridge is the file's business in this test.
    let text = text.replace("addresses = [\"172.16.1.250/24\"]\n", "");
    let mut file = cluster(&text);
    file.nodes[0].addresses[0].interface = Some("br0".to_owned());
    let is = observed();
    let wanted = super::super::wanted(&file, &file.nodes[0], &is);
    insta::assert_snapshot!(shown(&plan(&is, &wanted)));
    // As if it was done: back again.
    let back = before(&is, &wanted);
    let mut now = is.clone();
    let mut bridge = now.get("eth0").unwrap().clone();
    bridge.kind = wanted.devices.iter().find(|(name, _)| name == "br0").unwrap().1.clone().unwrap().kind;
    now.insert("br0".to_owned(), bridge);
    let eth0 = now.get_mut("eth0").unwrap();
    (eth0.controller, eth0.addresses, eth0.routes) =
        (Some("br0".to_owned()), BTreeSet::new(), BTreeSet::new());
    insta::assert_snapshot!(shown(&plan(&now, &back)));
}

#[test]
fn what_is_as_it_shall_be_needs_no_step() {
    let (wanted, _) = of(BRIDGE, &observed());
    let mut is = observed();
    for (name, wish) in &wanted.devices {
        let wish = wish.clone().unwrap();
        let device = is.entry(name.clone()).or_insert_with(|| card(&[]));
        (device.kind, device.addresses, device.controller) = (wish.kind, wish.addresses, wish.controller);
        (device.cost, device.mtu) = (wish.cost, wish.mtu.unwrap_or(1500));
    }
    assert_eq!(plan(&is, &wanted), Plan::default());
    assert_eq!(plan(&is, &before(&is, &wanted)), Plan::default());
}

#[test]
fn what_stands_in_the_way_is_told() {
    let text = r#"
[interface.eth0]
nodes = ["bal1"]
kind = "bridge"
ports = ["eth7"]
[interface.vx1]
nodes = ["bal1"]
kind = "vxlan"
id = 1
over = "eth1"
peers = ["10.9.9.1"]
mtu = 1500
[interface.v5]
nodes = ["bal1"]
kind = "vlan"
id = 5
over = "eth8"
"#;
    insta::assert_snapshot!(shown(&of(text, &observed()).1));
}
