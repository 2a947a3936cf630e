//! What a process remembers between requests: never what only the table can know.

use std::{
    hash::Hash,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;

/// The most entries of a cache. The least recently used one goes first.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// A least-recently-used cache that clones share.
#[derive(Debug)]
pub(crate) struct Cache<K: Eq + Hash, V>(Arc<Mutex<LruCache<K, V>>>);

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.with(|entries| entries.get(key).cloned())
    }

    pub(crate) fn put(&self, key: K, value: V) {
        self.with(|entries| drop(entries.put(key, value)));
    }

    pub(crate) fn remove(&self, key: &K) {
        self.with(|entries| drop(entries.pop(key)));
    }

    fn with<T>(&self, access: impl FnOnce(&mut LruCache<K, V>) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Eq + Hash, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Eq + Hash, V> Default for Cache<K, V> {
    fn default() -> Self {
        // Grows with its entries: most processes see few keys.
        let mut entries = LruCache::unbounded();
        entries.resize(CAPACITY);
        Self(Arc::new(Mutex::new(entries)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_recently_used_entry_is_evicted_first() {
        let cache = Cache::default();
        for number in 0..CAPACITY.get() {
            cache.put(number, number);
        }
        assert_eq!(cache.get(&0), Some(0));
        cache.put(CAPACITY.get(), 0);
        assert_eq!((cache.get(&0), cache.get(&1)), (Some(0), None));
    }

    #[test]
    fn clones_share_their_entries() {
        let cache = Cache::default();
        cache.clone().put("key", 1);
        assert_eq!(cache.get(&"key"), Some(1));
        cache.clone().remove(&"key");
        assert_eq!(cache.get(&"key"), None);
    }
}
