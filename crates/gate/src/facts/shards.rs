//! A map whose versions share what did not change: two steps of arrays lead to a small table, and a change
//! copies one array of each step and one table. Found with fewer steps through memory than in a tree.

use super::Quick;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

/// How many there are of each step: 4,096 tables.
const WIDTH: usize = 64;

type Table<K, V> = HashMap<Hashed<K>, V, BuildHasherDefault<Told>>;
type Row<K, V> = Vec<Arc<Table<K, V>>>;

#[derive(Clone, Debug)]
pub(super) struct Shards<K, V> {
    rows: Arc<Vec<Arc<Row<K, V>>>>,
    state: Quick,
}

/// A key with its hash, which both steps and the table go by.
#[derive(Clone, Debug)]
struct Hashed<K> {
    hash: u64,
    key: K,
}

impl<K> Hash for Hashed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K: PartialEq> PartialEq for Hashed<K> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<K: Eq> Eq for Hashed<K> {}

/// Hands on the hash that it is told.
#[derive(Default)]
struct Told(u64);

impl Hasher for Told {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|it| self.0 = self.0.rotate_left(8) ^ u64::from(*it));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let row: Arc<Row<K, V>> = Arc::new(vec![Arc::default(); WIDTH]);
        Self { rows: Arc::new(vec![row; WIDTH]), state: Quick::default() }
    }
}

/// Bits in the middle: the table takes those at both ends.
fn steps(hash: u64) -> (usize, usize) {
    let [_, _, row, table, ..] = hash.to_be_bytes();
    (usize::from(row) % WIDTH, usize::from(table) % WIDTH)
}

impl<K: Copy + Eq + Hash, V: Clone> Shards<K, V> {
    fn hashed(&self, key: K) -> Hashed<K> {
        Hashed { hash: self.state.hash_one(key), key }
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        let key = self.hashed(key);
        let (row, table) = steps(key.hash);
        self.rows.get(row)?.get(table)?.get(&key)
    }

    /// To change what a key has: made where it has nothing.
    pub(super) fn entry(&mut self, key: K, made: impl FnOnce() -> V) -> Option<&mut V> {
        let key = self.hashed(key);
        Some(self.table(key.hash)?.entry(key).or_insert_with(made))
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let key = self.hashed(key);
        if let Some(table) = self.table(key.hash) {
            table.insert(key, value);
        }
    }

    pub(super) fn remove(&mut self, key: K) {
        let key = self.hashed(key);
        if let Some(table) = self.table(key.hash) {
            table.remove(&key);
        }
    }

    /// In place, where no other version has it.
    fn table(&mut self, hash: u64) -> Option<&mut Table<K, V>> {
        let (row, table) = steps(hash);
        let row = Arc::make_mut(&mut self.rows).get_mut(row)?;
        Some(Arc::make_mut(Arc::make_mut(row).get_mut(table)?))
    }

    /// In no order that means anything.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.iter().flat_map(|it| it.iter()).flat_map(|it| it.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_keeps_what_it_had_when_the_next_changes() {
        let mut all: Shards<u32, u32> = Shards::default();
        (0..10_000).for_each(|it| all.insert(it, it));
        let before = all.clone();
        all.remove(3);
        all.insert(4, 0);
        *all.entry(5, || 0).unwrap() += 1;
        *all.entry(10_000, || 7).unwrap() += 1;
        let seen = |it: &Shards<u32, u32>| [3, 4, 5, 10_000].map(|key| it.get(key).copied());
        assert_eq!(seen(&before), [Some(3), Some(4), Some(5), None]);
        assert_eq!(seen(&all), [None, Some(0), Some(6), Some(8)]);
        assert_eq!((before.values().count(), all.values().count()), (10_000, 10_000));
        assert_eq!(before.values().sum::<u32>(), (0..10_000).sum::<u32>());
    }
}
