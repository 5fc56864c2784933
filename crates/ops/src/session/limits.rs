//! What a session uses up of what its hub takes, where that is limited.

use super::{Ended, Session};
use crate::env::Env;
use crate::limits::{Amount, Meter, QUEUE_MS};
use bytes::Bytes;
use model::limits::Throttle;
use model::{Error, Timestamp};

/// A message that its hub has room for: only these are sent.
#[derive(Debug)]
pub struct Weighed(Bytes);

impl Weighed {
    pub(super) fn record(self) -> Bytes {
        self.0
    }
}

impl Session {
    /// Counts a message of the device, made with [`Session::sender`].
    ///
    /// # Errors
    /// Why the session is over: the hub has no room for the message. Those that were counted before can still be
    /// sent.
    pub fn weigh(&self, env: &Env, record: Bytes) -> Result<Weighed, Ended> {
        if let Some(meter) = &self.meter {
            self.count(meter, std::iter::once(&record), env)
                .map_err(|it| Ended::Refused(Box::new((it, env.new_tracking_id()))))?;
        }
        Ok(Weighed(record))
    }

    /// Counts messages that came together, where the device can be told that they were not taken.
    ///
    /// # Errors
    /// The hub has no room for all of them, and takes none.
    pub fn weigh_all(&self, env: &Env, records: Vec<Bytes>) -> Result<Vec<Weighed>, Error> {
        if let Some(meter) = self.meter.as_ref().filter(|_| !records.is_empty()) {
            self.count(meter, records.iter(), env)?;
        }
        Ok(records.into_iter().map(Weighed).collect())
    }

    fn count<'a>(
        &self,
        meter: &Meter,
        records: impl Iterator<Item = &'a Bytes>,
        env: &Env,
    ) -> Result<(), Error> {
        // What the hub itself says of the sender is not the device's to pay.
        let own = self.sender.bytes() + 1;
        let bytes = records.map(|it| it.len().saturating_sub(own));
        meter.send(bytes, QUEUE_MS, env.now())
    }

    /// Until when a front should read nothing more from the device: more has come from devices than the hub takes.
    pub fn held_until(&self, env: &Env) -> Option<Timestamp> {
        let meter = self.meter.as_ref()?;
        let now = env.now();
        let wait_ms = Some(meter.hold_up_ms(now)).filter(|it| *it > 0)?;
        meter.count_held_up();
        Some(Timestamp::from_millis(now.millis().saturating_add(wait_ms)))
    }

    /// Counts something that the device does, with the bytes that it brings.
    pub(super) fn spend(&self, env: &Env, what: Throttle, bytes: usize) -> Result<(), Error> {
        let Some(meter) = &self.meter else { return Ok(()) };
        let amount = Amount { tokens: 1, messages: meter.messages(bytes), debt_ms: 0 };
        meter.take(what.class(), amount, env.now())
    }

    /// Counts what an answer to the device brings: as a message it is counted already.
    pub(super) fn settled(&self, env: &Env, answer: impl FnOnce() -> usize) {
        if let Some(meter) = &self.meter {
            meter.charge(meter.messages(answer()) - 1, env.now());
        }
    }
}
