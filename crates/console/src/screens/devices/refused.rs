//! Which devices a hub refused lately, from the activity log.

use crate::hub::Hub;
use crate::paths;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, text};
use hyper::Method;
use serde_json::Value;
use std::collections::BTreeMap;

/// How far back, in seconds.
const SINCE_S: i64 = 3_600;
const CONNECTS: &str = "ConnectDevice";

/// Refusals of one device.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) times: u64,
    /// Of the last one: its time, its decision and what was said.
    pub(super) last: String,
    pub(super) tracking: String,
    pub(super) message: String,
}

/// By device id.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<String, Refusal>);

impl Refusals {
    pub(super) fn of(&self, device: &str) -> Option<&Refusal> {
        self.0.get(device)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Newest first, as events are listed.
    fn read(events: &[Value]) -> Self {
        let mut all = BTreeMap::new();
        for event in events.iter().filter(|it| text(it, "/operationName/value") == CONNECTS) {
            let Some(device) = device(event) else { continue };
            let repeats: u64 = text(event, "/properties/repeats").parse().unwrap_or(0);
            let found = all.entry(device.to_owned()).or_insert_with(|| Refusal {
                times: 0,
                last: text(event, "/eventTimestamp").to_owned(),
                tracking: text(event, "/properties/trackingId").to_owned(),
                message: text(event, "/properties/message").to_owned(),
            });
            found.times += repeats + 1;
        }
        Self(all)
    }
}

/// Who tried to connect: over MQTT at `host/{device}`, over AMQP at `.../devices/{device}`, a module behind it.
fn device(event: &Value) -> Option<&str> {
    let (_, path) = text(event, "/httpRequest/uri").split_once('/')?;
    let named = match text(event, "/httpRequest/method") {
        "CONNECT" => path,
        _ => path.strip_prefix("devices/")?,
    };
    named.split('/').next().filter(|it| !it.is_empty())
}

/// The refusals of the last hour, or why they are not shown: not everybody who reads devices may read the log.
pub(super) async fn lately(
    visit: &Visit<'_>,
    hub: &Hub,
) -> Result<Result<Refusals, Refused>, Trouble> {
    let from = visit.console.now().plus_seconds(-SINCE_S).rfc3339();
    let id = text(&hub.resource, "/id");
    let subscription = id.split('/').nth(2).unwrap_or("");
    let filter = paths::segment(&format!(
        "eventTimestamp ge '{from}' and status eq 'Failed' and resourceId eq '{id}'"
    ));
    let path = format!(
        "/subscriptions/{subscription}/providers/Microsoft.Insights/eventtypes/management/values\
         ?api-version=2015-04-01&$filter={filter}"
    );
    let told = visit.arm(Method::GET, &path, None).await?;
    if !told.is_ok() {
        return Ok(Err(Refused::of(&told)));
    }
    let events = told.body.get("value").and_then(Value::as_array);
    Ok(Ok(Refusals::read(events.map_or(&[], Vec::as_slice))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(method: &str, uri: &str, repeats: &str) -> Value {
        json!({
            "operationName": { "value": CONNECTS }, "eventTimestamp": uri,
            "httpRequest": { "method": method, "uri": uri },
            "properties": { "repeats": repeats, "trackingId": "t", "message": "no" },
        })
    }

    #[test]
    fn refusals_are_counted_by_device_whichever_protocol_it_spoke() {
        let events = [
            event("CONNECT", "hub/pump-1", "0"),
            event("PUT-TOKEN", "hub/devices/pump-1", "2"),
            event("CONNECT", "hub/pump-10/module", "0"),
            event("PUT", "/devices/pump-2", "0"),
            event("CONNECT", "hub", "0"),
            json!({ "operationName": { "value": "GetDevice" }, "httpRequest": { "uri": "hub/pump-3" } }),
        ];
        let refusals = Refusals::read(&events);
        let told: Vec<_> = refusals.0.iter().map(|(id, it)| (id.as_str(), it.times)).collect();
        assert_eq!(told, [("pump-1", 4), ("pump-10", 1), ("pump-2", 1)]);
        assert_eq!(refusals.of("pump-1").unwrap().last, "hub/pump-1");
    }
}
