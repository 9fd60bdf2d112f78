//! The tables as a document.

use std::fmt::Write;

use super::*;
use crate::quantity::{format_duration, format_size};

/// What is said before the first table.
const HEAD: &str = "\
# The cluster file

One TOML file that is the same on every node. `relevo check FILE` shows every mistake at its place; `relevo example NAME`
prints a commented file to begin with. `examples/` holds them all. `relevo reference` prints this page.

- **Duration**: text, a whole number and `ms`, `s`, `m`, `h` or `d`: `\"200ms\"`, `\"1s\"`, `\"2m\"`, `\"365d\"`.
- **Size**: text, a whole number and `B`, `KiB`, `MiB` or `GiB`: `\"16KiB\"`.
- **Name**: 1 to 63 letters, digits, `-`, `_` or `.`; begins with a letter or digit; not an IPv4 address.
- **Address**: IPv4 unless it says otherwise. Nobody shares one: nodes, virtual addresses, and the lab's clients, host leg and tunnels.
- **Path**: of a file on the director. It is opened when the configuration is loaded, not by `relevo check` elsewhere. Begin it with `/`: another is looked for from the node's working directory.
- A file has at most 1 MiB. A key that is not listed here is a mistake.

The column *default* says what holds when the key is not there; **required** keys have none.
";

/// What is said after the last table.
const TAIL: &str = "\
## Warnings

A file with warnings can be used. They say what an operator should know.

- Times: a takeover that takes longer than 1 s, or adverts so short that a pause of 100 ms moves the addresses; a dead server
  that is found only after a minute; a connect timeout longer than that, or than the request timeout. Each names the
  inequality and its figures.
- Things that do nothing: a director in no group, a server of no service, a pool, a list of users or an authority that
  nobody uses, a rule that is never reached, a limit that nothing can reach, a secure cookie without TLS.
- Risks: a group that only one director can hold, passwords that travel in clear, a redirect to itself.
- The lab: a switch without a way to the others of its network, a VXLAN with one end.
";

/// All tables in the order of the document.
pub fn document() -> &'static [Table] {
    const ALL: &[Table] = &[
        TOP,
        NETWORK,
        NODE,
        INTERFACE,
        GROUP,
        BFD,
        TRACK,
        DELAY,
        ROUTE,
        POLICY,
        UNICAST,
        HMAC,
        ANNOUNCE,
        ADDRESS,
        SERVICE,
        LISTEN,
        SERVICE_TIMEOUT,
        LIMIT,
        SYNPROXY,
        COMPRESS,
        CACHE,
        SERVICE_LOG,
        SERVER_TLS,
        CERTIFICATE,
        RULE,
        CONDITION,
        REDIRECT,
        RETURN,
        TARPIT,
        RATE,
        AUTH,
        POOL,
        SERVER,
        HASH,
        CHECK,
        STEP,
        AGENT,
        COOKIE,
        AFFINITY,
        POOL_TIMEOUT,
        CLIENT_TLS,
        USERS,
        ACME,
        LOG,
        DHCP,
        DHCP_HOST,
        DNS,
        STATS,
        PEERS,
        GATEWAY,
        FIREWALL,
        LAYER2,
        BRIDGE,
        VXLAN_DEVICE,
        BOND,
        VLAN,
        MACVLAN,
        LAB,
        SWITCH,
        VXLAN,
        LINK,
        CLIENT,
        HOST,
    ];
    ALL
}

/// The whole document: `docs/reference/cluster-file.md`.
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    for table in document() {
        let Table { title, before, keys, after } = table;
        // Writing to a String cannot fail.
        let _ = write!(out, "\n{title}\n\n");
        if !before.is_empty() {
            let _ = write!(out, "{before}\n\n");
        }
        if !keys.is_empty() {
            out.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
        }
        for key in *keys {
            let _ = writeln!(
                out,
                "| `{}` | {} | {} | {}{} |",
                key.name,
                cell(&kind(key.kind)),
                cell(&otherwise(key.default)),
                cell(key.meaning),
                modes(key.modes)
            );
        }
        if !after.is_empty() {
            let gap = if keys.is_empty() { "" } else { "\n" };
            let _ = writeln!(out, "{gap}{after}");
        }
    }
    out.push('\n');
    out.push_str(TAIL);
    out
}

/// A text in a table: a bar would end its column, also within backticks.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn kind(kind: Kind) -> String {
    let time = |millis: u64| format_duration(Duration::from_millis(millis));
    match kind {
        Kind::Boolean => "boolean".to_owned(),
        Kind::Integer { least, most } => format!("{least} to {most}"),
        Kind::Duration { least, most } => {
            format!("duration, `\"{}\"` to `\"{}\"`", time(least), time(most))
        }
        Kind::Size { least, most } => {
            format!("size, `\"{}\"` to `\"{}\"`", format_size(least), format_size(most))
        }
        Kind::Words { words } => {
            let quoted: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            quoted.join(", ")
        }
        Kind::Other { form } => form.to_owned(),
    }
}

fn otherwise(default: Otherwise) -> String {
    match default {
        Otherwise::Required => "**required**".to_owned(),
        Otherwise::Value(value) => format!("`{value}`"),
        Otherwise::Told(words) => words.to_owned(),
    }
}

fn modes(modes: &[Mode]) -> &'static str {
    match (modes.contains(&Mode::Tcp), modes.contains(&Mode::Http), modes.contains(&Mode::Udp)) {
        (false, true, false) => " Mode `http` only.",
        (true, true, false) => " Not in mode `udp`.",
        (true, false, false) => " Mode `tcp` only.",
        (false, false, true) => " Mode `udp` only.",
        (_, _, _) => "",
    }
}
