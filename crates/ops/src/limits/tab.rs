//! What a call at a hub counts as: looked at early, counted when it is admitted, and settled with its answer.

use super::{Amount, Limits, Meter, management};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::facts::Instance;
use model::json::{member, text};
use model::limits::{Class, Throttle};
use model::trace::{Caller, TraceHead};
use model::{Error, Operation};
use serde_json::Value;
use std::sync::Arc;

/// Bytes of a method's payload that count as one. Source: IoT Hub documentation, "IoT Hub quotas and throttling".
const METHOD_BYTES: u64 = 4_096;

/// What counts a call.
pub(crate) enum Tab {
    Hub(HubTab),
    Management(management::Tab),
}

/// A call's class, and the meter that counts it.
pub(crate) struct HubTab {
    meter: Arc<Meter>,
    class: &'static Class,
}

impl Limits {
    /// What a call counts as, where it is limited.
    pub(crate) fn tab(
        &self,
        operation: &Operation,
        instance: Option<Instance<'_>>,
        caller: &Caller,
        head: &TraceHead,
        env: &Env,
    ) -> Option<Tab> {
        let Some(instance) = instance else {
            let tab = self.management.tab(operation, caller, &head.channel);
            return tab.map(Tab::Management);
        };
        self.hubs.as_ref()?;
        let Instance::Hub(hub) = instance else { return None };
        let class = operation.throttled()?;
        Some(Tab::Hub(HubTab { meter: self.of(hub, env)?, class }))
    }
}

impl Tab {
    /// Whether there is room for one more. Takes nothing.
    ///
    /// # Errors
    /// [`Error::Limited`], [`Error::TooManyRequests`].
    pub(crate) fn look(&self, env: &Env) -> Result<(), Error> {
        match self {
            Self::Hub(it) => it.meter.look(it.class, env.now()),
            Self::Management(it) => env.limits.management.look(it, env.now()),
        }
    }

    /// Counts the call, with what it brings.
    ///
    /// # Errors
    /// As [`Tab::look`].
    pub(crate) fn spend(&self, input: &Input, env: &Env) -> Result<(), Error> {
        match self {
            Self::Hub(it) => it.spend(input, env),
            Self::Management(it) => env.limits.management.take(it, env.now()),
        }
    }

    /// Counts what the answer brings: it is only known now, and not refused any more.
    pub(crate) fn settle(&self, reply: Option<&Reply>, env: &Env) {
        match self {
            Self::Hub(it) => it.settle(reply, env),
            Self::Management(_) => {}
        }
    }
}

impl HubTab {
    fn spend(&self, input: &Input, env: &Env) -> Result<(), Error> {
        let bytes = match self.class.throttle {
            // Each message of a batch counts: `devices/by_https.rs`.
            Throttle::Sends => return Ok(()),
            Throttle::Methods => size(member(&input.body, "payload").unwrap_or(&input.body)),
            Throttle::CloudSends => message_bytes(&input.body),
            Throttle::TwinUpdates => size(&input.body),
            Throttle::Connects
            | Throttle::CloudReceives
            | Throttle::Identities
            | Throttle::TwinReads
            | Throttle::Queries
            | Throttle::Jobs
            | Throttle::JobDevices
            | Throttle::Configurations => 0,
        };
        let tokens = match self.class.throttle == Throttle::Methods {
            true => u64::try_from(bytes).unwrap_or(u64::MAX).div_ceil(METHOD_BYTES).max(1),
            false => 1,
        };
        let amount = Amount { tokens, messages: self.meter.messages(bytes), debt_ms: 0 };
        self.meter.take(self.class, amount, env.now())
    }

    fn settle(&self, reply: Option<&Reply>, env: &Env) {
        let bytes = || reply.and_then(|it| it.body.as_ref()).map_or(0, size);
        let more = match self.class.throttle {
            // A device that does not answer makes an answer, too.
            Throttle::Methods => self.meter.messages(bytes()),
            Throttle::TwinReads | Throttle::Queries => self.meter.messages(bytes()) - 1,
            Throttle::Connects
            | Throttle::Sends
            | Throttle::CloudSends
            | Throttle::CloudReceives
            | Throttle::Identities
            | Throttle::TwinUpdates
            | Throttle::Jobs
            | Throttle::JobDevices
            | Throttle::Configurations => 0,
        };
        if more > 0 {
            self.meter.charge(more, env.now());
        }
    }
}

/// Bytes of a value as JSON.
fn size(value: &Value) -> usize {
    value.to_string().len()
}

/// Bytes of a message to a device, as it will lie in its queue: body, properties and what clients say of it.
fn message_bytes(body: &Value) -> usize {
    let payload = text(body, &["body"]).unwrap_or("");
    let payload = match member(body, "base64Encoded") {
        Some(Value::Bool(false)) => payload.len(),
        Some(_) | None => payload.trim_end_matches('=').len() * 3 / 4,
    };
    let properties = member(body, "properties").and_then(Value::as_object).into_iter().flatten();
    let properties = properties.map(|(name, it)| name.len() + it.as_str().map_or(0, str::len));
    let said = ["messageId", "correlationId", "userId", "contentType", "contentEncoding"];
    let said = said.iter().filter_map(|it| text(body, &[it])).map(str::len);
    payload + properties.sum::<usize>() + said.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::error::HubFault;
    use model::operations::operation;
    use model::{Op, Timestamp};
    use serde_json::json;

    #[test]
    fn a_minutes_connections_are_let_in_and_looking_takes_none() {
        let meter = Meter::new("hub1", "S1x1".parse().unwrap(), 0);
        let class = operation(Op::ConnectDevice).throttled().unwrap();
        let now = Timestamp::from_millis(0);
        let one = Amount { tokens: 1, messages: 1, debt_ms: 0 };
        for _ in 0..6_000 {
            meter.look(class, now).unwrap();
            meter.take(class, one, now).unwrap();
        }
        for refused in [meter.look(class, now), meter.take(class, one, now)] {
            let Err(Error::Limited { fault, retry_after_s, message }) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!((fault, retry_after_s), (HubFault::Throttled, Some(1)));
            assert!(message.contains("6000 connections of devices a minute"), "{message}");
        }
        meter.take(class, one, Timestamp::from_millis(10)).unwrap();
        assert!(meter.take(class, one, Timestamp::from_millis(10)).is_err());
        // Connecting is no message.
        assert_eq!(meter.used(now), 0);
    }

    #[test]
    fn a_message_to_a_device_weighs_what_it_holds() {
        assert_eq!(message_bytes(&json!({})), 0);
        for (encoded, bytes) in [("", 0), ("YQ==", 1), ("YWI=", 2), ("YWJj", 3), ("YWJjZA==", 4)] {
            assert_eq!(message_bytes(&json!({ "body": encoded })), bytes, "{encoded}");
        }
        let plain = json!({ "body": "YQ==", "base64Encoded": false, "messageId": "m1",
            "properties": { "ab": "cde" } });
        assert_eq!(message_bytes(&plain), 4 + 2 + 5);
    }
}
