//! Why a message was not taken.

use crate::client::{EgressError, shortened, with_id};
use ::amqp::{Condition, Outcome};
use std::fmt;
use std::time::Duration;

/// What kind of no it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The target will never take this message: it is too long, or says what the target does not understand.
    Refused,
    /// There is nothing of the entity's name, or it is switched off or elsewhere.
    NotFound,
    /// The credential does not count, or does not count for this; or there is none.
    Unauthorized,
    /// The target wants us to come back.
    Throttled,
    /// Nobody answers, or who answers has to stop.
    Unreachable,
}

/// A no, in the words of the target where it has said some.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SendError {
    pub why: Why,
    /// The condition of AMQP, or the status by which a token was refused; empty where none came.
    pub condition: String,
    pub description: String,
    /// By which the target knows its decision.
    pub tracking_id: Option<String>,
    /// When the target wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.condition.as_str() {
            "" => f.write_str(&self.description),
            condition => write!(f, "{condition}: {}", self.description),
        }
    }
}

impl std::error::Error for SendError {}

const TRACKING: &str = "com.microsoft:tracking-id";
const RETRY_AFTER: &str = "retry-after";

impl SendError {
    /// The no as operators are shown it, with the id of the target's decision.
    pub fn told(&self) -> String {
        with_id(self, self.tracking_id.as_deref())
    }

    pub(super) fn new(why: Why, condition: &str, description: impl Into<String>) -> Self {
        Self {
            why,
            condition: condition.to_owned(),
            description: description.into(),
            tracking_id: None,
            retry_after: None,
        }
    }

    pub(super) fn unreachable(description: impl Into<String>) -> Self {
        Self::new(Why::Unreachable, "", description)
    }

    /// Why the target ended something.
    pub(super) fn of(condition: Option<Condition>) -> Self {
        let Some(Condition { condition, description, info }) = condition else {
            return Self::unreachable("the target has gone, and says nothing why");
        };
        let said = |name: &str| info.iter().find(|(key, _)| key == name).map(|(_, it)| it);
        let tracking_id = said(TRACKING).and_then(|it| it.text()).map(shortened);
        let retry_after = said(RETRY_AFTER).and_then(|it| it.unsigned()).map(Duration::from_secs);
        let description = shortened(&description.unwrap_or_default());
        let condition = shortened(&condition);
        Self { why: why(&condition), condition, description, tracking_id, retry_after }
    }

    /// What an outcome says of a message.
    pub(super) fn verdict(outcome: Option<Outcome>) -> Result<(), Self> {
        let later = |what: &str| Err(Self::new(Why::Throttled, "", what));
        match outcome {
            Some(Outcome::Accepted) => Ok(()),
            Some(Outcome::Rejected(Some(condition))) => Err(Self::of(Some(condition))),
            Some(Outcome::Rejected(None)) => {
                Err(Self::new(Why::Refused, "", "the target rejects the message and says not why"))
            }
            Some(Outcome::Released | Outcome::Modified { .. }) => {
                later("the target does not take the message now")
            }
            Some(Outcome::Other) | None => {
                later("the target does not say that it took the message")
            }
        }
    }
}

/// Sources: the standard, sections 2.8.14 to 2.8.18; Event Hubs and Service Bus, "AMQP error conditions".
fn why(condition: &str) -> Why {
    match condition {
        "amqp:unauthorized-access" | "com.microsoft:auth-failed" => Why::Unauthorized,
        // One that is elsewhere is not followed: where it leads was allowed by nobody.
        "amqp:not-found"
        | "amqp:link:redirect"
        | "amqp:connection:redirect"
        | "com.microsoft:entity-disabled" => Why::NotFound,
        "amqp:resource-limit-exceeded"
        | "com.microsoft:server-busy"
        | "com.microsoft:device-container-throttled"
        | "com.microsoft:quota-exceeded" => Why::Throttled,
        "amqp:link:message-size-exceeded"
        | "amqp:decode-error"
        | "amqp:invalid-field"
        | "amqp:not-allowed"
        | "amqp:not-implemented"
        | "amqp:precondition-failed"
        | "com.microsoft:argument-error"
        | "com.microsoft:argument-out-of-range"
        | "com.microsoft:precondition-failed" => Why::Refused,
        _ => Why::Unreachable,
    }
}

impl From<EgressError> for SendError {
    fn from(error: EgressError) -> Self {
        Self::unreachable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::SAID_BYTES_MAX;
    use ::amqp::Value;

    #[test]
    fn the_words_of_a_target_are_kept() {
        let busy = Condition::new("com.microsoft:server-busy", "come\r\nback")
            .with(RETRY_AFTER, Value::Uint(4))
            .with(TRACKING, Value::string("t-1"));
        let error = SendError::verdict(Some(Outcome::Rejected(Some(busy)))).unwrap_err();
        assert_eq!(error.why, Why::Throttled);
        assert_eq!(error.retry_after, Some(Duration::from_secs(4)));
        assert_eq!(error.tracking_id.as_deref(), Some("t-1"));
        assert_eq!(error.to_string(), "com.microsoft:server-busy: comeback");
        assert_eq!(error.told(), "com.microsoft:server-busy: comeback (its tracking id: t-1)");
        let long = Condition::new("amqp:internal-error", "é".repeat(SAID_BYTES_MAX));
        let kept = SendError::of(Some(long)).description;
        assert_eq!(kept.len(), SAID_BYTES_MAX);
    }

    #[test]
    fn each_outcome_has_its_verdict() {
        let rejected = |condition: &str| Outcome::Rejected(Some(Condition::new(condition, "")));
        let cases = [
            (Outcome::Accepted, None),
            (rejected("amqp:link:message-size-exceeded"), Some(Why::Refused)),
            (rejected("amqp:not-found"), Some(Why::NotFound)),
            (rejected("amqp:link:redirect"), Some(Why::NotFound)),
            (rejected("amqp:unauthorized-access"), Some(Why::Unauthorized)),
            (rejected("example:unheard-of"), Some(Why::Unreachable)),
            (Outcome::Rejected(None), Some(Why::Refused)),
            (Outcome::Released, Some(Why::Throttled)),
        ];
        for (outcome, expected) in cases {
            let why = SendError::verdict(Some(outcome.clone())).err().map(|it| it.why);
            assert_eq!(why, expected, "{outcome:?}");
        }
        assert!(SendError::verdict(None).is_err());
    }
}
