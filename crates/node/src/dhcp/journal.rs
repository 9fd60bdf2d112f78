//! Leases on disk: one line for each change, synced before anybody is told. The last line of an address holds.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use relevo_proto::dhcp::{Lease, Table};

use crate::disk;

/// Lines that are not needed any more, before the file is written anew.
const MOST_OLD: usize = 4096;

/// The file of one network's leases.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Journal {
    /// Opens it and reads what is in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Table)> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let mut journal = Self { path: path.to_owned(), file, lines: 0 };
        let table = journal.read()?;
        Ok((journal, table))
    }

    /// What is in it now. A line that makes no sense, as the last one after a power failure, is passed over.
    fn read(&mut self) -> io::Result<Table> {
        let text = std::fs::read(&self.path)?;
        let text = String::from_utf8_lossy(&text);
        let mut table = Table::default();
        let mut wrong = 0_usize;
        for line in text.lines() {
            match line.parse::<Lease>() {
                Ok(lease) => {
                    table.insert(lease);
                }
                Err(()) => wrong += 1,
            }
            self.lines += 1;
        }
        if wrong > 0 {
            tracing::warn!(file = %self.path.display(), wrong, "lines of leases make no sense and are passed over");
        }
        if !text.is_empty() && !text.ends_with('\n') {
            self.file.write_all(b"\n")?;
        }
        Ok(table)
    }

    /// Writes changes; when it returns they are on disk.
    pub(super) fn write(&mut self, leases: &[Lease], table: &Table) -> io::Result<()> {
        if self.lines > table.len() * 2 + MOST_OLD {
            // The table has the changes already.
            return self.write_anew(table);
        }
        let text: String = leases.iter().map(|lease| format!("{lease}\n")).collect();
        self.file.write_all(text.as_bytes())?;
        self.lines += leases.len();
        self.file.sync_data()
    }

    /// What is in it is not known: the next time all of it is written.
    pub(super) fn doubt(&mut self) {
        self.lines = usize::MAX / 2;
    }

    fn write_anew(&mut self, table: &Table) -> io::Result<()> {
        let text: String = table.iter().map(|lease| format!("{lease}\n")).collect();
        disk::replace(&self.path, text.as_bytes())?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.lines = table.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(version: u64, last: u8) -> Lease {
        format!("10.0.0.{last} {version} 7 bound 1700000000 02:00:00:00:00:01 00020000000001 -")
            .parse()
            .unwrap()
    }

    #[test]
    fn what_was_written_is_read_back_and_old_lines_go() {
        let folder = std::env::temp_dir().join(format!("relevo-leases-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("leases-lan.log");
        let (mut journal, mut table) = Journal::open(&path).unwrap();
        for version in 1..=6000 {
            let lease = lease(version, u8::try_from(version % 3).unwrap());
            table.insert(lease.clone());
            if version % 10 == 0 || version > 5990 {
                journal.write(&[lease], &table).unwrap();
            }
        }
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"10.0.0.9 7 7 bou").unwrap();
        let (mut journal, again) = Journal::open(&path).unwrap();
        assert!(again.iter().eq(table.iter()));
        journal.lines = 1_000_000;
        journal.write(&[], &table).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
        let newest = lease(7000, 1);
        table.insert(newest.clone());
        journal.write(&[newest], &table).unwrap();
        assert!(Journal::open(&path).unwrap().1.iter().eq(table.iter()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
