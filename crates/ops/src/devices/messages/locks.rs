//! Who holds which message, for a while and in memory: those of devices, and those of queues of namespaces.

use model::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// Who holds which message. Clones of an environment share it.
#[derive(Debug, Default)]
pub struct Locks(Mutex<HashMap<(String, String), Vec<Lock>>>);

#[derive(Clone, Debug)]
struct Lock {
    sequence: u64,
    token: Uuid,
    until: Timestamp,
}

impl Locks {
    fn all(&self) -> MutexGuard<'_, HashMap<(String, String), Vec<Lock>>> {
        // No critical section leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which messages of a queue somebody holds.
    pub(crate) fn held(&self, at: &(String, String), now: Timestamp) -> BTreeSet<u64> {
        let all = self.all();
        let live = all.get(at).into_iter().flatten().filter(|it| now < it.until);
        live.map(|it| it.sequence).collect()
    }

    /// When the first lock of a queue ends, where there is one.
    pub(crate) fn next_end(&self, at: &(String, String)) -> Option<Timestamp> {
        self.all().get(at)?.iter().map(|it| it.until).min()
    }

    /// Forgets those of a queue whose time is over: true where there were such.
    pub(crate) fn forget_old(&self, at: &(String, String), now: Timestamp) -> bool {
        let mut all = self.all();
        let Some(locks) = all.get_mut(at) else { return false };
        let before = locks.len();
        locks.retain(|it| now < it.until);
        let are_fewer = locks.len() < before;
        if locks.is_empty() {
            all.remove(at);
        }
        are_fewer
    }

    /// Holds a message longer, where this lock still does.
    pub(crate) fn renew(
        &self,
        at: &(String, String),
        token: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> bool {
        let mut all = self.all();
        let mut live = all.get_mut(at).into_iter().flatten().filter(|it| now < it.until);
        let Some(lock) = live.find(|it| it.token == token) else { return false };
        lock.until = until;
        true
    }

    /// Locks a message unless somebody holds it.
    pub(crate) fn take(
        &self,
        at: &(String, String),
        sequence: u64,
        token: Uuid,
        now: Timestamp,
        until: Timestamp,
    ) -> bool {
        let mut all = self.all();
        let locks = all.entry(at.clone()).or_default();
        locks.retain(|it| now < it.until);
        if locks.iter().any(|it| it.sequence == sequence) {
            return false;
        }
        locks.push(Lock { sequence, token, until });
        true
    }

    /// Gives a lock up: which message it held, where it still did.
    pub(crate) fn give_up(
        &self,
        at: &(String, String),
        token: Uuid,
        now: Timestamp,
    ) -> Option<u64> {
        let mut all = self.all();
        let locks = all.get_mut(at)?;
        let index = locks.iter().position(|it| it.token == token)?;
        let lock = locks.remove(index);
        if locks.is_empty() {
            all.remove(at);
        }
        (now < lock.until).then_some(lock.sequence)
    }

    pub(super) fn forget(&self, at: &(String, String)) {
        self.all().remove(at);
    }
}
