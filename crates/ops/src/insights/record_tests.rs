use super::*;
use crate::insights::categories::{REGISTRATION_ATTEMPT, logged};
use model::trace::{Condition, FindingKind, FindingResult, Object, Outcome, Recorded, RulePlace};
use model::{Op, TrackingId, Verdict};

const HUB: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/plant";
const DPS: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/provisioningServices/gate";
const ID: &str = "3f0c0f5e-1111-4222-8333-444455556666";

fn refused_by_policy() -> Trace {
    let finding = Finding {
        kind: FindingKind::PolicyRule,
        id: "/subscriptions/s/providers/Microsoft.Authorization/policyAssignments/strict".into(),
        name: "strict".into(),
        result: FindingResult::Deny,
        reason: "every condition holds".into(),
        rule: Some(RulePlace {
            definition_id:
                "/subscriptions/s/providers/Microsoft.Authorization/policyDefinitions/no-sas".into(),
            definition_name: "no-sas".into(),
            display_name: String::new(),
            index: 2,
            effect: "deny".into(),
            assignment_scope: "/subscriptions/s".into(),
            exemption_id: None,
            initiative: None,
            lacks: Vec::new(),
        }),
        role: None,
        lock: None,
        conditions: vec![Condition {
            path: "policyRules[2].if".into(),
            left: "field".into(),
            expression: "name".into(),
            operator: "like".into(),
            expected: json!("pump-*"),
            actual: Some(json!("pump-7\n")),
            result: true,
            error: None,
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
                verb: model::trace::Verb::Write,
            }],
            caller: Some(Caller::anyone()),
            replica: None,
            linked: Vec::new(),
            stranded: Vec::new(),
            attributes: None,
            channel: Channel {
                protocol: "https".into(),
                request: "PUT /devices/pump-7".into(),
                address: "10.1.2.3".into(),
                ..Channel::default()
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
        warnings: Vec::new(),
    }
}

/// A call that went well, at noon of the first day there was.
fn served(op: Op, status: u16, protocol: &str) -> Entry {
    let logged = logged(op).unwrap();
    Entry {
        logged,
        resource: Scope::parse(if logged.about == About::Device { HUB } else { DPS }).unwrap(),
        location: "westus".into(),
        time: Timestamp::from_seconds(43_200),
        took_ns: 2_900_000,
        correlation_id: "c".into(),
        api_version: Some("2021-10-01".into()),
        channel: Channel {
            protocol: protocol.into(),
            request: "PUT /somewhere".into(),
            address: "10.1.2.3".into(),
            ..Channel::default()
        },
        subject: Some("pump-7".into()),
        caller: Some(Caller::anyone()),
        epoch: Some(41),
        trace: None,
        tracking_id: Some(ID.into()),
        status,
        failure: None,
        attempt: None,
    }
}

fn refused(op: Op, trace: Trace) -> Entry {
    let failure = Failure {
        number: 403_000,
        code: trace.outcome.code.clone(),
        message: trace.outcome.message.clone(),
    };
    Entry { epoch: None, failure: Some(failure), trace: Some(trace), ..served(op, 403, "https") }
}

/// The record, and what its properties say.
fn read(entry: &Entry) -> (Value, Value) {
    let text = line(entry);
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    let outer: Value = serde_json::from_str(&text).unwrap();
    let inner = serde_json::from_str(outer["properties"].as_str().unwrap()).unwrap();
    (outer, inner)
}

fn result(outer: &Value) -> [&str; 3] {
    ["level", "resultType", "resultSignature"].map(|it| outer[it].as_str().unwrap())
}

#[test]
fn a_record_names_the_policy_the_rule_and_its_conditions() {
    let (outer, inner) = read(&refused(Op::PutDevice, refused_by_policy()));
    assert_eq!(outer["resourceId"], HUB.to_uppercase());
    assert_eq!(outer["operationName"], "create");
    assert_eq!(result(&outer), ["Error", "403000", "DeviceRegistrationDenied"]);
    assert_eq!(
        (&outer["durationMs"], &outer["resultDescription"]),
        (&json!("2"), &json!("no\nway"))
    );
    assert_eq!((&inner["policy"], &inner["ruleIndex"]), (&json!("strict"), &json!(2)));
    assert_eq!((&inner["decision"], &inner["gate"]), (&json!("deny"), &json!("policy")));
    assert_eq!(inner["deviceId"], "pump-7");
    assert_eq!(
        (&outer["callerIpAddress"], &inner["maskedIpAddress"]),
        (&json!("10.1.2.XXX"), &json!("10.1.2.XXX"))
    );
    assert_eq!(inner["chain"].as_array().unwrap().len(), 4);
    let link = &inner["chain"][1];
    assert_eq!((&link["kind"], &link["result"]), (&json!("policyRule"), &json!("deny")));
    let condition = json!({ "path": "policyRules[2].if", "field": "name", "operator": "like",
        "expected": "pump-*", "actual": "pump-7\n", "result": true });
    assert_eq!(link["details"]["conditions"], json!([condition]));
    assert_eq!(inner["chain"][2]["result"], "notEvaluated");
}

#[test]
fn an_allowed_call_has_no_chain_and_says_who_did_it() {
    let (outer, inner) = read(&served(Op::GetDevice, 200, "https"));
    assert_eq!(result(&outer), ["Information", "0", ""]);
    assert_eq!((&inner["decision"], &inner["statusCode"]), (&json!("allow"), &json!("200")));
    assert_eq!(inner["identity"]["name"], "anyone");
    assert!(inner.get("chain").is_none() && inner["gate"].is_null(), "{inner}");
}

#[test]
fn a_call_that_failed_behind_the_gates_was_allowed_all_the_same() {
    let failure = || Failure {
        number: 404_001,
        code: "DeviceNotFound".into(),
        message: "there is none".into(),
    };
    let entry = Entry { failure: Some(failure()), ..served(Op::GetDevice, 404, "https") };
    let (outer, inner) = read(&entry);
    assert_eq!(result(&outer), ["Error", "404001", "DeviceNotFound"]);
    assert_eq!(inner["decision"], "allow");
    // Nobody was proven yet, and nothing decided.
    let (_, inner) = read(&Entry { epoch: None, caller: None, ..entry });
    assert!(inner["decision"].is_null() && inner["identity"]["name"].is_null(), "{inner}");
}

#[test]
fn a_provisioning_service_has_words_of_its_own() {
    let (outer, inner) = read(&served(Op::PutEnrollmentGroup, 200, "https"));
    assert_eq!(outer["resourceId"], DPS.to_uppercase());
    assert_eq!(
        (&outer["category"], &outer["operationName"], &outer["operationVersion"]),
        (&json!("ServiceOperations"), &json!("Upsert"), &json!("October2021"))
    );
    assert_eq!(result(&outer), ["Information", "Success", ""]);
    assert_eq!(
        (&inner["id"], &inner["type"], &inner["protocol"], &inner["trackingId"]),
        (&json!("pump-7"), &json!("EnrollmentGroup"), &json!("Http"), &json!(ID))
    );
    let mut refusal = refused_by_policy();
    let (outer, inner) = read(&refused(Op::PutEnrollment, refusal.clone()));
    assert_eq!(result(&outer), ["Error", "ClientError", "403"]);
    assert_eq!(
        (&inner["type"], &inner["policy"]),
        (&json!("IndividualEnrollment"), &json!("strict"))
    );
    assert_eq!(inner["chain"][1]["details"]["conditions"][0]["actual"], "pump-7\n");
    let failure =
        Failure { number: 503_001, code: "ServiceUnavailable".into(), message: String::new() };
    let (outer, _) =
        read(&Entry { failure: Some(failure), ..served(Op::RegisterDevice, 503, "mqtt") });
    assert_eq!(result(&outer), ["Error", "Failure", "503"]);
    assert_eq!(outer["operationName"], "Register");
    // Who cannot prove itself attempts attestation; who calls the service API calls the service API.
    refusal.outcome.gate = Some(Gate::Authentication);
    let name = |op| read(&refused(op, refusal.clone())).0["operationName"].clone();
    assert_eq!(
        (name(Op::LookUpRegistration), name(Op::GetEnrollment)),
        (json!("AttestationAttempt"), json!("Get"))
    );
}

#[test]
fn an_outcome_names_the_hub_and_what_the_device_is_told() {
    let lines = "HTTP 403: Forbidden\nError: Device registration denied\nPolicy: strict";
    let failure = Failure { number: 403_000, code: String::new(), message: lines.into() };
    let attempt = || Some(Attempt { hub: Some(HUB.into()) });
    let entry = Entry {
        logged: REGISTRATION_ATTEMPT,
        attempt: attempt(),
        ..served(Op::RegisterDevice, 200, "mqtt")
    };
    let (outer, inner) = read(&entry);
    assert_eq!(outer["operationName"], "RegistrationAttempt");
    assert_eq!(result(&outer), ["Information", "Success", ""]);
    assert_eq!(
        (&inner["hub"], &inner["errorCode"], &inner["protocol"]),
        (&json!(HUB), &Value::Null, &json!("Mqtt"))
    );
    let (outer, inner) = read(&Entry { failure: Some(failure), status: 403, ..entry });
    assert_eq!(result(&outer), ["Error", "Failure", "403"]);
    assert_eq!(
        (&outer["resultDescription"], &inner["errorCode"]),
        (&json!(lines), &json!(403_000))
    );
}

#[test]
fn a_record_that_is_too_long_is_written_without_its_chain() {
    let mut trace = refused_by_policy();
    for step in &mut trace.steps {
        for finding in &mut step.findings {
            finding.reason = "x".repeat(RECORD_BYTES_MAX);
        }
    }
    let text = line(&refused(Op::PutDevice, trace));
    assert!(text.len() < RECORD_BYTES_MAX, "{}", text.len());
    assert!(text.contains("too long") && text.contains("strict"), "{text}");
}

#[test]
fn the_device_is_found_in_the_address_or_in_the_one_object() {
    let device = |subject: Option<&str>, objects: usize| {
        let mut trace = refused_by_policy();
        let object = trace.call.objects.remove(0);
        trace.call.objects = vec![object; objects];
        let entry =
            Entry { subject: subject.map(str::to_owned), ..refused(Op::BulkDevices, trace) };
        read(&entry).1["deviceId"].clone()
    };
    assert_eq!(device(Some("d1"), 1), "d1");
    assert_eq!(device(None, 1), "pump-7");
    assert_eq!((device(None, 0), device(None, 2)), (Value::Null, Value::Null));
}

#[test]
fn an_api_version_is_named_by_its_month() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(month(text).as_deref(), expected, "{text}");
    };
    check("2019-03-31", Some("March2019"));
    check("2021-10-01-preview", Some("October2021"));
    for wrong in ["", "2021", "2021-00-01", "2021-13-01", "20211-10-01", "xxxx-10-01", "2021-x-1"] {
        check(wrong, None);
    }
}

#[test]
fn addresses_are_masked() {
    let check = |address: &str, expected: &str| assert_eq!(masked(address), expected);
    check("192.168.7.44", "192.168.7.XXX");
    check("2001:db8:1:2::3", "2001:db8:1:XXX");
    check("not an address", "");
}
