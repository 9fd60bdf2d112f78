//! A check's conversation: what to send, and whether what came is what was wanted. Bytes in, bytes out.

use memchr::memmem;
use regex::bytes::Regex;
use relevo_model::cluster::Step;

use super::words::{compiled, excerpt};

/// Most bytes that may come while one step waits.
const MOST: usize = 64 * 1024;

/// A conversation that can be had many times.
#[derive(Clone, Debug)]
pub struct Script(Vec<Line>);

#[derive(Clone, Debug)]
enum Line {
    Send(Vec<u8>),
    Expect(Vec<u8>),
    Regex(Regex),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn<'a> {
    /// Send this.
    Send(&'a [u8]),
    /// Wait for more bytes.
    Listen,
    /// All came as wanted.
    Done,
}

/// One time of it.
#[derive(Clone, Debug)]
pub struct Conversation<'a> {
    script: &'a Script,
    at: usize,
    /// What came since the last step.
    heard: Vec<u8>,
    /// How much of it was searched for text in vain.
    searched: usize,
}

impl Script {
    /// Makes it ready.
    ///
    /// # Errors
    /// Why an expression cannot be used, in words.
    pub fn new(steps: &[Step]) -> Result<Self, String> {
        let lines = steps.iter().map(|step| {
            Ok(match step {
                Step::Send(bytes) => Line::Send(bytes.clone()),
                Step::Expect(bytes) => Line::Expect(bytes.clone()),
                Step::Regex(text) => Line::Regex(compiled(text)?),
            })
        });
        lines.collect::<Result<_, _>>().map(Self)
    }

    /// Begins it.
    pub const fn begin(&self) -> Conversation<'_> {
        Conversation { script: self, at: 0, heard: Vec::new(), searched: 0 }
    }
}

impl<'a> Conversation<'a> {
    /// What to do now. What is to be sent is told once.
    ///
    /// # Errors
    /// The server says too much and never what is wanted.
    pub fn turn(&mut self) -> Result<Turn<'a>, String> {
        loop {
            let Some(line) = self.script.0.get(self.at) else { return Ok(Turn::Done) };
            let found = match line {
                Line::Send(bytes) => {
                    self.at += 1;
                    return Ok(Turn::Send(bytes));
                }
                Line::Expect(wanted) => {
                    let unsearched = self.heard.get(self.searched..).unwrap_or_default();
                    let found = memmem::find(unsearched, wanted);
                    let end = found.map(|at| self.searched + at + wanted.len());
                    // It may have begun.
                    self.searched = self.heard.len().saturating_sub(wanted.len().saturating_sub(1));
                    end
                }
                Line::Regex(wanted) => wanted.find(&self.heard).map(|found| found.end()),
            };
            match found {
                Some(end) => {
                    // What follows is for the next step.
                    self.heard.drain(..end.min(self.heard.len()));
                    self.searched = 0;
                    self.at += 1;
                }
                None if self.heard.len() > MOST => return Err(self.missing("said more than 64 KiB")),
                None => return Ok(Turn::Listen),
            }
        }
    }

    /// Takes in what came.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.heard.extend_from_slice(bytes);
    }

    /// Why it was in vain, when the server did `what`: `step 2: closed before "+PONG"; said "-ERR"`.
    pub fn missing(&self, what: &str) -> String {
        let wanted = match self.script.0.get(self.at) {
            Some(Line::Expect(wanted)) => format!(" without \"{}\"", excerpt(wanted)),
            Some(Line::Regex(wanted)) => format!(" without /{}/", excerpt(wanted.as_str().as_bytes())),
            Some(Line::Send(_)) | None => String::new(),
        };
        let said = match self.heard.as_slice() {
            [] => String::new(),
            said => format!("; it said \"{}\"", excerpt(said)),
        };
        format!("step {}: {what}{wanted}{said}", self.at + 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn script() -> Script {
        Script::new(&[
            Step::Send(b"PING\r\n".to_vec()),
            Step::Expect(b"+PONG".to_vec()),
            Step::Regex("role:(master|slave)".to_owned()),
            Step::Send(b"QUIT".to_vec()),
        ])
        .unwrap()
    }

    #[test]
    fn steps_follow_each_other_also_when_all_comes_at_once() {
        let script = script();
        let mut talk = script.begin();
        assert_eq!(talk.turn(), Ok(Turn::Send(b"PING\r\n")));
        assert_eq!(talk.turn(), Ok(Turn::Listen));
        talk.hear(b"role:master +PO");
        assert_eq!(talk.turn(), Ok(Turn::Listen));
        talk.hear(b"NG role:sla");
        // What came before the step does not count for the next.
        assert_eq!(talk.turn(), Ok(Turn::Listen));
        assert_eq!(
            talk.missing("closed"),
            "step 3: closed without /role:(master|slave)/; it said \" role:sla\""
        );
        talk.hear(b"ve");
        assert_eq!(talk.turn(), Ok(Turn::Send(b"QUIT")));
        assert_eq!(talk.turn(), Ok(Turn::Done));
    }

    #[test]
    fn who_says_too_much_is_not_listened_to() {
        let script = script();
        let mut talk = script.begin();
        assert_eq!(talk.turn(), Ok(Turn::Send(b"PING\r\n")));
        let mut heard = 0;
        while talk.turn() == Ok(Turn::Listen) {
            talk.hear(&[b'x'; 1000]);
            heard += 1000;
        }
        assert!(heard < 2 * MOST);
        assert!(talk.turn().unwrap_err().starts_with("step 2: said more than 64 KiB without \"+PONG\""));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in prop::collection::vec(any::<u8>(), 0..40), cuts in prop::collection::vec(1_usize..9, 50)) {
            let mut said = bytes.clone();
            said.extend_from_slice(b"+PONG");
            said.extend_from_slice(&bytes);
            said.extend_from_slice(b"role:master");
            let script = script();
            let mut talk = script.begin();
            prop_assert_eq!(talk.turn(), Ok(Turn::Send(&b"PING\r\n"[..])));
            let mut rest = said.as_slice();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                talk.hear(piece);
                if talk.turn() != Ok(Turn::Listen) {
                    return Ok(());
                }
                rest = after;
            }
            talk.hear(rest);
            prop_assert_eq!(talk.turn(), Ok(Turn::Send(&b"QUIT"[..])));
        }
    }
}
