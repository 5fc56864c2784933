use super::*;
use serde_json::json;

const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
const DPS: &str = "22222222-2222-4222-8222-000000000001";
const OTHER: &str = "22222222-2222-4222-8222-000000000002";

fn deny() -> Value {
    json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "deny" } })
}

fn allow(field: &str, value: &str) -> Value {
    json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES },
        { "field": field, "equals": value }] }, "then": { "effect": "allow" } })
}

fn told(rules: &Value, identities: &[&str]) -> Vec<Warning> {
    let ids: Vec<ObjectId> = identities.iter().map(|it| ObjectId::parse(it).unwrap()).collect();
    policy(&json!({ "policyRule": rules }), None, &ids).unwrap()
}

#[track_caller]
fn check(rules: Value, expected: &[(Code, usize)]) {
    let found = told(&rules, &[]);
    let short: Vec<(Code, usize)> = found.iter().map(|it| (it.code, it.rule.unwrap())).collect();
    assert_eq!(short, expected, "{found:#?}");
}

const STOPS: Code = Code::StopsProvisioning;
const LATE: Code = Code::NeverReached;
const OPEN: Code = Code::OpensForEveryone;

/// S0-18: a broad denial is flagged, and one that somebody is excepted from is not.
#[test]
fn a_denial_that_provisioning_would_meet_is_told() {
    check(deny(), &[(STOPS, 0)]);
    check(
        json!({ "if": { "field": "type", "exists": true }, "then": { "effect": "deny" } }),
        &[(STOPS, 0)],
    );
    check(
        json!({ "if": { "field": "request.action", "like": "*/devices/write" }, "then": { "effect": "deny" } }),
        &[(STOPS, 0)],
    );
    check(
        json!({ "if": { "field": "identity.principalType", "equals": "ManagedIdentity" }, "then": { "effect": "deny" } }),
        &[(STOPS, 0)],
    );
    // One that cannot be evaluated denies, too.
    check(
        json!({ "if": { "field": "name", "less": 7 }, "then": { "effect": "audit" } }),
        &[(STOPS, 0)],
    );
    for field in ["identity.principalId", "identity.resourceId"] {
        let value = match field {
            "identity.principalId" => DPS,
            _ => {
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/provisioningServices/d"
            }
        };
        check(json!([allow(field, value), deny()]), &[]);
        check(
            json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES },
                { "field": field, "notEquals": value }] }, "then": { "effect": "deny" } }),
            &[],
        );
    }
    check(json!([allow("identity.serviceName", "Device Provisioning Service"), deny()]), &[]);
    check(
        json!([{ "if": { "field": "identity.groups[*]", "equals": DPS }, "then": { "effect": "audit" } },
            { "if": { "not": { "value": DPS, "in": "[field('identity.groups[*]')]" } }, "then": { "effect": "deny" } }]),
        &[],
    );
    // About deletions, some devices, another type, nobody, or a role that the service may well hold.
    for (condition, effect) in [
        (json!({ "field": "type", "equals": DEVICES }), "audit"),
        (json!({ "field": "type", "equals": DEVICES }), "disabled"),
        (json!({ "field": "name", "like": "test-*" }), "deny"),
        (json!({ "field": "type", "equals": "Microsoft.Devices/IotHubs" }), "deny"),
        (json!({ "field": "identity.principalId", "equals": OTHER }), "deny"),
    ] {
        check(json!({ "if": condition, "then": { "effect": effect } }), &[]);
    }
    let mut requires = deny();
    requires["requiredRoles"] = json!(["IoT Hub Data Contributor", "Our own keeper"]);
    check(requires, &[]);
}

#[test]
fn a_warning_says_which_registrations_and_what_to_do() {
    let only = |field: &str, value: &str| {
        let rule = json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES },
            { "field": field, "equals": value }] }, "then": { "effect": "deny" } });
        let found = told(&json!([allow("name", "x"), rule]), &[]);
        assert_eq!((found.len(), found[0].at.as_str()), (1, "policyRule[1]"));
        found[0].because.clone()
    };
    assert_eq!(
        only("request.enrollmentType", "group"),
        "a device that registers through a provisioning service by an enrollment group would be refused: rule 1 denies it"
    );
    assert!(only("request.protocol", "mqtt").contains("provisioning service over MQTT would"));
    let twins = json!({ "if": { "field": "type", "equals": "Microsoft.Devices/IotHubs/twins" }, "then": { "effect": "deny" } });
    let found = told(&twins, &[]);
    assert!(found[0].because.contains("service with an initial twin would"), "{found:?}");
    assert!(found[0].advice.contains("\"Device Provisioning Service\""), "{found:?}");
}

#[test]
fn a_service_that_is_named_must_get_through_itself() {
    let rules = json!([allow("identity.principalId", DPS), deny()]);
    assert_eq!(told(&rules, &[DPS]), []);
    assert_eq!(told(&rules, &[OTHER])[0].code, STOPS);
    assert_eq!(told(&rules, &[DPS, OTHER])[0].code, STOPS);
}

/// S0-22: the same exception before the denial and behind it.
#[test]
fn an_exception_behind_the_denial_is_told() {
    check(json!([allow("identity.principalId", DPS), deny()]), &[]);
    check(json!([deny(), allow("identity.principalId", DPS)]), &[(STOPS, 0), (LATE, 1)]);
    let found = told(&json!([deny(), allow("identity.principalId", DPS)]), &[]);
    assert_eq!(found[1].advice, "move rule 1 before rule 0");
    // The denial before it is about others, or about a part.
    let but = json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "equals": OTHER }] }, "then": { "effect": "deny" } });
    check(json!([but, allow("identity.principalId", DPS), deny()]), &[]);
    let over_mqtt = json!({ "if": { "field": "request.protocol", "equals": "mqtt" }, "then": { "effect": "deny" } });
    check(
        json!([over_mqtt, allow("identity.serviceName", "Device Provisioning Service"), deny()]),
        &[(STOPS, 0)],
    );
    // Exceptions that are for nothing of provisioning.
    let hubs = |effect: &str| {
        json!({ "if": { "allOf": [{ "field": "type", "equals": "Microsoft.Devices/IotHubs" },
        { "field": "tags.line", "like": "7*" }] }, "then": { "effect": effect } })
    };
    check(json!([hubs("deny"), hubs("allow")]), &[(LATE, 1)]);
    check(json!([hubs("allow"), hubs("deny")]), &[(LATE, 1)]);
    check(json!([hubs("audit"), hubs("allow")]), &[]);
}

/// S0-22: any rule that an earlier one leaves nothing of, whatever it would do, is told; one that is left a part is
/// not.
#[test]
fn a_rule_of_any_effect_that_nothing_reaches_is_told() {
    let about = |kind: &str, effect: &str| json!({ "if": { "field": "type", "equals": kind }, "then": { "effect": effect } });
    let some = |field: &str, value: &str, effect: &str| {
        json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES },
            { "field": field, "equals": value }] }, "then": { "effect": effect } })
    };
    const TWINS: &str = "Microsoft.Devices/IotHubs/twins";
    check(json!([about(TWINS, "allow"), about(TWINS, "deny")]), &[(OPEN, 0), (LATE, 1)]);
    check(json!([about(TWINS, "deny"), about(TWINS, "audit")]), &[(STOPS, 0), (LATE, 1)]);
    check(json!([about(TWINS, "deny"), about(TWINS, "deny")]), &[(STOPS, 0), (LATE, 1)]);
    check(json!([about(TWINS, "audit"), about(TWINS, "deny")]), &[(STOPS, 1)]);
    check(json!([about(TWINS, "deny"), about(TWINS, "disabled")]), &[(STOPS, 0)]);
    // The broad one behind the narrow one has the rest; the narrow one behind the broad one has nothing.
    for (field, value) in [
        ("name", "any-name"),
        ("request.protocol", "https"),
        ("request.enrollmentType", "group"),
        ("identity.principalType", "ManagedIdentity"),
        ("Microsoft.Devices/IotHubs/devices/status", "enabled"),
    ] {
        let narrow = some(field, value, "deny");
        let found = told(&json!([narrow, about(DEVICES, "deny")]), &[]);
        assert!(found.iter().all(|it| it.code != LATE), "{field}: {found:?}");
        let found = told(&json!([about(DEVICES, "deny"), narrow]), &[]);
        assert!(found.iter().any(|it| it.code == LATE && it.rule == Some(1)), "{field}: {found:?}");
    }
    // Of two whom the exception is for, the denial before it is about one.
    let one = some("identity.principalId", DPS, "deny");
    let both = json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES },
        { "field": "identity.principalId", "in": [DPS, OTHER] }] }, "then": { "effect": "allow" } });
    check(json!([one, both]), &[]);
    // Deletions are denied on their own.
    let guard = |name: &str| {
        json!({ "if": { "allOf": [{ "field": "type", "equals": DEVICES }, { "field": "name", "like": name }] },
            "then": { "effect": "denyAction", "details": { "actionNames": ["delete"] } } })
    };
    check(json!([guard("*"), guard("pump-*")]), &[(LATE, 1)]);
    check(json!([guard("pump-*"), guard("*")]), &[]);
    check(json!([about(DEVICES, "deny"), guard("*")]), &[(STOPS, 0)]);
}

/// An exception without a word of whom it is for; one that is for some principals, devices or networks is none.
#[test]
fn an_exception_for_everybody_is_told() {
    let broad = json!({ "if": { "field": "type", "like": "Microsoft.Devices/IotHubs/*" }, "then": { "effect": "deny" } });
    let open =
        json!({ "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "allow" } });
    check(json!([open, broad]), &[(OPEN, 0), (STOPS, 1)]);
    for (field, value) in [
        ("identity.principalId", DPS),
        ("identity.principalType", "ManagedIdentity"),
        ("identity.serviceName", "Device Provisioning Service"),
        ("name", "test-7"),
        ("request.protocol", "mqtt"),
        ("Microsoft.Devices/IotHubs/devices/status", "enabled"),
    ] {
        let found = told(&json!([allow(field, value), broad]), &[]);
        assert!(found.iter().all(|it| it.code != OPEN), "{field}: {found:?}");
    }
    // Nothing behind it would deny.
    check(json!([open]), &[]);
    check(json!([deny(), open]), &[(STOPS, 0), (LATE, 1)]);
}

#[test]
fn parameters_are_what_an_assignment_would_give() {
    let properties = json!({ "parameters": { "effect": { "type": "String" } }, "policyRule": {
        "if": { "field": "type", "equals": DEVICES }, "then": { "effect": "[parameters('effect')]" } } });
    let with = |effect: &str| {
        policy(&properties, Some(&json!({ "effect": { "value": effect } })), &[]).map(|it| it.len())
    };
    assert_eq!((with("deny"), with("audit")), (Ok(1), Ok(0)));
    assert!(policy(&properties, None, &[]).is_err());
}

/// the actions of one plane in the list of the other grant nothing, and that is told.
#[test]
fn an_action_in_the_wrong_list_is_told() {
    let check = |block: Value, expected: &[&str]| {
        let found = role(&[json!({}), block]).unwrap();
        let short: Vec<&str> = found.iter().map(|it| it.at.as_str()).collect();
        assert_eq!(short, expected, "{found:#?}");
    };
    check(json!({ "actions": ["*/read", "*"], "dataActions": ["*", "Microsoft.Devices/*"] }), &[]);
    check(json!({ "Actions": ["Microsoft.Devices/IotHubs/listkeys/action"] }), &[]);
    check(
        json!({ "actions": ["Microsoft.Devices/IotHubs/devices/write"] }),
        &["permissions[1].actions"],
    );
    check(
        json!({ "actions": ["Microsoft.Devices/IotHubs/read"],
            "dataActions": ["Microsoft.Devices/IotHubs/listkeys/action", "Microsoft.Devices/IotHubs/devices/read"] }),
        &["permissions[1].dataActions"],
    );
    // One name for an action of each plane: by itself it may be meant as it stands.
    let jobs = "Microsoft.Devices/IotHubs/jobs/read";
    check(json!({ "actions": [jobs] }), &[]);
    check(json!({ "dataActions": [jobs, "Microsoft.Devices/IotHubs/devices/read"] }), &[]);
    check(
        json!({ "actions": [jobs, "*/read", "Microsoft.Devices/IotHubs/devices/read"] }),
        &["permissions[1].actions", "permissions[1].actions"],
    );
    // What neither plane knows is not on the wrong one.
    check(json!({ "actions": ["Microsoft.Compute/virtualMachines/read"] }), &[]);
}

/// What nothing has is told with what is nearest, and what some provider of Azure's may have is not.
#[test]
fn an_action_that_nothing_has_is_told() {
    let check = |list: &str, text: &str, expected: Option<&str>| {
        let found = role(&[json!({ list: [text] })]).unwrap();
        let advice =
            found.iter().find(|it| it.code == Code::UnknownAction).map(|it| it.advice.as_str());
        match (advice, expected) {
            (None, None) => {}
            (Some(said), Some(expected)) => assert!(said.contains(expected), "{text}: {said}"),
            (_, _) => panic!("{text}: {found:?}"),
        }
        // What is told of is refused when it is written, but for slips in what others may have.
        let is_refused = crate::writes::check_patterns(&[json!({ list: [text] })]).is_err();
        assert!(
            is_refused || expected.is_none() || !text.starts_with("Microsoft.Devices"),
            "{text}"
        );
    };
    let (data, actions) = ("dataActions", "actions");
    check(
        data,
        "Microsoft.Devices/IotHubs/device/read",
        Some("`Microsoft.Devices/IotHubs/devices/read`"),
    );
    check(data, "Microsoft.Devices/IotHubs/devices/read", None);
    check(
        "notDataActions",
        "Microsoft.Devices/IotHub/devices/*",
        Some("`Microsoft.Devices/IotHubs/devices/*`"),
    );
    check(data, "Microsoft.Devices/IotHubs/*", None);
    check(
        actions,
        "Microsoft.Devices/IotHubs/listkey/action",
        Some("`Microsoft.Devices/IotHubs/listkeys/action`"),
    );
    check(actions, "Microsoft.Devices/IotHubs/listkeys/action", None);
    check(actions, "microsoft.devices/iothubs/LISTKEYS/action", None);
    check(
        actions,
        "Microsoft.Authorization/roleAssignments/raed",
        Some("`Microsoft.Authorization/roleAssignments/read`"),
    );
    check(actions, "Microsoft.Compute/virtualMachines/read", None);
    check(actions, "Microsoft.Insights/alertRules/*", None);
    check(actions, "Contoso.Pumps/pumps/read", Some("take `Contoso.Pumps/pumps/read` out"));
    check(actions, "*/read", None);
}
