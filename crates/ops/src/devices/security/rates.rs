//! How many messages devices have sent in this minute, where a policy limits that.

use gate::facts::Hub;
use model::{DeviceId, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Most devices that are counted in a minute. Past them a device counts as one that has sent too much: what is not
/// counted is not allowed either.
const DEVICES_MAX: usize = 1 << 20;
const MINUTE_MS: i64 = 60_000;

/// The counts of the minute that runs, by the server's clock.
#[derive(Debug, Default)]
pub struct Rates(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    minute: i64,
    /// By the hub's uid and the device.
    sent: HashMap<(String, String), u32>,
}

impl Rates {
    /// Counts messages of a device or its modules, over whatever they came: how many it has sent in this minute then.
    pub(crate) fn count(
        &self,
        hub: &Hub,
        device: &DeviceId,
        messages: usize,
        now: Timestamp,
    ) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.millis().div_euclid(MINUTE_MS);
        if counts.minute != minute {
            counts.minute = minute;
            counts.sent.clear();
        }
        let key = (hub.uid.clone(), device.as_str().to_owned());
        if counts.sent.len() >= DEVICES_MAX && !counts.sent.contains_key(&key) {
            return u32::MAX;
        }
        let sent = counts.sent.entry(key).or_default();
        *sent = sent.saturating_add(u32::try_from(messages).unwrap_or(u32::MAX));
        *sent
    }
}
