//! The message that puts a token.

use super::error::{SendError, Why};
use super::{Credential, Endpoint};
use ::amqp::{Body, Message, Properties, Value};
use model::Timestamp;
use std::time::Duration;

/// How long a signature that is made here holds.
const LIFETIME_S: i64 = 3_600;
/// So long before its end a token is renewed, or when a quarter of its time is left.
const EARLY: Duration = Duration::from_secs(300);

/// A token as it goes over the wire. Opens what the credential opens.
pub(super) struct Put {
    kind: &'static str,
    audience: String,
    text: String,
    pub(super) expiry: Timestamp,
    /// When it is renewed.
    pub(super) renewal: Timestamp,
}

pub(super) async fn of(
    credential: &Credential,
    endpoint: &Endpoint,
    now: Timestamp,
) -> Result<Put, SendError> {
    // A partition is its hub's.
    let entity = endpoint.entity.split("/Partitions/").next().unwrap_or_default();
    let audience = format!("sb://{}/{}", endpoint.host, entity.trim_start_matches('/'));
    let (kind, text, expiry) = match credential {
        Credential::Key { name, key } => {
            let expiry = Timestamp::from_seconds(now.seconds() + LIFETIME_S);
            let resource = wire::sas::resource_text(&audience);
            // The key's text is the key, base64 or not. Source: Event Hubs and Service Bus clients.
            let text = wire::sas::sign(&resource, key.reveal().as_bytes(), expiry, Some(name));
            ("servicebus.windows.net:sastoken", text, expiry)
        }
        Credential::Token(source) => {
            let none = |why: String| SendError::new(Why::Unauthorized, "", why);
            let token = source.token().await.map_err(none)?;
            ("jwt", token.text.reveal().clone(), token.expiry)
        }
    };
    let early = i64::try_from(EARLY.as_secs()).unwrap_or(i64::MAX);
    let early = early.min((expiry.seconds() - now.seconds()).max(0) / 4);
    let renewal = Timestamp::from_seconds(expiry.seconds() - early);
    Ok(Put { kind, audience, text, expiry, renewal })
}

impl Put {
    pub(super) fn message(&self, id: u64, reply_to: &str) -> Message {
        let pair = |name: &str, value: &str| (Value::string(name), Value::string(value));
        Message {
            properties: Properties {
                message_id: Value::string(id.to_string()),
                reply_to: Some(reply_to.to_owned()),
                ..Properties::default()
            },
            application: vec![
                pair("operation", "put-token"),
                pair("type", self.kind),
                pair("name", &self.audience),
                (Value::string("expiration"), Value::Timestamp(self.expiry.seconds() * 1_000)),
            ],
            body: Body::Value(Value::string(self.text.as_str())),
            ..Message::default()
        }
    }
}
