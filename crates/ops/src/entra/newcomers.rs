//! How late what answers knows who is new in the directory, where that is told to take time: as in Entra, where a
//! service principal that was just made cannot sign in everywhere yet, and its first token is not known everywhere.
//!
//! Who is new is kept in memory alone: a restart knows everybody.

use crate::propagation::{DELAY_S_MAX, Propagation};
use model::trace::Caller;
use model::{ObjectId, Timestamp, TrackingId};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Who is remembered as new at a time; of more, some are known at once.
const NEWCOMERS_MAX: usize = 10_000;

/// Service principals that not everybody knows yet.
#[derive(Debug, Default)]
pub struct Newcomers {
    lag: Propagation,
    since: Mutex<BTreeMap<ObjectId, Timestamp>>,
}

impl Newcomers {
    pub fn new(lag: Propagation) -> Self {
        Self { lag, since: Mutex::default() }
    }

    /// Somebody was made.
    pub(super) fn note(&self, id: ObjectId, now: Timestamp) {
        if self.lag.is_off() {
            return;
        }
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|_, it| now < it.plus_seconds(i64::from(DELAY_S_MAX)));
        if since.len() < NEWCOMERS_MAX {
            since.insert(id, now);
        }
    }

    /// For how many seconds more the replica that a call meets does not know its caller.
    pub(crate) fn unseen_s(
        &self,
        caller: &Caller,
        call: TrackingId,
        now: Timestamp,
    ) -> Option<i64> {
        self.unknown_s(caller.object_id?, call, now)
    }

    /// The same of somebody whom a call is about.
    pub(crate) fn unknown_s(&self, id: ObjectId, call: TrackingId, now: Timestamp) -> Option<i64> {
        let replica = self.lag.replica(call)?;
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner).get(&id)?;
        let left_s = since.plus_seconds(i64::from(replica.delay_s)).seconds() - now.seconds();
        (left_s > 0).then_some(left_s)
    }
}
