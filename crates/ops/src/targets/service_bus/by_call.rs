//! What clients ask at `$management` of a queue or a subscription, each a call for itself.

use super::message::{Dead, Found, Part, Settlement};
use super::queue::Queue;
use super::{active, lock_lost, settle_all};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::targets::uses::Use;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Permit;
use model::Error;
use serde_json::{Value, json};
use uuid::Uuid;

/// Most messages, and about how many bytes of them, that one look shows.
const PEEKED_MAX: usize = 100;

fn queue(permit: &Permit, env: &Env) -> Result<Queue, Error> {
    let facts = env.facts.load();
    let (namespace, entity) = active(&facts, permit.scope(), Use::Receive)?;
    Queue::of(namespace, entity)
}

fn part(input: &Input) -> Part {
    match input.param("part") {
        "dead" => Part::Dead,
        _ => Part::Active,
    }
}

fn lock(input: &Input) -> Result<Uuid, Error> {
    Uuid::try_parse(input.param("lock"))
        .map_err(|_| Error::invalid("lock-tokens", "a lock token is a UUID"))
}

/// Shows messages from a number on, as many as are asked for and at most a hundred.
///
/// # Errors
/// [`Error::NotFound`]; where the number is none.
pub(crate) async fn peek(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let number = |name: &str| -> Result<u64, Error> {
        let text = input.param(name);
        text.parse().map_err(|_| Error::invalid(name, "a number from 0 on is expected"))
    };
    let (from, count) = (number("from-sequence-number")?, number("message-count")?);
    let count = usize::try_from(count).unwrap_or(PEEKED_MAX).min(PEEKED_MAX);
    let found = queue(permit, env)?.peek(env, part(input), from, count).await?;
    Ok(Reply::ok(json!({ "messages": found.iter().map(shown).collect::<Vec<_>>() })))
}

fn shown(it: &Found) -> Value {
    json!({
        "sequence": it.sequence,
        "enqueued": it.enqueued.millis(),
        "expires": it.expires.map(|it| it.millis()),
        "deliveries": it.deliveries,
        "reason": it.dead.as_ref().and_then(|it| it.reason.as_deref()),
        "description": it.dead.as_ref().and_then(|it| it.description.as_deref()),
        "payload": STANDARD.encode(&it.payload),
    })
}

/// Holds a message for another while: until when.
///
/// # Errors
/// [`model::error::HubFault::MessageLockLost`].
pub(crate) fn renew(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let queue = queue(permit, env)?;
    let now = env.now();
    let until = now.plus_seconds(queue.rules.lock_s);
    match env.message_locks.renew(&queue.place(part(input)), lock(input)?, now, until) {
        true => Ok(Reply::ok(json!({ "until": until.millis() }))),
        false => Err(lock_lost(queue.rules.lock_s)),
    }
}

/// Ends a delivery by its lock.
///
/// # Errors
/// [`model::error::HubFault::MessageLockLost`]; where it is to become of the message what is not offered.
pub(crate) async fn settle(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let queue = queue(permit, env)?;
    let settlement = match input.param("disposition-status") {
        "completed" => Settlement::Complete,
        "abandoned" => Settlement::Abandon,
        "suspended" => Settlement::Bury(Dead::of(
            input.param("deadletter-reason"),
            input.param("deadletter-description"),
        )),
        other => {
            let sentence =
                format!("`{other}` is not offered; complete, abandon or dead-letter the message");
            return Err(Error::invalid("disposition-status", sentence));
        }
    };
    let all = vec![(lock(input)?, settlement)];
    match settle_all(env, &queue, part(input), all).await.pop() {
        Some(Err(error)) => Err(error),
        Some(Ok(())) | None => Ok(Reply::empty(200)),
    }
}
