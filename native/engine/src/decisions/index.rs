use std::collections::HashMap;
use std::sync::Arc;

use super::cache::EntryId;
use crate::api::Direction;

/// Where an entry is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) pod: Arc<str>,
    pub(super) direction: Direction,
}

/// Which entries read a key, over all pods: an invalidation costs what it touches.
#[derive(Debug, Default)]
pub(super) struct KeyIndex {
    readers: HashMap<Arc<str>, HashMap<EntryId, Place>>,
}

impl KeyIndex {
    pub(super) fn insert(&mut self, id: EntryId, place: &Place, keys: &[Arc<str>]) {
        for key in keys {
            let readers = self.readers.entry(key.clone()).or_default();
            readers.insert(id, place.clone());
        }
    }

    pub(super) fn remove(&mut self, id: EntryId, keys: &[Arc<str>]) {
        for key in keys {
            let Some(readers) = self.readers.get_mut(key) else {
                continue;
            };
            readers.remove(&id);
            if readers.is_empty() {
                self.readers.remove(key);
            }
        }
    }

    pub(super) fn readers(&self, key: &str) -> Vec<(EntryId, Place)> {
        let Some(readers) = self.readers.get(key) else {
            return Vec::new();
        };
        readers
            .iter()
            .map(|(id, place)| (*id, place.clone()))
            .collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }
}
