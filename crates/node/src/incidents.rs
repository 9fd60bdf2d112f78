//! What happened to this node that somebody may ask for later: takeovers, two actives, ways that failed.
//!
//! One JSON object a line in `incidents.jsonl` of the state folder, written and synced by a thread of its own; whoever notes
//! something does not wait. The file stays below `MOST_BYTES`: the older half goes when it is full.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::{Deserialize, Serialize};

use crate::disk;
use crate::process::wall_ms;

/// The file in the state folder.
const NAME: &str = "incidents.jsonl";
/// Largest file, bytes.
const MOST_BYTES: u64 = 1 << 20;
/// Incidents that wait for the disk.
const MOST_WAITING: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// When, milliseconds since 1970-01-01 UTC.
    pub at: u64,
    /// One word for programs.
    pub kind: String,
    /// A sentence for people.
    pub text: String,
    /// Its parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}

/// The way to the writer of this process.
static WRITER: OnceLock<SyncSender<Incident>> = OnceLock::new();
/// What did not fit into the queue.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Notes something. Does nothing before [`start`], and in tests.
pub(crate) fn note(kind: &str, text: &str, fields: &[(&str, String)]) {
    let Some(writer) = WRITER.get() else { return };
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let incident = Incident { at: wall_ms(), kind: kind.to_owned(), text: text.to_owned(), fields };
    if writer.try_send(incident).is_err() {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Begins to write to a state folder.
///
/// # Errors
/// The system has no more threads.
pub(crate) fn start(state: &Path) -> io::Result<()> {
    let (to, incidents) = sync_channel(MOST_WAITING);
    if WRITER.set(to).is_err() {
        return Ok(());
    }
    let path = state.join(NAME);
    std::thread::Builder::new()
        .name("incidents".to_owned())
        .spawn(move || write_all(&path, &incidents))
        .map(drop)
}

/// The incidents of a state folder, oldest first. Lines that cannot be understood are passed over.
///
/// # Errors
/// The file cannot be read; one that is not there has none.
pub fn read(state: &Path) -> io::Result<Vec<Incident>> {
    let file = match File::open(state.join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut list = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        list.extend(serde_json::from_slice::<Incident>(&line?).ok());
    }
    Ok(list)
}

fn write_all(path: &Path, incidents: &Receiver<Incident>) {
    let mut told = false;
    while let Ok(first) = incidents.recv() {
        let mut list = vec![first];
        list.extend(incidents.try_iter().take(MOST_WAITING));
        let lost = LOST.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let text = format!("{lost} more incidents came too fast to be written");
            let (kind, fields) = ("lost".to_owned(), BTreeMap::new());
            list.push(Incident { at: wall_ms(), kind, text, fields });
        }
        match append(path, &list) {
            Ok(()) => told = false,
            Err(error) if !told => {
                told = true;
                tracing::warn!(file = %path.display(), %error, "incidents cannot be written");
            }
            Err(_) => {}
        }
    }
}

fn append(path: &Path, list: &[Incident]) -> io::Result<()> {
    let mut text = Vec::new();
    for incident in list {
        serde_json::to_writer(&mut text, incident)?;
        text.push(b'\n');
    }
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    if file.metadata()?.len() + text.len() as u64 > MOST_BYTES {
        drop(file);
        shorten(path)?;
        file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    }
    file.write_all(&text)?;
    file.sync_data()
}

/// Keeps the younger half.
fn shorten(path: &Path) -> io::Result<()> {
    let bytes = std::fs::read(path)?;
    let half = bytes.len() / 2;
    let end = bytes[half..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| half + at + 1);
    disk::replace(path, &bytes[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incidents_are_kept_and_the_file_stays_small() {
        let folder = std::env::temp_dir().join(format!("relevo-incidents-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(read(&folder).unwrap(), []);
        let incident = |number: u64| Incident {
            at: number,
            kind: "test".to_owned(),
            text: "x".repeat(1000),
            fields: [("number".to_owned(), number.to_string())].into(),
        };
        for number in 0..30 {
            let list: Vec<_> = (0..100).map(|one| incident(number * 100 + one)).collect();
            append(&folder.join(NAME), &list).unwrap();
        }
        std::fs::write(
            folder.join(NAME),
            [std::fs::read(folder.join(NAME)).unwrap(), b"half a li".to_vec()].concat(),
        )
        .unwrap();
        assert!(std::fs::metadata(folder.join(NAME)).unwrap().len() <= MOST_BYTES + 9);
        let all = read(&folder).unwrap();
        assert_eq!(all.last(), Some(&incident(2999)));
        assert!(all.len() > 400 && all.windows(2).all(|two| two[0].at + 1 == two[1].at), "{}", all.len());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
