//! Readers of events: where they begin, and what they are sent. And who sends to event hubs of namespaces.

use super::condition;
use super::device::UnderWay;
use super::driver::{Driver, Link, OUTGOING_BYTES_MAX};
use super::messages::{self, symbol};
use ::amqp::{Attach, Condition, Delivery, LinkId, Outcome, Value};
use bytes::Bytes;
use model::Timestamp;
use ops::devices::events::{From, Reader, Wish};
use ops::targets::event_hubs::Sender;
use std::collections::VecDeque;

const FILTER: &str = "apache.org:selector-filter:string";
/// The same by its number, as some clients have it.
const FILTER_CODE: u64 = 0x0000_468c_0000_0004;
const EPOCH: &str = "com.microsoft:epoch";
const NAME: &str = "com.microsoft:receiver-name";
/// With it each event says how far its partition reaches.
const RUNTIME_METRIC: &str = "com.microsoft:enable-receiver-runtime-metric";
/// Longest name of a reader, in characters.
const NAME_CHARS_MAX: usize = 128;
/// Longest filter.
const FILTER_BYTES_MAX: usize = 1_024;
/// Most events that one look takes.
const EVENTS_MAX: u32 = 256;

/// A link on which a service reads a partition.
pub(super) struct Events {
    pub(super) reader: Reader,
    pub(super) path: String,
    tells_newest: bool,
    /// What was read, and waits for credit or for room.
    read: VecDeque<Bytes>,
    number: u64,
}

impl Events {
    pub(super) fn new(reader: Reader, path: String, attach: &Attach) -> Self {
        let is_metric = |it: &Value| it.text() == Some(RUNTIME_METRIC);
        let tells_newest = match &attach.desired_capabilities {
            Value::Array(all) | Value::List(all) => all.iter().any(is_metric),
            one => is_metric(one),
        };
        Self { reader, path, tells_newest, read: VecDeque::new(), number: 0 }
    }

    /// True where something was read that is not sent yet.
    pub(super) fn waits(&self) -> bool {
        !self.read.is_empty()
    }
}

/// A link over which a client sends to an event hub of a namespace.
pub(super) struct EventSend {
    pub(super) sender: Sender,
    pub(super) path: String,
}

/// What a reader asks for: a filter by offset, sequence or time; an owner level; a name.
///
/// # Errors
/// The condition for a filter that is none of these.
pub(super) fn wish(attach: &Attach) -> Result<Wish, Condition> {
    let from = match attach.source.filter.as_ref().and_then(selector) {
        Some(text) => parse(text).ok_or_else(|| {
            let what = format!(
                "the filter `{}` is not understood; compare one of `amqp.annotation.x-opt-offset`, `-sequence-number` and \
                 `-enqueued-time` with a number by `>` or `>=`",
                crate::path::shown(text)
            );
            Condition::new("com.microsoft:argument-error", what)
        })?,
        None => From::Start,
    };
    let name = attach.properties.get(NAME).and_then(Value::text).unwrap_or(&attach.name);
    Ok(Wish {
        from,
        level: attach.properties.get(EPOCH).and_then(Value::signed),
        name: crate::path::shown(name).chars().take(NAME_CHARS_MAX).collect(),
    })
}

/// The text of a filter set's selector.
fn selector(filter: &Value) -> Option<&str> {
    let Value::Map(pairs) = filter else { return None };
    let (_, value) = pairs.iter().find(|(key, value)| {
        let is_code =
            matches!(value, Value::Described(both) if both.0 == Value::Ulong(FILTER_CODE));
        key.text() == Some(FILTER) || is_code
    })?;
    value.undescribed().text()
}

/// Reads `amqp.annotation.x-opt-offset > '-1'`. Source: the public client libraries.
fn parse(text: &str) -> Option<From> {
    if text.len() > FILTER_BYTES_MAX {
        return None;
    }
    let rest = text.trim().strip_prefix("amqp.annotation.")?;
    let at = rest.find('>')?;
    let (what, rest) = (rest.get(..at)?.trim(), rest.get(at + 1..)?);
    let (is_inclusive, value) = match rest.strip_prefix('=') {
        Some(value) => (true, value.trim()),
        None => (false, rest.trim()),
    };
    let value = value.strip_prefix('\'').and_then(|it| it.strip_suffix('\'')).unwrap_or(value);
    let number = || value.parse::<i64>().ok();
    // -1 is before all there is.
    let position = || Some(u64::try_from(number()?).ok());
    match what {
        "x-opt-offset" if value.eq_ignore_ascii_case("@latest") => Some(From::End),
        "x-opt-offset" => Some(match position()? {
            Some(offset) => From::Offset { offset, is_inclusive },
            None => From::Start,
        }),
        "x-opt-sequence-number" => Some(match position()? {
            Some(sequence) => From::Sequence { sequence, is_inclusive },
            None => From::Start,
        }),
        "x-opt-enqueued-time" | "x-opt-enqueuedtimeutc" => {
            Some(From::Time { ms: number()?, is_inclusive })
        }
        _ => None,
    }
}

impl Driver<'_> {
    /// Keeps the events of a transfer; it is settled once they are synced.
    pub(super) async fn events_sent(&mut self, link: LinkId, delivery: Delivery) {
        let Delivery { id, settled, format, payload, .. } = delivery;
        let Some(Link::EventSend(it)) = self.links.get_mut(&link) else { return };
        let events = match messages::to_event_hub(payload, format) {
            Ok(events) => events,
            Err(because) => {
                self.env.metrics.count_early_refusal(400);
                if !settled {
                    let because = messages::described(&because);
                    let why = Condition::new("com.microsoft:argument-error", because);
                    self.engine.settle(link, id, Outcome::Rejected(Some(why)));
                }
                return;
            }
        };
        match it.sender.send(self.env, events).await {
            Ok(sent) => {
                let deliveries = if settled { Vec::new() } else { vec![(link, id)] };
                self.under_way.push_back(UnderWay::of_link(link, sent, deliveries));
            }
            Err(ended) => self.drop_link(link, condition::of_end(&ended)).await,
        }
    }

    /// Sends a reader what comes next, as far as it has credit and there is room.
    pub(super) async fn pump_events(&mut self, link: LinkId) {
        let room = OUTGOING_BYTES_MAX.saturating_sub(self.outgoing_bytes());
        let Some(Link::Events(events)) = self.links.get_mut(&link) else { return };
        if let Err(ended) = events.reader.stands(self.env).await {
            return self.drop_link(link, condition::of_end(&ended)).await;
        }
        let credit = self.engine.credit(link).min(EVENTS_MAX);
        if events.read.is_empty() && credit > 0 && room > 0 {
            let count = usize::try_from(credit).unwrap_or(usize::MAX);
            let read = match events.reader.read(self.env, count).await {
                Ok(read) => read,
                Err(ended) => return self.drop_link(link, condition::of_end(&ended)).await,
            };
            let newest = events.tells_newest.then(|| events.reader.newest()).flatten();
            events.read.extend(read.into_iter().map(|it| {
                let mut message = messages::event(it);
                if let Some(newest) = newest {
                    message.delivery_annotations = metrics(newest, self.env.now());
                }
                message.write()
            }));
        }
        let mut sent = 0;
        while sent < room
            && self.engine.can_send(link)
            && let Some(payload) = events.read.pop_front()
        {
            sent += payload.len();
            events.number += 1;
            let tag = Bytes::copy_from_slice(&events.number.to_be_bytes());
            // Settled whatever the client asked for: readers settle nothing, and go on from an offset of their own.
            self.engine.send(link, tag, &payload, 0, true);
        }
    }
}

/// How far a partition reaches, beside an event of it.
fn metrics(newest: (u64, u64, Timestamp), now: Timestamp) -> Vec<(Value, Value)> {
    let (sequence, offset, time) = newest;
    vec![
        symbol("last_enqueued_sequence_number", Value::Long(sequence.cast_signed())),
        symbol("last_enqueued_offset", Value::String(offset.to_string())),
        symbol("last_enqueued_time_utc", Value::Timestamp(time.millis())),
        symbol("runtime_info_retrieval_time_utc", Value::Timestamp(now.millis())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_the_clients_are_understood() {
        let check =
            |text: &str, expected: Option<From>| assert_eq!(parse(text), expected, "{text}");
        check("amqp.annotation.x-opt-offset > '-1'", Some(From::Start));
        check("amqp.annotation.x-opt-offset > '@latest'", Some(From::End));
        let offset = |offset, is_inclusive| Some(From::Offset { offset, is_inclusive });
        check("amqp.annotation.x-opt-offset > '12'", offset(12, false));
        check("amqp.annotation.x-opt-offset >= 12", offset(12, true));
        let sequence = Some(From::Sequence { sequence: 5, is_inclusive: false });
        check("amqp.annotation.x-opt-sequence-number > '5'", sequence);
        let time = Some(From::Time { ms: 1_700_000_000_000, is_inclusive: false });
        check("amqp.annotation.x-opt-enqueued-time > '1700000000000'", time);
        check("amqp.annotation.x-opt-enqueuedtimeutc > 1700000000000", time);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "",
            "x-opt-offset > '1'",
            "amqp.annotation.x-opt-offset < '1'",
            "amqp.annotation.x-opt-offset > 'one'",
            "amqp.annotation.x-opt-offset > '1' OR 1=1",
            "amqp.annotation.x-opt-partition-key > '1'",
            "amqp.annotation.x-opt-enqueued-time > '99999999999999999999'",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let long = format!("amqp.annotation.x-opt-offset > '{}1'", "0".repeat(FILTER_BYTES_MAX));
        assert_eq!(parse(&long), None);
    }
}
