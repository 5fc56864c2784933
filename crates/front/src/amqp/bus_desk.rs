//! What clients ask at `$management` of a queue or a subscription: to see what waits, to hold a message for longer, to
//! settle one whose link is gone. Each is a call for itself.

use super::address::Place;
use super::asking::Asking;
use super::bus::received;
use super::bus_place::BusPlace;
use super::desk::Told;
use super::driver::Driver;
use super::messages;
use ::amqp::{Body, Condition, Message, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::{Op, Timestamp};
use ops::call::Answer;
use ops::targets::service_bus::{Dead, Found};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What is offered.
const PEEK: &str = "com.microsoft:peek-message";
const RENEW: &str = "com.microsoft:renew-lock";
const DISPOSE: &str = "com.microsoft:update-disposition";
/// Most locks that one request names.
const LOCKS_MAX: usize = 100;

impl Driver<'_> {
    pub(super) async fn bus_asked(&mut self, place: &BusPlace, request: &Message) -> Told {
        let operation = request.property("operation").and_then(Value::text).unwrap_or("");
        let Body::Value(body) = &request.body else {
            return Told::malformed("the body of a request is a map");
        };
        match operation {
            PEEK => self.bus_peek(place, body).await,
            RENEW => self.bus_renew(place, body).await,
            DISPOSE => self.bus_dispose(place, body).await,
            other => {
                let shown = crate::path::shown(other);
                let sentence = format!(
                    "`{shown}` is not offered; what is: peek, renew a message's lock, and settle by its lock"
                );
                Told::no(501, Condition::new("amqp:not-implemented", sentence))
            }
        }
    }

    async fn bus_call(
        &mut self,
        place: &BusPlace,
        op: Op,
        verb: &'static str,
        more: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Answer {
        let path = Place::Bus(place.clone()).path();
        let (host, credential) = self.claims.shown(&path);
        let part = place.is_dead.then(|| ("part", "dead".to_owned()));
        let params: BTreeMap<_, _> = place.params().into_iter().chain(part).chain(more).collect();
        let asking = Asking { op, host, verb, path, params, credential };
        Box::pin(ops::call::run(self.env, self.call(asking))).await
    }

    async fn bus_peek(&mut self, place: &BusPlace, body: &Value) -> Told {
        let number = |name: &'static str| {
            let found = body.get(name).and_then(Value::signed).unwrap_or(0);
            // Before the first there is nothing.
            (name, u64::try_from(found).unwrap_or(0).to_string())
        };
        let more = [number("from-sequence-number"), number("message-count")];
        let answer = self.bus_call(place, Op::PeekMessages, PEEK, more).await;
        let Some(all) = answer.body.as_ref().and_then(|it| it["messages"].as_array()) else {
            return Told::of(&answer);
        };
        if all.is_empty() {
            return Told::nothing();
        }
        let shown = all.iter().filter_map(found).map(|it| {
            let payload = received(it, None).write();
            Value::Map(vec![(Value::string("message"), Value::Binary(payload))])
        });
        let shown = Value::List(shown.collect());
        Told::ok(Value::Map(vec![(Value::string("messages"), shown)]))
    }

    async fn bus_renew(&mut self, place: &BusPlace, body: &Value) -> Told {
        let locks = match locks(body) {
            Ok(locks) => locks,
            Err(told) => return told,
        };
        let mut ends = Vec::new();
        for lock in locks {
            let answer = self.bus_call(place, Op::RenewMessageLock, RENEW, [("lock", lock)]).await;
            match answer.body.as_ref().and_then(|it| it["until"].as_i64()) {
                Some(until) => ends.push(Value::Timestamp(until)),
                None => return Told::of(&answer),
            }
        }
        Told::ok(Value::Map(vec![(Value::string("expirations"), Value::Array(ends))]))
    }

    async fn bus_dispose(&mut self, place: &BusPlace, body: &Value) -> Told {
        let locks = match locks(body) {
            Ok(locks) => locks,
            Err(told) => return told,
        };
        let text = |name: &'static str| {
            (name, body.get(name).and_then(Value::text).unwrap_or("").to_owned())
        };
        for lock in locks {
            let more = [
                ("lock", lock),
                text("disposition-status"),
                text("deadletter-reason"),
                text("deadletter-description"),
            ];
            let answer = self.bus_call(place, Op::SettleMessage, DISPOSE, more).await;
            if answer.error.is_some() {
                return Told::of(&answer);
            }
        }
        Told::ok(Value::Map(Vec::new()))
    }
}

/// The locks that a request names.
fn locks(body: &Value) -> Result<Vec<String>, Told> {
    let all = match body.get("lock-tokens") {
        Some(Value::Array(all) | Value::List(all)) => all.as_slice(),
        _ => &[],
    };
    if all.is_empty() || all.len() > LOCKS_MAX {
        let sentence = format!("`lock-tokens` is an array of 1 to {LOCKS_MAX} UUIDs");
        return Err(Told::malformed(&sentence));
    }
    Ok(all.iter().map(|it| messages::text(it).unwrap_or_default()).collect())
}

/// A message that the operation shows.
fn found(it: &Json) -> Option<Found> {
    let time = |name: &str| it[name].as_i64().map(Timestamp::from_millis);
    let text = |name: &str| it[name].as_str().map(str::to_owned);
    let dead = Dead { reason: text("reason"), description: text("description") };
    Some(Found {
        sequence: it["sequence"].as_u64()?,
        enqueued: time("enqueued")?,
        expires: time("expires"),
        deliveries: it["deliveries"].as_u64().and_then(|it| u32::try_from(it).ok())?,
        dead: (dead != Dead::default()).then_some(dead),
        payload: Bytes::from(STANDARD.decode(it["payload"].as_str()?).ok()?),
    })
}
