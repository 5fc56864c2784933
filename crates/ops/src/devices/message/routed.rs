//! The part of a record that a hub writes which routes: from which source the message is, to which endpoints it goes,
//! and what the hub adds to it for which of them.
//!
//! It stands in front of what the record of a hub without routes begins with, so that routing copies a record and reads
//! it but never writes it anew. The form is in `docs/reference/log-format.md`.

use super::{Message, PROPERTIES_MAX, take_array, take_long, take_text};
use bytes::Bytes;

/// Of a record with this part.
pub const VERSION: u8 = 2;
/// The number of the built-in endpoint; those of a hub's own endpoints are drawn.
pub const EVENTS: u32 = 0;
/// Most endpoints of one message: those that a hub can have, see `routing/body.rs`, and the built-in one.
pub const DESTINATIONS_MAX: usize = 16;

/// What a route takes messages from. The number is the one in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Source {
    /// What devices and modules send.
    DeviceMessages = 0,
    TwinChangeEvents = 1,
    DeviceLifecycleEvents = 2,
    DeviceConnectionStateEvents = 3,
    DeviceJobLifecycleEvents = 4,
}

impl Source {
    pub const ALL: [Self; 5] = [
        Self::DeviceMessages,
        Self::TwinChangeEvents,
        Self::DeviceLifecycleEvents,
        Self::DeviceConnectionStateEvents,
        Self::DeviceJobLifecycleEvents,
    ];

    /// As routes name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceMessages => "DeviceMessages",
            Self::TwinChangeEvents => "TwinChangeEvents",
            Self::DeviceLifecycleEvents => "DeviceLifecycleEvents",
            Self::DeviceConnectionStateEvents => "DeviceConnectionStateEvents",
            Self::DeviceJobLifecycleEvents => "DeviceJobLifecycleEvents",
        }
    }

    /// What its messages say that they are: `iothub-message-schema`. Those of devices say nothing.
    pub const fn schema(self) -> Option<&'static str> {
        match self {
            Self::DeviceMessages => None,
            Self::TwinChangeEvents => Some("twinChangeNotification"),
            Self::DeviceLifecycleEvents => Some("deviceLifecycleNotification"),
            Self::DeviceConnectionStateEvents => Some("deviceConnectionStateNotification"),
            Self::DeviceJobLifecycleEvents => Some("deviceJobLifecycleNotification"),
        }
    }

    /// The annotation `iothub-message-source` of its messages.
    pub const fn annotation(self) -> &'static str {
        match self {
            Self::DeviceMessages => "Telemetry",
            Self::TwinChangeEvents => "twinChangeEvents",
            Self::DeviceLifecycleEvents => "deviceLifecycleEvents",
            Self::DeviceConnectionStateEvents => "deviceConnectionStateEvents",
            Self::DeviceJobLifecycleEvents => "deviceJobLifecycleEvents",
        }
    }
}

/// What the hub made of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routed {
    /// The numbers of the endpoints that it goes to, at most [`DESTINATIONS_MAX`].
    pub to: Vec<u32>,
    pub enrichments: Vec<Enrichment>,
}

/// A property that the hub adds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Enrichment {
    /// A bit for each place in [`Routed::to`] that gets it.
    pub at: u16,
    pub name: String,
    pub value: String,
}

impl Routed {
    /// The record of a message of `source`, from the record that its sender made.
    pub fn record(&self, source: Source, record: &Bytes) -> Bytes {
        let behind = record.get(1..).unwrap_or_default();
        let added = |it: &Enrichment| 8 + it.name.len() + it.value.len();
        let room = 4 + 4 * self.to.len() + self.enrichments.iter().map(added).sum::<usize>();
        let mut bytes = Vec::with_capacity(room + behind.len());
        let count = |count: usize| u8::try_from(count).unwrap_or(u8::MAX);
        bytes.extend([VERSION, source as u8, count(self.to.len())]);
        self.to.iter().for_each(|it| bytes.extend(it.to_le_bytes()));
        bytes.push(count(self.enrichments.len()));
        for it in &self.enrichments {
            bytes.extend(it.at.to_le_bytes());
            bytes.extend(u16::try_from(it.name.len()).unwrap_or(u16::MAX).to_le_bytes());
            bytes.extend(it.name.as_bytes());
            bytes.extend(u32::try_from(it.value.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(it.value.as_bytes());
        }
        bytes.extend(behind);
        bytes.into()
    }
}

/// Reads what stands behind the version.
pub(super) fn take(rest: &mut &[u8]) -> Option<(Source, Routed)> {
    let (source, to) = take_destinations(rest)?;
    let [count] = take_array(rest)?;
    if usize::from(count) > PROPERTIES_MAX {
        return None;
    }
    let mut enrichments = Vec::new();
    for _ in 0..count {
        let at = u16::from_le_bytes(take_array(rest)?);
        let length = u16::from_le_bytes(take_array(rest)?);
        let name = take_text(rest, usize::from(length))?;
        enrichments.push(Enrichment { at, name, value: take_long(rest)? });
    }
    Some((source, Routed { to, enrichments }))
}

fn take_destinations(rest: &mut &[u8]) -> Option<(Source, Vec<u32>)> {
    let [source, count] = take_array(rest)?;
    let source = *Source::ALL.iter().find(|it| **it as u8 == source)?;
    if usize::from(count) > DESTINATIONS_MAX {
        return None;
    }
    let to = (0..count).map(|_| take_array(rest).map(u32::from_le_bytes));
    Some((source, to.collect::<Option<_>>()?))
}

/// True where the message of a record goes to an endpoint: looked up without reading the message.
pub fn is_for(record: &[u8], endpoint: u32) -> bool {
    let mut rest = record;
    match take_array(&mut rest) {
        Some([VERSION]) => {
            take_destinations(&mut rest).is_some_and(|(_, to)| to.contains(&endpoint))
        }
        Some(_) | None => endpoint == EVENTS,
    }
}

impl Message {
    /// The message as an endpoint gets it, with what the hub adds for that; `None` where it does not go there, or the
    /// record is none. What the hub adds stands in place of what the device calls the same.
    pub fn parse_for(record: &Bytes, endpoint: u32) -> Option<Self> {
        if !is_for(record, endpoint) {
            return None;
        }
        let mut message = Self::parse(record)?;
        let Some(routed) = message.routed.take() else { return Some(message) };
        let place = routed.to.iter().position(|it| *it == endpoint)?;
        for it in routed.enrichments {
            if it.at.checked_shr(u32::try_from(place).ok()?).unwrap_or(0) & 1 == 1 {
                message.application.retain(|(name, _)| !name.eq_ignore_ascii_case(&it.name));
                message.application.push((it.name, Some(it.value)));
            }
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AuthMethod, Sender};
    use super::*;

    fn record() -> Bytes {
        let mut draft = Sender::new("pump-1", "", "7", AuthMethod::DeviceKey).message(1);
        draft.application("Site", Some("forged")).unwrap();
        draft.finish(b"x").unwrap()
    }

    fn enrichment(at: u16, name: &str) -> Enrichment {
        Enrichment { at, name: name.to_owned(), value: "north".to_owned() }
    }

    #[test]
    fn a_message_is_read_by_those_that_it_goes_to_with_what_the_hub_adds_for_them() {
        let enrichments = vec![enrichment(0b10, "site"), enrichment(0b11, "plant")];
        let routed = Routed { to: vec![EVENTS, 300], enrichments };
        let written = routed.record(Source::DeviceMessages, &record());
        let plain = Message::parse(&record()).unwrap();
        let whole = Message::parse(&written).unwrap();
        assert_eq!(whole, Message { routed: Some(routed), ..plain });

        let own = |endpoint| Message::parse_for(&written, endpoint).map(|it| it.application);
        let property = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let events = own(EVENTS).unwrap();
        assert_eq!(events, [property("Site", "forged"), property("plant", "north")]);
        assert_eq!(own(300).unwrap(), [property("site", "north"), property("plant", "north")]);
        for other in [1, 30, 3_000] {
            assert_eq!(own(other), None, "{other}");
        }
    }

    #[test]
    fn a_record_of_before_goes_to_the_built_in_endpoint_alone() {
        assert!(is_for(&record(), EVENTS) && !is_for(&record(), 1));
        assert_eq!(Message::parse_for(&record(), EVENTS), Message::parse(&record()));
    }

    #[test]
    fn a_message_for_nobody_is_read_by_nobody() {
        let written = Routed::default().record(Source::TwinChangeEvents, &record());
        assert_eq!(Message::parse(&written).unwrap().source, Source::TwinChangeEvents);
        assert_eq!(Message::parse_for(&written, EVENTS), None);
    }

    #[test]
    fn every_cut_of_it_breaks_nothing_and_what_is_past_a_limit_is_no_record() {
        let to: Vec<u32> = (0..16).collect();
        let routed = Routed { to: to.clone(), enrichments: vec![enrichment(1, "a")] };
        let written = routed.record(Source::DeviceMessages, &record());
        assert!(Message::parse(&written).is_some());
        let head = written.len() - 1;
        for length in 0..head {
            assert_eq!(Message::parse(&written.slice(..length)), None, "{length}");
        }
        let one_more = Routed { to: (0..17).collect(), ..routed };
        assert_eq!(Message::parse(&one_more.record(Source::DeviceMessages, &record())), None);
        let mut unknown = written.to_vec();
        unknown[1] = 9;
        assert_eq!(Message::parse(&unknown.into()), None);
    }
}
