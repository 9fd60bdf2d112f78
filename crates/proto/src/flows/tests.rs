//! Properties of the table, and the texts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(number: u16) -> SocketAddr {
    format!("10.0.{}.{}:8080", number / 250, number % 250 + 1).parse().unwrap()
}

fn members(count: u16) -> Vec<Member> {
    (0..count).map(|number| Member { at: at(number), share: 16, takes_new: true }).collect()
}

fn owners(slots: &Slots) -> Vec<Option<SocketAddr>> {
    (0..slots.len()).map(|slot| slots.candidates(slot)[0]).collect()
}

fn parts(slots: &Slots) -> BTreeMap<SocketAddr, usize> {
    let mut parts = BTreeMap::new();
    owners(slots).into_iter().flatten().for_each(|owner| *parts.entry(owner).or_default() += 1);
    parts
}

#[test]
fn slots_are_spread_by_weight() {
    for count in [3, 10, 50] {
        let mut members = members(count);
        members[0].share = 32;
        let slots = Slots::new(&members);
        let parts = parts(&slots);
        let one = f64::from(slots.len()) / f64::from(count + 1);
        for member in &members {
            let share = f64::from(member.share) / 16.0;
            let part = parts[&member.at] as f64 / one / share;
            assert!((0.85..1.15).contains(&part), "{count} servers: {} has {part}", member.at);
        }
    }
}

#[test]
fn a_client_of_the_kernel_has_this_slot() {
    // Numbers of nft's `jhash`; the test with the real one is in the lab.
    assert_eq!(jhash(&[], 0), 0xdead_beef);
    let client = "192.0.2.7:40000".parse().unwrap();
    assert!(slot_of(client, Key::Connection, 8192) < 8192);
    let other = "192.0.2.7:40001".parse().unwrap();
    assert_ne!(slot_of(client, Key::Connection, 65_536), slot_of(other, Key::Connection, 65_536));
    assert_eq!(slot_of(client, Key::Source, 65_536), slot_of(other, Key::Source, 65_536));
}

/// 32 servers make a small table, 33 a large one: that must not depend on who is well, or all flows would move at once.
#[test]
fn one_that_dies_out_of_many_moves_only_its_own_slots() {
    let (all, few) = (members(33), members(32));
    let (before, after) = (Slots::among(&all, 33), Slots::among(&few, 33));
    assert_eq!(before.len(), after.len());
    let gone = all.iter().map(|member| member.at).find(|at| few.iter().all(|other| other.at != *at));
    let (before, after) = (owners(&before), owners(&after));
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == gone));
}

#[test]
fn a_drained_server_gets_nothing_new_and_is_still_known() {
    let mut all = members(4);
    let before = Slots::new(&all);
    all[1].takes_new = false;
    let after = Slots::new(&all);
    for slot in 0..before.len() {
        let (old, new) = (before.candidates(slot), after.candidates(slot));
        assert_ne!(new[0], Some(at(1)));
        if old[0] == Some(at(1)) {
            assert_eq!(new[1], Some(at(1)), "its flows are found by the second guess");
        } else {
            assert_eq!(new[0], old[0], "nobody else moves");
        }
    }
}

#[test]
fn where_nobody_takes_new_flows_old_ones_are_found() {
    let mut all = members(2);
    all.iter_mut().for_each(|member| member.takes_new = false);
    let slots = Slots::new(&all);
    for slot in 0..slots.len() {
        let [first, second, third] = slots.candidates(slot);
        assert_eq!(first, None);
        assert!(second.is_some() && third.is_some() && second != third);
    }
    assert_eq!(Slots::new(&[]).candidates(5), [None; 3]);
    let one = Slots::new(&members(1));
    assert_eq!(one.candidates(8191), [Some(at(0)); 3]);
    assert_eq!(one.candidates(8192), [None; 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn all_directors_make_the_same_table(count in 1_u16..12, seed in any::<u64>()) {
        let mut list = members(count);
        let slots = Slots::new(&list);
        list.sort_by_key(|member| crate::balance::mix(crate::balance::hash(member.at.to_string().as_bytes()) ^ seed));
        prop_assert_eq!(Slots::new(&list), slots);
    }

    #[test]
    fn who_goes_takes_only_its_own_slots(count in 2_u16..14, gone in 0_u16..14) {
        let list = members(count);
        let gone = at(gone % count);
        let before = Slots::new(&list);
        let rest: Vec<Member> = list.into_iter().filter(|member| member.at != gone).collect();
        let after = Slots::new(&rest);
        for slot in 0..before.len() {
            let (old, new) = (before.candidates(slot), after.candidates(slot));
            if old[0] == Some(gone) {
                // The second one takes over, where there is one.
                prop_assert!(count == 2 || new[0] == old[1]);
            } else {
                prop_assert_eq!(old[0], new[0]);
            }
        }
    }

    #[test]
    fn who_comes_is_followed_by_whom_it_replaces(count in 1_u16..14) {
        let before = Slots::new(&members(count));
        let after = Slots::new(&members(count + 1));
        for slot in 0..before.len() {
            let (old, new) = (before.candidates(slot), after.candidates(slot));
            prop_assert!(new[0] == old[0] || (new[0] == Some(at(count)) && new[1] == old[0]));
        }
    }

    #[test]
    fn more_weight_only_takes(count in 2_u16..8, share in 17_u32..4096) {
        let mut list = members(count);
        let before = Slots::new(&list);
        list[0].share = share;
        let after = Slots::new(&list);
        for (old, new) in owners(&before).into_iter().zip(owners(&after)) {
            prop_assert!(old == new || new == Some(at(0)));
        }
    }
}

fn front(name: &str, udp: bool, at: &str, servers: &[&str]) -> Front {
    Front {
        name: name.to_owned(),
        udp,
        at: at.parse().unwrap(),
        pool: format!("{name}.pool"),
        key: Key::Connection,
        inside: vec![if at.starts_with('[') { "fd00::/64" } else { "10.0.0.0/24" }.parse().unwrap()],
        idle: Duration::from_secs(300),
        servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
        form: Form::Nat,
        cut: Vec::new(),
        synproxy: None,
        closing: false,
    }
}

fn slots(servers: &[&str]) -> Slots {
    let member = |at: &&str| Member { at: at.parse().unwrap(), share: 16, takes_new: true };
    Slots::new(&servers.iter().map(member).collect::<Vec<_>>())
}

/// Without the thousands of lines' worth of slots.
fn shortened(text: &str) -> String {
    let lines =
        text.lines().map(|line| match line.split_once(" { 0 : ").or_else(|| line.split_once(" { 512 : ")) {
            Some((start, _)) => format!("{start} {{ ... }}"),
            None => line.to_owned(),
        });
    let mut lines: Vec<String> = lines.filter(|line| !is_more_slots(line)).collect();
    lines.push(String::new());
    lines.join("\n")
}

fn is_more_slots(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().take(5).collect();
    let slots =
        matches!(words[..], ["add" | "delete", "element", _, "relevo_flows", map] if map.starts_with('c'));
    slots && !line.ends_with("{ ... }")
}

fn shop() -> (Vec<Front>, BTreeMap<String, Slots>) {
    let servers = ["10.0.0.11:8080", "10.0.0.12:8081"];
    let names = ["10.0.0.11:53", "10.0.0.12:53"];
    let fronts = vec![
        front("shop", false, "192.0.2.1:80", &servers),
        front("names", true, "192.0.2.1:53", &names),
        front("six", false, "[2001:db8::1]:80", &["[fd00::11]:80"]),
    ];
    let pools = [
        ("shop.pool", slots(&servers)),
        ("names.pool", slots(&names)),
        ("six.pool", slots(&["[fd00::11]:80"])),
    ];
    (fronts, pools.into_iter().map(|(name, slots)| (name.to_owned(), slots)).collect())
}

#[allow(clippy::disallowed_methods, reason = "a test reads what was accepted before")]
fn is_golden(text: &str, golden: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(golden).unwrap_or_default(), "UPDATE_GOLDEN=1 accepts");
}

#[test]
fn the_whole_table_is_this_text() {
    let (fronts, pools) = shop();
    let text = shortened(&Rules::new(&fronts, &pools).install(&Existing::default()));
    is_golden(&text, concat!(env!("CARGO_MANIFEST_DIR"), "/src/flows/golden.nft"));
}

/// A service of each form and protocol and family beside each other.
fn forms() -> (Vec<Front>, BTreeMap<String, Slots>) {
    let (mut fronts, mut pools) = (Vec::new(), BTreeMap::new());
    for (number, udp, v4) in [(1, false, true), (2, true, true), (3, false, false), (4, true, false)] {
        for (name, form) in [("direct", Form::Direct), ("source", Form::Nat)] {
            let name = format!("{name}{number}");
            let (at, server, source) = match v4 {
                true => {
                    (format!("192.0.2.1:{}", 80 + number), format!("10.0.0.11:{}", 80 + number), "10.0.0.1")
                }
                false => (
                    format!("[2001:db8::1]:{}", 80 + number),
                    format!("[fd00::11]:{}", 80 + number),
                    "fd00::1",
                ),
            };
            let form = if form == Form::Nat { Form::Source(source.parse().unwrap()) } else { form };
            pools.insert(format!("{name}.pool"), slots(&[&server]));
            fronts.push(Front { form, ..front(&name, udp, &at, &[&server]) });
        }
    }
    for (name, at, server, mss) in [
        ("synproxy4", "192.0.2.1:91", "10.0.0.11:91", 1460),
        ("synproxy6", "[2001:db8::1]:91", "[fd00::11]:91", 1440),
    ] {
        pools.insert(format!("{name}.pool"), slots(&[server]));
        let synproxy = Some(Synproxy { mss, wscale: 7 });
        fronts.push(Front { synproxy, ..front(name, false, at, &[server]) });
    }
    (fronts, pools)
}

#[test]
fn other_forms_are_this_text() {
    let (fronts, pools) = forms();
    let text = shortened(&Rules::new(&fronts, &pools).install(&Existing::default()));
    is_golden(&text, concat!(env!("CARGO_MANIFEST_DIR"), "/src/flows/forms.nft"));
}

#[test]
fn a_service_that_becomes_direct_stays_in_its_table() {
    let (mut fronts, pools) = shop();
    let before = Rules::new(&fronts, &pools);
    fronts[0].form = Form::Direct;
    let after = Rules::new(&fronts, &pools);
    let text = after.follow(&before);
    let has = |text: &str, wanted: &str| text.lines().any(|line| line == wanted);
    assert!(has(&text, "delete set ip relevo_flows tried_shop"), "{}", shortened(&text));
    assert!(has(&text, "add map ip relevo_flows to_shop { type ipv4_addr : verdict; counter; }"));
    assert!(!text.contains("pin_names") && !text.contains("map ip relevo_flows pin_shop"), "pins stay");
    let back = before.follow(&after);
    assert!(has(&back, "delete map ip relevo_flows to_shop"), "{}", shortened(&back));
    let listed = Existing::read(
        "table ip relevo_flows {\n\tmap pin_shop {\n\t}\n\tchain in_old {\n\t}\n}\ntable ip6 relevo_flows {\n\tmap pin_six {\n\t}\n}\n",
    );
    let text = after.install(&listed);
    assert!(!text.contains("flush map ip relevo_flows pin_shop"), "pins stay");
    assert!(!text.contains("flush map ip6 relevo_flows pin_six"), "pins stay");
    assert!(has(&text, "delete chain ip relevo_flows in_old"), "{}", shortened(&text));
}

#[test]
fn synproxy_can_be_given_and_taken_from_a_service() {
    let (mut fronts, pools) = shop();
    let before = Rules::new(&fronts, &pools);
    fronts[0].synproxy = Some(Synproxy { mss: 1400, wscale: 10 });
    let after = Rules::new(&fronts, &pools);
    let text = after.follow(&before);
    let has = |text: &str, wanted: &str| text.lines().any(|line| line.contains(wanted));
    assert!(has(&text, "synproxy mss 1400 wscale 10 timestamp sack-perm"), "{}", shortened(&text));
    assert!(has(&text, "add chain ip relevo_flows late { type filter hook prerouting priority -90;"));
    assert!(has(&text, "delete element ip relevo_flows out4 { 10.0.0.11 . tcp . 8080"));
    assert!(has(&text, "delete set ip relevo_flows tried_shop"));
    assert!(
        !text.contains("map ip relevo_flows pin_shop") && !text.contains("relevo_flows pin_six"),
        "pins stay"
    );
    let back = before.follow(&after);
    assert!(has(&back, "delete set ip relevo_flows lost_shop"), "{}", shortened(&back));
    assert!(has(&back, "delete chain ip relevo_flows syns"));
    assert_eq!(after.follow(&after), "");
}

/// Both forms have their parts in the chains that they share.
#[test]
fn a_direct_service_stands_beside_a_translated_one() {
    let (mut fronts, pools) = shop();
    fronts[0].form = Form::Direct;
    let text = Rules::new(&fronts, &pools).install(&Existing::default());
    let count = |wanted: &str| text.lines().filter(|line| line.contains(wanted)).count();
    assert_eq!(count("prerouting ip daddr . meta l4proto . th dport vmap @in4"), 1);
    assert_eq!(count("prerouting ip saddr . meta l4proto . th sport vmap @out4"), 1);
    assert_eq!(count("rule ip relevo_flows errors4 ip daddr 192.0.2.1"), 2);
    assert_eq!(count("goto in_shop, 192.0.2.1 . udp . 53 : goto in_names"), 1);
}

#[test]
fn a_change_moves_elements_and_never_pins() {
    let (fronts, mut pools) = shop();
    let before = Rules::new(&fronts, &pools);
    assert_eq!(before.follow(&before), "");
    pools.insert("shop.pool".to_owned(), slots(&["10.0.0.11:8080"]));
    let after = Rules::new(&fronts, &pools);
    let text = after.follow(&before);
    let moved = |line: &str| line.contains(" element ip relevo_flows c");
    assert!(!text.is_empty() && text.lines().all(moved), "{}", shortened(&text));
    assert!(text.lines().any(|line| line.starts_with("delete element ip relevo_flows c1_shop.pool {")));
    assert!(text.lines().any(|line| line.starts_with("add element ip relevo_flows c1_shop.pool {")));
}

#[test]
fn a_service_that_goes_leaves_nothing() {
    let (mut fronts, pools) = shop();
    let before = Rules::new(&fronts, &pools);
    fronts.truncate(1);
    let text = Rules::new(&fronts, &pools).follow(&before);
    for gone in [
        "delete map ip relevo_flows pin_names",
        "delete chain ip relevo_flows in_names",
        "delete map ip6 relevo_flows c3_six.pool",
        "delete counter ip6 relevo_flows heals_six",
        "delete map ip6 relevo_flows in6",
    ] {
        assert!(text.lines().any(|line| line == gone), "{gone}\n{}", shortened(&text));
    }
    assert!(!text.contains("pin_shop"), "{}", shortened(&text));
    fronts.clear();
    let text = Rules::new(&fronts, &pools).follow(&before);
    assert!(text.contains("delete chain ip relevo_flows prerouting"));
}

#[test]
fn what_a_former_process_left_is_taken_over() {
    let (fronts, pools) = shop();
    let existing = Existing::read(
        "table ip relevo_flows {\n\tmap pin_shop {\n\t\ttype ipv4_addr\n\t}\n\tmap c1_shop.pool {\n\t}\n\tmap pin_old {\n\t}\n\tset ends4 {\n\t}\n\tcounter heals_old {\n\t\tpackets 0 bytes 0\n\t}\n\tchain in_shop {\n\t\tip saddr 10.0.0.0/24 accept\n\t}\n\tchain in_old {\n\t}\n}\n",
    );
    let text = Rules::new(&fronts, &pools).install(&existing);
    assert!(!text.contains("flush map ip relevo_flows pin_shop"), "pins stay");
    for line in [
        "flush map ip relevo_flows c1_shop.pool",
        "flush set ip relevo_flows ends4",
        "flush chain ip relevo_flows in_shop",
        "delete chain ip relevo_flows in_old",
        "delete map ip relevo_flows pin_old",
        "delete counter ip relevo_flows heals_old",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{}", shortened(&text));
    }
}

#[test]
fn what_is_cut_is_reset_on_both_sides() {
    let (mut fronts, pools) = shop();
    let before = Rules::new(&fronts, &pools);
    fronts[0].cut = vec!["10.0.0.12:8081".parse().unwrap()];
    let after = Rules::new(&fronts, &pools);
    let text = after.follow(&before);
    let place = |wanted: &str| text.find(wanted).unwrap_or_else(|| panic!("{wanted}\n{}", shortened(&text)));
    assert!(place("go_shop ip daddr 10.0.0.12 goto cut_shop") < place("go_shop tcp dport set"));
    // The client comes first: the server's packets are its questions.
    assert!(
        place("reply_shop tcp flags & rst == rst")
            < place("reply_shop ip saddr 10.0.0.12 ip daddr . tcp dport @told_shop reject with tcp reset")
    );
    assert!(
        place("cut_shop update @told_shop { ip saddr . tcp sport }")
            < place("cut_shop reject with tcp reset")
    );
    assert!(text.contains("cut_shop reject with tcp reset") && !text.contains("10.0.0.11 goto cut"));
    let back = before.follow(&after);
    assert!(back.contains("delete chain ip relevo_flows cut_shop\n"));
    assert!(back.contains("delete set ip relevo_flows told_shop\n"));
}

#[test]
fn a_closing_service_keeps_what_it_has() {
    let (mut fronts, pools) = shop();
    fronts[0].closing = true;
    let text = Rules::new(&fronts, &pools).install(&Existing::default());
    let rule = |rule: &str| text.contains(&format!("add rule ip relevo_flows {rule}\n"));
    assert!(rule("in_shop ip daddr set ip saddr . tcp sport map @pin_shop goto go_shop"));
    assert!(rule("in_shop accept") && !rule("in_shop goto guess_shop"));
    assert!(!text.contains("new_shop ip daddr set"));
}

#[test]
fn where_the_kernel_makes_no_copies_servers_are_asked_in_turn() {
    let (fronts, pools) = shop();
    let text = Rules::without_copies(&fronts, &pools).install(&Existing::default());
    assert!(!text.contains("dup to") && !text.contains("copy_"));
    let (with, without) = (Rules::new(&fronts, &pools), Rules::without_copies(&fronts, &pools));
    let text = without.follow(&with);
    assert!(text.contains("flush chain ip relevo_flows guess_shop\n"), "{}", shortened(&text));
    assert!(text.contains("delete chain ip relevo_flows copy_shop\n"), "{}", shortened(&text));
}

#[test]
fn a_server_is_in_a_slot_once() {
    for count in [1, 2, 3] {
        let slots = Slots::new(&members(count));
        let columns: Vec<Vec<_>> = (0..CANDIDATES).map(|column| slots.column(column).collect()).collect();
        for slot in 0..usize::try_from(slots.len()).unwrap() {
            let mut there: Vec<_> = columns.iter().filter_map(|column| column[slot]).collect();
            assert_eq!(there.len(), usize::from(count));
            there.sort_unstable();
            there.dedup();
            assert_eq!(there.len(), usize::from(count));
        }
    }
}

#[test]
fn a_closing_service_without_slots_is_no_error_of_nft() {
    let (mut fronts, mut pools) = shop();
    fronts.iter_mut().for_each(|front| front.closing = true);
    pools.values_mut().for_each(|slots| *slots = Slots::default());
    let text = Rules::new(&fronts, &pools).install(&Existing::default());
    assert!(text.contains("jhash") && !text.contains("mod 0 "), "{text}");
}

#[test]
fn counters_are_read_from_what_nft_prints() {
    let listing = Listing::read(
        "table ip relevo_flows {\n\tmap in4 {\n\t\ttype ipv4_addr . inet_proto . inet_service : verdict\n\t\tcounter\n\t\telements = { 192.0.2.1 . tcp . 80 counter packets 12 bytes 3456 : goto in_shop,\n\t\t\t     192.0.2.1 . udp . 53 counter packets 1 bytes 2 : goto in_names }\n\t}\n}\n",
    );
    assert_eq!(listing.count, 2);
    assert_eq!(listing.elements["192.0.2.1 . tcp . 80"], Counted { packets: 12, bytes: 3456 });
    let listing =
        Listing::read("table ip relevo_flows {\n\tcounter heals_shop {\n\t\tpackets 3 bytes 120\n\t}\n}\n");
    assert_eq!(listing.counters["heals_shop"], Counted { packets: 3, bytes: 120 });
    let listing = Listing::read(
        "\t\telements = { 192.0.2.9 . 40000 timeout 5m expires 4m59s : 10.0.0.11, 192.0.2.9 . 40001 expires 1s : 10.0.0.12 }\n",
    );
    assert_eq!(listing.count, 2);
    assert_eq!(listing.values.get("10.0.0.12"), Some(&1), "{listing:?}");
}

#[test]
fn portions_are_the_whole_text_with_elements_before_what_uses_them() {
    let (fronts, pools) = shop();
    let text = Rules::new(&fronts, &pools).install(&Existing::default());
    let portions = portions(&text);
    let sorted = |text: &str| -> Vec<String> {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(sorted(&portions.concat()), sorted(&text));
    assert!(portions.len() > 10, "{}", portions.len());
    let (last, before) = portions.split_last().unwrap();
    assert!(before.iter().all(|text| !text.contains(" hook ") && !text.contains("add rule")));
    assert!(last.contains(" hook ") && !last.contains(" element "));
    assert!(before.iter().all(|text| text.matches(" element ").count() <= 4));
}
