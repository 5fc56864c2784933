//! A request of a device with one message or many, to the records that the hub's log keeps.
//!
//! What is said of a message stands in headers or, for each of a batch, in its `properties`, under the same names:
//! `iothub-app-...` is the sender's own. Names compare without regard to case, as headers do.
//! Source: IoT Hub REST reference, "Send Device Event"; the public device clients.

use crate::devices::message::{Draft, MESSAGE_BYTES_MAX, NotAMessage, Sender, SystemProperty};
use crate::input::Input;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::Error;
use model::error::HubFault;
use model::json::member;
use serde_json::Value;

/// The media type of a batch.
const BATCH: &str = "application/vnd.microsoft.iothub.json";
/// Most messages of a batch. Their bytes have a limit of their own, which is that of one message.
const BATCH_MESSAGES_MAX: usize = 1_000;

/// What stands before the name of a sender's own property.
const OWN: &str = "iothub-app-";
const SYSTEM: &[(&str, SystemProperty)] = &[
    ("iothub-messageid", SystemProperty::MessageId),
    ("iothub-correlationid", SystemProperty::CorrelationId),
    ("iothub-userid", SystemProperty::UserId),
    ("iothub-contenttype", SystemProperty::ContentType),
    ("iothub-contentencoding", SystemProperty::ContentEncoding),
    ("iothub-to", SystemProperty::To),
    ("iothub-expiry", SystemProperty::AbsoluteExpiry),
    ("iothub-creation-time-utc", SystemProperty::CreationTime),
    ("iothub-interface-id", SystemProperty::InterfaceId),
    ("dt-subject", SystemProperty::Subject),
];

/// Reads the messages of a request, each as the log keeps it.
///
/// # Errors
/// [`HubFault::MessageTooLarge`] past [`MESSAGE_BYTES_MAX`], which holds for all of a batch together; otherwise
/// [`Error::DeviceInvalid`] with the place that is wrong. Nothing of the request is kept then.
pub(super) fn records(input: &Input, sender: &Sender) -> Result<Vec<Bytes>, Error> {
    if is_batch(input) {
        return batch(&input.raw, sender);
    }
    let mut draft = sender.message(input.raw.len());
    for (name, value) in &input.headers.message {
        put(&mut draft, name, value).map_err(|it| refused(name, &it))?;
    }
    Ok(vec![draft.finish(&input.raw).map_err(|it| refused("body", &it))?])
}

fn is_batch(input: &Input) -> bool {
    let media = input.headers.content_type.as_deref().unwrap_or("");
    media.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case(BATCH)
}

/// How many messages a request brings. What cannot be read counts as one: it is refused in any case.
pub(super) fn count(input: &Input) -> usize {
    match is_batch(input).then(|| model::json::parse(&input.raw)) {
        Some(Ok(Value::Array(all))) => all.len().max(1),
        Some(_) | None => 1,
    }
}

fn put(draft: &mut Draft, name: &str, value: &str) -> Result<(), NotAMessage> {
    let own = name.get(..OWN.len()).filter(|it| it.eq_ignore_ascii_case(OWN));
    if own.is_some() {
        return draft.application(name.get(OWN.len()..).unwrap_or(""), Some(value));
    }
    match SYSTEM.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((_, which)) => draft.system(*which, value),
        None if name.eq_ignore_ascii_case("iothub-ack") => {
            draft.application("iothub-ack", Some(value))
        }
        // What clients say of themselves, and what only means something to another request.
        None => Ok(()),
    }
}

fn refused(at: &str, because: &NotAMessage) -> Error {
    match because {
        NotAMessage::TooLong => Error::hub(HubFault::MessageTooLarge, because.to_string()),
        NotAMessage::TooManyProperties
        | NotAMessage::Name
        | NotAMessage::Twice(_)
        | NotAMessage::Reserved(_) => invalid(at, because.to_string()),
    }
}

fn invalid(at: impl Into<String>, message: impl Into<String>) -> Error {
    Error::DeviceInvalid { at: at.into(), message: message.into() }
}

/// `[{"body": "<base64>", "properties": {...}, "base64Encoded": true}, ...]`.
fn batch(bytes: &[u8], sender: &Sender) -> Result<Vec<Bytes>, Error> {
    let parsed = model::json::parse(bytes)
        .map_err(|it| invalid("body", format!("not JSON that can be taken: {it}")))?;
    let Value::Array(all) = parsed else {
        return Err(invalid("body", "a list of messages is expected"));
    };
    if !(1..=BATCH_MESSAGES_MAX).contains(&all.len()) {
        let sentence = format!("a batch has 1 to {BATCH_MESSAGES_MAX} messages");
        return Err(invalid("body", sentence));
    }
    let records: Vec<Bytes> =
        all.iter().enumerate().map(|(at, it)| one(it, at, sender)).collect::<Result<_, _>>()?;
    let bytes: usize = records.iter().map(Bytes::len).sum();
    let overhead = records.len() * (sender.bytes() + 1);
    match bytes.saturating_sub(overhead) <= MESSAGE_BYTES_MAX {
        true => Ok(records),
        false => Err(Error::hub(
            HubFault::MessageTooLarge,
            format!("a batch takes at most {MESSAGE_BYTES_MAX} bytes with all properties"),
        )),
    }
}

fn one(message: &Value, index: usize, sender: &Sender) -> Result<Bytes, Error> {
    let at = |name: &str| format!("[{index}].{name}");
    let Some(Value::String(text)) = member(message, "body") else {
        return Err(invalid(at("body"), "a text is required"));
    };
    let body = match member(message, "base64Encoded") {
        Some(Value::Bool(false)) => text.clone().into_bytes(),
        None | Some(Value::Null | Value::Bool(true)) => STANDARD.decode(text).map_err(|_| {
            let sentence = "base64 is expected; for plain text say `\"base64Encoded\": false`";
            invalid(at("body"), sentence)
        })?,
        Some(_) => return Err(invalid(at("base64Encoded"), "true or false is expected")),
    };
    let mut draft = sender.message(body.len());
    match member(message, "properties") {
        None | Some(Value::Null) => {}
        Some(Value::Object(all)) => {
            for (name, value) in all {
                let place = || at(&format!("properties.{name}"));
                let text = value.as_str().ok_or_else(|| invalid(place(), "a text is expected"))?;
                put(&mut draft, name, text).map_err(|it| refused(&place(), &it))?;
            }
        }
        Some(_) => return Err(invalid(at("properties"), "an object of texts is expected")),
    }
    draft.finish(&body).map_err(|it| refused(&at("body"), &it))
}

#[cfg(test)]
mod tests;
