//! What becomes of a message: every enabled route of its source is asked, and each endpoint that one leads to gets it
//! once. What no route takes goes to the built-in endpoint where the fallback is on and devices sent it.
//!
//! Source: IoT Hub documentation, "Understand IoT Hub message routing" and "Message enrichments".

use super::compiled::{AddedValue, Routing};
use crate::devices::message::routed::{DESTINATIONS_MAX, EVENTS, Enrichment, Routed, Source};
use crate::devices::message::{MESSAGE_BYTES_MAX, Message};
use crate::devices::named::Named;
use crate::devices::query::message::seen;
use crate::devices::registry::{read, shard};
use crate::env::Env;
use bytes::Bytes;
use gate::facts::Hub;
use model::{Error, Timestamp};
use serde_json::{Value, json};

/// The records of one sender, where it is a device or module, each with where it goes. What goes nowhere is left out and counted.
///
/// # Errors
/// [`Error::Internal`] where the sender's twin cannot be read.
pub(crate) async fn route(
    env: &Env,
    (hub, routing): (&Hub, &Routing),
    named: Option<&Named>,
    source: Source,
    now: Timestamp,
    records: Vec<Bytes>,
) -> Result<Vec<Bytes>, Error> {
    let twin = match named.filter(|_| routing.needs_twin(source)) {
        Some(named) => twin(env, hub, named).await?,
        None => None,
    };
    let before = records.len();
    let kept = records.into_iter().filter_map(|record| {
        // Written by the hub itself a moment ago: it can be read.
        let message = Message::parse(&record)?;
        let routed = routing.judge(&message, source, now, twin.as_ref());
        (!routed.to.is_empty()).then(|| routed.record(source, &record))
    });
    let kept: Vec<Bytes> = kept.collect();
    if source == Source::DeviceMessages {
        env.metrics.count_orphaned(before.saturating_sub(kept.len()));
    }
    Ok(kept)
}

/// What conditions and enrichments see of a twin; none of a sender that is gone.
async fn twin(env: &Env, hub: &Hub, named: &Named) -> Result<Option<Value>, Error> {
    let found = read(env, &shard(hub)?, named).await?;
    Ok(found.map(|(it, _)| {
        json!({
            "deviceId": it.device_id,
            "moduleId": it.module_id,
            "tags": it.twin.tags(),
            "properties": it.twin.properties(),
        })
    }))
}

impl Routing {
    /// To which endpoints a message goes, and what is added to it there.
    pub(crate) fn judge(
        &self,
        message: &Message,
        source: Source,
        now: Timestamp,
        twin: Option<&Value>,
    ) -> Routed {
        let routes = self.routes(source);
        let seen = seen(&routes.asks, message, now, twin);
        let mut to: Vec<u32> = Vec::new();
        for route in &routes.all {
            let is_new = !to.contains(&route.to) && to.len() < DESTINATIONS_MAX;
            if is_new && route.condition.truth(&seen) == Some(true) {
                to.push(route.to);
            }
        }
        if to.is_empty() && self.has_fallback && source == Source::DeviceMessages {
            to.push(EVENTS);
        }
        let enrichments = self.added(message, &to, twin);
        Routed { to, enrichments }
    }

    /// What is added to a message that goes to these endpoints. What would make it longer than a message may be is
    /// left out: the message itself must not be lost by it.
    fn added(&self, message: &Message, to: &[u32], twin: Option<&Value>) -> Vec<Enrichment> {
        let mut room = MESSAGE_BYTES_MAX.saturating_sub(bytes(message));
        let mut all = Vec::new();
        for it in &self.enrichments {
            let places = to.iter().enumerate().filter(|(_, number)| it.to.contains(number));
            let at = places.fold(0_u16, |at, (place, _)| at | (1 << place));
            if at == 0 {
                continue;
            }
            let value = match &it.value {
                AddedValue::Text => it.text.clone(),
                AddedValue::HubName => self.hub.clone(),
                // A twin without it leaves the text as it is. Source: Azure documentation, "Tutorial: Use Azure IoT Hub
                // message enrichments".
                AddedValue::Twin(path) => {
                    let found = twin.and_then(|twin| path.of(twin));
                    found.and_then(text_of).unwrap_or_else(|| it.text.clone())
                }
            };
            let length = it.name.len() + value.len();
            if length <= room {
                room -= length;
                all.push(Enrichment { at, name: it.name.clone(), value });
            }
        }
        all
    }
}

/// A value of a twin as a property: a text as it is, all else as JSON writes it.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(value.to_string())
        }
    }
}

/// What the sender's own part of a message takes.
fn bytes(message: &Message) -> usize {
    let own = message.application.iter();
    let own = own.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
    let system = message.system.iter().map(|(_, value)| value.len());
    own.chain(system).sum::<usize>() + message.body.len()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
