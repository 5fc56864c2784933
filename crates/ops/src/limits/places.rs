//! Places for devices and modules: as many as the edition has.
//!
//! The registry is counted once, and then again only when as many more have come as had room by that count. Nobody
//! has to tell who was deleted.

use super::Meter;
use crate::control::unread;
use crate::env::Env;
use model::Error;
use model::error::HubFault;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::{ShardId, tables};

#[derive(Debug, Default)]
pub(super) struct Places {
    state: Mutex<State>,
    /// One counts at a time.
    counting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// How many more may come before it has to be counted again.
    room: u64,
    /// How many were let in and may not be in the registry yet.
    under_way: u64,
}

impl State {
    fn take(&mut self, wanted: u64) -> bool {
        let fits = wanted <= self.room;
        if fits {
            self.room -= wanted;
            self.under_way += wanted;
        }
        fits
    }
}

/// Room for some who are on their way into the registry: to be kept until they are there.
#[must_use]
pub(crate) struct Place {
    meter: Arc<Meter>,
    count: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.meter.places.state();
        state.under_way = state.under_way.saturating_sub(self.count);
    }
}

impl Places {
    fn state(&self) -> MutexGuard<'_, State> {
        // No critical section leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for so many more in a hub's registry.
///
/// # Errors
/// [`HubFault::QuotaExceeded`] where there is none. No time helps.
pub(super) async fn take(
    meter: &Arc<Meter>,
    wanted: usize,
    shard: &ShardId,
    env: &Env,
) -> Result<Place, Error> {
    let count = u64::try_from(wanted).unwrap_or(u64::MAX);
    let places = &meter.places;
    let place = || Place { meter: Arc::clone(meter), count };
    if places.state().take(count) {
        return Ok(place());
    }
    let _turn = places.counting.lock().await;
    let before = {
        let mut state = places.state();
        // Somebody else may have counted since.
        if state.take(count) {
            return Ok(place());
        }
        // Who comes while it is counted would be in neither number.
        state.room = 0;
        state.under_way
    };
    let mut there = before;
    for table in [tables::DEVICES, tables::MODULES] {
        there += env.store.count(shard, table).await.map_err(|it| unread(&it))?;
    }
    let most = meter.sku.edition.identities_max();
    let mut state = places.state();
    state.room = most.saturating_sub(there);
    match state.take(count) {
        true => Ok(place()),
        false => Err(Error::Limited {
            fault: HubFault::QuotaExceeded,
            message: format!(
                "the hub has {there} of the {most} devices and modules that it can have (edition {}); delete some",
                meter.sku
            ),
            retry_after_s: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Change, Expect, Write};

    async fn put(env: &Env, shard: &ShardId, id: &str) {
        let change = Change {
            table: tables::DEVICES,
            key: id.to_owned(),
            expect: Expect::Absent,
            write: Write::Put(b"{}".to_vec().into()),
        };
        env.store.commit(shard, vec![change]).await.unwrap();
    }

    #[tokio::test]
    async fn a_hub_takes_as_many_as_it_can_have_also_when_they_come_together() {
        let env = crate::test_env::env();
        let shard = ShardId::hub("hub1").unwrap();
        let meter = Arc::new(Meter::new("hub1", "F1".parse().unwrap(), 0));
        for number in 0..498 {
            put(&env, &shard, &format!("device{number}")).await;
        }
        let first = take(&meter, 1, &shard, &env).await.unwrap();
        let second = take(&meter, 1, &shard, &env).await.unwrap();
        // Neither is in the registry yet.
        let refused = take(&meter, 1, &shard, &env).await;
        assert!(matches!(
            refused.err(),
            Some(Error::Limited { fault: HubFault::QuotaExceeded, retry_after_s: None, .. })
        ));
        put(&env, &shard, "first").await;
        drop(first);
        // The second changed its mind.
        drop(second);
        assert!(take(&meter, 2, &shard, &env).await.is_err());
        let third = take(&meter, 1, &shard, &env).await.unwrap();
        put(&env, &shard, "third").await;
        drop(third);
        assert!(take(&meter, 1, &shard, &env).await.is_err());
    }
}
