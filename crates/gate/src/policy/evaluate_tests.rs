use super::super::parse;
use super::*;
use crate::facts::Group;
use crate::policy::parameters::bind;
use crate::policy::{Effect, PolicyDefinition};
use model::trace::Caller;
use model::{ObjectId, PrincipalKind};

const KIND: &str = "Contoso.Test/things";
const CALLER: &str = "22222222-2222-4222-8222-000000000001";

/// Evaluates `if` on the properties of a thing. Both roads are taken, and must agree.
fn evaluated(condition: Value, properties: Value) -> Result<bool, EvaluationError> {
    with(condition, properties, json!({}), &mut None)
}

fn with(
    condition: Value,
    properties: Value,
    parameters: Value,
    record: &mut Option<Vec<Condition>>,
) -> Result<bool, EvaluationError> {
    let given = parameters.as_object().unwrap();
    let declared: serde_json::Map<String, Value> = given
        .iter()
        .map(|(name, it)| (name.clone(), json!({ "type": crate::policy::Kind::of(it).as_str() })))
        .collect();
    let values: serde_json::Map<String, Value> =
        given.iter().map(|(name, it)| (name.clone(), json!({ "value": it }))).collect();
    let parsed = parse(&json!({
        "parameters": declared,
        "policyRule": { "if": condition, "then": { "effect": "deny" } },
    }))
    .unwrap();
    let definition = PolicyDefinition {
        id: "/definition".into(),
        name: String::new(),
        display_name: String::new(),
        version: String::new(),
        parameters: parsed.parameters,
        rules: parsed.rules,
    };
    let values = bind(&definition, Some(&Value::Object(values))).unwrap();
    let object = Object {
        kind: KIND.into(),
        name: "thing1".into(),
        id: "/subscriptions/s/resourceGroups/rg/providers/Contoso.Test/things/thing1".into(),
        body: json!({ "location": "West Europe", "tags": { "Env": "Prod" }, "properties": properties }),
        verb: model::trace::Verb::Write,
    };
    let caller = Caller {
        kind: PrincipalKind::User,
        object_id: ObjectId::parse(CALLER),
        ..Caller::anyone()
    };
    let scope = Scope::parse("/subscriptions/s/resourceGroups/rg").unwrap();
    let mut facts = Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost");
    let group =
        |id: u32| ObjectId::parse(&format!("33333333-3333-4333-8333-00000000000{id}")).unwrap();
    for (id, member) in [(group(1), caller.object_id.unwrap()), (group(2), group(1))] {
        facts.put_group(Group { id, display_name: String::new(), members: [member].into() });
    }
    facts.put_container_document(
        &scope,
        json!({ "name": "rg", "location": "westeurope", "tags": { "a": "b" } }),
    );
    let subject = Subject {
        object: &object,
        caller: &caller,
        action: "",
        endpoint: "",
        protocol: "",
        enrollment: None,
        scope: &scope,
        now: Timestamp::parse("2026-11-22T08:00:00Z").unwrap(),
        facts: &facts,
        arguments: Arguments { declared: &definition.parameters, given: &values },
        policy: Names {
            assignment_id: "/assignment",
            definition_id: "/definition",
            ..Names::default()
        },
    };
    let rule = &definition.rules[0];
    assert_eq!(rule.effect(subject.arguments), Ok(Effect::Deny));
    let quick = holds(&rule.condition, &subject, &mut None);
    let mut recorded = Some(Vec::new());
    assert_eq!(holds(&rule.condition, &subject, &mut recorded), quick, "{}", rule.source);
    *record = recorded;
    quick
}

#[track_caller]
fn check(condition: Value, properties: &Value, answer: bool) {
    assert_eq!(evaluated(condition.clone(), properties.clone()), Ok(answer), "{condition}");
}

#[track_caller]
fn fails(condition: Value, properties: &Value, at: &str, because: &str) {
    let error = evaluated(condition.clone(), properties.clone()).unwrap_err();
    assert_eq!(error.at, format!("policyRule.if{at}"), "{error}");
    assert!(error.because.contains(because), "{error}");
}

fn field(path: &str, operator: &str, expected: Value) -> Value {
    json!({ "field": format!("{KIND}/{path}"), operator: expected })
}

/// The example of the documentation: Azure Policy, "Author policies for array properties".
fn lists() -> Value {
    json!({
        "texts": ["a", "b", "c"],
        "objects": [
            { "p": "value1", "inner": [1, 2] },
            { "p": "value2", "inner": [3, 4] },
        ],
        "empty": [],
        "text": "x",
        "gaps": [{ "p": "x" }, {}],
    })
}

#[test]
fn a_field_over_a_list_speaks_of_all_members() {
    let all = lists();
    check(field("texts[*]", "in", json!(["a", "b", "c"])), &all, true);
    check(field("texts[*]", "equals", json!("a")), &all, false);
    check(field("texts[*]", "notEquals", json!("a")), &all, false);
    check(field("texts[*]", "notEquals", json!("d")), &all, true);
    check(field("objects[*].p", "like", json!("value*")), &all, true);
    check(field("objects[*].inner[*]", "less", json!(5)), &all, true);
    check(field("objects[*].inner[*]", "less", json!(4)), &all, false);
    check(field("objects[*].inner", "exists", json!(true)), &all, true);
    check(field("texts", "contains", json!("b")), &all, true);
    // Not all, which is not none.
    check(json!({ "not": field("texts[*]", "equals", json!("a")) }), &all, true);
}

#[test]
fn a_field_over_nothing_holds() {
    let all = lists();
    for path in
        ["missing[*]", "missing[*].p", "empty[*]", "empty[*].p", "text[*]", "missing.deep[*].p"]
    {
        check(field(path, "equals", json!("x")), &all, true);
        check(field(path, "notEquals", json!("x")), &all, true);
        check(field(path, "exists", json!(false)), &all, true);
        check(field(path, "greater", json!(1)), &all, true);
    }
    check(json!({ "field": "Contoso.Test/others/texts[*]", "equals": "x" }), &all, true);
    // The list itself is another question.
    check(field("missing", "exists", json!(true)), &all, false);
    check(field("empty", "exists", json!(true)), &all, true);
}

#[test]
fn a_member_without_the_property_is_missing_it() {
    let all = lists();
    check(field("gaps[*].p", "exists", json!(true)), &all, false);
    check(field("gaps[*].p", "equals", json!("x")), &all, false);
    check(field("gaps[*].p", "notEquals", json!("y")), &all, true);
}

fn count(path: &str, condition: Option<Value>, operator: &str, expected: Value) -> Value {
    let mut inner = json!({ "field": format!("{KIND}/{path}") });
    if let Some(it) = condition {
        inner["where"] = it;
    }
    json!({ "count": inner, operator: expected })
}

#[test]
fn a_count_over_a_field_counts_members() {
    let all = lists();
    check(count("texts[*]", None, "equals", json!(3)), &all, true);
    check(count("objects[*].inner[*]", None, "equals", json!(4)), &all, true);
    check(count("missing[*]", None, "equals", json!(0)), &all, true);
    check(count("text[*]", None, "equals", json!(0)), &all, true);
    check(
        count("texts[*]", Some(field("texts[*]", "equals", json!("a"))), "equals", json!(1)),
        &all,
        true,
    );
    let both = json!({ "allOf": [
        field("objects[*].p", "equals", json!("value2")), field("objects[*].inner[*]", "greater", json!(2)) ] });
    check(count("objects[*]", Some(both), "equals", json!(1)), &all, true);
    // What is not counted stays whole.
    check(
        count("objects[*]", Some(field("texts[*]", "equals", json!("a"))), "equals", json!(0)),
        &all,
        true,
    );
    check(
        count(
            "texts[*]",
            Some(json!({ "field": "tags.env", "equals": "prod" })),
            "equals",
            json!(3),
        ),
        &all,
        true,
    );
    check(count("texts[*]", None, "greater", json!("[length(field('tags'))]")), &all, true);
}

#[test]
fn nested_counts_bind_each_its_own_member() {
    let all = lists();
    let inner = count(
        "objects[*].inner[*]",
        Some(field("objects[*].inner[*]", "equals", json!(3))),
        "greater",
        json!(0),
    );
    check(count("objects[*]", Some(inner.clone()), "equals", json!(1)), &all, true);
    let both = json!({ "allOf": [field("objects[*].p", "equals", json!("value1")), inner] });
    check(count("objects[*]", Some(both), "equals", json!(0)), &all, true);
    // A count over members of members binds the outer ones, too.
    let outer = field("objects[*].p", "equals", json!("value2"));
    check(count("objects[*].inner[*]", Some(outer), "equals", json!(2)), &all, true);
}

#[test]
fn current_and_field_show_the_member_that_is_counted() {
    let all = lists();
    let value = |text: &str, expected: Value| json!({ "value": text, "equals": expected });
    let texts = |test: Value, number: i64| count("texts[*]", Some(test), "equals", json!(number));
    check(texts(value("[current()]", json!("b")), 1), &all, true);
    check(texts(value(&format!("[first(field('{KIND}/texts[*]'))]"), json!("b")), 1), &all, true);
    check(texts(value(&format!("[length(field('{KIND}/texts[*]'))]"), json!(1)), 3), &all, true);
    let objects =
        |test: Value, number: i64| count("objects[*]", Some(test), "equals", json!(number));
    check(
        objects(value(&format!("[current('{KIND}/objects[*].p')]"), json!("value2")), 1),
        &all,
        true,
    );
    check(
        objects(value(&format!("[length(current('{KIND}/objects[*].inner[*]'))]"), json!(2)), 2),
        &all,
        true,
    );
    check(objects(value("[current().inner[1]]", json!(4)), 1), &all, true);
    // Of two names the right one, wherever they stand.
    let pairs = json!({ "count": { "value": [1, 2, 3], "name": "a", "where": {
        "count": { "value": [2, 3], "name": "b", "where": { "value": "[equals(current('a'), current('b'))]", "equals": true } },
        "greater": 0 } }, "equals": 2 });
    check(pairs, &all, true);
}

#[test]
fn the_groups_of_the_caller_are_a_field() {
    let all = lists();
    let group = |id: u32| json!(format!("33333333-3333-4333-8333-00000000000{id}"));
    // Directly, and through another group.
    for (id, is_in) in [(1, true), (2, true), (3, false)] {
        check(json!({ "field": "identity.groups", "contains": group(id) }), &all, is_in);
        let where_it = json!({ "field": "identity.groups[*]", "equals": group(id) });
        check(
            json!({ "count": { "field": "identity.groups[*]", "where": where_it }, "greater": 0 }),
            &all,
            is_in,
        );
        check(json!({ "value": group(id), "in": "[field('identity.groups[*]')]" }), &all, is_in);
    }
    check(json!({ "field": "identity.groups[*]", "notEquals": group(3) }), &all, true);
}

#[test]
fn the_name_of_a_field_can_be_put_together() {
    let tag = json!({ "field": "[concat('tags[', parameters('t'), ']')]", "equals": "prod" });
    let found = |name: &str| with(tag.clone(), json!({}), json!({ "t": name }), &mut None);
    assert_eq!(found("env"), Ok(true));
    assert_eq!(found("team"), Ok(false));
    assert!(found("").is_err());
    let value = json!({ "value": "[field(concat('tags.', parameters('t')))]", "equals": "Prod" });
    assert_eq!(with(value, json!({}), json!({ "t": "ENV" }), &mut None), Ok(true));
    // A name that nobody has is no answer, and a secret has none.
    let any = json!({ "field": "[parameters('f')]", "exists": false });
    for name in ["colour", "Contoso.Test/things/primaryKey"] {
        assert!(with(any.clone(), json!({}), json!({ "f": name }), &mut None).is_err(), "{name}");
    }
}

#[test]
fn what_is_missing_is_empty_to_a_function() {
    let all = lists();
    let value = |text: String, expected: Value| json!({ "value": text, "equals": expected });
    check(value(format!("[field('{KIND}/missing')]"), json!("")), &all, true);
    check(value(format!("[length(field('{KIND}/missing[*].p'))]"), json!(0)), &all, true);
    check(value(format!("[length(field('{KIND}/gaps[*].p'))]"), json!(2)), &all, true);
    check(value("[length(field('kind'))]".into(), json!(0)), &all, true);
    check(value("[field('location')]".into(), json!("westeurope")), &all, true);
    check(value("[field('identity.principalId')]".into(), json!(CALLER)), &all, true);
}

#[test]
fn what_surrounds_the_object_has_its_functions() {
    let all = lists();
    let value = |text: &str, expected: &str| json!({ "value": text, "equals": expected });
    check(json!({ "field": "location", "equals": "[resourceGroup().location]" }), &all, true);
    check(value("[resourceGroup().tags.a]", "b"), &all, true);
    check(value("[subscription().subscriptionId]", "s"), &all, true);
    check(value("[policy().assignmentId]", "/assignment"), &all, true);
    check(json!({ "value": "[empty(policy().setDefinitionId)]", "equals": true }), &all, true);
    check(value("[requestContext().identity.idtyp]", "user"), &all, true);
    check(value("[utcNow()]", "2026-11-22T08:00:00.0000000Z"), &all, true);
    check(
        json!({ "value": "[addDays(utcNow(), -1)]", "less": "2026-11-21T09:00:00+00:00" }),
        &all,
        true,
    );
    fails(value("[resourceGroup().owner]", "x"), &all, "", "`owner`");
}

#[test]
fn an_error_in_a_condition_that_counts_fails_the_rule() {
    let all = lists();
    let bad = json!({ "value": "[substring('abc', 0, 9)]", "equals": "x" });
    let (yes, no) = (field("text", "equals", json!("x")), field("text", "equals", json!("y")));
    fails(bad.clone(), &all, "", "`substring`");
    fails(json!({ "not": bad }), &all, ".not", "`substring`");
    fails(json!({ "allOf": [yes, bad] }), &all, ".allOf[1]", "`substring`");
    fails(json!({ "anyOf": [no, bad] }), &all, ".anyOf[1]", "`substring`");
    fails(json!({ "anyOf": [bad, yes] }), &all, ".anyOf[0]", "`substring`");
    fails(
        count("texts[*]", Some(bad.clone()), "equals", json!(0)),
        &all,
        ".count.where",
        "`substring`",
    );
    fails(field("texts[*]", "less", json!(1)), &all, "", "one type");
    fails(field("text", "like", json!("[concat('*', '*')]")), &all, "", "more than one `*`");
    fails(field("text", "in", json!("[string('x')]")), &all, "", "takes a list");
    // Over an empty list nothing is asked.
    check(count("empty[*]", Some(bad.clone()), "equals", json!(0)), &all, true);
    // What is settled in front asks for nothing behind.
    check(json!({ "allOf": [no, bad] }), &all, false);
    check(json!({ "anyOf": [yes, bad] }), &all, true);
    check(json!({ "not": { "allOf": [no, { "anyOf": [bad] }] } }), &all, true);
}

#[test]
fn a_record_shows_what_was_not_needed_and_what_failed() {
    let bad = json!({ "value": "[int('abc')]", "equals": 1 });
    let no = field("text", "equals", json!("y"));
    let mut record = None;
    let rule = json!({ "allOf": [no, bad, count("texts[*]", None, "equals", json!(3))] });
    assert_eq!(with(rule, lists(), json!({}), &mut record), Ok(false));
    let all = record.unwrap();
    let shown: Vec<(&str, &str, bool, bool)> = all
        .iter()
        .map(|it| (it.path.as_str(), it.left.as_str(), it.result, it.error.is_some()))
        .collect();
    assert_eq!(
        shown,
        [
            ("policyRule.if.allOf[0]", "field", false, false),
            ("policyRule.if.allOf[1]", "value", false, true),
            ("policyRule.if.allOf[2]", "count", true, false),
        ]
    );
    assert_eq!(all[2].actual, Some(json!(3)));
    assert_eq!(all[2].expression, format!("{KIND}/texts[*]"));
}

#[test]
fn a_record_is_short_whatever_was_looked_at() {
    let long = json!({ "list": vec!["x"; 10_000], "text": "x".repeat(100_000) });
    let rule = json!({ "allOf": [
        field("list", "exists", json!(true)), field("list[*]", "equals", json!("x")), field("text", "exists", json!(true)) ] });
    let mut record = None;
    assert_eq!(with(rule, long, json!({}), &mut record), Ok(true));
    let text = serde_json::to_string(&record.unwrap()).unwrap();
    assert!(text.len() < 4_000, "{}", text.len());
}

#[test]
fn a_parameter_without_a_value_is_an_error() {
    // As after a change of the definition that its assignments did not follow.
    let parsed = parse(&json!({
        "parameters": { "e": { "type": "String" } },
        "policyRule": { "if": { "field": "name", "exists": true }, "then": { "effect": "[parameters('e')]" } },
    }))
    .unwrap();
    let given = crate::policy::Values::default();
    let arguments = Arguments { declared: &parsed.parameters, given: &given };
    let error = parsed.rules[0].effect(arguments).unwrap_err();
    assert_eq!(error.at, "policyRule.then.effect");
}

#[test]
fn counts_within_counts_end_at_the_limit_of_steps() {
    let mut test = json!({ "value": true, "equals": true });
    for level in 0..8 {
        let hundred: Vec<usize> = (0..ITERATIONS_MAX).collect();
        test = json!({ "count": { "value": hundred, "name": format!("n{level}"), "where": test }, "equals": 100 });
    }
    let error = evaluated(test, json!({})).unwrap_err();
    assert!(error.because.contains("steps"), "{error}");
}

#[test]
fn one_past_the_iterations_of_a_count_is_an_error() {
    let rule = json!({ "count": { "value": "[range(0, parameters('n'))]" }, "equals": "[parameters('n')]" });
    let ask = |number: usize| with(rule.clone(), json!({}), json!({ "n": number }), &mut None);
    assert_eq!(ask(ITERATIONS_MAX), Ok(true));
    assert!(ask(ITERATIONS_MAX + 1).is_err());
}

#[test]
fn steps_of_what_is_only_looked_at_do_not_count() {
    // Behind the first, which settles it, stand conditions that use up every step.
    let list: Vec<usize> = (0..30_000).collect();
    let greedy =
        json!({ "value": "[length(union(parameters('l'), parameters('l')))]", "equals": 30_000 });
    let mut tests = vec![json!({ "field": "name", "equals": "other" })];
    tests.extend(vec![greedy.clone(); 30]);
    let rule = json!({ "anyOf": [{ "allOf": tests }, greedy] });
    assert_eq!(with(rule, json!({}), json!({ "l": list }), &mut None), Ok(true));
}

#[test]
fn the_deepest_rule_that_is_taken_is_evaluated() {
    let mut test = json!({ "field": "name", "equals": "thing1" });
    for level in 0..31 {
        test = json!({ "allOf": [{ "count": { "field": format!("{KIND}/list{level}[*]"), "where": test }, "equals": 1 }] });
    }
    let lists = (0..31).map(|it| (format!("list{it}"), json!([it]))).collect();
    check(test, &Value::Object(lists), true);
}
