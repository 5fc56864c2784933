//! A message to a device as its sender wrote it.

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// What its sender wants to hear of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ack {
    #[default]
    None,
    Positive,
    Negative,
    Full,
}

impl Ack {
    /// Reads the word of `iothub-ack`.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::None, Self::Positive, Self::Negative, Self::Full];
        all.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(word))
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }
}

/// A message as its sender wrote it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outgoing {
    pub message_id: Option<String>,
    pub correlation_id: Option<String>,
    pub user_id: Option<String>,
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub expiry: Option<Timestamp>,
    pub ack: Ack,
    /// The sender's own properties, in order.
    pub properties: Vec<(String, String)>,
    /// Base64 in the document.
    #[serde(with = "base64_bytes")]
    pub body: Vec<u8>,
}

impl Outgoing {
    /// What counts against the size of a message.
    pub(super) fn bytes(&self) -> usize {
        let texts = [
            &self.message_id,
            &self.correlation_id,
            &self.user_id,
            &self.content_type,
            &self.content_encoding,
        ];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let properties: usize =
            self.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        texts + properties + self.body.len()
    }
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
