//! What happened to a device, a page at a time: for whoever asks why it is not connected.

use super::events::bounds;
use super::journal::Entry;
use super::logs;
use super::named::Named;
use super::registry::{hub_of, read, shard};
use super::telemetry::partition_of;
use super::watching;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::{Error, Timestamp};
use serde_json::{Value, json};
use store::log::Start;

/// Most entries of a page, most records that one is looked for among, and how many are read at a time.
const PAGE_ENTRIES_MAX: usize = 500;
const LOOK_RECORDS_MAX: usize = 50_000;
const READ_RECORDS_MAX: usize = 5_000;
const READ_BYTES_MAX: usize = 4 << 20;

/// `GET /devices/{device}/story?from=FROM`: its entries in the hub's journal and those of its modules, oldest first,
/// from `earliest`, a number or a time on. `next` is where the next page begins; the last has none.
///
/// # Errors
/// [`Error::DeviceInvalid`] for `from`; [`Error::DeviceNotFound`] where there is no device and nothing is told of one.
pub(crate) async fn tell(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let device = named.device.as_str();
    let hub = hub_of(permit, env)?;
    let mut from = watching::from(input.query("from").unwrap_or("earliest"))?;
    let journal = env.journals.of(&hub, env).await?;
    let partition = partition_of(device, journal.partitions);
    let end = bounds(&journal, partition)?.next_sequence;
    let (mut entries, mut looked) = (Vec::new(), 0);
    let next = loop {
        let read = journal.log.read(partition, from, READ_RECORDS_MAX, READ_BYTES_MAX).await;
        let records = read.map_err(|it| logs::failed(&it))?;
        let mut next = None;
        for record in &records {
            next = Some(record.position.sequence.saturating_add(1));
            if let Some(mut entry) = Entry::of_device(device, &record.payload) {
                entry.twin = None;
                entries.push(shown(&entry, Timestamp::from_millis(record.time_ms))?);
            }
            if entries.len() == PAGE_ENTRIES_MAX {
                break;
            }
        }
        looked += records.len();
        let Some(next) = next.filter(|it| *it < end) else { break None };
        if entries.len() == PAGE_ENTRIES_MAX || looked >= LOOK_RECORDS_MAX {
            break Some(next);
        }
        from = Start::Sequence(next);
    };
    let is_there = read(env, &shard(&hub)?, &named).await?.is_some();
    if entries.is_empty() && next.is_none() && !is_there {
        return Err(named.not_found());
    }
    let connected = env.presence.connected_since(&hub.uid, device);
    Ok(Reply::ok(json!({
        "deviceId": device,
        "exists": is_there,
        "connectedSince": connected.map(Timestamp::rfc3339),
        "entries": entries,
        "next": next,
    })))
}

/// An entry with its time in front.
fn shown(entry: &Entry, time: Timestamp) -> Result<Value, Error> {
    let mut shown = json!({ "time": time.rfc3339() });
    let unreadable = |it: serde_json::Error| Error::Internal {
        message: format!("an entry of the journal: {it}"),
    };
    if let (Value::Object(all), Value::Object(more)) =
        (&mut shown, serde_json::to_value(entry).map_err(unreadable)?)
    {
        all.extend(more);
    }
    Ok(shown)
}
