//! What an HTTP check wants of an answer, and in words what was wrong with one. Expressions are compiled once for a pool.

use memchr::memmem;
use regex::bytes::Regex;
use relevo_model::cluster::Expect;

use super::words::{compiled, excerpt};

/// Most bytes of a body that are looked at.
pub const MOST_BODY: usize = 64 * 1024;

/// What an answer must be; several must all hold.
#[derive(Clone, Debug, Default)]
pub struct Expectations(Vec<Wanted>);

#[derive(Clone, Debug)]
enum Wanted {
    Status(Vec<(u16, u16)>),
    Text(String),
    Regex(Regex),
    Header(String, String),
}

impl Expectations {
    /// Makes them ready; without any, a status from 200 to 399 is good.
    ///
    /// # Errors
    /// Why an expression cannot be used, in words.
    pub fn new(wanted: &[Expect]) -> Result<Self, String> {
        let wanted = wanted.iter().map(|expect| {
            Ok(match expect {
                Expect::Status(ranges) => Wanted::Status(ranges.clone()),
                Expect::Text(text) => Wanted::Text(text.clone()),
                Expect::Regex(text) => Wanted::Regex(compiled(text)?),
                Expect::Header(name, text) => Wanted::Header(name.clone(), text.clone()),
            })
        });
        wanted.collect::<Result<_, _>>().map(Self)
    }

    /// Whether more than the status matters.
    pub fn need_head(&self) -> bool {
        !self.0.iter().all(|wanted| matches!(wanted, Wanted::Status(_)))
    }

    /// Whether the body matters.
    pub fn need_body(&self) -> bool {
        self.0.iter().any(|wanted| matches!(wanted, Wanted::Text(_) | Wanted::Regex(_)))
    }

    /// Looks at an answer. `header` gives all values of a header.
    ///
    /// # Errors
    /// What is wrong, as the end of the sentence `GET /health answered 200...`.
    pub fn judge<'a, I: Iterator<Item = &'a [u8]>>(
        &self,
        status: u16,
        header: impl Fn(&str) -> I,
        body: &[u8],
    ) -> Result<(), String> {
        // The status first: what a wrong answer says otherwise matters less.
        let mut ranges = self.0.iter().filter_map(|wanted| match wanted {
            Wanted::Status(ranges) => Some(ranges),
            Wanted::Text(_) | Wanted::Regex(_) | Wanted::Header(..) => None,
        });
        let is_in =
            |ranges: &[(u16, u16)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&status));
        if self.0.iter().any(|wanted| matches!(wanted, Wanted::Status(_))) {
            if let Some(wrong) = ranges.find(|ranges| !is_in(ranges)) {
                return Err(format!(", not {}", listed(wrong)));
            }
        } else if !(200..400).contains(&status) {
            return Err(String::new());
        }
        self.0.iter().try_for_each(|wanted| match wanted {
            Wanted::Status(_) => Ok(()),
            Wanted::Text(text) if memmem::find(body, text.as_bytes()).is_some() => Ok(()),
            Wanted::Text(text) => Err(format!(", but its body lacks \"{}\"", excerpt(text.as_bytes()))),
            Wanted::Regex(regex) if regex.is_match(body) => Ok(()),
            Wanted::Regex(regex) => {
                Err(format!(", but its body does not match /{}/", excerpt(regex.as_str().as_bytes())))
            }
            Wanted::Header(name, text) => {
                let mut first = None;
                for value in header(name) {
                    if memmem::find(value, text.as_bytes()).is_some() {
                        return Ok(());
                    }
                    first.get_or_insert(value);
                }
                let text = excerpt(text.as_bytes());
                Err(match first {
                    None => format!(", but it has no header {name}"),
                    Some(value) => {
                        format!(", but its header {name} is \"{}\", without \"{text}\"", excerpt(value))
                    }
                })
            }
        })
    }
}

/// `200-299,304`.
fn listed(ranges: &[(u16, u16)]) -> String {
    let one = |(first, last): &(u16, u16)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_and_what_is_wrong_is_said() {
        let status = |ranges: &[(u16, u16)]| Expect::Status(ranges.to_vec());
        let text = |text: &str| Expect::Text(text.to_owned());
        let regex = |text: &str| Expect::Regex(text.to_owned());
        let header = |name: &str, text: &str| Expect::Header(name.to_owned(), text.to_owned());
        let cases: [(&[Expect], u16, Option<&str>); 13] = [
            (&[], 200, None),
            (&[], 399, None),
            (&[], 404, Some("")),
            (&[], 199, Some("")),
            (&[status(&[(200, 299), (304, 304)])], 304, None),
            (&[status(&[(200, 299), (304, 304)])], 302, Some(", not 200-299,304")),
            (&[text("it is ok")], 200, None),
            (&[text("fine")], 200, Some(", but its body lacks \"fine\"")),
            (&[status(&[(200, 200)]), text("fine")], 503, Some(", not 200")),
            (&[regex("o+k$")], 200, None),
            (&[regex("^o+k")], 200, Some(", but its body does not match /^o+k/")),
            (
                &[header("X-State", "ready")],
                200,
                Some(", but its header X-State is \"busy\\t\", without \"ready\""),
            ),
            (&[header("X-Other", "ready")], 200, Some(", but it has no header X-Other")),
        ];
        for (expect, code, wrong) in cases {
            let values = |name: &str| {
                let values: &[&[u8]] = if name == "X-State" { &[b"busy\t", b"really busy"] } else { &[] };
                values.iter().copied()
            };
            let judged = Expectations::new(expect).unwrap().judge(code, values, b"yes, it is ok");
            assert_eq!(judged.err().as_deref(), wrong, "{expect:?} {code}");
        }
        let several = Expectations::new(&[header("X-State", "really")]).unwrap();
        assert_eq!(several.judge(200, |_| [&b"busy"[..], b"really"].into_iter(), b""), Ok(()));
    }

    #[test]
    fn an_expression_that_cannot_be_used_is_an_error() {
        assert!(Expectations::new(&[Expect::Regex("(".to_owned())]).is_err());
    }
}
