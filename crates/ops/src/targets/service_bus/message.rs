//! A message of a queue, as it comes, as it is kept and as it is found; and what its queue's ARM resource says.

use crate::resources::fields::duration_seconds;
use bytes::Bytes;
use gate::facts::Entity;
use model::Timestamp;
use model::json::{at, text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest hold of a message. Source: Service Bus, "Message transfers, locks, and settlement".
const LOCK_S_MAX: u64 = 300;
/// Longest reason that a message is put aside for, and its description, in characters.
const REASON_CHARS_MAX: usize = 4_096;
/// Pages that are looked through for what has expired, before somebody else has a turn.
const SWEPT_PAGES_MAX: u32 = 4;

/// Where in a queue a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Active,
    /// Put aside: it could not be delivered, or was rejected.
    Dead,
}

impl Part {
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Active => "a",
            Self::Dead => "d",
        }
    }
}

/// What is known of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Known {
    pub(super) sequence: u64,
    pub(super) enqueued: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<Timestamp>,
    /// How often it was handed out.
    pub(super) deliveries: u32,
    pub(super) bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dead: Option<Dead>,
}

/// Why a message was put aside.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dead {
    pub reason: Option<String>,
    pub description: Option<String>,
}

impl Dead {
    pub fn of(reason: &str, description: &str) -> Self {
        let short = |it: &str| it.chars().take(REASON_CHARS_MAX).collect::<String>();
        let text = |it: &str| (!it.is_empty()).then(|| short(it));
        Self { reason: text(reason), description: text(description) }
    }
}

/// How much a queue holds, and the last number given.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) last: u64,
}

/// What its ARM resource says of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) lock_s: i64,
    /// `None` where messages do not end by themselves.
    ttl_s: Option<i64>,
    pub(super) buries_expired: bool,
    pub(super) deliveries_max: u32,
    /// `None` for a subscription, which its topic bounds.
    pub(super) bytes_max: Option<u64>,
}

impl Rules {
    pub(super) fn of(entity: &Entity) -> Self {
        let is = |name: &str| at(&entity.properties, &[name]).and_then(Value::as_bool);
        let number = |name: &str| at(&entity.properties, &[name]).and_then(Value::as_u64);
        let seconds = |name: &str| text(&entity.properties, &[name]).and_then(duration_seconds);
        let lock_s = seconds("lockDuration").unwrap_or(60).clamp(1, LOCK_S_MAX);
        Self {
            lock_s: lock_s.cast_signed(),
            ttl_s: seconds("defaultMessageTimeToLive").and_then(|it| i64::try_from(it).ok()),
            buries_expired: is("deadLetteringOnMessageExpiration").unwrap_or(false),
            deliveries_max: number("maxDeliveryCount")
                .and_then(|it| u32::try_from(it).ok())
                .unwrap_or(10),
            bytes_max: number("maxSizeInMegabytes").map(|it| it << 20),
        }
    }

    /// When a message ends that may live so long: the shorter of both counts.
    pub(super) fn expires(&self, ttl_ms: Option<u32>, now: Timestamp) -> Option<Timestamp> {
        let own = ttl_ms.map(i64::from);
        let all = [self.ttl_s.map(|it| it.saturating_mul(1_000)), own];
        let shortest = all.into_iter().flatten().min()?;
        let end = now.millis().checked_add(shortest)?;
        // What ends behind the last day that can be written does not end.
        (end < LAST_MS).then(|| Timestamp::from_millis(end))
    }
}

/// The end of the year 9999.
const LAST_MS: i64 = 253_402_300_799_000;

/// A message as it is sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The whole message, encoded.
    pub payload: Bytes,
    /// How long it may wait, in milliseconds.
    pub ttl_ms: Option<u32>,
}

/// A message that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub sequence: u64,
    pub enqueued: Timestamp,
    pub expires: Option<Timestamp>,
    /// How often it was handed out before.
    pub deliveries: u32,
    pub dead: Option<Dead>,
    /// The whole message, as it was sent.
    pub payload: Bytes,
}

/// What becomes of a message that was received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settlement {
    Complete,
    /// To be delivered again, and counted.
    Abandon,
    /// To be delivered again as if it had not been handed out.
    Release,
    /// To be put aside.
    Bury(Dead),
}

/// What somebody who receives takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    pub(super) count: usize,
    pub(super) bytes: usize,
    /// They are settled by being handed out.
    pub(super) removes: bool,
    /// Looks at so much, and no more.
    pub(super) pages_max: Option<u32>,
}

impl Look {
    /// For what nobody gets any more, in some pages.
    pub(super) fn for_old() -> Self {
        Self { pages_max: Some(SWEPT_PAGES_MAX), ..Self::default() }
    }
}
