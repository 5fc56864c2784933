//! What a connected device still has to answer: messages that it was handed, methods that were called.

use ops::devices::messages::LOCK_S;
use ops::devices::methods::MethodAnswer;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

/// Most messages that a device is handed before it acknowledges the first.
pub(super) const MESSAGES_MAX: usize = 16;
/// Most methods that a device has under way.
pub(super) const METHODS_MAX: usize = 64;

/// Messages that the device was handed, by the packets' ids.
#[derive(Debug, Default)]
pub(super) struct Handed {
    last: u16,
    all: BTreeMap<u16, (Uuid, Instant)>,
}

impl Handed {
    pub(super) fn has_room(&self) -> bool {
        self.all.len() < MESSAGES_MAX
    }

    /// The id of the packet for a message.
    pub(super) fn add(&mut self, lock: Uuid, now: Instant) -> u16 {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.all.contains_key(&self.last) {
                self.all.insert(self.last, (lock, now));
                return self.last;
            }
        }
    }

    /// The message that a packet had.
    pub(super) fn lock(&self, id: u16) -> Option<Uuid> {
        self.all.get(&id).map(|(lock, _)| *lock)
    }

    /// Forgets a message that is settled. Until then it is to be given back where the connection ends.
    pub(super) fn settled(&mut self, id: u16) {
        self.all.remove(&id);
    }

    /// When the first of them may be handed out again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let first = self.all.values().map(|(_, since)| *since).min();
        first.map(|it| it + Self::held_for())
    }

    /// Forgets what the device did not acknowledge in time: true where there was any.
    pub(super) fn forget_old(&mut self, now: Instant) -> bool {
        let before = self.all.len();
        self.all.retain(|_, (_, since)| now < *since + Self::held_for());
        self.all.len() < before
    }

    /// What is still to be settled.
    pub(super) fn locks(&self) -> Vec<Uuid> {
        self.all.values().map(|(lock, _)| *lock).collect()
    }

    /// Just longer than the lock.
    fn held_for() -> Duration {
        Duration::from_secs(u64::try_from(LOCK_S).unwrap_or(60) + 1)
    }
}

/// Methods that the device has not answered, by the number in their topics.
#[derive(Debug, Default)]
pub(super) struct Called {
    last: u64,
    all: BTreeMap<u64, oneshot::Sender<MethodAnswer>>,
}

impl Called {
    /// The number of a method; `None` where the device has as many under way as it can.
    pub(super) fn add(&mut self, answer: oneshot::Sender<MethodAnswer>) -> Option<u64> {
        // Who called may have given up.
        self.all.retain(|_, it| !it.is_closed());
        if self.all.len() >= METHODS_MAX {
            return None;
        }
        self.last += 1;
        self.all.insert(self.last, answer);
        Some(self.last)
    }

    /// Hands an answer to who waits for it. An answer that nobody waits for is none.
    pub(super) fn answered(&mut self, request_id: &str, answer: MethodAnswer) {
        let waiting = u64::from_str_radix(request_id, 16).ok().and_then(|it| self.all.remove(&it));
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ids_are_used_again_only_once_they_are_free() {
        let mut handed = Handed::default();
        let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let id = handed.add(first, Instant::now());
        handed.last = 0;
        assert_ne!(handed.add(second, Instant::now()), id);
        assert_eq!(handed.lock(id), Some(first));
        assert!(handed.locks().contains(&first));
        handed.settled(id);
        assert_eq!((handed.lock(id), handed.locks()), (None, vec![second]));
        handed.last = u16::MAX;
        assert_eq!(handed.add(first, Instant::now()), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_acknowledged_in_time_is_forgotten() {
        let mut handed = Handed::default();
        handed.add(Uuid::from_u128(1), Instant::now());
        assert!(!handed.forget_old(Instant::now()));
        tokio::time::advance(Handed::held_for()).await;
        assert!(handed.forget_old(Instant::now()));
        assert_eq!((handed.locks(), handed.next_look()), (Vec::new(), None));
    }

    #[test]
    fn one_past_the_most_methods_is_not_called() {
        let mut called = Called::default();
        let mut waiting: Vec<_> = (0..METHODS_MAX)
            .map(|_| {
                let (sender, answer) = oneshot::channel();
                assert!(called.add(sender).is_some());
                answer
            })
            .collect();
        assert_eq!(called.add(oneshot::channel().0), None);
        let answer = MethodAnswer { status: 200, payload: serde_json::Value::Null };
        called.answered("2", answer.clone());
        called.answered("2", answer.clone());
        called.answered("nonsense", answer.clone());
        assert_eq!(waiting[1].try_recv().ok(), Some(answer));
        let (sender, _gone) = oneshot::channel();
        assert_eq!(called.add(sender), Some(u64::try_from(METHODS_MAX).unwrap() + 1));
    }
}
