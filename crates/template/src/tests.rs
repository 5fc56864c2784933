mod refusals;

use super::*;
use expression::Steps;
use model::json::member;
use serde_json::json;
use std::cell::Cell;
use uuid::Uuid;

const GROUP: &str = "/subscriptions/s/resourceGroups/rg";
const SYSTEM: &str = include_str!("../../../tests/fixtures/templates/system-assigned.json");
const USER: &str = include_str!("../../../tests/fixtures/templates/user-assigned.json");

fn at(scope: &str) -> Surroundings {
    let scope = Scope::parse(scope).unwrap();
    Surroundings {
        resource_group: scope
            .resource_group_scope()
            .map(|it| json!({ "id": it, "name": it.name(), "location": "westus" })),
        subscription: scope.subscription_id().map(|it| json!({ "subscriptionId": it })),
        tenant: json!({ "tenantId": "t" }),
        environment: json!({ "name": "Hubward" }),
        deployment: json!({ "name": "d" }),
        now: Timestamp::parse("2026-11-22T08:00:00Z").unwrap(),
        scope,
    }
}

fn planned(template: &Value, given: &Value) -> Result<Plan, String> {
    let next = Cell::new(0_u128);
    let new_guid = || {
        next.set(next.get() + 1);
        Uuid::from_u128(next.get())
    };
    Plan::new(template, given, at(GROUP), &new_guid).map_err(|it| it.0)
}

fn template(parts: Value) -> Value {
    let mut all = json!({ "$schema": "x", "contentVersion": "1.0.0.0" });
    for (name, it) in parts.as_object().unwrap() {
        all[name] = it.clone();
    }
    all
}

fn bodies(plan: &Plan) -> Vec<Value> {
    let body = |it| plan.body(it, &Known::new(), &Steps::default()).unwrap();
    plan.resources.iter().map(body).collect()
}

/// The value of an output, or why it has none.
fn value(expression: &str) -> Result<Value, String> {
    let template = template(json!({
        "parameters": { "list": { "type": "array", "defaultValue": ["a", "b", "c"] } },
        "variables": { "name": "[toUpper('x')]" },
        "resources": [{ "type": "A.B/c", "apiVersion": "2020-01-01", "name": "one" }],
        "outputs": { "it": { "type": "object", "value": { "of": expression } } },
    }));
    let plan = planned(&template, &Value::Null)?;
    let known = Known::from([(
        Need::Resource {
            id: format!("{GROUP}/providers/A.B/c/one"),
            api_version: Some("2020-01-01".into()),
        },
        json!({ "id": "x", "properties": { "p": 5 } }),
    )]);
    match plan.outputs(&known, &Steps::default()) {
        Ok(all) => Ok(all[0].value.clone().unwrap()["of"].clone()),
        Err(Stop::Fault(it)) => Err(it),
        Err(Stop::Needs(it)) => Err(format!("{it:?}")),
    }
}

#[track_caller]
fn is(expression: &str, expected: Value) {
    assert_eq!(value(&format!("[{expression}]")), Ok(expected), "{expression}");
}

#[track_caller]
fn fails(expression: &str, because: &str) {
    let refusal = value(&format!("[{expression}]")).unwrap_err();
    assert!(refusal.contains(because), "{refusal}");
}

/// S3-05, S3-11, X-17: what the templates as printed come to.
#[test]
fn both_printed_templates_become_plans_whose_nested_ones_speak_of_the_parameters_around() {
    let given = json!({ "iotHubName": { "value": "plant" } });
    for (text, resources) in [(SYSTEM, 1), (USER, 2)] {
        let plan = planned(&serde_json::from_str(text).unwrap(), &given).unwrap();
        assert_eq!(plan.resources.len(), 1);
        let nested = &plan.resources[0];
        assert_eq!(
            nested.id,
            format!("{GROUP}/providers/Microsoft.Resources/deployments/createIotHub")
        );
        let body = &bodies(&plan)[0];
        assert_eq!(body["properties"]["mode"], "Incremental");
        let inner = planned(&body["properties"]["template"], &Value::Null).unwrap();
        assert_eq!(inner.resources.len(), resources);
        let hub = bodies(&inner).pop().unwrap();
        assert_eq!(hub["location"], "westus");
        assert_eq!(hub["sku"], json!({ "name": "S1", "tier": "Standard", "capacity": 1 }));
        if resources == 2 {
            let identity = format!(
                "{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/plant-identity"
            );
            assert_eq!(inner.resources[0].id, identity);
            assert_eq!(hub["identity"]["userAssignedIdentities"], json!({ identity: {} }));
            assert_eq!(inner.resources[1].depends_on.len(), 1);
        }
    }
}

#[test]
fn ids_are_put_together_whatever_is_named() {
    is("resourceID('A.B/c/', 'n')", json!(format!("{GROUP}/providers/A.B/c/n")));
    is(
        "resourceId('other', 'A.B/c/d', 'n', 'm')",
        json!("/subscriptions/s/resourceGroups/other/providers/A.B/c/n/d/m"),
    );
    is(
        "resourceId('t', 'other', 'A.B/c', 'n')",
        json!("/subscriptions/t/resourceGroups/other/providers/A.B/c/n"),
    );
    is("subscriptionResourceId('A.B/c', 'n')", json!("/subscriptions/s/providers/A.B/c/n"));
    is("subscriptionResourceId('t', 'A.B/c', 'n')", json!("/subscriptions/t/providers/A.B/c/n"));
    is("tenantResourceId('A.B/c', 'n')", json!("/providers/A.B/c/n"));
    is(
        "extensionResourceId('/subscriptions/s', 'A.B/c', 'n')",
        json!("/subscriptions/s/providers/A.B/c/n"),
    );
    is("resourceGroup().location", json!("westus"));
    is("subscription().subscriptionId", json!("s"));
    is("deployment().name", json!("d"));
    fails("resourceId('A.B/c/d', 'n')", "segments");
    fails("resourceId('n')", "type");
    fails("resourceId('A.B/c', '..')", "names");
}

#[test]
fn functions_of_templates_do_as_documented() {
    is("variables('NAME')", json!("X"));
    is("reference('one').p", json!(5));
    is("reference('one', '2020-01-01', 'Full').id", json!("x"));
    is("guid('a', 'b')", json!("2d796349-8c7e-55ec-9624-54ece82ed031"));
    is("equals(uniqueString('a'), uniqueString('a'))", json!(true));
    is("equals(uniqueString('a'), uniqueString('b'))", json!(false));
    is("length(uniqueString('a'))", json!(13));
    is("if(true(), 'a', reference('nobody'))", json!("a"));
    is("dateTimeAdd('2026-11-22T08:00:00Z', 'P1DT1H', 'u')", json!("2026-11-23 09:00:00Z"));
    is("dateTimeToEpoch('1970-01-01T00:01:00Z')", json!(60));
    is(
        "map(parameters('list'), lambda('it', concat(lambdaVariables('it'), '!')))",
        json!(["a!", "b!", "c!"]),
    );
    is(
        "filter(parameters('list'), lambda('it', not(equals(lambdaVariables('it'), 'b'))))",
        json!(["a", "c"]),
    );
    is(
        "sort(createArray(2, 3, 1), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))",
        json!([1, 2, 3]),
    );
    is(
        "reduce(createArray(2, 3), 1, lambda('a', 'b', add(lambdaVariables('a'), lambdaVariables('b'))))",
        json!(6),
    );
    is(
        "toObject(parameters('list'), lambda('it', lambdaVariables('it')), lambda('it', 1)).b",
        json!(1),
    );
    fails("utcNow()", "defaults");
    fails("newGuid()", "defaults");
    fails("nothing()", "no function");
    fails("copyIndex()", "copy");
    fails("variables('other')", "variable");
    fails("parameters('other')", "parameter");
    fails("reference('nobody')", "nobody");
    fails("lambdaVariables('it')", "lambda");
    assert_eq!(value("[[not one]"), Ok(json!("[not one]")));
    assert_eq!(value("[ begins"), Ok(json!("[ begins")));
}

#[test]
fn parameters_are_held_to_what_the_template_declares() {
    let check = |declared: Value, given: Value| {
        let template = template(json!({ "parameters": { "p": declared }, "resources": [] }));
        planned(&template, &given).map(|it| it.parameters["p"].clone())
    };
    let of = |value: Value| json!({ "P": { "value": value } });
    assert_eq!(check(json!({ "type": "string" }), of(json!("a"))).unwrap()["value"], "a");
    assert_eq!(check(json!({ "type": "Int", "maxValue": 5 }), of(json!(5))).unwrap()["value"], 5);
    let file = json!({ "$schema": "s", "contentVersion": "1.0.0.0", "parameters": of(json!("a")) });
    assert_eq!(check(json!({ "type": "string" }), file).unwrap()["value"], "a");
    for (declared, given, why) in [
        (json!({ "type": "string" }), json!({}), "not provided"),
        (json!({ "type": "string" }), of(json!(1)), "type"),
        (json!({ "type": "int", "maxValue": 5 }), of(json!(6)), "maxValue"),
        (json!({ "type": "int", "minValue": 5 }), of(json!(4)), "minValue"),
        (json!({ "type": "string", "minLength": 2 }), of(json!("a")), "minLength"),
        (json!({ "type": "string", "allowedValues": ["b"] }), of(json!("a")), "allowed"),
        (json!({ "type": "string" }), json!({ "q": { "value": 1 } }), "`q`"),
        (json!({ "type": "string" }), json!({ "p": "a" }), "without `value`"),
        (json!({ "type": "string" }), json!({ "p": { "reference": {} } }), "key vault"),
        (json!({ "type": "text" }), of(json!("a")), "type"),
        (json!({ "type": "string", "defaultValue": "[parameters('p')]" }), json!({}), "itself"),
        (json!({ "type": "string", "defaultValue": 1 }), json!({}), "type"),
    ] {
        let refusal = check(declared.clone(), given).unwrap_err();
        assert!(refusal.contains(why), "{declared}: {refusal}");
    }
    let made =
        check(json!({ "type": "string", "defaultValue": "[newGuid()]" }), json!({})).unwrap();
    assert_eq!(made["value"], Uuid::from_u128(1).to_string());
    let made = check(json!({ "type": "string", "defaultValue": "[utcNow('yyyy-MM')]" }), json!({}))
        .unwrap();
    assert_eq!(made["value"], "2026-11");
}

fn resource(name: &str, more: Value) -> Value {
    let mut it = json!({ "type": "A.B/c", "apiVersion": "2020-01-01", "name": name });
    for (name, value) in more.as_object().unwrap() {
        it[name] = value.clone();
    }
    it
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.resources.iter().map(|it| it.name.as_str()).collect()
}

#[test]
fn what_depends_on_something_stands_behind_it() {
    let check = |resources: Value, expected: &[&str]| {
        let plan = planned(&template(json!({ "resources": resources })), &Value::Null).unwrap();
        assert_eq!(names(&plan), expected);
    };
    check(
        json!([resource("a", json!({ "dependsOn": ["b"] })), resource("b", json!({}))]),
        &["b", "a"],
    );
    check(
        json!([
            resource("a", json!({ "dependsOn": ["[resourceId('A.B/c', 'b')]"] })),
            resource("b", json!({}))
        ]),
        &["b", "a"],
    );
    check(
        json!([
            resource("a", json!({ "properties": { "x": "[reference('b').y]" } })),
            resource("b", json!({}))
        ]),
        &["b", "a"],
    );
    check(
        json!([
            resource("a", json!({ "dependsOn": ["loop"] })),
            resource(
                "[concat('b', copyIndex(1))]",
                json!({ "copy": { "name": "loop", "count": 2 } })
            ),
        ]),
        &["b1", "b2", "a"],
    );
    check(
        json!({ "one": resource("a", json!({ "dependsOn": ["two"] })), "two": resource("b", json!({})),
            "three": resource("there", json!({ "existing": true })) }),
        &["b", "a"],
    );
    check(
        json!([
            resource("a", json!({ "dependsOn": ["b"] })),
            resource("b", json!({ "condition": "[equals(1, 2)]" }))
        ]),
        &["a"],
    );
    check(
        json!([resource(
            "a",
            json!({ "resources": [{ "type": "d", "apiVersion": "2020-01-01", "name": "e" }] })
        )]),
        &["a", "a/e"],
    );
}

#[test]
fn copies_of_properties_variables_and_outputs_are_made() {
    let template = template(json!({
        "variables": { "copy": [{ "name": "list", "count": 2, "input": "[concat('v', copyIndex('list'))]" }] },
        "resources": [resource("a", json!({ "properties": {
            "copy": [{ "name": "disks", "count": 2, "input": { "lun": "[copyIndex('disks', 5)]" } }] } }))],
        "outputs": { "all": { "type": "array", "copy": { "count": 2, "input": "[variables('list')[copyIndex()]]" } } },
    }));
    let plan = planned(&template, &Value::Null).unwrap();
    assert_eq!(bodies(&plan)[0]["properties"], json!({ "disks": [{ "lun": 5 }, { "lun": 6 }] }));
    let outputs = plan.outputs(&Known::new(), &Steps::default()).unwrap();
    assert_eq!(outputs[0].value, Some(json!(["v0", "v1"])));
}

#[test]
fn what_is_there_is_asked_for_by_name() {
    let template = template(json!({ "resources": [resource("a", json!({ "properties": {
        "key": "[listKeys(resourceId('A.B/k', 'other'), '2021-01-01').primary]",
        "place": "[reference(resourceId('A.B/k', 'other'), '2021-01-01', 'Full').location]",
    } }))] }));
    let plan = planned(&template, &Value::Null).unwrap();
    let (mut known, mut asked) = (Known::new(), Vec::new());
    let id = format!("{GROUP}/providers/A.B/k/other");
    let body = loop {
        match plan.body(&plan.resources[0], &known, &Steps::default()) {
            Ok(it) => break it,
            Err(Stop::Needs(it)) => {
                asked.push(it.clone());
                known.insert(it, json!({ "primary": "k", "location": "westus" }));
            }
            Err(Stop::Fault(it)) => panic!("{it}"),
        }
    };
    assert_eq!(body["properties"], json!({ "key": "k", "place": "westus" }));
    let version = "2021-01-01".to_owned();
    assert_eq!(
        asked,
        [
            Need::List {
                id: id.clone(),
                function: "listkeys".into(),
                api_version: version.clone()
            },
            Need::Resource { id, api_version: Some(version) },
        ]
    );
}

#[test]
fn a_nested_template_has_a_scope_of_its_own_only_where_it_asks_for_one() {
    let nested = |options: Value, name: &str| {
        let mut properties = json!({ "mode": "Incremental", "template": {
            "contentVersion": "1.0.0.0",
            "parameters": { "p": { "type": "string", "defaultValue": "inner" } },
            "resources": [resource(name, json!({
                "tags": { "said": "[[literal]" },
                "copy": { "name": "loop", "count": 2 },
                "properties": { "of": "[parameters('p')]", "at": "[copyIndex()]" } }))],
        } });
        if !options.is_null() {
            properties["expressionEvaluationOptions"] = options;
        }
        json!([{ "type": DEPLOYMENTS, "apiVersion": "2020-10-01", "name": "n", "resourceGroup": "other",
            "properties": properties }])
    };
    for (options, expected) in [(Value::Null, "outer"), (json!({ "scope": "Inner" }), "inner")] {
        let template = template(json!({
            "parameters": { "p": { "type": "string", "defaultValue": "outer" } },
            "resources": nested(options, "[concat('x', copyIndex())]"),
        }));
        let plan = planned(&template, &Value::Null).unwrap();
        assert!(plan.resources[0].id.starts_with("/subscriptions/s/resourceGroups/other/"));
        let body = &bodies(&plan)[0];
        let inner =
            planned(member(&body["properties"], "template").unwrap(), &Value::Null).unwrap();
        assert_eq!(names(&inner), ["x0", "x1"]);
        let second = bodies(&inner).pop().unwrap();
        assert_eq!(second["properties"], json!({ "of": expected, "at": 1 }));
        assert_eq!(second["tags"]["said"], "[literal]");
    }
}

#[test]
fn resources_have_ids_by_where_they_are_deployed() {
    let check = |scope: &str, resource: Value, expected: &str| {
        let template = template(json!({ "resources": [resource] }));
        let plan = Plan::new(&template, &Value::Null, at(scope), &|| Uuid::nil()).unwrap();
        assert_eq!(plan.resources[0].id, expected);
    };
    let of = |kind: &str, name: &str, more: Value| {
        let mut it = resource(name, more);
        it["type"] = json!(kind);
        it
    };
    let subscription = "/subscriptions/s";
    check(
        subscription,
        of("Microsoft.Resources/resourceGroups", "g", json!({})),
        "/subscriptions/s/resourceGroups/g",
    );
    check(subscription, of("A.B/c", "n", json!({})), "/subscriptions/s/providers/A.B/c/n");
    check(
        "/",
        of("Microsoft.Management/managementGroups", "g", json!({})),
        "/providers/Microsoft.Management/managementGroups/g",
    );
    let hub = format!("{GROUP}/providers/Microsoft.Devices/IotHubs/h");
    let lock = format!("{hub}/providers/Microsoft.Authorization/locks/l");
    check(
        GROUP,
        of("Microsoft.Authorization/locks", "l", json!({ "scope": "Microsoft.Devices/IotHubs/h" })),
        &lock,
    );
    check(GROUP, of("Microsoft.Authorization/locks", "l", json!({ "scope": hub })), &lock);
    check(
        GROUP,
        of("Microsoft.Devices/IotHubs/providers/locks", "h/Microsoft.Authorization/l", json!({})),
        &lock,
    );
}
