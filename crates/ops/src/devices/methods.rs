//! Methods: a service calls, a connected device answers. Nothing is kept.

use super::named::Named;
use super::presence::{Interest, Invocation, NotTold, Notice};
use super::registry::{hub_of, read, shard};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::Error;
use model::error::HubFault;
use model::json::{member, text};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

/// Most bytes of JSON of a payload, to the device or back. Source: IoT Hub quotas and throttling.
pub const PAYLOAD_BYTES_MAX: usize = 128 << 10;
const NAME_BYTES_MAX: usize = 128;
/// How long a device may take to answer. Source: IoT Hub developer guide, "Understand and invoke direct methods".
const RESPONSE_S: RangeInclusive<u64> = 5..=300;
const RESPONSE_S_DEFAULT: u64 = 30;
/// How long to wait for a device that is not connected.
const CONNECT_S: RangeInclusive<u64> = 0..=300;

/// A method to invoke, checked.
pub(crate) struct Wanted {
    name: String,
    payload: Value,
    response: Duration,
    connect: Duration,
}

/// What a device answered.
#[derive(Clone, PartialEq, Debug)]
pub struct MethodAnswer {
    /// The device's own number, not ours.
    pub status: i64,
    pub payload: Value,
}

impl Wanted {
    /// Reads `{"methodName", "payload", "responseTimeoutInSeconds", "connectTimeoutInSeconds"}`; some clients
    /// send the numbers as texts.
    ///
    /// # Errors
    /// [`Error::DeviceInvalid`] with the member that is wrong.
    pub(crate) fn read(body: &Value) -> Result<Self, Error> {
        let invalid = |at: &str, message: String| Error::DeviceInvalid { at: at.into(), message };
        let name = text(body, &["methodName"]).unwrap_or("");
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || name.chars().any(char::is_control) {
            let message = format!("a name of 1 to {NAME_BYTES_MAX} bytes is required");
            return Err(invalid("methodName", message));
        }
        let payload = member(body, "payload").cloned().unwrap_or(Value::Null);
        if payload.to_string().len() > PAYLOAD_BYTES_MAX {
            let message = format!("at most {PAYLOAD_BYTES_MAX} bytes of JSON are taken");
            return Err(invalid("payload", message));
        }
        let seconds = |at: &str, range: RangeInclusive<u64>, default: u64| {
            let number = match member(body, at) {
                None | Some(Value::Null) => Some(default),
                Some(Value::String(text)) => text.parse().ok(),
                Some(other) => other.as_u64(),
            };
            number.filter(|it| range.contains(it)).map(Duration::from_secs).ok_or_else(|| {
                invalid(at, format!("{} to {} seconds are possible", range.start(), range.end()))
            })
        };
        Ok(Self {
            name: name.to_owned(),
            payload,
            response: seconds("responseTimeoutInSeconds", RESPONSE_S, RESPONSE_S_DEFAULT)?,
            connect: seconds("connectTimeoutInSeconds", CONNECT_S, 0)?,
        })
    }
}

/// Calls a method of a device or module and waits for its answer.
pub(crate) async fn invoke(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let wanted = Wanted::read(&input.body)?;
    if read(env, &shard(&hub)?, &named).await?.is_none() {
        return Err(named.not_found());
    }
    let answer = call(env, &hub.uid, &named, wanted).await?;
    Ok(Reply::ok(json!({ "status": answer.status, "payload": answer.payload })))
}

/// # Errors
/// [`HubFault::DeviceNotOnline`] where it does not connect and listen in time, [`HubFault::NoAnswer`] where it
/// does not answer in time, [`HubFault::TooManyMethods`] where it has as many under way as it can.
async fn call(env: &Env, hub: &str, named: &Named, wanted: Wanted) -> Result<MethodAnswer, Error> {
    let deadline = Instant::now() + wanted.connect;
    let key = named.key();
    let (sender, answered) = oneshot::channel();
    let mut notice = Notice::Method(Box::new(Invocation {
        name: wanted.name,
        payload: wanted.payload,
        answer: sender,
    }));
    loop {
        // First the waiting, then the look: who comes in between is not missed.
        let coming = env.presence.listens(hub, &key);
        notice = match env.presence.try_tell(hub, &key, Interest::Methods, notice) {
            Ok(()) => break,
            Err((NotTold::Full, _)) => {
                let message = format!(
                    "`{named}` has as many methods under way as it can have; call again later"
                );
                return Err(Error::hub(HubFault::TooManyMethods, message));
            }
            Err((NotTold::Absent, back)) => back,
        };
        if timeout_at(deadline, coming).await.is_err() {
            let message = format!(
                "`{named}` is not connected, or has not registered for methods, and was waited for {} s; raise \
                 connectTimeoutInSeconds (at most {}) to wait longer",
                wanted.connect.as_secs(),
                CONNECT_S.end()
            );
            return Err(Error::hub(HubFault::DeviceNotOnline, message));
        }
    }
    match timeout(wanted.response, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => {
            let message = format!("`{named}` went away before it answered");
            Err(Error::hub(HubFault::DeviceNotOnline, message))
        }
        Err(_) => {
            let message = format!(
                "`{named}` did not answer in {} s; raise responseTimeoutInSeconds (at most {}) to wait longer",
                wanted.response.as_secs(),
                RESPONSE_S.end()
            );
            Err(Error::hub(HubFault::NoAnswer, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_read_within_its_limits() {
        let place = |body: Value| match Wanted::read(&body) {
            Ok(_) => String::new(),
            Err(error) => {
                let Error::DeviceInvalid { at, .. } = error else { panic!("{error:?}") };
                at
            }
        };
        assert_eq!(place(json!({ "methodName": "reboot" })), "");
        assert_eq!(
            place(json!({ "methodName": "x".repeat(128), "responseTimeoutInSeconds": "5" })),
            ""
        );
        for name in [json!(null), json!(""), json!("x".repeat(129)), json!("a\n"), json!(1)] {
            assert_eq!(place(json!({ "methodName": name })), "methodName", "{name}");
        }
        for seconds in [json!(4), json!(301), json!("x"), json!(-1), json!(5.5), json!([])] {
            let body = json!({ "methodName": "m", "responseTimeoutInSeconds": seconds });
            assert_eq!(place(body), "responseTimeoutInSeconds", "{seconds}");
        }
        assert_eq!(place(json!({ "methodName": "m", "connectTimeoutInSeconds": 300 })), "");
        assert_eq!(
            place(json!({ "methodName": "m", "connectTimeoutInSeconds": 301 })),
            "connectTimeoutInSeconds"
        );
        let payload = |bytes: usize| json!({ "methodName": "m", "payload": "x".repeat(bytes - 2) });
        assert_eq!(place(payload(PAYLOAD_BYTES_MAX)), "");
        assert_eq!(place(payload(PAYLOAD_BYTES_MAX + 1)), "payload");
    }
}
