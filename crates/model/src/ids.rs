//! Names and ids that callers send, checked once at the edge.

use std::fmt;
use uuid::Uuid;

/// A device identity's name, unique in its hub.
///
/// 1 to 128 bytes of ASCII letters, digits and `- . % _ * ? ! ( ) , : = @ $ '`. Case-sensitive.
/// Source: IoT Hub developer guide, "Device identity properties".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DeviceId(Box<str>);

/// The text is not a device id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotADeviceId(pub Box<str>);

impl fmt::Display for NotADeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(140).collect();
        write!(
            f,
            "`{}` is not a device id: 1 to 128 of letters, digits and - . % _ * ? ! ( ) , : = @ $ '",
            shown.escape_debug()
        )
    }
}

impl std::error::Error for NotADeviceId {}

impl DeviceId {
    pub fn parse(text: &str) -> Result<Self, NotADeviceId> {
        let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-.%_*?!(),:=@$'".contains(&it);
        match text.len() {
            // `.` and `..` would be read as path steps by every URL library on the way back.
            1..=128 if text.bytes().all(allowed) && text != "." && text != ".." => {
                Ok(Self(text.into()))
            }
            _ => Err(NotADeviceId(text.into())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A directory object's id: what role assignments name. A GUID.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct ObjectId(pub Uuid);

impl ObjectId {
    pub fn parse(text: &str) -> Option<Self> {
        // Only the hyphenated form: the others are not what Azure accepts.
        (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten().map(Self)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The id in every answer by which its decision can be asked for.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct TrackingId(pub Uuid);

impl TrackingId {
    /// Reads the bare GUID, or the GUID inside the text that a client prints:
    /// `Tracking ID:{guid}-G:0-TimeStamp:...`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches("Tracking ID:").trim();
        text.get(..36).and_then(|it| Uuid::try_parse(it).ok()).map(Self)
    }
}

impl fmt::Display for TrackingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TrackingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_ids_are_checked_at_the_edge() {
        for good in ["a", "device1", "-.%_*?!(),:=@$'", &"x".repeat(128)] {
            assert!(DeviceId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a\0", "ä", "a#b", "a+b", &"x".repeat(129)] {
            assert!(DeviceId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tracking_id_is_found_in_what_clients_print() {
        let id = "3f0c0f5e-1111-4222-8333-444455556666";
        let expected = TrackingId::parse(id);
        assert!(expected.is_some());
        assert_eq!(
            TrackingId::parse(&format!("Tracking ID:{id}-G:0-TimeStamp:11/21/2026 10:00:00")),
            expected
        );
        assert_eq!(TrackingId::parse("nonsense"), None);
    }
}
