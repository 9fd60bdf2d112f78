//! Who may look and who may change something: basic authentication (RFC 7617), and proofs that a form came from our page.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use relevo_model::ClusterFile;
use relevo_model::cluster::{Stats, Users};
use relevo_proto::password::{Credentials, Memory};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

/// Passwords that are checked at a time: each takes some milliseconds of a CPU that balances.
const MOST_CHECKS: usize = 2;
/// Time that a wrong password costs its turn.
const AFTER_A_WRONG_ONE: Duration = Duration::from_millis(250);
/// Passwords that were right and are remembered.
const REMEMBERED: usize = 64;

/// Someone who gave the right password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visitor {
    pub(super) name: String,
    /// May change servers.
    pub(super) is_admin: bool,
}

/// Checks passwords, and makes proofs.
#[derive(Debug)]
pub(super) struct Access {
    key: [u8; 32],
    memory: Mutex<Memory>,
    checks: Semaphore,
}

impl Access {
    /// `key`: random bytes that nobody else has.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, memory: Mutex::new(Memory::new(key, REMEMBERED)), checks: Semaphore::new(MOST_CHECKS) }
    }

    /// Who it is; `None`: nobody who may look.
    pub(super) async fn find(
        &self,
        cluster: &std::sync::Arc<ClusterFile>,
        stats: &Stats,
        authorization: Option<&[u8]>,
    ) -> Option<Visitor> {
        let credentials = Credentials::from_authorization(authorization?)?;
        // An admin may look as well, though he is not among those who only may look.
        let lists = [(stats.admins.as_ref(), true), (Some(&stats.users), false)];
        for (list, is_admin) in lists {
            let Some(place) = list.and_then(|name| cluster.users.iter().position(|one| one.name == *name))
            else {
                continue;
            };
            let users = cluster.users.get(place)?;
            if self.memory().find(&credentials, users).is_some()
                || self.check(cluster, place, &credentials).await
            {
                return Some(Visitor { name: credentials.user, is_admin });
            }
        }
        None
    }

    /// Whether a name and password are of a list of users. Takes milliseconds, elsewhere.
    async fn check(
        &self,
        cluster: &std::sync::Arc<ClusterFile>,
        list: usize,
        credentials: &Credentials,
    ) -> bool {
        let Ok(_turn) = self.checks.acquire().await else { return false };
        let (shared, asked) = (std::sync::Arc::clone(cluster), credentials.clone());
        let found = tokio::task::spawn_blocking(move || {
            shared.users.get(list).is_some_and(|users| asked.find(users).is_some())
        });
        if !matches!(found.await, Ok(true)) {
            // Its turn is held meanwhile: so many wrong guesses a second, from wherever, and no more.
            tokio::time::sleep(AFTER_A_WRONG_ONE).await;
            return false;
        }
        let user = |users: &Users| users.users.iter().find(|user| user.name == credentials.user).cloned();
        if let Some(user) = cluster.users.get(list).and_then(user) {
            self.memory().remember(credentials, &user);
        }
        true
    }

    /// What a form of this visitor must have in it. It is of this process, and of this visitor.
    pub(super) fn token(&self, visitor: &Visitor) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.key);
        hasher.update(b"form of ");
        hasher.update(&visitor.name);
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether it has. All of it is compared, so that the time tells nothing.
    pub(super) fn is_token(&self, visitor: &Visitor, given: &str) -> bool {
        let token = self.token(visitor);
        let pairs = token.bytes().zip(given.bytes());
        token.len() == given.len() && pairs.fold(0, |differs, (one, two)| differs | (one ^ two)) == 0
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
