//! Who holds which message, for a while and in memory.

use super::LOCK_S;
use model::Timestamp;
use std::collections::HashMap;
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

    /// Locks a message unless somebody holds it.
    pub(super) fn take(
        &self,
        at: &(String, String),
        sequence: u64,
        token: Uuid,
        now: Timestamp,
    ) -> bool {
        let mut all = self.all();
        let locks = all.entry(at.clone()).or_default();
        locks.retain(|it| now < it.until);
        if locks.iter().any(|it| it.sequence == sequence) {
            return false;
        }
        locks.push(Lock { sequence, token, until: now.plus_seconds(LOCK_S) });
        true
    }

    /// Gives a lock up: which message it held, where it still did.
    pub(super) fn give_up(
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
