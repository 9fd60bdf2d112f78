//! Connections of groups that move on purpose, for `relevo status`.

use relevo_api::types::{MoveStatus, Status};

use crate::printer::{DOUBT, paint};

/// A sentence for each group whose connections are on their way, or would be cut. Nothing where all is well.
pub(crate) fn words(status: &Status) -> String {
    let mut text = String::new();
    for group in &status.groups {
        let name = &group.name;
        let line = match &group.moves {
            None | Some(MoveStatus::Ready) => continue,
            Some(MoveStatus::Unavailable { why }) => {
                paint(DOUBT, &format!("connections of {name} are cut when it moves on purpose: {why}"))
            }
            Some(MoveStatus::Draining { left, seconds }) => {
                let left = left.map_or_else(|| "its".to_owned(), |left| left.to_string());
                format!("This node goes on with {left} connections of {name}, for {seconds} s at most")
            }
            Some(MoveStatus::Forwarding { to, seconds }) => {
                let to: Vec<&str> = to.iter().map(|node| node.as_str()).collect();
                format!(
                    "Packets of older connections of {name} go to {}, for {seconds} s at most",
                    to.join(", and on to ")
                )
            }
        };
        text.push_str(&format!("{line}\n"));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
