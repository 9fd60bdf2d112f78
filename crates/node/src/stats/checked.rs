//! What the last check saw, in HAProxy's words: the columns `check_status` and `check_code`.

use relevo_lb::Health;
use relevo_model::cluster::{Check, CheckKind};

/// The word, empty if the server is not checked; and the status of the answer, if there was one.
pub(super) fn words(
    check: &Check,
    health: Health,
    leaving: bool,
    reason: &str,
) -> (&'static str, Option<u16>) {
    let is_late = reason.starts_with("no answer within") || reason.contains(" did not end within ");
    // What could not be connected to was not asked.
    let unreachable = ["connection refused", "host unreachable", "network unreachable"].contains(&reason);
    let word = match (&check.kind, health) {
        (CheckKind::None, _) => "",
        (_, Health::Unknown) => "INI",
        (CheckKind::Connect, Health::Up) if check.tls => "L6OK",
        (CheckKind::Connect | CheckKind::Ping, Health::Up) => "L4OK",
        (_, Health::Up) if leaving => "L7OKC",
        (CheckKind::Http(_) | CheckKind::Script { .. }, Health::Up) => "L7OK",
        (CheckKind::Command { .. }, Health::Up) => "PROCOK",
        (CheckKind::Command { .. }, Health::Down) => {
            if is_late {
                "PROCTOUT"
            } else {
                "PROCERR"
            }
        }
        (_, Health::Down) if unreachable => "L4CON",
        (_, Health::Down) if reason.starts_with("TLS: ") => "L6RSP",
        (CheckKind::Connect | CheckKind::Ping, Health::Down) => {
            if is_late {
                "L4TOUT"
            } else {
                "L4CON"
            }
        }
        (CheckKind::Http(_) | CheckKind::Script { .. }, Health::Down) if is_late => "L7TOUT",
        (CheckKind::Http(_), Health::Down) if status(reason).is_some() => "L7STS",
        (CheckKind::Http(_) | CheckKind::Script { .. }, Health::Down) => "L7RSP",
    };
    (word, if word.starts_with("L7") { status(reason) } else { None })
}

/// The status in `GET / answered 200`.
fn status(reason: &str) -> Option<u16> {
    let (_, rest) = reason.split_once(" answered ")?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_said_as_haproxy_does() {
        let text = "name = \"loop\"\n[network.lan]\nsubnet = \"192.168.99.0/24\"\n[node.lb1]\nroles = [\"director\"]\naddress.lan = \"192.168.99.1\"\n[service.web]\nlisten = \"127.0.0.1:80\"\nmode = \"http\"\ncheck = { http = \"/\" }\nservers = [\"127.0.0.1:81\"]\n";
        let asking = relevo_model::read(text).cluster.unwrap().pools[0].check.clone();
        let of = |kind: CheckKind, health, reason| {
            words(&Check { kind, ..Check::default() }, health, false, reason)
        };
        assert_eq!(of(CheckKind::None, Health::Up, "not checked, counts as up"), ("", None));
        assert_eq!(of(CheckKind::Connect, Health::Unknown, ""), ("INI", None));
        assert_eq!(of(CheckKind::Connect, Health::Up, "accepts connections"), ("L4OK", None));
        assert_eq!(of(CheckKind::Connect, Health::Down, "connection refused"), ("L4CON", None));
        assert_eq!(of(CheckKind::Connect, Health::Down, "no answer within 500 ms"), ("L4TOUT", None));
        let http = |health, reason| words(&asking, health, false, reason);
        assert_eq!(words(&asking, Health::Up, true, "GET / answered 404"), ("L7OKC", Some(404)));
        assert_eq!(http(Health::Up, "GET / answered 200"), ("L7OK", Some(200)));
        assert_eq!(http(Health::Down, "GET / answered 500, expected 200-399"), ("L7STS", Some(500)));
        assert_eq!(http(Health::Down, "no answer within 500 ms"), ("L7TOUT", None));
        assert_eq!(http(Health::Down, "connection refused"), ("L4CON", None));
        assert_eq!(http(Health::Down, "does not speak HTTP"), ("L7RSP", None));
    }
}
