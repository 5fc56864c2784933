//! What a diagnostic record says: one call, how it ended, and where it was refused every rule and grant that
//! was looked at.
//!
//! The outer shape is the one of Azure's resource logs, in which `properties` is a text that holds JSON.
//! Sources: the monitoring data references of IoT Hub and of its provisioning service, "Resource logs". A
//! trace holds no secrets, and of a call nothing goes into a record but its address, who called, and how it
//! ended.

use super::categories::{About, Logged};
use crate::metrics::json_line;
use model::json::set;
use model::trace::{Caller, Channel, Finding, Step};
use model::{Gate, Scope, Timestamp, Trace};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Longest record; a longer one is written without its chain, and says so.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 10;

/// What is known of a call, or of what became of a registration, once it has ended.
pub(super) struct Entry {
    pub(super) logged: &'static Logged,
    /// The hub or provisioning service that was called.
    pub(super) resource: Scope,
    pub(super) location: String,
    /// When it began.
    pub(super) time: Timestamp,
    pub(super) took_ns: u64,
    pub(super) correlation_id: String,
    pub(super) api_version: Option<String>,
    pub(super) channel: Channel,
    /// The device, enrollment or registration that the address names.
    pub(super) subject: Option<String>,
    /// Who called, once proven.
    pub(super) caller: Option<Caller>,
    /// The version of the facts that allowed it.
    pub(super) epoch: Option<u64>,
    /// The decision: of every refusal, and of what a policy wants on record.
    pub(super) trace: Option<Trace>,
    /// Under which the decision can be asked for, where it was kept.
    pub(super) tracking_id: Option<String>,
    pub(super) status: u16,
    pub(super) failure: Option<Failure>,
    /// Of a registration's outcome.
    pub(super) attempt: Option<Attempt>,
}

/// What a registration came to.
pub(super) struct Attempt {
    /// The id of the hub that was chosen, where one was.
    pub(super) hub: Option<String>,
}

/// Why it ended badly.
pub(super) struct Failure {
    /// The number that clients of hubs and provisioning services know: 403000.
    pub(super) number: u32,
    pub(super) code: String,
    pub(super) message: String,
}

/// The record, as one line.
pub(super) fn line(entry: &Entry) -> String {
    let chain = entry.trace.as_ref().map(chain);
    let whole = json_line(&record(entry, chain.as_ref()));
    match whole.len() <= RECORD_BYTES_MAX {
        true => whole,
        false => json_line(&record(entry, Some(&json!("left out: the record is too long")))),
    }
}

fn record(entry: &Entry, chain: Option<&Value>) -> Value {
    let is_of_hub = entry.logged.about == About::Device;
    let (result, signature) = if is_of_hub { hub_result(entry) } else { dps_result(entry) };
    let version = entry.api_version.as_deref();
    json!({
        "time": entry.time.rfc3339(),
        "resourceId": entry.resource.as_str().to_uppercase(),
        "operationName": operation_name(entry),
        "operationVersion": if is_of_hub { version.map(str::to_owned) } else { version.and_then(month) },
        "category": entry.logged.category,
        "level": if entry.failure.is_some() { "Error" } else { "Information" },
        "resultType": result,
        "resultSignature": signature,
        "resultDescription": entry.failure.as_ref().map_or("", |it| it.message.as_str()),
        "durationMs": (entry.took_ns / 1_000_000).to_string(),
        "correlationId": entry.correlation_id,
        "callerIpAddress": masked(&entry.channel.address),
        "location": entry.location,
        "properties": properties(entry, chain).to_string(),
    })
}

/// A device that could not prove itself attempted attestation, whatever it would have asked then.
fn operation_name(entry: &Entry) -> &'static str {
    let gate = entry.trace.as_ref().and_then(|it| it.outcome.gate);
    match entry.logged.is_by_device() && gate == Some(Gate::Authentication) {
        true => "AttestationAttempt",
        false => entry.logged.word,
    }
}

/// The hub's number for the outcome as text, and its word for it.
fn hub_result(entry: &Entry) -> (String, String) {
    match &entry.failure {
        None => ("0".to_owned(), String::new()),
        Some(failure) => (failure.number.to_string(), failure.code.clone()),
    }
}

/// The provisioning service's word for the outcome, and the HTTP status where it is a bad one.
fn dps_result(entry: &Entry) -> (String, String) {
    // What became of a registration is no fault of the device's call, which was taken.
    let is_of_client = (400..500).contains(&entry.status) && entry.attempt.is_none();
    match &entry.failure {
        None => ("Success".to_owned(), String::new()),
        Some(_) if is_of_client => ("ClientError".to_owned(), entry.status.to_string()),
        Some(_) => ("Failure".to_owned(), entry.status.to_string()),
    }
}

fn properties(entry: &Entry, chain: Option<&Value>) -> Value {
    let mut all = match entry.logged.about {
        About::Device => json!({
            "deviceId": entry.subject.as_deref().or_else(|| one_object(entry)),
            "protocol": entry.channel.protocol,
            "maskedIpAddress": masked(&entry.channel.address),
        }),
        about @ (About::IndividualEnrollment | About::EnrollmentGroup | About::Registration) => {
            json!({
                "id": entry.subject,
                "type": about.as_str(),
                "protocol": dps_protocol(&entry.channel.protocol),
            })
        }
    };
    let caller = entry.caller.as_ref();
    let common = json!({
        "statusCode": entry.status.to_string(),
        "trackingId": entry.tracking_id,
        "identity": {
            "name": caller.map(|it| it.name.as_str()),
            "type": caller.map(|it| it.kind.as_str()),
            "authType": caller.map(|it| it.auth.as_str()),
            "objectId": caller.and_then(|it| it.object_id),
            "appId": caller.and_then(|it| it.app_id),
        },
    });
    merge(&mut all, common);
    match &entry.attempt {
        Some(attempt) => {
            set(&mut all, "hub", json!(attempt.hub));
            set(&mut all, "errorCode", json!(entry.failure.as_ref().map(|it| it.number)));
        }
        None => merge(&mut all, decision(entry)),
    }
    if let Some(chain) = chain {
        set(&mut all, "chain", chain.clone());
    }
    all
}

/// What the gates said, as far as they were asked.
fn decision(entry: &Entry) -> Value {
    let outcome = entry.trace.as_ref().map(|it| &it.outcome);
    // Without a trace it was allowed, where anybody was proven at all: a refusal always has one.
    let allowed = entry.epoch.map(|_| "allow");
    let mut decision = json!({
        "decision": outcome.map(|it| it.verdict.as_str()).or(allowed),
        "gate": outcome.and_then(|it| it.gate).map(Gate::as_str),
        "code": entry.failure.as_ref().map(|it| it.code.as_str()),
        "epoch": entry.trace.as_ref().map(|it| it.facts).or(entry.epoch),
    });
    if let Some(finding) = entry.trace.as_ref().and_then(Trace::deciding)
        && let Some(rule) = &finding.rule
    {
        set(&mut decision, "policy", json!(finding.name));
        set(&mut decision, "policyDefinition", json!(rule.definition_name));
        set(&mut decision, "ruleIndex", json!(rule.index));
        if let Some(it) = &rule.initiative {
            set(&mut decision, "policySetDefinition", json!(it.name));
            set(&mut decision, "policyDefinitionReferenceId", json!(it.reference_id));
        }
    }
    decision
}

fn merge(all: &mut Value, more: Value) {
    if let Value::Object(more) = more {
        for (name, value) in more {
            set(all, &name, value);
        }
    }
}

/// Every gate in its order, and in it everything that was looked at.
fn chain(trace: &Trace) -> Value {
    let all: Vec<Value> = trace
        .steps
        .iter()
        .flat_map(|step| match step.findings.is_empty() {
            true => vec![silent(step)],
            false => step.findings.iter().map(|it| link(step, it)).collect(),
        })
        .collect();
    Value::Array(all)
}

/// A gate that looked at nothing in particular.
fn silent(step: &Step) -> Value {
    json!({ "gate": step.gate, "result": step.verdict, "details": { "reason": step.reason } })
}

fn link(step: &Step, finding: &Finding) -> Value {
    let mut details = json!({ "name": finding.name, "reason": finding.reason });
    if let Some(rule) = &finding.rule {
        set(&mut details, "rule", json!(rule));
    }
    if let Some(role) = &finding.role {
        set(&mut details, "role", json!(role));
    }
    if !finding.conditions.is_empty() {
        let evaluated = finding.conditions.iter().map(|it| {
            let mut told = json!({
                "path": it.path,
                it.left.as_str(): it.expression,
                "operator": it.operator,
                "expected": it.expected,
                "actual": it.actual,
                "result": it.result,
            });
            if let Some(error) = &it.error {
                set(&mut told, "error", json!(error));
            }
            told
        });
        set(&mut details, "conditions", evaluated.collect::<Value>());
    }
    json!({
        "gate": step.gate,
        "kind": finding.kind,
        "id": finding.id,
        "ref": finding.rule.as_ref().map(|it| it.definition_id.as_str()),
        "result": finding.result,
        "details": details,
    })
}

/// The one device that a call without a device in its address would have written.
fn one_object(entry: &Entry) -> Option<&str> {
    match entry.trace.as_ref()?.call.objects.as_slice() {
        [one] => Some(&one.name),
        _ => None,
    }
}

/// A protocol as records of a provisioning service have it; over WebSockets it is the same one.
fn dps_protocol(protocol: &str) -> &str {
    let known = [("http", "Http"), ("mqtt", "Mqtt"), ("amqp", "Amqp")];
    known.iter().find(|(it, _)| protocol.starts_with(it)).map_or(protocol, |(_, word)| word)
}

/// `October2021`, as records of a provisioning service have the api-version `2021-10-01`.
fn month(api_version: &str) -> Option<String> {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let mut parts = api_version.split('-');
    let year =
        parts.next().filter(|it| it.len() == 4 && it.bytes().all(|it| it.is_ascii_digit()))?;
    let number: usize = parts.next()?.parse().ok()?;
    Some(format!("{}{year}", MONTHS.get(number.checked_sub(1)?)?))
}

/// An address without what tells one host of a network from another.
fn masked(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V4(it)) => {
            let [a, b, c, _] = it.octets();
            format!("{a}.{b}.{c}.XXX")
        }
        Ok(IpAddr::V6(it)) => {
            let [a, b, c, ..] = it.segments();
            format!("{a:x}:{b:x}:{c:x}:XXX")
        }
        Err(_) => String::new(),
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
