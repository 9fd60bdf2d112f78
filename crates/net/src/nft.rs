//! Feeds rule sets to nftables: `nft -f -`, one transaction each, all or nothing.
//!
//! What is in a rule set is its builder's business; here is only how it gets into the kernel. `nft` works in the network
//! namespace of the calling thread and needs `CAP_NET_ADMIN`. It takes some milliseconds: never call it on a thread that
//! must not wait.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Why a rule set is not in the kernel. Nothing of it is then.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// There is no such program.
    #[error("there is no program `nft`: install the package nftables")]
    Missing,
    /// It cannot be run.
    #[error("cannot run nft")]
    Run(#[source] io::Error),
    /// The process lacks a capability.
    #[error("no permission to change nftables: run as root or with CAP_NET_ADMIN")]
    Permission,
    /// nft or the kernel refuses the rules.
    #[error("nft refuses the rules: {0}")]
    Refused(String),
    /// It did not end.
    #[error("nft did not end within {} s", WITHIN.as_secs())]
    TimedOut,
}

/// The program `nft`.
#[derive(Clone, Debug)]
pub struct Nft {
    program: PathBuf,
}

impl Default for Nft {
    fn default() -> Self {
        Self::new()
    }
}

impl Nft {
    /// The one that is in `PATH`, or where systems keep it.
    pub fn new() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(USUAL.iter().map(PathBuf::from));
        let mut found = folders.map(|folder| folder.join("nft")).filter(|program| program.is_file());
        Self { program: found.next().unwrap_or_else(|| PathBuf::from("nft")) }
    }

    /// This one.
    pub fn at(program: &Path) -> Self {
        Self { program: program.to_owned() }
    }

    /// Does what a text in nft's language says, as one transaction.
    ///
    /// # Errors
    /// See [`NftError`]; the kernel's rules are as they were.
    pub fn run(&self, rules: &str) -> Result<(), NftError> {
        self.feed(&["-f", "-"], rules).map(drop)
    }

    /// Says whether the kernel would take a text, and changes nothing.
    ///
    /// # Errors
    /// See [`NftError`].
    pub fn check(&self, rules: &str) -> Result<(), NftError> {
        self.feed(&["-c", "-f", "-"], rules).map(drop)
    }

    /// Removes a table, if it is there: `family` as in `inet`.
    ///
    /// # Errors
    /// See [`NftError`].
    pub fn remove_table(&self, family: &str, table: &str) -> Result<(), NftError> {
        // It is made first: what is not there cannot be deleted, and `destroy` is younger than Debian 12's nft.
        self.run(&format!("table {family} {table}\ndelete table {family} {table}\n"))
    }

    /// A table as nft shows it; `None`: there is none.
    ///
    /// # Errors
    /// See [`NftError`].
    pub fn list_table(&self, family: &str, table: &str) -> Result<Option<String>, NftError> {
        self.list(&["list", "table", family, table])
    }

    /// A table without the elements of its sets, as nft shows it; `None`: there is none.
    ///
    /// # Errors
    /// See [`NftError`].
    pub fn list_names(&self, family: &str, table: &str) -> Result<Option<String>, NftError> {
        self.list(&["-t", "list", "table", family, table])
    }

    /// All rules of this network namespace, without the elements of sets.
    ///
    /// # Errors
    /// See [`NftError`].
    pub fn list_ruleset(&self) -> Result<String, NftError> {
        self.feed(&["-t", "list", "ruleset"], "")
    }

    /// A map of a table with its elements; `None`: there is none.
    ///
    /// # Errors
    /// See [`NftError`].
    pub fn list_map(&self, family: &str, table: &str, map: &str) -> Result<Option<String>, NftError> {
        self.list(&["list", "map", family, table, map])
    }

    /// The named counters of a table; `None`: there is no such table.
    ///
    /// # Errors
    /// See [`NftError`].
    pub fn list_counters(&self, family: &str, table: &str) -> Result<Option<String>, NftError> {
        self.list(&["list", "counters", "table", family, table])
    }

    fn list(&self, arguments: &[&str]) -> Result<Option<String>, NftError> {
        match self.feed(arguments, "") {
            Ok(text) => Ok(Some(text)),
            Err(NftError::Refused(text)) if text.contains("No such file or directory") => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn feed(&self, arguments: &[&str], input: &str) -> Result<String, NftError> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("LC_ALL", OsString::from("C"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            if is_missing { NftError::Missing } else { NftError::Run(error) }
        })?;
        let texts = [child.stdout.take().map(read_on_a_thread), child.stderr.take().map(read_on_a_thread)];
        let stdin = child.stdin.take();
        let fed = input.to_owned();
        let feeder = std::thread::spawn(move || {
            // It may end before it has read all: then it says why.
            let _ = stdin.map(|mut pipe| pipe.write_all(fed.as_bytes()));
        });
        let ended = wait(&mut child);
        let _ = feeder.join();
        let [stdout, stderr] =
            texts.map(|thread| thread.and_then(|thread| thread.join().ok()).unwrap_or_default());
        match ended? {
            true => Ok(stdout),
            false if stderr.contains("Operation not permitted") => Err(NftError::Permission),
            false => Err(NftError::Refused(shortened(&stderr))),
        }
    }
}

fn read_on_a_thread(mut pipe: impl io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // What cannot be read is not shown.
        let _ = pipe.by_ref().take(MOST_BYTES).read_to_end(&mut text);
        let _ = io::copy(&mut pipe, &mut io::sink());
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// Whether it ended well.
fn wait(child: &mut Child) -> Result<bool, NftError> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if begun.elapsed() > WITHIN => {
                // Both do no harm if it has just ended.
                let _ = child.kill();
                let _ = child.wait();
                return Err(NftError::TimedOut);
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(NftError::Run(error)),
        }
    }
}

/// The first lines of what nft says; it repeats the rules that it means.
fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).take(3).collect();
    let text = lines.join(" | ");
    text.chars().take(600).collect()
}

/// Where systems keep it, for a user whose `PATH` has no `sbin`.
const USUAL: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// A rule set with ten thousands of elements takes well below a second.
const WITHIN: Duration = Duration::from_secs(10);
/// Longest text that is kept of what it prints.
const MOST_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_with_its_package() {
        let error = Nft::at(Path::new("/no/such/nft")).run("").unwrap_err();
        assert_eq!(error.to_string(), "there is no program `nft`: install the package nftables");
    }

    #[test]
    fn what_it_says_is_cut_to_its_beginning() {
        let text = "Error: syntax error\ntable inet x { chain\n              ^^^^^\n\nmore\n";
        assert_eq!(shortened(text), "Error: syntax error | table inet x { chain |               ^^^^^");
    }
}
