//! A message to a device as it comes over HTTPS: an address of ours, for who has no AMQP at hand.

use super::messages::{self, Ack, Outgoing};
use super::registry::device_id;
use crate::env::Env;
use crate::input::{Input, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Permit;
use model::json::{member, text};
use model::{Error, Timestamp};
use serde_json::Value;

/// Most properties of a message.
const PROPERTIES_MAX: usize = 100;

/// `POST /devices/{device}/messages/deviceBound`.
pub(crate) async fn send(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let device = device_id(input.param("device"))?;
    messages::send(permit, &device, read(&input.body)?, env).await?;
    Ok(Reply::empty(204))
}

/// Reads `{"body", "base64Encoded", "properties", "messageId", "correlationId", "userId", "contentType",
/// "contentEncoding", "ack", "expiry"}`. The body is base64 unless `base64Encoded` is false, as in a batch of
/// messages from a device.
fn read(body: &Value) -> Result<Outgoing, Error> {
    let invalid = |at: &str, message: String| Error::DeviceInvalid { at: at.into(), message };
    if !body.is_object() {
        return Err(invalid("body", "a JSON object with `body` is required".into()));
    }
    let given = |name: &str| match member(body, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(it)) => Ok(Some(it.clone())),
        Some(_) => Err(invalid(name, "a text is expected".into())),
    };
    let payload = given("body")?.unwrap_or_default();
    let bytes = match member(body, "base64Encoded") {
        Some(Value::Bool(false)) => payload.into_bytes(),
        _ => STANDARD.decode(&payload).map_err(|_| {
            let message = "base64 is expected; for plain text say `\"base64Encoded\": false`";
            invalid("body", message.into())
        })?,
    };
    let ack = match text(body, &["ack"]) {
        None => Ack::None,
        Some(word) => Ack::parse(word)
            .ok_or_else(|| invalid("ack", "expected none, positive, negative or full".into()))?,
    };
    let expiry = match given("expiry")? {
        None => None,
        Some(it) => Some(Timestamp::parse(&it).ok_or_else(|| {
            invalid("expiry", "a time such as 2026-11-22T10:00:00Z is expected".into())
        })?),
    };
    Ok(Outgoing {
        message_id: given("messageId")?,
        correlation_id: given("correlationId")?,
        user_id: given("userId")?,
        content_type: given("contentType")?,
        content_encoding: given("contentEncoding")?,
        expiry,
        ack,
        properties: properties(body)?,
        body: bytes,
    })
}

fn properties(body: &Value) -> Result<Vec<(String, String)>, Error> {
    let invalid = |at: String, message: String| Error::DeviceInvalid { at, message };
    let all = match member(body, "properties") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(it)) if it.len() <= PROPERTIES_MAX => it,
        Some(_) => {
            let message = format!("an object of at most {PROPERTIES_MAX} texts is expected");
            return Err(invalid("properties".into(), message));
        }
    };
    all.iter()
        .map(|(name, value)| match value.as_str() {
            Some(it) if !name.is_empty() => Ok((name.clone(), it.to_owned())),
            Some(_) | None => {
                Err(invalid(format!("properties.{name}"), "a name and a text are expected".into()))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn place(body: Value) -> String {
        let Err(Error::DeviceInvalid { at, .. }) = read(&body) else { panic!("{body} was taken") };
        at
    }

    #[test]
    fn a_message_is_read_with_its_properties() {
        let all = json!({
            "body": "aGVsbG8=", "messageId": "m1", "ack": "Full", "expiry": "2026-11-22T10:00:00Z",
            "properties": { "a": "1", "b": "" },
        });
        let message = read(&all).unwrap();
        assert_eq!((message.body.as_slice(), message.ack), (&b"hello"[..], Ack::Full));
        assert_eq!(message.properties, [("a".into(), "1".into()), ("b".into(), String::new())]);
        assert!(message.expiry.is_some());
        assert_eq!(read(&json!({ "body": "hi!", "base64Encoded": false })).unwrap().body, b"hi!");
        assert_eq!(read(&json!({})).unwrap(), Outgoing::default());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(place(json!([])), "body");
        assert_eq!(place(json!({ "body": "hi!" })), "body");
        assert_eq!(place(json!({ "body": 1 })), "body");
        assert_eq!(place(json!({ "ack": "maybe" })), "ack");
        assert_eq!(place(json!({ "expiry": "soon" })), "expiry");
        assert_eq!(place(json!({ "messageId": 1 })), "messageId");
        assert_eq!(place(json!({ "properties": { "a": 1 } })), "properties.a");
        let many: serde_json::Map<String, Value> =
            (0..=PROPERTIES_MAX).map(|it| (it.to_string(), json!(""))).collect();
        assert_eq!(place(json!({ "properties": many })), "properties");
    }
}
