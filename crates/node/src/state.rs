//! What a node remembers over a restart: what the operator wants of each server, and when it was started.
//!
//! Two small JSON files in the state folder, each replaced as a whole ([`crate::disk`]).

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

use relevo_api::types::AdminState;
use relevo_model::{ClusterFile, PoolName, ServerName};
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::folder::{Folder, FolderError};

/// Starts that are remembered.
const MOST_STARTS: usize = 100;

/// The state folder.
#[derive(Debug)]
pub(crate) struct State {
    folder: PathBuf,
    servers: Servers,
    starts: Starts,
}

/// One start of this node's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) at: u64,
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// When it ended in order; `None`: it is running, or was killed.
    pub(crate) ended: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Servers {
    /// By pool, then by server; who is not here is ready.
    admin: BTreeMap<PoolName, BTreeMap<ServerName, Wish>>,
    /// The same; who is not here weighs what the file says.
    #[serde(default)]
    weights: BTreeMap<PoolName, BTreeMap<ServerName, KeptWeight>>,
}

/// What the operator wants a server to weigh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptWeight {
    pub(crate) weight: u16,
    /// What the file said then: it holds until the file says something else.
    pub(crate) beside: u16,
}

/// What the operator wants of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    pub(crate) admin: AdminState,
    /// In his words; may be empty.
    pub(crate) reason: String,
    /// When it is ready again, milliseconds since 1970-01-01 UTC; `None`: when somebody says so.
    pub(crate) until: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Starts {
    /// The latest last.
    starts: VecDeque<Start>,
}

impl State {
    /// Reads what is in a folder of ours.
    ///
    /// # Errors
    /// When a file cannot be read, or not be put aside.
    pub(crate) fn open(folder: &Folder) -> Result<Self, FolderError> {
        let path = folder.path();
        let io = |source| FolderError::Io { what: "state", path: path.to_owned(), source };
        let servers = disk::read(&path.join("servers.json")).map_err(io)?;
        let starts = disk::read(&path.join("starts.json")).map_err(io)?;
        Ok(Self { folder: path.to_owned(), servers, starts })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every server that is not simply ready.
    pub(crate) fn wishes(&self) -> impl Iterator<Item = (&PoolName, &ServerName, &Wish)> {
        let all = self.servers.admin.iter();
        all.flat_map(|(pool, of)| of.iter().map(move |(server, wish)| (pool, server, wish)))
    }

    /// What is wanted of a server that is not simply ready.
    pub(crate) fn wish(&self, pool: &PoolName, server: &ServerName) -> Option<&Wish> {
        self.servers.admin.get(pool)?.get(server)
    }

    /// Servers whose wish has run out, and when the next one will.
    pub(crate) fn expired(&self, now: u64) -> (Vec<(PoolName, ServerName)>, Option<u64>) {
        let over = |until: Option<u64>| until.is_some_and(|until| until <= now);
        let gone = self.wishes().filter(|(.., wish)| over(wish.until));
        let gone = gone.map(|(pool, server, _)| (pool.clone(), server.clone())).collect();
        (gone, self.wishes().filter_map(|(.., wish)| wish.until).filter(|until| *until > now).min())
    }

    /// Remembers what is wanted of these servers.
    ///
    /// # Errors
    /// When it cannot be written; then nothing has changed.
    pub(crate) fn set(&mut self, servers: &[(PoolName, ServerName)], wish: &Wish) -> io::Result<()> {
        let mut next = self.servers.clone();
        for (pool, server) in servers {
            let of = next.admin.entry(pool.clone()).or_default();
            if wish.admin == AdminState::Ready {
                of.remove(server);
            } else {
                of.insert(server.clone(), wish.clone());
            }
        }
        self.keep_servers(next)
    }

    /// What servers shall weigh, as far as this file still says what it said then.
    pub(crate) fn weights(&self, cluster: &ClusterFile) -> Vec<(PoolName, ServerName, u16)> {
        let all = self.servers.weights.iter();
        let all = all.flat_map(|(pool, of)| of.iter().map(move |(server, kept)| (pool, server, kept)));
        let holds = |(pool, server, kept): &(&PoolName, &ServerName, &KeptWeight)| {
            cluster.pool(pool).is_some_and(|pool| {
                pool.servers.iter().any(|one| one.name == **server && one.weight == kept.beside)
            })
        };
        all.filter(holds).map(|(pool, server, kept)| (pool.clone(), server.clone(), kept.weight)).collect()
    }

    /// Remembers what these servers shall weigh; those that shall weigh what the file says are forgotten.
    ///
    /// # Errors
    /// When it cannot be written; then nothing has changed.
    pub(crate) fn set_weight(
        &mut self,
        cluster: &ClusterFile,
        servers: &[(PoolName, ServerName)],
        weight: u16,
    ) -> io::Result<()> {
        let mut next = self.servers.clone();
        for (pool, server) in servers {
            let known =
                cluster.pool(pool).and_then(|pool| pool.servers.iter().find(|one| one.name == *server));
            let Some(beside) = known.map(|server| server.weight) else { continue };
            let of = next.weights.entry(pool.clone()).or_default();
            if beside == weight {
                of.remove(server);
            } else {
                of.insert(server.clone(), KeptWeight { weight, beside });
            }
        }
        self.keep_servers(next)
    }

    /// Forgets what does not hold beside this file any more.
    ///
    /// # Errors
    /// When it cannot be written; then nothing has changed.
    pub(crate) fn forget_weights(&mut self, cluster: &ClusterFile) -> io::Result<()> {
        let held = self.weights(cluster);
        let mut next = self.servers.clone();
        for (pool, of) in &mut next.weights {
            of.retain(|server, _| held.iter().any(|(one, name, _)| one == pool && name == server));
        }
        self.keep_servers(next)
    }

    fn keep_servers(&mut self, mut next: Servers) -> io::Result<()> {
        next.admin.retain(|_, of| !of.is_empty());
        next.weights.retain(|_, of| !of.is_empty());
        if next != self.servers {
            disk::write(&self.folder.join("servers.json"), &next)?;
            self.servers = next;
        }
        Ok(())
    }

    /// Remembers this start; gives the one before it.
    pub(crate) fn record_start(&mut self, start: Start) -> io::Result<Option<Start>> {
        let before = self.starts.starts.back().cloned();
        self.starts.starts.push_back(start);
        while self.starts.starts.len() > MOST_STARTS {
            self.starts.starts.pop_front();
        }
        self.write_starts().map(|()| before)
    }

    /// Remembers that this run ended in order.
    pub(crate) fn record_end(&mut self, at: u64) -> io::Result<()> {
        if let Some(last) = self.starts.starts.back_mut() {
            last.ended = Some(at);
        }
        self.write_starts()
    }

    fn write_starts(&self) -> io::Result<()> {
        disk::write(&self.folder.join("starts.json"), &self.starts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("relevo-state-{}-{name}", std::process::id()))
    }

    fn open(path: &Path) -> State {
        std::fs::create_dir_all(path).unwrap();
        State::open(&Folder::own("state", path).unwrap()).unwrap()
    }

    fn server(pool: &str, server: &str) -> (PoolName, ServerName) {
        (PoolName::new(pool), ServerName::new(server))
    }

    fn wish(admin: AdminState, until: Option<u64>) -> Wish {
        Wish { admin, reason: "new disk".to_owned(), until }
    }

    #[test]
    fn wishes_survive_and_ready_is_forgotten() {
        let top = place("survive");
        let mut state = open(&top);
        let drain = wish(AdminState::Drain, Some(7));
        state.set(&[server("web", "a"), server("web", "b")], &drain).unwrap();
        state.set(&[server("web", "a")], &Wish::default()).unwrap();
        drop(state);
        let (pool, name) = server("web", "b");
        assert_eq!(open(&top).wishes().collect::<Vec<_>>(), [(&pool, &name, &drain)]);
        std::fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn wishes_run_out() {
        let top = place("expiry");
        let mut state = open(&top);
        state.set(&[server("web", "a")], &wish(AdminState::Drain, Some(10))).unwrap();
        state.set(&[server("web", "b")], &wish(AdminState::Maint, Some(20))).unwrap();
        state.set(&[server("web", "c")], &wish(AdminState::Maint, None)).unwrap();
        assert_eq!(state.expired(9), (Vec::new(), Some(10)));
        assert_eq!(state.expired(10), (vec![server("web", "a")], Some(20)));
        let mode =
            std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(top.join("servers.json")).unwrap());
        assert_eq!(mode & 0o777, 0o600, "reasons are the operators'");
        std::fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn a_file_that_makes_no_sense_is_put_aside() {
        let top = place("aside");
        std::fs::create_dir(&top).unwrap();
        std::fs::write(top.join("servers.json"), "{ \"admin\": ").unwrap();
        assert!(open(&top).wishes().next().is_none());
        assert!(top.join("servers.json.bad").exists());
        std::fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn a_start_knows_how_the_one_before_ended() {
        let top = place("starts");
        let start = |at| Start { at, pid: 1, version: "0".to_owned(), ended: None };
        let mut state = open(&top);
        assert_eq!(state.record_start(start(1)).unwrap(), None);
        state.record_end(2).unwrap();
        assert_eq!(state.record_start(start(3)).unwrap().and_then(|before| before.ended), Some(2));
        assert_eq!(state.record_start(start(4)).unwrap().and_then(|before| before.ended), None);
        std::fs::remove_dir_all(&top).unwrap();
    }

    #[test]
    fn the_list_of_starts_is_bounded() {
        let top = place("bounded");
        let mut state = open(&top);
        for at in 0..MOST_STARTS as u64 + 5 {
            state.record_start(Start { at, pid: 1, version: "0".to_owned(), ended: None }).unwrap();
        }
        assert_eq!(state.starts.starts.len(), MOST_STARTS);
        std::fs::remove_dir_all(&top).unwrap();
    }
}
