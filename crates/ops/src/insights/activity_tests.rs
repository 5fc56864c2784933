use super::*;
use model::principal::{AuthType, PrincipalKind};
use model::trace::{Channel, Finding, FindingKind, InitiativePlace, Outcome, Recorded, RulePlace};
use model::{ObjectId, TrackingId};

const HUB: &str = "/subscriptions/s/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/plant";
const NOON: &str = "2026-11-22T12:00:00Z";

fn noon() -> Timestamp {
    Timestamp::parse(NOON).unwrap()
}

fn refused() -> Trace {
    let finding = Finding {
        kind: FindingKind::PolicyRule,
        id: "/subscriptions/s/providers/Microsoft.Authorization/policyAssignments/strict".into(),
        name: "strict".into(),
        result: FindingResult::Deny,
        reason: "every condition holds".into(),
        rule: Some(RulePlace {
            definition_id: "/d".into(),
            definition_name: "no-sas".into(),
            display_name: String::new(),
            index: 2,
            effect: "deny".into(),
            assignment_scope: "/subscriptions/s".into(),
            exemption_id: None,
            initiative: Some(InitiativePlace {
                id: "/i".into(),
                name: "baseline".into(),
                display_name: String::new(),
                version: String::new(),
                reference_id: "keys".into(),
            }),
            lacks: Vec::new(),
        }),
        role: None,
        lock: None,
        conditions: Vec::new(),
    };
    Trace {
        id: TrackingId(uuid::Uuid::nil()),
        time: noon(),
        correlation_id: "c-1".into(),
        call: Recorded {
            operation: "PutHub".into(),
            actions: vec!["Microsoft.Devices/IotHubs/write".into()],
            plane: "control".into(),
            scope: HUB.into(),
            objects: Vec::new(),
            caller: Some(Caller {
                kind: PrincipalKind::ServicePrincipal,
                object_id: Some(ObjectId(uuid::Uuid::from_u128(7))),
                app_id: Some(ObjectId(uuid::Uuid::from_u128(8))),
                name: "pipeline".into(),
                auth: AuthType::Entra,
                signed_in: "client secret".into(),
                token_issued: None,
                via: None,
                rights: Vec::new(),
            }),
            replica: None,
            linked: Vec::new(),
            stranded: Vec::new(),
            attributes: None,
            channel: Channel {
                protocol: "https".into(),
                request: format!("PUT {HUB}"),
                address: "127.0.0.1".into(),
                ..Channel::default()
            },
        },
        facts: 1,
        steps: vec![Step {
            gate: Gate::Policy,
            verdict: Verdict::Deny,
            reason: "denied".into(),
            took_ns: None,
            findings: vec![finding],
        }],
        outcome: Outcome {
            verdict: Verdict::Deny,
            gate: Some(Gate::Policy),
            status: 403,
            code: "RequestDisallowedByPolicy".into(),
            message: "no".into(),
        },
        repeats: 0,
        warnings: Vec::new(),
    }
}

#[test]
fn the_time_is_read_in_every_form_that_clients_send() {
    for text in [
        NOON,
        "2026-11-22T12:00:00",
        "2026-11-22T12:00:00.000000",
        "2026-11-22T12:00:00.000000Z",
        "2026-11-22T12:00:00+00:00",
        "2026-11-22T12:00:00 00:00",
        "2026-11-22 12:00:00",
    ] {
        assert_eq!(time(text).unwrap(), noon(), "{text}");
    }
    for text in ["", "yesterday", "2026-13-22T12:00:00Z"] {
        assert!(time(text).is_err(), "{text}");
    }
}

#[test]
fn a_query_needs_its_beginning_and_ends_now() {
    let read = |text: &str| Query::read(text, noon());
    let query = read("eventTimestamp ge 2026-11-22T06:00:00 and caller eq 'pipeline'").unwrap();
    assert_eq!((query.from, query.to), (noon().plus_seconds(-6 * 3_600), noon()));
    assert_eq!(query.fields.len(), 1);
    for wrong in [
        "",
        "eventTimestamp le '2026-11-22'",
        "eventTimestamp ge '2026-11-22' and eventTimestamp le '2026-11-21'",
        "eventTimestamp ge '2026-01-01'",
        "eventTimestamp ge '2026-11-22' and colour eq 'red'",
        "eventTimestamp ge '2026-11-22' and caller ge 'a'",
        "eventTimestamp eq '2026-11-22'",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn events_are_filtered_and_namesakes_are_told_apart() {
    let check = |text: &str, expected: bool| {
        let wanted = filter::parse(text).unwrap();
        assert_eq!(wanted.iter().all(|it| fits(&refused(), it)), expected, "{text}");
    };
    check("resourceGroupName eq 'RG1'", true);
    check("resourceGroupName eq 'rg10'", false);
    check(&format!("resourceId eq '{}'", HUB.to_lowercase()), true);
    check("resourceUri eq '/subscriptions/s/resourceGroups/rg1'", true);
    check(&format!("resourceId eq '{HUB}2'"), false);
    check("resourceId eq 'nonsense'", false);
    check("resourceProvider eq 'microsoft.devices'", true);
    check("resourceProvider eq 'microsoft.device'", false);
    check("correlationId eq 'c-1'", true);
    check("correlationId eq 'c-10'", false);
    check("caller eq 'pipeline'", true);
    check("caller eq '00000000-0000-0000-0000-000000000008'", true);
    check("caller eq 'ana'", false);
    check("status eq 'Failed'", true);
    check("status eq 'Succeeded'", false);
}

#[test]
fn the_policies_behind_a_refusal_are_named_in_texts_only() {
    let properties = properties(&refused());
    assert!(properties.as_object().unwrap().values().all(Value::is_string), "{properties}");
    let policies: Value = serde_json::from_str(properties["policies"].as_str().unwrap()).unwrap();
    assert_eq!(policies[0]["policyAssignmentName"], "strict");
    assert_eq!(policies[0]["policyDefinitionName"], "no-sas");
    assert_eq!(policies[0]["ruleIndex"], 2);
    assert_eq!(policies[0]["policySetDefinitionName"], "baseline");
    assert_eq!(policies[0]["policyDefinitionReferenceId"], "keys");
    assert_eq!(policies[0]["principalId"], "00000000-0000-0000-0000-000000000007");
    assert_eq!(policies[0]["trackingId"], "00000000-0000-0000-0000-000000000000");
}

#[test]
fn only_what_is_selected_is_shown() {
    let event = json!({ "caller": "a", "eventName": {}, "level": "Error" });
    assert_eq!(
        select(event, &names("Caller , level,")),
        json!({ "caller": "a", "level": "Error" })
    );
}

#[test]
fn ticks_count_from_the_year_one() {
    assert_eq!(ticks(Timestamp::from_seconds(0)), 621_355_968_000_000_000);
}
