//! Policy definitions.

use gate::Facts;
use gate::facts::Group;
use gate::policy::{
    Arguments, EvaluationError, Names, Parsed, Rule, Subject, Values, holds, parse,
};
use model::trace::{Caller, Condition, Object};
use model::{ObjectId, PrincipalKind, Scope, Timestamp};
use serde_json::{Value, json};

const ID: &str = "22222222-2222-4222-8222-000000000001";
const GROUP: &str = "/subscriptions/s/resourceGroups/rg";

/// The bytes are the `properties` of a definition, where they are JSON that is taken. Reading them does not
/// panic; what was read is read again from its own source; and every rule has, for objects with and without
/// what it may look at, the same answer or the same error whether or not it is recorded, each time.
pub fn policy(bytes: &[u8]) {
    let Ok(properties) = model::json::parse(bytes) else { return };
    let parsed = match parse(&properties) {
        Ok(it) => it,
        Err(fault) => return assert!(!fault.at.is_empty() && !fault.because.is_empty()),
    };
    let sources: Value = parsed.rules.iter().map(|it| it.source.clone()).collect();
    let parameters = properties.as_object().unwrap().iter();
    let parameters = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("parameters"));
    let mut again: serde_json::Map<String, Value> =
        parameters.map(|(name, it)| (name.clone(), it.clone())).collect();
    again.insert("policyRules".into(), sources);
    assert_eq!(parse(&Value::Object(again)).unwrap().rules.len(), parsed.rules.len());
    let values = parsed.parameters.bind(None).unwrap_or_default();
    for body in [json!({}), lists(), json!({ "tags": [], "properties": { "list": { "p": 1 } } })] {
        for rule in &parsed.rules {
            evaluate(rule, &parsed, &values, body.clone());
        }
    }
}

/// The corpus looks at these.
fn lists() -> Value {
    json!({ "location": "West Europe", "kind": "k", "tags": { "Env": "Prod", "": "x" }, "properties": {
        "list": [{ "p": "a", "inner": [1, 2] }, { "p": null, "inner": "x" }, { "inner": [] }, 7],
        "texts": ["a", "ä", ""], "text": "2026-11-22T08:00:00Z", "number": -1.5, "truth": true } })
}

fn evaluate(rule: &Rule, parsed: &Parsed, given: &Values, body: Value) {
    let caller = Caller {
        kind: PrincipalKind::ServicePrincipal,
        object_id: ObjectId::parse(ID),
        ..Caller::anyone()
    };
    let scope = Scope::parse(GROUP).unwrap();
    let object = Object {
        kind: "A.B/c".into(),
        name: "thing".into(),
        id: format!("{GROUP}/providers/A.B/c/thing"),
        body,
        verb: model::trace::Verb::Write,
    };
    let mut facts = Facts::new(caller.object_id.unwrap(), "https://localhost");
    facts.put_group(Group {
        id: ObjectId::parse("33333333-3333-4333-8333-000000000001").unwrap(),
        display_name: "g".into(),
        members: caller.object_id.into_iter().collect(),
    });
    let subject = Subject {
        object: &object,
        caller: &caller,
        action: "A.B/c/write",
        endpoint: "/c/thing",
        protocol: "https",
        enrollment: None,
        scope: &scope,
        now: Timestamp::from_seconds(1_700_000_000),
        facts: &facts,
        arguments: Arguments { declared: &parsed.parameters, given },
        policy: Names::default(),
    };
    assert_eq!(rule.effect(subject.arguments), rule.effect(subject.arguments));
    let ask = |record: &mut Option<Vec<Condition>>| -> Result<bool, EvaluationError> {
        holds(&rule.condition, &subject, record)
    };
    let mut record = Some(Vec::new());
    let quick = ask(&mut None);
    assert_eq!(ask(&mut record), quick, "{}", rule.source);
    match &quick {
        Ok(_) => {}
        Err(error) => assert!(!error.at.is_empty() && !error.because.is_empty(), "{}", rule.source),
    }
    // Whoever reads the trace finds the condition that failed.
    let failed = record.unwrap().iter().any(|it| it.error.is_some());
    assert!(quick.is_ok() || failed, "{}", rule.source);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn a_definition_of_the_corpus_is_taken_unless_its_name_says_otherwise() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/policy");
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let properties = model::json::parse(&fs::read(&path).unwrap()).unwrap();
            let parsed = parse(&properties);
            assert_eq!(parsed.is_err(), name.starts_with("refused-"), "{name}: {parsed:?}");
        }
    }
}
