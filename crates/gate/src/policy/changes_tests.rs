use super::super::parse;
use super::*;

fn check(then: Value, expected: Result<usize, &str>) {
    let properties =
        json!({ "policyRule": { "if": { "field": "name", "exists": true }, "then": then } });
    let found = parse::parse(&properties);
    let steps =
        found.as_ref().map(|it| it.rules[0].changes.as_ref().map_or(0, |it| it.steps.len()));
    let place = |it: &NotAPolicy| it.at.strip_prefix("policyRule.then.details").map(str::to_owned);
    assert_eq!(
        steps.map_err(|it| place(it).unwrap_or_default()),
        expected.map_err(str::to_owned),
        "{then}"
    );
}

#[test]
fn an_append_is_a_list_of_fields_and_values() {
    let append = |details: Value| json!({ "effect": "Append", "details": details });
    check(append(json!([{ "field": "tags.a", "value": "1" }])), Ok(1));
    check(append(json!([{ "Field": "tags", "Value": { "a": "1" } }])), Ok(1));
    check(
        append(json!([{ "field": "[concat('tags.', 'a')]", "value": "[field('name')]" }])),
        Ok(1),
    );
    check(json!({ "effect": "append" }), Err(""));
    check(append(json!({})), Err(""));
    check(append(json!([])), Err(""));
    check(append(json!([{ "field": "tags.a" }])), Err("[0].value"));
    check(append(json!([{ "value": "1" }])), Err("[0].field"));
    check(append(json!([{ "field": "tags.a", "value": 1 }])), Err("[0].value"));
    check(append(json!([{ "field": "tags", "value": "a" }])), Err("[0].value"));
    check(append(json!([{ "field": "tags.a", "value": "[gid()]" }])), Err("[0].value"));
    check(
        append(json!([{ "field": "tags.a", "value": "1", "operation": "add" }])),
        Err("[0].operation"),
    );
    let many =
        |count: usize| append(json!(vec![json!({ "field": "tags.a", "value": "1" }); count]));
    check(many(OPERATIONS_MAX), Ok(OPERATIONS_MAX));
    check(many(OPERATIONS_MAX + 1), Err(""));
}

#[test]
fn a_modify_is_a_list_of_operations_with_roles_and_a_word_for_conflicts() {
    let modify = |details: Value| json!({ "effect": "modify", "details": details });
    let one = json!({ "operation": "AddOrReplace", "field": "tags['a']", "value": "1" });
    check(
        modify(
            json!({ "roleDefinitionIds": ["/r"], "conflictEffect": "Audit", "operations": [one] }),
        ),
        Ok(1),
    );
    check(json!({ "effect": "[concat('mod', 'ify')]", "details": { "operations": [one] } }), Ok(1));
    check(json!({ "effect": "modify" }), Err(""));
    check(modify(json!([one])), Err(""));
    check(modify(json!({})), Err(".operations"));
    check(
        modify(json!({ "operations": [one], "roleDefinitionIds": "r" })),
        Err(".roleDefinitionIds"),
    );
    check(
        modify(json!({ "operations": [one], "roleDefinitionIds": [1] })),
        Err(".roleDefinitionIds"),
    );
    check(modify(json!({ "operations": [one], "conflictEffect": "ask" })), Err(".conflictEffect"));
    check(modify(json!({ "operations": [one], "actionNames": [] })), Err(".actionNames"));
    let operations = |it: Value| modify(json!({ "operations": [it] }));
    check(operations(json!({ "operation": "remove", "field": "tags.a" })), Ok(1));
    check(operations(json!({ "operation": "remove", "field": "tags" })), Ok(1));
    let valued = json!({ "operation": "remove", "field": "tags.a", "value": "1" });
    check(operations(valued), Err(".operations[0].value"));
    check(
        operations(json!({ "operation": "set", "field": "tags.a" })),
        Err(".operations[0].operation"),
    );
    let spared = json!({ "operation": "remove", "field": "tags.a", "condition": true });
    check(operations(spared), Err(".operations[0].condition"));
}

#[test]
fn what_cannot_be_changed_here_is_refused_by_name() {
    let field = |field: &str, value: Value| json!({ "effect": "append", "details": [{ "field": field, "value": value }] });
    let hub = |name: &str| format!("Microsoft.Devices/IotHubs/{name}");
    check(field(&hub("DisableLocalAuth"), json!(true)), Ok(1));
    check(field(&hub("minTlsVersion"), json!("1.2")), Ok(1));
    check(field("Microsoft.Devices/provisioningServices/allocationPolicy", json!("Static")), Ok(1));
    check(field(&hub("disableLocalAuth"), json!("true")), Err("[0].value"));
    for other in [
        "location",
        "name",
        "identity.type",
        "request.action",
        "Microsoft.Devices/IotHubs/devices/status",
    ] {
        check(field(other, json!("x")), Err("[0].field"));
    }
    for other in [
        "routing.routes",
        "routing.routes[*]",
        "sku.name",
        "tags.a",
        "primaryKey",
        "publicNetworkAccess",
    ] {
        check(field(&hub(other), json!("x")), Err("[0].field"));
    }
    let removed = json!({ "effect": "modify", "details": { "operations": [
        { "operation": "remove", "field": hub("minTlsVersion") } ] } });
    check(removed, Err(".operations[0].field"));
}

#[test]
fn a_change_finds_names_in_their_own_case_and_leaves_what_it_cannot_read() {
    let check = |body: Value, value: Option<Value>, expected: Value| {
        let mut found = body.clone();
        Change { path: vec!["tags".into(), "line".into()], value }.apply(&mut found);
        assert_eq!(found, expected, "{body}");
    };
    let seven = || Some(json!("7"));
    check(json!({}), seven(), json!({ "tags": { "line": "7" } }));
    check(json!({ "Tags": null }), seven(), json!({ "Tags": { "line": "7" } }));
    check(json!({ "TAGS": { "Line": "8" } }), seven(), json!({ "TAGS": { "Line": "7" } }));
    check(json!({ "tags": { "LINE": "8", "a": "b" } }), None, json!({ "tags": { "a": "b" } }));
    check(json!({ "tags": ["x"] }), seven(), json!({ "tags": ["x"] }));
    check(json!([]), seven(), json!([]));
}
