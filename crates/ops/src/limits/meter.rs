//! What one hub has left: a bucket for each class, and the messages of the day.

use super::bucket::Bucket;
use super::day::Day;
use super::places::Places;
use model::error::HubFault;
use model::limits::{Class, Sku, THROTTLES, Throttle};
use model::{Error, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How much may be lent to devices that are slowed down for it: their messages wait for so long at most.
pub(crate) const QUEUE_MS: i64 = 10_000;

/// The meter of a hub.
#[derive(Debug)]
pub(crate) struct Meter {
    /// The hub's name.
    pub(super) hub: String,
    pub(super) sku: Sku,
    /// In the order of [`THROTTLES`].
    counted: Vec<Counted>,
    day: Mutex<Day>,
    pub(super) places: Places,
    pub(super) over_quota: AtomicU64,
    pub(super) held_up: AtomicU64,
}

/// One class.
#[derive(Debug)]
struct Counted {
    bucket: Mutex<Bucket>,
    taken: AtomicU64,
    refused: AtomicU64,
}

/// So much of a class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) tokens: u64,
    /// Of those that a day has.
    pub(crate) messages: u64,
    /// How much may be lent, as time of the rate.
    pub(crate) debt_ms: i64,
}

impl Meter {
    pub(super) fn new(hub: &str, sku: Sku, now_ms: i64) -> Self {
        let counted = |class: &Class| Counted {
            bucket: Mutex::new(Bucket::new(class.per_minute(sku).unwrap_or(0), now_ms)),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        Self {
            hub: hub.to_owned(),
            sku,
            counted: THROTTLES.iter().map(counted).collect(),
            day: Mutex::default(),
            places: Places::default(),
            over_quota: AtomicU64::new(0),
            held_up: AtomicU64::new(0),
        }
    }

    /// Whether one more of a class would be let in now. Takes nothing.
    ///
    /// # Errors
    /// As [`Meter::take`].
    pub(crate) fn look(&self, class: &Class, now: Timestamp) -> Result<(), Error> {
        let messages = u64::from(class.is_metered);
        let one = Amount { tokens: 1, messages, debt_ms: 0 };
        self.ask(class, one, now, Bucket::look)?;
        match self.used(now).saturating_add(messages) <= self.sku.messages_per_day() {
            true => Ok(()),
            // Says since when it is over.
            false => self.count(messages, now),
        }
    }

    /// Lets an amount in, all of it or nothing.
    ///
    /// # Errors
    /// [`Error::Limited`]: the edition does not have the class, it comes too fast, or the day's messages are over.
    pub(crate) fn take(&self, class: &Class, amount: Amount, now: Timestamp) -> Result<(), Error> {
        self.ask(class, amount, now, Bucket::take)?;
        if class.is_metered {
            self.count(amount.messages, now)?;
        }
        if let Some(counted) = self.counted(class) {
            counted.taken.fetch_add(amount.tokens, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Lets messages of a device in, by their bytes: all of them or none.
    ///
    /// # Errors
    /// As [`Meter::take`].
    pub(crate) fn send(
        &self,
        bytes: impl Iterator<Item = usize>,
        debt_ms: i64,
        now: Timestamp,
    ) -> Result<(), Error> {
        let (mut tokens, mut messages) = (0, 0);
        for it in bytes {
            tokens += 1;
            messages += self.messages(it);
        }
        self.take(Throttle::Sends.class(), Amount { tokens, messages, debt_ms }, now)
    }

    fn ask(
        &self,
        class: &Class,
        amount: Amount,
        now: Timestamp,
        how: fn(&mut Bucket, u64, u64, i64, i64) -> Result<(), i64>,
    ) -> Result<(), Error> {
        let Some(rate) = class.per_minute(self.sku) else { return Err(self.lacks(class)) };
        let Some(counted) = self.counted(class) else { return Ok(()) };
        let mut bucket = counted.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        how(&mut bucket, rate, amount.tokens, amount.debt_ms, now.millis()).map_err(|wait_ms| {
            counted.refused.fetch_add(1, Ordering::Relaxed);
            let wait_s = seconds(wait_ms);
            Error::Limited {
                fault: HubFault::Throttled,
                message: format!(
                    "the hub takes {rate} {} a minute (edition {}) and has had more; call again in {wait_s} s",
                    class.says, self.sku
                ),
                retry_after_s: Some(wait_s),
            }
        })
    }

    fn counted(&self, class: &Class) -> Option<&Counted> {
        self.counted.get(class.throttle as usize)
    }

    fn lacks(&self, class: &Class) -> Error {
        Error::Limited {
            fault: HubFault::NotInEdition,
            message: format!("a hub of the edition {} has no {}", self.sku, class.says),
            retry_after_s: None,
        }
    }

    /// Counts messages of the day.
    fn count(&self, messages: u64, now: Timestamp) -> Result<(), Error> {
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        day.take(self.sku, messages, now.millis()).map_err(|wait_ms| {
            self.over_quota.fetch_add(1, Ordering::Relaxed);
            Error::Limited {
                fault: HubFault::QuotaExceeded,
                message: format!(
                    "the hub takes {} messages a day (edition {}, a message for each {} bytes) and has no room for {} more; the next day begins at 00:00 UTC",
                    self.sku.messages_per_day(),
                    self.sku,
                    self.sku.edition.message_bytes(),
                    messages
                ),
                retry_after_s: Some(seconds(wait_ms)),
            }
        })
    }

    /// Counts messages that are there already, also past the day's last.
    pub(crate) fn charge(&self, messages: u64, now: Timestamp) {
        let mut day = self.day.lock().unwrap_or_else(PoisonError::into_inner);
        day.charge(messages, now.millis());
    }

    /// As how many messages so many bytes count.
    pub(crate) fn messages(&self, bytes: usize) -> u64 {
        self.sku.messages(bytes)
    }

    /// For how many milliseconds nothing more should be read from a device that has just sent.
    pub(crate) fn hold_up_ms(&self, now: Timestamp) -> i64 {
        let class = Throttle::Sends.class();
        let rate = class.per_minute(self.sku).unwrap_or(0);
        self.counted(class).map_or(0, |it| {
            let mut bucket = it.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.debt_ms(rate, now.millis())
        })
    }

    pub(crate) fn count_held_up(&self) {
        self.held_up.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages so far today.
    pub(super) fn used(&self, now: Timestamp) -> u64 {
        self.day.lock().unwrap_or_else(PoisonError::into_inner).used(now.millis())
    }

    /// Each class with what it has let in, and how often it refused.
    pub(super) fn read(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        THROTTLES.iter().zip(&self.counted).map(|(class, it)| {
            (class.name, it.taken.load(Ordering::Relaxed), it.refused.load(Ordering::Relaxed))
        })
    }
}

/// Whole seconds, one at least: clients that come earlier would be early.
fn seconds(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).div_ceil(1_000).max(1)
}
