//! The page that says who answered, as words and as HTML.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::origin::text;

/// What the page tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// The origin's name.
    pub(super) name: &'a str,
    /// Its address that the request came to.
    pub(super) local: SocketAddr,
    /// Who asked, as the origin sees it: the balancer, if there is one.
    pub(super) peer: SocketAddr,
    /// Who asked the balancer, as it says.
    pub(super) forwarded_for: Option<&'a str>,
    /// Method and path.
    pub(super) asked: &'a str,
    /// Seconds since 1970.
    pub(super) now: u64,
}

/// The page as words.
pub(super) fn words(facts: &Facts<'_>) -> String {
    format!(
        "server         {} at {}\ntime           {}\nasked by       {}\nforwarded for  {}\nrequest        {}\n",
        facts.name,
        facts.local,
        text::plain(facts.now),
        facts.peer,
        facts.forwarded_for.unwrap_or("-"),
        facts.asked
    )
}

/// The page for a browser; `refresh`: it asks again every second.
pub(super) fn html(facts: &Facts<'_>, refresh: bool) -> String {
    let mut out = String::with_capacity(2048);
    let name = escape(facts.name);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{}<title>{name}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body style=\"--hue: {}\">\n<main>\n<p>This answer came from</p>\n<h1>{name}</h1>\n<dl>\n",
        if refresh { "<meta http-equiv=\"refresh\" content=\"1\">\n" } else { "" },
        hue(facts.name),
    );
    let rows = [
        ("Address", facts.local.to_string()),
        ("Time", text::plain(facts.now)),
        ("Asked by", facts.peer.to_string()),
        ("Forwarded for", facts.forwarded_for.unwrap_or("nobody: no balancer in between").to_owned()),
        ("Request", facts.asked.to_owned()),
    ];
    for (term, value) in rows {
        let _ = writeln!(out, "<dt>{term}</dt><dd>{}</dd>", escape(&value));
    }
    let link = if refresh {
        "<a href=\"/\">Stop asking</a>"
    } else {
        "<a href=\"/\">Ask again</a> <a href=\"/?refresh\">Ask every second</a>"
    };
    let _ = write!(out, "</dl>\n<nav>{link}</nav>\n</main>\n</body>\n</html>\n");
    out
}

/// A colour of its own for every name, so that a change of server is seen at a glance. Degrees on the colour circle.
fn hue(name: &str) -> u32 {
    // Names that differ in the last letter, as serv1 and serv2 do, come out 137.5 degrees apart (the golden angle).
    let sum = name.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
    sum.wrapping_mul(275) / 2 % 360
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(character),
        }
    }
    out
}

const STYLE: &str = "\
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center;
  background: light-dark(hsl(var(--hue) 60% 93%), hsl(var(--hue) 30% 14%)); }
main { padding: 2rem; max-width: 34rem; }
p { margin: 0; opacity: .7; }
h1 { margin: 0 0 1.5rem; font-size: 3rem; color: light-dark(hsl(var(--hue) 70% 30%), hsl(var(--hue) 70% 75%)); }
dl { display: grid; grid-template-columns: auto 1fr; gap: .4rem 1.5rem; }
dt { opacity: .7; }
dd { margin: 0; font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
nav { margin-top: 1.5rem; display: flex; gap: 1.5rem; }
";

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts<'static> {
        Facts {
            name: "serv1",
            local: "10.0.0.1:80".parse().unwrap(),
            peer: "10.0.0.250:40000".parse().unwrap(),
            forwarded_for: Some("172.16.1.100"),
            asked: "GET /",
            now: 0,
        }
    }

    #[test]
    fn words_say_who_when_and_who_asked() {
        assert_eq!(
            words(&facts()),
            "server         serv1 at 10.0.0.1:80\n\
             time           1970-01-01 00:00:00 UTC\n\
             asked by       10.0.0.250:40000\n\
             forwarded for  172.16.1.100\n\
             request        GET /\n"
        );
    }

    #[test]
    fn what_a_client_sends_is_not_taken_for_markup() {
        let page = html(&Facts { forwarded_for: Some("<script>alert(1)</script>"), ..facts() }, false);
        assert!(page.contains("&lt;script&gt;"), "{page}");
        assert!(!page.contains("<script>"), "{page}");
    }

    #[test]
    fn the_page_asks_again_only_when_told() {
        assert!(!html(&facts(), false).contains("http-equiv"));
        assert!(html(&facts(), true).contains("http-equiv=\"refresh\""));
    }

    #[test]
    fn neighbours_differ_in_colour() {
        let (one, two) = (hue("serv1"), hue("serv2"));
        assert!(one.abs_diff(two) > 60, "{one} and {two}");
    }
}
