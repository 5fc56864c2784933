//! Whether what exists complies with its policies.

use serde_json::{Value, json};
use testkit::{Answer, World};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const POLICY_CONTRIBUTOR: &str = "36243c78-bf99-498c-9df9-86d9f8d28608";
const HUBS: &str = "Microsoft.Devices/IotHubs";

fn owned() -> Value {
    json!({ "if": { "allOf": [{ "field": "type", "equals": HUBS },
        { "field": "tags.owner", "exists": false }] }, "then": { "effect": "deny" } })
}

fn states(scope: &str, action: &str, query: &str) -> String {
    let query = query.replace(' ', "%20").replace('\'', "%27");
    format!("{scope}/providers/Microsoft.PolicyInsights/policyStates/latest/{action}?{query}")
}

fn listed(world: &World, scope: &str, query: &str) -> Vec<Value> {
    let found = world.arm("POST", &states(scope, "queryResults", query), &Value::Null).expect(200);
    let value = found.body["value"].as_array().unwrap().clone();
    assert_eq!(found.body["@odata.count"], value.len());
    value
}

fn summary(world: &World, scope: &str) -> Value {
    let found = world.arm("POST", &states(scope, "summarize", ""), &Value::Null).expect(200);
    found.body["value"][0].clone()
}

fn tag(world: &World, hub: &str, tags: &Value) -> Answer {
    world.arm("PATCH", hub, &json!({ "tags": tags }))
}

fn assignment_id(scope: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/policyAssignments/{name}")
}

fn definition_id(world: &World, kind: &str, name: &str) -> String {
    format!("{}/providers/Microsoft.Authorization/{kind}/{name}", world.subscription())
}

#[test]
fn a_new_policy_shows_which_hubs_break_it_until_they_are_mended() {
    let mut world = World::new();
    let (hub, group) = (world.hub(), world.group());
    assert!(listed(&world, &world.subscription(), "").is_empty());
    let blank = summary(&world, &group);
    assert_eq!(blank["results"]["compliancePercentage"], 100.0);
    world.define_policy("owned", &owned()).expect(201);
    world.assign_policy("owned", &group).expect(201);

    for scope in [&hub, &group, &world.subscription(), &assignment_id(&group, "owned")] {
        let found = listed(&world, scope, "");
        assert_eq!(found.len(), 1, "{scope}: {found:?}");
        let state = &found[0];
        assert_eq!(state["complianceState"], "NonCompliant");
        assert_eq!(state["isCompliant"], false);
        assert_eq!(state["resourceId"], hub);
        assert_eq!(state["resourceType"], HUBS);
        assert_eq!(state["policyAssignmentId"], assignment_id(&group, "owned"));
        assert_eq!(state["policyDefinitionName"], "owned");
        assert_eq!(state["policyDefinitionAction"], "deny");
        assert!(state.get("policyEvaluationDetails").is_none(), "{state}");
    }
    let shown = &listed(&world, &hub, "$expand=PolicyEvaluationDetails")[0];
    let details = &shown["policyEvaluationDetails"];
    assert_eq!(details["evaluatedExpressions"][1]["expression"], "tags.owner");
    assert_eq!(details["ruleIndex"], 0);
    // What the state says is what a write would be told.
    assert_eq!(
        tag(&world, &hub, &json!({ "line": "3" })).expect(403).code(),
        "RequestDisallowedByPolicy"
    );

    tag(&world, &hub, &json!({ "owner": "ana" })).expect(200);
    world.restart();
    assert_eq!(listed(&world, &hub, "")[0]["complianceState"], "Compliant");
    let scan =
        |scope: &str| world.arm("POST", &states(scope, "triggerEvaluation", ""), &Value::Null);
    scan(&world.subscription()).expect(200);
    scan(&group).expect(200);
    scan(&format!("{}/resourceGroups/none", world.subscription())).expect(404);
}

#[test]
fn exempt_and_excluded_hubs_and_policies_that_are_not_enforced_are_told_apart() {
    let world = World::new();
    let (hub, group) = (world.hub(), world.group());
    world.define_policy("owned", &owned()).expect(201);
    let assigns = |more: Value| {
        let mut properties =
            json!({ "policyDefinitionId": definition_id(&world, "policyDefinitions", "owned") });
        for (name, value) in more.as_object().unwrap() {
            properties[name] = value.clone();
        }
        world.arm("PUT", &assignment_id(&group, "owned"), &json!({ "properties": properties }))
    };
    assigns(json!({ "enforcementMode": "DoNotEnforce" })).expect(201);
    assert_eq!(listed(&world, &hub, "")[0]["complianceState"], "NonCompliant");
    tag(&world, &hub, &json!({ "line": "3" })).expect(200);

    let exemption = format!("{hub}/providers/Microsoft.Authorization/policyExemptions/relief");
    let relief = json!({ "properties": { "policyAssignmentId": assignment_id(&group, "owned"),
        "exemptionCategory": "Waiver" } });
    world.arm("PUT", &exemption, &relief).expect(201);
    let exempt = &listed(&world, &hub, "")[0];
    assert_eq!(
        (exempt["complianceState"].as_str(), exempt["isCompliant"].as_bool()),
        (Some("Exempt"), Some(true))
    );
    let told = &summary(&world, &group)["results"];
    assert_eq!(told["resourceDetails"], json!([{ "complianceState": "exempt", "count": 1 }]));
    assert_eq!(told["compliancePercentage"], 100.0);

    assigns(json!({ "notScopes": [hub] })).expect(201);
    assert!(listed(&world, &group, "").is_empty());
}

#[test]
fn an_initiative_is_summed_up_by_resource_assignment_and_member() {
    let world = World::new();
    let (hub, group) = (world.hub(), world.group());
    let other = world.hub_named("hub-b");
    let owned_hub = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 },
        "tags": { "owner": "ana" }, "properties": {} });
    world.arm("PUT", &other, &owned_hub).expect(201);
    let groups = json!({ "if": { "field": "type", "equals": "Microsoft.Resources/subscriptions/resourceGroups" },
        "then": { "effect": "audit" } });
    world.define_policy("owned", &owned()).expect(201);
    world.define_policy("groups", &groups).expect(201);
    let member = |name: &str| {
        json!({ "policyDefinitionReferenceId": name,
        "policyDefinitionId": definition_id(&world, "policyDefinitions", name) })
    };
    let set = definition_id(&world, "policySetDefinitions", "set");
    let body =
        json!({ "properties": { "policyDefinitions": [member("owned"), member("groups")] } });
    world.arm("PUT", &set, &body).expect(201);
    let assigned = json!({ "properties": { "policyDefinitionId": set } });
    world.arm("PUT", &assignment_id(&group, "all"), &assigned).expect(201);

    let all = listed(&world, &group, "$orderby=complianceState desc, resourceId");
    let told: Vec<_> = all
        .iter()
        .map(|it| {
            let text = |name: &str| it[name].as_str().unwrap().to_owned();
            (text("resourceId"), text("policyDefinitionReferenceId"), text("complianceState"))
        })
        .collect();
    let line =
        |id: &str, member: &str, state: &str| (id.to_owned(), member.to_owned(), state.to_owned());
    let (broken, fine) = ("NonCompliant", "Compliant");
    let mut expected = vec![line(&group, "groups", broken), line(&hub, "owned", broken)];
    expected.push(line(&other, "owned", fine));
    assert_eq!(told, expected);

    let sum = summary(&world, &world.subscription());
    let results = &sum["results"];
    assert_eq!(
        (&results["nonCompliantResources"], &results["nonCompliantPolicies"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(results["compliancePercentage"], 33.3);
    assert_eq!(
        results["policyDetails"],
        json!([{ "complianceState": "noncompliant", "count": 1 }])
    );
    let assignment = &sum["policyAssignments"][0];
    assert_eq!(assignment["policySetDefinitionId"], set);
    assert_eq!(assignment["policyDefinitions"].as_array().map(Vec::len), Some(2));

    let count = |scope: &str, query: &str| listed(&world, scope, query).len();
    assert_eq!(count(&definition_id(&world, "policyDefinitions", "owned"), ""), 2);
    assert_eq!(count(&set, ""), 3);
    assert_eq!(
        count(
            &group,
            "$filter=complianceState eq 'NonCompliant' and policyAssignmentName eq 'ALL'"
        ),
        2
    );
    assert_eq!(count(&group, &format!("$filter=resourceId eq '{other}'")), 1);
    assert_eq!(count(&group, "$filter=policyDefinitionName eq 'groups'&$top=5"), 1);
    assert_eq!(count(&group, "$top=2"), 2);
    let cut = &listed(&world, &group, "$select=resourceId&$top=1")[0];
    assert!(cut.get("complianceState").is_none() && cut.get("resourceId").is_some(), "{cut}");
    let refused = |path: &str| world.arm("POST", path, &Value::Null).expect(400);
    refused(&states(&group, "queryResults", "$filter=complianceState ne 'Compliant'"));
    refused(&states(&group, "queryResults", "$apply=aggregate($count as n)"));
    refused(&states(&group, "queryResults", "").replace("latest", "default"));
    let missing = states(&assignment_id(&group, "none"), "queryResults", "");
    world.arm("POST", &missing, &Value::Null).expect(404);
}

#[test]
fn states_are_for_those_who_may_ask_and_only_of_what_they_may_read() {
    let world = World::new();
    let (hub, group) = (world.hub(), world.group());
    world.define_policy("owned", &owned()).expect(201);
    world.assign_policy("owned", &world.subscription()).expect(201);
    let asks = |who, scope: &str| {
        world.arm_as(who, "POST", &states(scope, "queryResults", ""), &Value::Null)
    };

    let reader = world.service_principal("reader");
    world.assign(&reader, READER, &group).expect(201);
    let refused = asks(&reader, &group).expect(403);
    assert!(refused.text().contains("policyStates/queryResults/action"), "{refused:?}");

    let keeper = world.service_principal("keeper");
    world.assign(&keeper, POLICY_CONTRIBUTOR, &group).expect(201);
    assert_eq!(asks(&keeper, &group).expect(200).body["value"].as_array().map(Vec::len), Some(1));
    asks(&keeper, &world.subscription()).expect(403);

    // Who may ask of everything and read nothing finds nothing.
    let role = world.guid();
    let asker = world.service_principal("asker");
    let body = json!({ "properties": { "roleName": "Asker", "type": "CustomRole",
        "permissions": [{ "actions": ["Microsoft.PolicyInsights/*"] }],
        "assignableScopes": [world.subscription()] } });
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleDefinitions/{role}",
        world.subscription()
    );
    world.arm("PUT", &path, &body).expect(201);
    world.assign(&asker, &role, &world.subscription()).expect(201);
    assert_eq!(asks(&asker, &hub).expect(200).body["value"], json!([]));
}

#[test]
fn a_management_group_shows_what_lies_below_it_provisioning_services_among_it() {
    let world = World::new();
    let dps = world.dps("dps-c");
    let plants = "/providers/Microsoft.Management/managementGroups/plants".to_owned();
    world.arm("PUT", &plants, &json!({ "name": "plants", "properties": {} })).expect(200);
    let rule = json!({ "if": { "field": "type", "equals": "Microsoft.Devices/provisioningServices" },
        "then": { "effect": "audit" } });
    world.define_policy("services", &rule).expect(201);
    world.assign_policy("services", &world.subscription()).expect(201);
    assert!(listed(&world, &plants, "").is_empty());
    let place = format!("{plants}/subscriptions/{}", world.setting("HUBWARD_SUBSCRIPTION_ID"));
    world.arm("PUT", &place, &Value::Null).expect(200);
    let found = listed(&world, &plants, "");
    // The one that first start made is the other.
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().any(|it| it["resourceId"] == dps.as_str()), "{found:?}");
    assert!(found.iter().all(|it| it["complianceState"] == "NonCompliant"), "{found:?}");
}
