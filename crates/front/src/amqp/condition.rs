//! Why something ends, in the words of AMQP.

use ::amqp::{Condition, Value};
use model::{Error, TrackingId};
use ops::call::Answer;
use ops::session::Ended;

/// The key under which clients look for the id of the decision.
const TRACKING: &str = "com.microsoft:tracking-id";
/// And for the seconds after which to try again.
const RETRY_AFTER: &str = "retry-after";

pub(super) fn of(error: &Error, tracking: TrackingId) -> Condition {
    let condition = Condition::new(error.amqp_condition(), error.wire().message)
        .with(TRACKING, Value::string(tracking.to_string()));
    match error.retry_after_s() {
        Some(after_s) => condition.with(RETRY_AFTER, Value::Ulong(after_s)),
        None => condition,
    }
}

/// Of an answer that is a refusal.
pub(super) fn of_answer(answer: &Answer) -> Condition {
    match &answer.error {
        Some(error) => of(error, answer.tracking),
        None => Condition::new("amqp:internal-error", "the call was not answered as it should"),
    }
}

/// Of what is over on our side.
pub(super) fn of_end(ended: &Ended) -> Condition {
    match ended {
        Ended::Orderly | Ended::Gone(_) => {
            Condition::new("amqp:connection:forced", "the server is stopping")
        }
        Ended::Misbehaved(it) => Condition::new("amqp:not-allowed", it.rule.clone()),
        Ended::TakenOver => {
            Condition::new("amqp:link:stolen", "another session of the device began")
        }
        Ended::Closed => Condition::new("amqp:not-found", "the hub was deleted"),
        Ended::Refused(refused) => of(&refused.0, refused.1),
        Ended::Failed(_) => Condition::new("amqp:internal-error", "the server failed"),
    }
}

/// Nothing lies at an address. Source: IoT Hub error codes, 404006 AmqpAddressNotFound.
pub(super) fn no_such_address(address: &str) -> Condition {
    let shown = crate::path::shown(address);
    Condition::new("amqp:not-found", format!("no link of this kind leads to `{shown}`"))
}
