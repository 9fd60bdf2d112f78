//! A part of the cache, behind its own lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use relevo_model::PoolName;
use relevo_proto::cache::matches;

use super::Object;

/// Most answers for one URI.
const MOST_VARIANTS: usize = 16;
/// What an answer costs beside its bytes.
const OVERHEAD: u64 = 512;

/// Some kept answers, and in which order they were used.
#[derive(Debug)]
pub(super) struct Shard {
    most: u64,
    bytes: u64,
    uris: HashMap<Arc<[u8]>, Uri>,
    /// By when they were used.
    order: BTreeMap<u64, Arc<[u8]>>,
    uses: u64,
}

/// All answers for one URI; they go together.
#[derive(Debug, Default)]
struct Uri {
    variants: Vec<Arc<Object>>,
    bytes: u64,
    used: u64,
}

impl Shard {
    /// `most`: bytes.
    pub(super) fn new(most: u64) -> Self {
        Self { most, bytes: 0, uris: HashMap::new(), order: BTreeMap::new(), uses: 0 }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn find(&mut self, key: &[u8], pool: &PoolName, request: &[u8]) -> Option<Arc<Object>> {
        let uri = self.uris.get_mut(key)?;
        let is_it = |one: &&Arc<Object>| one.pool == *pool && matches(&one.selection, request);
        let object = Arc::clone(uri.variants.iter().find(is_it)?);
        self.uses += 1;
        if let Some(name) = self.order.remove(&uri.used) {
            self.order.insert(self.uses, name);
        }
        uri.used = self.uses;
        Some(object)
    }

    pub(super) fn put(&mut self, key: &[u8], object: Arc<Object>) {
        let size = size(key, &object);
        if size > self.most {
            return;
        }
        let mut uri = self.take(key).unwrap_or_default();
        let is_other = |one: &Arc<Object>| one.pool != object.pool || one.selection != object.selection;
        uri.variants.retain(is_other);
        if uri.variants.len() >= MOST_VARIANTS {
            uri.variants.remove(0);
        }
        uri.variants.push(object);
        while uri.variants.iter().map(|one| self::size(key, one)).sum::<u64>() > self.most {
            uri.variants.remove(0);
        }
        uri.bytes = uri.variants.iter().map(|one| self::size(key, one)).sum();
        while self.bytes + uri.bytes > self.most {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some(gone) = self.uris.remove(&oldest) {
                self.bytes -= gone.bytes;
            }
        }
        self.uses += 1;
        uri.used = self.uses;
        self.bytes += uri.bytes;
        let name: Arc<[u8]> = key.into();
        self.order.insert(self.uses, Arc::clone(&name));
        self.uris.insert(name, uri);
    }

    pub(super) fn forget(&mut self, key: &[u8]) {
        drop(self.take(key));
    }

    fn take(&mut self, key: &[u8]) -> Option<Uri> {
        let uri = self.uris.remove(key)?;
        self.order.remove(&uri.used);
        self.bytes -= uri.bytes;
        Some(uri)
    }
}

/// What an answer costs.
fn size(key: &[u8], object: &Object) -> u64 {
    let selection: usize = object.selection.iter().map(|(name, values)| name.len() + values.len()).sum();
    OVERHEAD + (2 * key.len() + object.head.len() + object.body.len() + selection) as u64
}
