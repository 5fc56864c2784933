//! One diagnostic record, as far as a line of a table shows it.
//!
//! Shape: Azure's resource logs, in which `properties` is JSON inside a string. A field that is missing or
//! of another type is empty here; only what is no JSON object with a time is no record.

use crate::text::shorten;
use model::{Timestamp, TrackingId};
use serde_json::Value;

/// Longest text of a column.
const TEXT_CHARS_MAX: usize = 160;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    /// The record as it was written, without its end of line.
    pub(super) line: String,
    pub(super) time: Timestamp,
    pub(super) level: String,
    pub(super) category: String,
    /// The name of the hub or provisioning service.
    pub(super) resource: String,
    pub(super) operation: String,
    pub(super) result: String,
    /// The gate, and the policy, role or key by which it decided: "policy `no-rogue-devices`".
    pub(super) decided: String,
    pub(super) tracking: String,
    pub(super) correlation: String,
}

impl Record {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let record: Value = serde_json::from_str(line).ok()?;
        let time = Timestamp::parse(record.get("time")?.as_str()?)?;
        let properties = properties(&record);
        Some(Self {
            line: line.to_owned(),
            time,
            level: text(&record, "level"),
            category: text(&record, "category"),
            resource: last(&text(&record, "resourceId")).to_lowercase(),
            operation: text(&record, "operationName"),
            result: result(&record, &properties),
            decided: decided(&properties),
            tracking: tracking(&record, &properties),
            correlation: text(&record, "correlationId"),
        })
    }
}

/// The object inside the string; the object itself where somebody wrote one.
fn properties(record: &Value) -> Value {
    match record.get("properties") {
        Some(Value::String(inner)) => serde_json::from_str(inner).unwrap_or_default(),
        Some(Value::Object(_)) => record.get("properties").cloned().unwrap_or_default(),
        Some(_) | None => Value::Null,
    }
}

fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(it)) => shorten(it, TEXT_CHARS_MAX),
        Some(Value::Number(it)) => it.to_string(),
        Some(Value::Bool(it)) => it.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

/// The id for `hubward explain`: in `properties`, else the record's correlation id where it is a GUID.
fn tracking(record: &Value, properties: &Value) -> String {
    [text(properties, "trackingId"), text(record, "correlationId")]
        .into_iter()
        .find(|it| it.len() == 36 && TrackingId::parse(it).is_some())
        .unwrap_or_default()
}

/// Of a hub `deny 403000`, `allow`: the decision, and its number where there is one. Of a provisioning
/// service `ClientError 401`, `Success`: its word, and the HTTP status where it is a bad one.
fn result(record: &Value, properties: &Value) -> String {
    let (decision, number) = (text(properties, "decision"), text(record, "resultType"));
    if !number.bytes().all(|it| it.is_ascii_digit()) {
        return format!("{number} {}", text(record, "resultSignature")).trim_end().to_owned();
    }
    match (decision.as_str(), number.as_str()) {
        (_, "" | "0") => decision,
        ("", _) => number,
        (_, _) => format!("{decision} {number}"),
    }
}

/// The gate that decided, and by what: the step of the chain that says no; where none does, the role that
/// allowed it. Of a registration's outcome the hub.
fn decided(properties: &Value) -> String {
    let hub = text(properties, "hub");
    if !hub.is_empty() {
        return format!("hub `{}`", last(&hub));
    }
    let gate = text(properties, "gate");
    let chain =
        properties.get("chain").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let find = |gate: &str, results: &[&str]| {
        chain
            .iter()
            .find(|it| text(it, "gate") == gate && results.contains(&text(it, "result").as_str()))
    };
    let (gate, step) = match gate.as_str() {
        "" => ("access".to_owned(), find("access", &["allow"])),
        refusing => (gate.clone(), find(refusing, &["deny", "error"])),
    };
    let name = match step {
        Some(step) => name(step),
        // The chain of a long record is left out; the policy's name stands beside it.
        None => text(properties, "policy"),
    };
    match name.is_empty() {
        true => text(properties, "gate"),
        false => format!("{gate} `{name}`"),
    }
}

/// The last part of an id.
fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}

/// What a step is called: its role, its own name, or the last part of its id.
fn name(step: &Value) -> String {
    let named = |path: &str| step.pointer(path).and_then(Value::as_str).unwrap_or_default();
    [named("/details/role/roleName"), named("/details/name"), last(named("/id"))]
        .into_iter()
        .find(|it| !it.is_empty())
        .map(|it| shorten(it, TEXT_CHARS_MAX))
        .unwrap_or_default()
}
