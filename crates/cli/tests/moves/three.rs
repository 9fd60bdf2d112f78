//! Three directors: the group comes back to one while the two others go on with their connections.

use super::*;

const LB3: &str = "lb3 = { roles = [\"director\"], address.lan = [\"10.174.1.13\", \"fd00:174::13\"] }";

fn up_three(peers: &str) -> Lab {
    up_of(&FILE.replace("# lb3", LB3).replace("# peers", peers), &[])
}

fn active_of_three(lab: &Lab) -> &'static str {
    let nodes = ["lb1", "lb2", "lb3"];
    let is = |node: &str| group(lab, node)["state"] == "active";
    let mut found = Vec::new();
    wait_until("one director is active", || {
        found = nodes.into_iter().filter(|node| is(node)).collect();
        found.len() == 1
    });
    found[0]
}

/// A, B, C, and back to B. Each has connections.
fn back_to_the_second(lab: &Lab, target: &str) {
    let first = active_of_three(lab);
    let others: Vec<&str> = ["lb1", "lb2", "lb3"].into_iter().filter(|node| *node != first).collect();
    let (second, third) = (others[0], others[1]);
    let mut clients = vec![Client::new(lab, target)];
    for (from, to) in [(first, second), (second, third), (third, second)] {
        on(lab, to, &["relevo", "switchover", "web", "--to", to]);
        wait_until("it has moved", || active_of_three(lab) == to);
        wait_until("the former owner drains", || kind(lab, from) == "draining");
        if clients.len() < 3 {
            clients.push(Client::new(lab, target));
        }
    }
    wait_until("it forwards to both, the last one first", || {
        group(lab, second)["moves"]["to"] == serde_json::json!([third, first])
    });
    // Downloads pause for less.
    thread::sleep(Duration::from_secs(3));
    for (number, client) in clients.into_iter().enumerate() {
        let end = client.end();
        assert_eq!((&end["lost"], &end["wrong"]), (&0.into(), &0.into()), "{target}, {number}: {end}");
    }
}

#[test]
fn lab_moves_among_three_directors_cut_nothing() {
    let lab = up_three(PEERS);
    for target in [V4, V6] {
        back_to_the_second(&lab, target);
        let is_done = |node: &str| kind(&lab, node) == "ready" && !has_silent(&lab, node);
        wait_until("nothing is left", || ["lb1", "lb2", "lb3"].into_iter().all(is_done));
    }
}

#[test]
fn lab_moves_among_three_directors_without_a_channel_cut_nothing() {
    let lab = up_three("");
    back_to_the_second(&lab, V4);
}
