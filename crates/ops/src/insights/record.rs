//! What a diagnostic record says: one decision, with every rule and grant that was looked at.
//!
//! The outer shape is the one of Azure's resource logs, in which `properties` is a text that holds JSON.
//! Source: IoT Hub monitoring data reference, "Resource logs". A trace holds no secrets, and a record is
//! made of a trace alone.

use crate::metrics::json_line;
use gate::facts::Hub;
use model::json::set;
use model::trace::{Finding, Step};
use model::{Gate, Trace, Verdict};
use serde_json::{Value, json};
use std::net::IpAddr;

/// Longest record; a longer one is written without its chain, and says so.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 10;

/// The record of a decision about a hub's data plane, as one line.
pub(super) fn line(trace: &Trace, hub: &Hub, category: &str, operation: &str) -> String {
    let whole = json_line(&record(trace, hub, category, operation, chain(trace)));
    match whole.len() <= RECORD_BYTES_MAX {
        true => whole,
        false => json_line(&record(
            trace,
            hub,
            category,
            operation,
            json!("left out: the record is too long"),
        )),
    }
}

fn record(trace: &Trace, hub: &Hub, category: &str, operation: &str, chain: Value) -> Value {
    let level = match trace.outcome.verdict {
        Verdict::Allow => "Information",
        Verdict::Deny | Verdict::NotEvaluated => "Error",
    };
    json!({
        "time": trace.time.rfc3339(),
        "resourceId": hub.scope.as_str().to_uppercase(),
        "operationName": operation,
        "category": category,
        "level": level,
        "resultType": result_type(trace),
        "resultSignature": trace.outcome.code,
        "resultDescription": trace.outcome.message,
        "durationMs": (took_ns(trace) / 1_000_000).to_string(),
        "correlationId": trace.correlation_id,
        "location": hub.location,
        "properties": properties(trace, chain).to_string(),
    })
}

fn properties(trace: &Trace, chain: Value) -> Value {
    let caller = trace.call.caller.as_ref();
    let mut all = json!({
        "deviceId": device_of(trace),
        "protocol": trace.call.channel.protocol,
        "maskedIpAddress": masked(&trace.call.channel.address),
        "statusCode": trace.outcome.status.to_string(),
        "trackingId": trace.id,
        "identity": {
            "name": caller.map(|it| it.name.as_str()),
            "type": caller.map(|it| it.kind.as_str()),
            "authType": caller.map(|it| it.auth.as_str()),
            "objectId": caller.and_then(|it| it.object_id),
            "appId": caller.and_then(|it| it.app_id),
        },
        "decision": trace.outcome.verdict.as_str(),
        "gate": trace.outcome.gate.map(Gate::as_str),
        "code": trace.outcome.code,
        "epoch": trace.facts,
        "chain": chain,
    });
    if let Some(finding) = trace.deciding()
        && let Some(rule) = &finding.rule
    {
        set(&mut all, "policy", json!(finding.name));
        set(&mut all, "policyDefinition", json!(rule.definition_name));
        set(&mut all, "ruleIndex", json!(rule.index));
    }
    all
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
            json!({
                "path": it.path,
                it.left.as_str(): it.expression,
                "operator": it.operator,
                "expected": it.expected,
                "actual": it.actual,
                "result": it.result,
            })
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

/// The hub's number for the outcome, as text.
fn result_type(trace: &Trace) -> String {
    match trace.outcome.gate {
        None => "0".to_owned(),
        Some(Gate::Authentication) => "401002".to_owned(),
        Some(Gate::Policy) => "403000".to_owned(),
        Some(Gate::Access) => "401003".to_owned(),
        Some(Gate::Resource) => (u32::from(trace.outcome.status) * 1_000).to_string(),
    }
}

fn took_ns(trace: &Trace) -> u64 {
    trace.steps.iter().filter_map(|it| it.took_ns).fold(0, u64::saturating_add)
}

/// The one device that the call was about: of the object that it would write, or of its path.
fn device_of(trace: &Trace) -> Option<&str> {
    match trace.call.objects.as_slice() {
        [one] => Some(&one.name),
        [] => {
            let (_, path) = trace.call.channel.request.split_once(' ')?;
            let mut segments = path.split('/').filter(|it| !it.is_empty());
            match (segments.next(), segments.next()) {
                (Some(first), Some(device)) if first.eq_ignore_ascii_case("devices") => {
                    Some(device)
                }
                _ => None,
            }
        }
        _ => None,
    }
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
pub(super) mod tests {
    use super::*;
    use model::trace::{
        Caller, Channel, Condition, FindingKind, FindingResult, Object, Outcome, Recorded,
        RulePlace,
    };
    use model::{Scope, Timestamp, TrackingId};

    const HUB: &str =
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/plant";

    pub(in crate::insights) fn hub() -> Hub {
        Hub {
            scope: Scope::parse(HUB).unwrap(),
            uid: "u".into(),
            host: "127.71.3.2".into(),
            location: "westus".into(),
            access: gate::facts::SharedAccess::default(),
        }
    }

    pub(in crate::insights) fn refused_by_policy() -> Trace {
        let finding = Finding {
            kind: FindingKind::PolicyRule,
            id: "/subscriptions/s/providers/Microsoft.Authorization/policyAssignments/strict"
                .into(),
            name: "strict".into(),
            result: FindingResult::Deny,
            reason: "every condition holds".into(),
            rule: Some(RulePlace {
                definition_id:
                    "/subscriptions/s/providers/Microsoft.Authorization/policyDefinitions/no-sas"
                        .into(),
                definition_name: "no-sas".into(),
                display_name: String::new(),
                index: 2,
                effect: "deny".into(),
                assignment_scope: "/subscriptions/s".into(),
                exemption_id: None,
            }),
            role: None,
            conditions: vec![Condition {
                path: "policyRules[2].if".into(),
                left: "field".into(),
                expression: "name".into(),
                operator: "like".into(),
                expected: json!("pump-*"),
                actual: Some(json!("pump-7\n")),
                result: true,
            }],
        };
        Trace {
            id: TrackingId(uuid::Uuid::nil()),
            time: Timestamp::from_seconds(0),
            correlation_id: "c".into(),
            call: Recorded {
                operation: "PutDevice".into(),
                actions: vec!["Microsoft.Devices/IotHubs/devices/write".into()],
                plane: "service".into(),
                scope: HUB.into(),
                objects: vec![Object {
                    kind: "Microsoft.Devices/IotHubs/devices".into(),
                    name: "pump-7".into(),
                    id: format!("{HUB}/devices/pump-7"),
                    body: json!({}),
                }],
                caller: Some(Caller::anyone()),
                channel: Channel {
                    protocol: "https".into(),
                    request: "PUT /devices/pump-7".into(),
                    address: "10.1.2.3".into(),
                    on_behalf_of: None,
                },
            },
            facts: 41,
            steps: vec![
                Step {
                    gate: Gate::Authentication,
                    verdict: Verdict::Allow,
                    reason: "known".into(),
                    took_ns: Some(2_000_000),
                    findings: Vec::new(),
                },
                Step {
                    gate: Gate::Policy,
                    verdict: Verdict::Deny,
                    reason: "denied".into(),
                    took_ns: None,
                    findings: vec![finding],
                },
                Step::not_evaluated(Gate::Access),
                Step::not_evaluated(Gate::Resource),
            ],
            outcome: Outcome {
                verdict: Verdict::Deny,
                gate: Some(Gate::Policy),
                status: 403,
                code: "DeviceRegistrationDenied".into(),
                message: "no\nway".into(),
            },
            repeats: 0,
        }
    }

    #[test]
    fn a_record_names_the_policy_the_rule_and_its_conditions() {
        let text = line(&refused_by_policy(), &hub(), "DeviceIdentityOperations", "create");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let outer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(outer["resourceId"], HUB.to_uppercase());
        assert_eq!(
            (&outer["resultType"], &outer["level"], &outer["durationMs"]),
            (&json!("403000"), &json!("Error"), &json!("2"))
        );
        let inner: Value = serde_json::from_str(outer["properties"].as_str().unwrap()).unwrap();
        assert_eq!(inner["policy"], "strict");
        assert_eq!(inner["ruleIndex"], 2);
        assert_eq!(inner["deviceId"], "pump-7");
        assert_eq!(inner["maskedIpAddress"], "10.1.2.XXX");
        assert_eq!(inner["chain"].as_array().unwrap().len(), 4);
        let link = &inner["chain"][1];
        assert_eq!((&link["kind"], &link["result"]), (&json!("policyRule"), &json!("deny")));
        let condition = &link["details"]["conditions"][0];
        assert_eq!(
            (
                &condition["field"],
                &condition["operator"],
                &condition["expected"],
                &condition["actual"]
            ),
            (&json!("name"), &json!("like"), &json!("pump-*"), &json!("pump-7\n"))
        );
        assert_eq!(inner["chain"][2]["result"], "notEvaluated");
    }

    #[test]
    fn a_record_that_is_too_long_is_written_without_its_chain() {
        let mut trace = refused_by_policy();
        for step in &mut trace.steps {
            for finding in &mut step.findings {
                finding.reason = "x".repeat(RECORD_BYTES_MAX);
            }
        }
        let text = line(&trace, &hub(), "DeviceIdentityOperations", "create");
        assert!(text.len() < RECORD_BYTES_MAX, "{}", text.len());
        assert!(text.contains("too long") && text.contains("strict"), "{text}");
    }

    #[test]
    fn the_device_is_found_in_the_object_or_in_the_path() {
        let check = |request: &str, expected: Option<&str>| {
            let mut trace = refused_by_policy();
            trace.call.objects.clear();
            trace.call.channel.request = request.into();
            assert_eq!(device_of(&trace), expected, "{request}");
        };
        check("GET /devices/d1", Some("d1"));
        check("GET //Devices/d1", Some("d1"));
        check("GET /devices", None);
        check("GET /twins/d1", None);
        check("", None);
    }

    #[test]
    fn addresses_are_masked() {
        let check = |address: &str, expected: &str| assert_eq!(masked(address), expected);
        check("192.168.7.44", "192.168.7.XXX");
        check("2001:db8:1:2::3", "2001:db8:1:XXX");
        check("not an address", "");
    }
}
