//! Messages of devices as they lie in a hub's log.

use bytes::Bytes;
use ops::devices::message::routed::{EVENTS, is_for};
use ops::devices::message::{Message, Sender};

/// The bytes are the payload of a record. Reading them does not panic, and a message that was read is written
/// again to one that says the same, or to one that no device could have sent. Whom it is for is told without reading
/// it as by reading it.
pub fn message(bytes: &[u8]) {
    let record = Bytes::copy_from_slice(bytes);
    let Some(message) = Message::parse(&record) else { return };
    let sender = Sender::new(&message.device, &message.module, &message.generation, message.auth);
    let mut draft = sender.message(message.body.len());
    let system = message.system.iter().try_for_each(|(which, it)| draft.system(*which, it));
    let mut properties = message.application.iter();
    let application = properties.try_for_each(|(name, it)| draft.application(name, it.as_deref()));
    let (Ok(()), Ok(())) = (system, application) else { return };
    let Ok(again) = draft.finish(&message.body) else { return };
    let again = match &message.routed {
        Some(routed) => routed.record(message.source, &again),
        None => again,
    };
    let to = message.routed.as_ref().map_or(&[EVENTS][..], |it| &it.to);
    for endpoint in [EVENTS, 1, 7] {
        let is_read = Message::parse_for(&record, endpoint).is_some();
        assert!(
            is_for(bytes, endpoint) == to.contains(&endpoint) && is_read == to.contains(&endpoint)
        );
    }
    assert_eq!(Message::parse(&again), Some(message));
}
