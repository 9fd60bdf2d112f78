//! Who owns a group of addresses, who agrees and who does not, for `relevo status`.

use relevo_api::types::{GroupState, GroupStatus, Opinion, PathStatus, Status};

use crate::printer::{BAD, DOUBT, TITLE, paint};

/// A sentence for each group, and one for each way between directors that does not work. Nothing without a channel.
pub(crate) fn words(status: &Status) -> String {
    let mut text = String::new();
    for group in status.groups.iter().filter(|group| !group.opinions.is_empty()) {
        text.push_str(&format!("{}\n", group_words(group)));
        text.extend(group.held_back.iter().map(|why| format!("  {}\n", paint(DOUBT, why))));
    }
    let broken: Vec<String> = status.paths.iter().filter_map(path_words).collect();
    if !status.paths.is_empty() && broken.is_empty() {
        text.push_str("All directors hear each other on all networks that they share.\n");
    }
    let silent = status.bfd.iter().filter(|session| session.state != "up");
    text.extend(silent.map(|session| {
        let line = format!("BFD with {} on {} is {}", session.node, session.network, session.state);
        format!("{}\n", paint(DOUBT, &line))
    }));
    text.extend(broken.into_iter().map(|line| format!("{line}\n")));
    if text.is_empty() { text } else { format!("\n{text}") }
}

fn group_words(group: &GroupStatus) -> String {
    let owner = match &group.active {
        Some(node) => format!("{} has {}", paint(TITLE, node), group.name),
        None => paint(DOUBT, &format!("who has {} is not known here", group.name)),
    };
    let opinions: Vec<String> = group.opinions.iter().map(|opinion| opinion_words(group, opinion)).collect();
    format!("{owner}: {}", opinions.join("; "))
}

fn opinion_words(group: &GroupStatus, opinion: &Opinion) -> String {
    let node = &opinion.node;
    let mut text = match (opinion.agrees, opinion.state, &opinion.active) {
        (None, ..) | (_, None, _) => paint(DOUBT, &format!("{node} is not heard, unknown")),
        (Some(true), ..) if group.active.as_ref() == Some(node) => format!("{node} says so itself"),
        (Some(true), ..) => format!("{node} agrees"),
        (Some(false), Some(GroupState::Active), _) => {
            paint(BAD, &format!("{node} says that it is active itself"))
        }
        (Some(false), _, Some(other)) => paint(BAD, &format!("{node} says {other}")),
        (Some(false), Some(GroupState::Fault), None) => paint(BAD, &format!("{node} is in fault")),
        (Some(false), _, None) => paint(DOUBT, &format!("{node} does not know")),
    };
    let wrong: Vec<String> = opinion
        .answers
        .iter()
        .filter(|answer| !matches!(answer.answers.as_str(), "right" | "unknown"))
        .map(|answer| match answer.answers.as_str() {
            "silent" => format!("{} does not answer it", answer.address),
            other => format!("{other} answers it for {}", answer.address),
        })
        .collect();
    if !wrong.is_empty() {
        text.push_str(&format!(" ({})", paint(BAD, &wrong.join(", "))));
    } else if opinion.answers.iter().any(|answer| answer.answers == "right") {
        text.push_str(", and the addresses answer it right");
    }
    // Adverts are heard of an active one only.
    if group.state == GroupState::Active && opinion.agrees == Some(true) && opinion.hears_adverts.is_empty() {
        text.push_str(&format!(" ({})", paint(DOUBT, "it hears no adverts of this node")));
    }
    text
}

fn path_words(path: &PathStatus) -> Option<String> {
    let (node, network) = (&path.node, &path.network);
    let text = match (path.hears, path.heard) {
        (Some(true), Some(true)) => return None,
        (Some(true), Some(false)) => {
            paint(BAD, &format!("{node} is heard on {network}, but does not hear this node there"))
        }
        (Some(false), Some(true)) => {
            paint(BAD, &format!("{node} hears this node on {network}, but is not heard there"))
        }
        (Some(false), Some(false) | None) => paint(BAD, &format!("{node} is not heard on {network}")),
        (Some(true), None) | (None, _) => {
            paint(DOUBT, &format!("whether {node} and this node hear each other on {network} is unknown"))
        }
    };
    Some(text)
}
