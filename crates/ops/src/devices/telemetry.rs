//! What devices send: kept in the hub's log with where it goes, and acknowledged once it is synced.

use super::logs::{self, HubLog};
use super::message::routed::Source;
use super::named::Named;
use super::routing::{self, Routing};
use crate::env::Env;
use bytes::Bytes;
use gate::Permit;
use gate::facts::Hub;
use model::operations::Effect;
use model::{Error, Timestamp};
use store::log::{Append, Queued};

/// Messages that wait for their sync, in the order in which they were sent; none where none of them goes anywhere.
pub struct Sent(Option<Queued>);

impl Sent {
    /// Waits until all of them are on the disk.
    ///
    /// # Errors
    /// [`Error::Internal`] where they could not be written: nothing of them may be acknowledged.
    pub async fn synced(self) -> Result<(), Error> {
        let Some(queued) = self.0 else { return Ok(()) };
        queued.synced().await.map(drop).map_err(|it| logs::failed(&it))
    }
}

/// Puts records of one device, made by [`super::message::Draft`], behind those it sent before, each with where the
/// hub's routes take it. Waits while the log's queue is full.
///
/// # Errors
/// [`Error::Internal`] where the log takes nothing more, or the device's twin, which a route looks at, cannot be read.
pub(crate) async fn send(
    permit: &Permit,
    env: &Env,
    (hub, routing): (&Hub, Option<&Routing>),
    log: &HubLog,
    named: &Named,
    now: Timestamp,
    records: Vec<Bytes>,
) -> Result<Sent, Error> {
    debug_assert_eq!(permit.operation().effect, Effect::Appends);
    let records = match routing {
        None => records,
        Some(routing) => {
            let source = Source::DeviceMessages;
            Box::pin(routing::route(env, (hub, routing), Some(named), source, now, records)).await?
        }
    };
    append(log, named.device.as_str(), now, records).await
}

/// Puts records that have been routed behind those that the device sent before.
pub(super) async fn append(
    log: &HubLog,
    device: &str,
    now: Timestamp,
    records: Vec<Bytes>,
) -> Result<Sent, Error> {
    if records.is_empty() {
        return Ok(Sent(None));
    }
    let partition = partition_of(device, log.partitions);
    let time_ms = now.millis();
    let appends =
        records.into_iter().map(|payload| Append { partition, time_ms, payload }).collect();
    queue(log, appends).await
}

/// Puts records into a log. Waits while its queue is full.
///
/// # Errors
/// [`Error::Internal`] where the log takes nothing more.
pub(crate) async fn queue(log: &HubLog, appends: Vec<Append>) -> Result<Sent, Error> {
    log.log.queue(appends).await.map(|it| Sent(Some(it))).map_err(|it| logs::failed(&it))
}

/// All messages of a device are in one partition, so that they stay in order: FNV-1a of its id, and the last
/// steps of MurmurHash3 behind it, without which names that differ in a digit would crowd together.
pub(crate) fn partition_of(device: &str, partitions: u16) -> u16 {
    u16::try_from(hash_of(device) % u64::from(partitions.max(1))).unwrap_or_default()
}

/// The same number for the same text, for ever.
pub(crate) fn hash_of(text: &str) -> u64 {
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    #[test]
    fn devices_spread_over_all_partitions_and_keep_theirs() {
        let mut counts = [0_u32; 4];
        for number in 0..4_000 {
            let device = format!("device-{number}");
            let partition = partition_of(&device, 4);
            assert_eq!(partition, partition_of(&device, 4));
            counts[usize::from(partition)] += 1;
        }
        assert!(counts.iter().all(|it| (900..1_100).contains(it)), "{counts:?}");
        assert_eq!(partition_of("d", 1), 0);
        assert_eq!(partition_of("d", 0), 0);
    }
}
