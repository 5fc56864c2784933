//! Who reads which partition of what devices have sent, and who has it alone.
//!
//! A reader may name an *owner level*, its epoch. One that does has the partition alone within its consumer
//! group: it ends those with a lower level, with the same, and with none, and stands until one comes with the
//! same or a higher level. Source: Event Hubs documentation, "Event consumers"; the public clients.

use model::Error;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Most readers of one partition in one consumer group, where nobody has it alone. Source: Event Hubs quotas.
pub const READERS_MAX: usize = 5;

/// Everybody who reads. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    places: BTreeMap<Place, Vec<Holder>>,
    last_number: u64,
}

/// What is read: a hub's uid, a consumer group in lower case, a partition.
pub(crate) type Place = (String, String, u16);

#[derive(Debug)]
struct Holder {
    number: u64,
    level: Option<i64>,
    name: String,
    stolen: watch::Sender<Option<String>>,
}

/// A reader's claim, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    readers: Readers,
    place: Place,
    number: u64,
    stolen: watch::Receiver<Option<String>>,
}

impl Readers {
    /// Lets a reader in; those that have to make room are told.
    ///
    /// # Errors
    /// [`Error::LinkStolen`] where a reader with a higher level is there, or one with any level and this one has
    /// none; [`Error::TooManyLinks`] past [`READERS_MAX`].
    pub(crate) fn claim(
        &self,
        place: Place,
        level: Option<i64>,
        name: &str,
    ) -> Result<Claim, Error> {
        let mut state = self.lock();
        let state = &mut *state;
        let holders = state.places.entry(place.clone()).or_default();
        let owner = holders.iter().find_map(|it| Some((it.level?, it.name.as_str())));
        match (level, owner) {
            (None, Some((theirs, by))) => {
                return Err(Error::LinkStolen {
                    message: format!(
                        "the reader `{by}` has this partition alone, with the owner level {theirs}: a reader without one \
                         is not let in"
                    ),
                });
            }
            (Some(mine), Some((theirs, by))) if theirs > mine => {
                return Err(Error::LinkStolen {
                    message: format!(
                        "the reader `{by}` has this partition alone, with the owner level {theirs}, which is higher than \
                         {mine}"
                    ),
                });
            }
            (None, None) if holders.len() >= READERS_MAX => {
                return Err(Error::TooManyLinks {
                    message: format!(
                        "{READERS_MAX} readers of this consumer group read this partition, and no more can"
                    ),
                });
            }
            (Some(mine), _) => {
                for it in holders.drain(..) {
                    it.stolen.send_replace(Some(format!(
                        "the reader `{name}` came with the owner level {mine}, and has this partition alone now"
                    )));
                }
            }
            (None, None) => {}
        }
        state.last_number += 1;
        let number = state.last_number;
        let (sender, stolen) = watch::channel(None);
        holders.push(Holder { number, level, name: name.to_owned(), stolen: sender });
        Ok(Claim { readers: self.clone(), place, number, stolen })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No critical section leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Why it is gone, where it is.
    pub(crate) fn lost(&self) -> Option<String> {
        self.stolen.borrow().clone()
    }

    /// Tells once it is.
    pub(crate) fn bell(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stolen = self.stolen.clone();
        async move {
            let _ = stolen.changed().await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.readers.lock();
        let Some(holders) = state.places.get_mut(&self.place) else { return };
        holders.retain(|it| it.number != self.number);
        if holders.is_empty() {
            state.places.remove(&self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: u16) -> Place {
        ("hub".into(), "$default".into(), partition)
    }

    #[test]
    fn a_higher_level_ends_all_others_of_its_place_and_a_lower_is_not_let_in() {
        let readers = Readers::default();
        let plain = readers.claim(place(0), None, "a").unwrap();
        let elsewhere = readers.claim(place(1), None, "a").unwrap();
        let first = readers.claim(place(0), Some(1), "b").unwrap();
        assert!(plain.lost().is_some_and(|it| it.contains("`b`")));
        assert_eq!((elsewhere.lost(), first.lost()), (None, None));
        for level in [None, Some(0)] {
            let refused = readers.claim(place(0), level, "c").unwrap_err();
            assert!(matches!(refused, Error::LinkStolen { .. }), "{level:?}");
        }
        // The same level takes over, as the last who comes.
        let second = readers.claim(place(0), Some(1), "d").unwrap();
        assert!(first.lost().is_some());
        drop(first);
        assert_eq!(second.lost(), None);
        assert!(readers.claim(place(0), None, "e").is_err());
        drop((second, plain, elsewhere));
        assert!(readers.lock().places.is_empty());
        assert!(readers.claim(place(0), None, "e").is_ok());
    }

    #[test]
    fn only_so_many_read_one_partition_in_one_group() {
        let readers = Readers::default();
        let claim = |partition| readers.claim(place(partition), None, "r");
        let held: Vec<Claim> = (0..READERS_MAX).map(|_| claim(0).unwrap()).collect();
        assert!(matches!(claim(0), Err(Error::TooManyLinks { .. })));
        assert!(claim(1).is_ok());
        let other = ("hub".to_owned(), "second".to_owned(), 0);
        assert!(readers.claim(other, None, "r").is_ok());
        drop(held);
        assert!(claim(0).is_ok());
    }
}
