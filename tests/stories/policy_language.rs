//! A definition with parameters is written, assigned with values, changed, and refuses by them.

use serde_json::{Value, json};
use testkit::{Answer, World};

const HUBS: &str = "Microsoft.Devices/IotHubs";

/// Names of devices that begin with none of the prefixes are refused.
fn definition() -> Value {
    json!({
        "mode": "All",
        "parameters": {
            "prefixes": { "type": "Array", "metadata": { "displayName": "Prefixes" } },
            "effect": { "type": "String", "allowedValues": ["Audit", "Deny"], "defaultValue": "Deny" },
        },
        "policyRule": {
            "if": { "allOf": [
                { "field": "type", "equals": format!("{HUBS}/devices") },
                { "count": {
                    "value": "[parameters('prefixes')]",
                    "name": "prefix",
                    "where": { "field": "name", "like": "[concat(current('prefix'), '*')]" },
                }, "equals": 0 },
            ] },
            "then": { "effect": "[parameters('effect')]" },
        },
    })
}

struct Policy<'a> {
    world: &'a World,
    hub: String,
}

impl Policy<'_> {
    fn definition_path(&self) -> String {
        let subscription = self.world.subscription();
        format!("{subscription}/providers/Microsoft.Authorization/policyDefinitions/names")
    }

    fn assignment_path(&self) -> String {
        format!("{}/providers/Microsoft.Authorization/policyAssignments/names", self.hub)
    }

    fn defines(&self, change: fn(&mut Value)) -> Answer {
        let mut properties = definition();
        change(&mut properties);
        self.world.arm("PUT", &self.definition_path(), &json!({ "properties": properties }))
    }

    fn assigns(&self, parameters: Value) -> Answer {
        let properties =
            json!({ "policyDefinitionId": self.definition_path(), "parameters": parameters });
        self.world.arm("PUT", &self.assignment_path(), &json!({ "properties": properties }))
    }
}

fn is_invalid(answer: &Answer, code: &str, said: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (400, code), "{answer:?}");
    assert!(answer.body.to_string().contains(said), "{answer:?}");
}

#[test]
fn a_policy_with_parameters_refuses_by_the_values_of_its_assignment() {
    let mut world = World::new();
    let hub = world.hub();
    let who = world.service_principal("writer");
    world.assign(&who, "4fc6c259-987e-4a07-842e-c321cc9d413f", &world.group()).expect(201);
    let given = json!({ "prefixes": { "value": ["pump-", "valve-"] } });
    {
        let policy = Policy { world: &world, hub: hub.clone() };
        policy.defines(|_| {}).expect(201);
        let shown = world.arm("GET", &policy.definition_path(), &Value::Null).expect(200).body;
        assert_eq!(shown["properties"]["parameters"], definition()["parameters"]);
        policy.assigns(given.clone()).expect(201);
        let shown = world.arm("GET", &policy.assignment_path(), &Value::Null).expect(200).body;
        assert_eq!(shown["properties"]["parameters"], given);
    }
    world.puts_device(&who, &hub, "pump-1").expect(200);
    let refused = world.puts_device(&who, &hub, "camera-1").expect(403);
    let told = world.explained(&refused.tracking());
    let conditions = &told["decision"]["steps"][1]["findings"][0]["conditions"];
    assert_eq!(conditions[1]["left"], "count");
    assert_eq!((&conditions[1]["actual"], &conditions[1]["expected"]), (&json!(0), &json!(0)));
    // What is proposed keeps the expressions as they were written.
    let command = told["fixes"][0]["command"].as_str().unwrap();
    assert!(command.contains("[parameters("), "{command}");

    // None of it depends on the process.
    world.restart();
    world.puts_device(&who, &hub, "valve-1").expect(200);
    world.puts_device(&who, &hub, "camera-1").expect(403);
    let policy = Policy { world: &world, hub: hub.clone() };
    policy.assigns(json!({ "prefixes": { "value": ["camera-"] } })).expect(201);
    world.puts_device(&who, &hub, "camera-1").expect(200);
    let audit = json!({ "prefixes": { "value": [] }, "effect": { "value": "Audit" } });
    policy.assigns(audit).expect(201);
    world.puts_device(&who, &hub, "anything").expect(200);
}

#[test]
fn parameters_that_do_not_fit_are_refused_with_the_codes_that_clients_know() {
    let world = World::new();
    let policy = Policy { world: &world, hub: world.hub() };
    let unused = policy.defines(|it| it["parameters"]["spare"] = json!({ "type": "String" }));
    is_invalid(&unused, "UnusedPolicyParameters", "spare");
    let wrong = policy.defines(|it| it["parameters"]["effect"]["type"] = json!("Text"));
    is_invalid(&wrong, "InvalidPolicyParameters", "parameters.effect.type");
    let effect = policy.defines(|it| {
        it["parameters"]["effect"] = json!({ "type": "String", "defaultValue": "denny" });
    });
    is_invalid(&effect, "InvalidPolicyParameters", "denny");
    let unknown = policy.defines(|it| it["parameters"] = json!({}));
    is_invalid(&unknown, "InvalidPolicyRule", "prefixes");

    policy.defines(|_| {}).expect(201);
    is_invalid(&policy.assigns(json!({})), "MissingPolicyParameter", "prefixes");
    let ok = json!({ "value": [] });
    let check =
        |given: Value, code: &str, said: &str| is_invalid(&policy.assigns(given), code, said);
    check(json!({ "prefixes": ok, "more": ok }), "UndefinedPolicyParameter", "more");
    check(json!({ "prefixes": { "value": "pump-" } }), "InvalidPolicyParameters", "Array");
    check(
        json!({ "prefixes": ok, "effect": { "value": "Disabled" } }),
        "InvalidPolicyParameters",
        "Audit",
    );

    // What is assigned keeps its types, and what comes new has a default.
    policy.assigns(json!({ "prefixes": ok })).expect(201);
    let other = policy.defines(|it| {
        it["parameters"]["effect"] = json!({ "type": "Integer" });
        it["policyRule"]["then"]["effect"] =
            json!("[if(equals(parameters('effect'), 1), 'deny', 'audit')]");
    });
    is_invalid(&other, "InvalidPolicyParameterUpdate", "String");
    let more = |it: &mut Value| {
        it["parameters"]["kind"] = json!({ "type": "String" });
        it["policyRule"]["if"]["allOf"][0]["equals"] = json!("[parameters('kind')]");
    };
    is_invalid(&policy.defines(more), "InvalidPolicyParameterUpdate", "default");
    policy
        .defines(|it| {
            it["parameters"]["kind"] = json!({ "type": "String", "defaultValue": "x" });
            it["policyRule"]["if"]["allOf"][0]["equals"] = json!("[parameters('kind')]");
        })
        .expect(201);
}
