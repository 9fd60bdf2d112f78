//! The commands that make whole labs, and what is refused.

use super::*;

fn example(text: &str) -> Topology {
    Topology::plan(&relevo_model::read(text).cluster.unwrap()).unwrap()
}

/// Everything that is run, with made-up process ids 100, 101, ...
fn commands(topology: &Topology) -> String {
    let names = || topology.spaces.iter().map(|space| space.name.clone());
    let pids: BTreeMap<String, i32> = names().zip(100..).collect();
    let mut text =
        format!("# keeper\n{}{}", topology.commands_outside(&pids), topology.commands_inside(None));
    for name in names() {
        let _ = writeln!(text, "# {name}, {}", pids[&name]);
        text += &topology.commands_inside(Some(&name));
        text += &topology.bridge_commands(&name);
    }
    text
}

#[test]
fn the_smallest_example_is_one_switch() {
    let text = include_str!("../../../../examples/minimal.toml");
    insta::assert_snapshot!(commands(&example(text)));
}

#[test]
fn s4_is_a_mesh_with_a_tunnel() {
    let text = include_str!("../../../../examples/s4.toml");
    insta::assert_snapshot!(commands(&example(text)));
}

#[test]
fn a_port_is_up_only_if_nothing_is_in_its_way() {
    let topology = example(include_str!("../../../../examples/s4.toml"));
    let down = |damage: &Damage, switch: &str| {
        let interfaces = topology.switch_interfaces(switch, damage);
        let down = interfaces.into_iter().filter(|(_, up)| !up);
        down.map(|(interface, _)| interface).collect::<Vec<_>>()
    };
    let mut damage = Damage::default();
    assert!(down(&damage, "vswout1").is_empty());
    damage.unplugged.insert(("bal1".into(), "public".into()));
    damage.cut.insert(Damage::link("vswout1", "swout2"));
    assert_eq!(down(&damage, "vswout1"), ["swout2", "bal1"]);
    assert_eq!(down(&damage, "swout2"), ["vswout1"]);
    assert!(down(&damage, "vswin1").is_empty(), "the other network's cable stays in");
    damage.switches_off.insert("vswout1".into());
    let all = ["bridge", "edge~", "trunk~", "trunk~edge", "swout1", "swout2", "bal1", "vswin1"];
    assert_eq!(down(&damage, "vswout1"), all);
    damage.switches_off.clear();
    assert_eq!(down(&damage, "vswout1"), ["swout2", "bal1"], "other damage stays");
}

#[test]
fn names_that_a_lab_cannot_use_are_refused() {
    let minimal = include_str!("../../../../examples/minimal.toml");
    let refusal = |text: &str| {
        let reading = relevo_model::read(text);
        let cluster = reading.cluster.unwrap_or_else(|| panic!("{:#?}", reading.diagnostics));
        Topology::plan(&cluster).unwrap_err().to_string()
    };
    let interface = |name: &str| {
        let plain = "address.lan = \"192.168.1.11\"";
        let named = format!("address.lan = {{ ip = \"192.168.1.11\", interface = '{name}' }}");
        assert!(minimal.contains(plain));
        minimal.replace(plain, &named)
    };
    for name in ["eth0#", "eth\\", "\"eth0"] {
        assert!(refusal(&interface(name)).contains("cannot call an interface"), "{name}");
    }
    example(&interface("enp3s0.100"));
    assert!(refusal(&minimal.replace("web2", "keeper")).contains("take another name"));
}
