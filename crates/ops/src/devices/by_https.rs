//! What devices do over HTTPS, one call at a time: their messages into the hub's log, and the messages that wait
//! for them, each under the lock that its `ETag` names.
//!
//! A batch is all or nothing. What stands in headers and in a batch is in `by_https/batch.rs`.

mod batch;

use super::messages::{self, Ack, Delivery, Settlement};
use super::named::Named;
use super::registry::{hub_of, read, shard};
use super::telemetry;
use crate::devices::message::{AuthMethod, Sender};
use crate::env::Env;
use crate::input::{Input, Message, Reply};
use gate::Permit;
use gate::facts::Hub;
use model::error::HubFault;
use model::trace::TraceHead;
use model::{Error, Op, Operation};
use uuid::Uuid;

/// `POST /devices/{device}/messages/events`, also of modules: synced when this returns.
pub(crate) async fn send(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let Some((identity, _)) = read(env, &shard(&hub)?, &named).await? else {
        return Err(named.not_found());
    };
    let module = named.module.as_ref().map_or("", |it| it.as_str());
    let auth = AuthMethod::of(permit.caller());
    let sender = Sender::new(named.device.as_str(), module, &identity.generation_id, auth);
    let records = batch::records(input, &sender)?;
    let bytes = records.iter().map(|it| it.len().saturating_sub(sender.bytes() + 1));
    env.limits.send(&hub, bytes, env)?;
    let log = env.logs.of(&hub, env).await?;
    let routing = env.routings.of(&hub, env).await?;
    let to = (&*hub, routing.as_deref());
    let sent = telemetry::send(permit, env, to, &log, &named, env.now(), records).await?;
    sent.synced().await?;
    Ok(Reply::empty(204))
}

/// Counts the messages of a call that a security policy limits: the count is what the last gate looks at.
pub(crate) fn count(
    operation: &Operation,
    input: &Input,
    hub: &Hub,
    head: &mut TraceHead,
    env: &Env,
) {
    let Some(secured) = &mut head.channel.security else { return };
    let is_limited = secured.policy.max_messages_per_minute.is_some();
    if let (Op::SendTelemetry, true, Ok(named)) = (operation.op, is_limited, Named::of(input)) {
        let messages = batch::count(input);
        let sent = env.message_rates.count(hub, &named.device, messages, head.time);
        secured.messages_in_minute = Some(sent);
    }
}

/// `GET /devices/{device}/messages/deviceBound`: the first message that nobody holds; 204 where none waits.
pub(crate) async fn receive(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    match messages::receive(env, &hub, &named.device).await? {
        Some(delivery) => Ok(shown(&named, delivery)),
        None => Ok(Reply::empty(204)),
    }
}

fn shown(named: &Named, delivery: Delivery) -> Reply {
    let Delivery { lock, sequence, enqueued, expires, delivery_count, message } = delivery;
    let mut reply = Reply::empty(200)
        .with_header("ETag", format!("\"{lock}\""))
        .with_header("iothub-sequencenumber", sequence.to_string())
        .with_header("iothub-enqueuedtime", enqueued.rfc3339())
        .with_header("iothub-expiry", expires.rfc3339())
        .with_header("iothub-deliverycount", delivery_count.to_string())
        .with_header("iothub-to", format!("/devices/{}/messages/deviceBound", named.device));
    if message.ack != Ack::None {
        reply = reply.with_header("iothub-ack", message.ack.as_str());
    }
    let texts = [
        ("iothub-messageid", message.message_id),
        ("iothub-correlationid", message.correlation_id),
        ("iothub-userid", message.user_id),
        ("iothub-contenttype", message.content_type),
        ("iothub-contentencoding", message.content_encoding),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            reply = reply.with_header(name, text);
        }
    }
    let body = message.body.into();
    reply.message = Some(Box::new(Message { body, properties: message.properties }));
    reply
}

/// `DELETE .../deviceBound/{lock}` completes, or with `?reject` rejects; `POST .../{lock}/abandon` gives back.
pub(crate) async fn settle(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let lock = lock(input)?;
    let settlement = if permit.operation().op == Op::AbandonMessage {
        Settlement::Abandon
    } else if is_reject(input)? {
        Settlement::Reject
    } else {
        Settlement::Complete
    };
    messages::settle(env, &hub, &named.device, lock, settlement).await?;
    Ok(Reply::empty(204))
}

/// The lock in the path. Clients send it again as `If-Match`, which must not be another one.
fn lock(input: &Input) -> Result<Uuid, Error> {
    let text = input.param("lock").trim_matches('"');
    let also = input.headers.if_match.as_deref().unwrap_or("*");
    match Uuid::try_parse(text) {
        Ok(lock) if also == "*" || also.eq_ignore_ascii_case(text) => Ok(lock),
        // What is no lock of ours holds nothing, as one that is over.
        Ok(_) | Err(_) => Err(Error::hub(
            HubFault::MessageLockLost,
            "the message is not held by this lock: send the `ETag` that it was received with",
        )),
    }
}

/// `?reject`, `?reject=` and `?reject=true`.
fn is_reject(input: &Input) -> Result<bool, Error> {
    match input.query("reject").map(str::to_ascii_lowercase).as_deref() {
        None | Some("false") => Ok(false),
        Some("" | "true") => Ok(true),
        Some(_) => Err(Error::DeviceInvalid {
            at: "reject".into(),
            message: "true or false is expected".into(),
        }),
    }
}
