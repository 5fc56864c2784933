//! Conditions of policies, against the evaluator of Azure Policy in regorus.
//!
//! Left out are fields that Azure does not have, and the effect: what is compared is whether a rule matches.

use super::bridge::Question;
use gate::Facts;
use gate::policy::{Arguments, Declared, Subject, Values, holds, parse_rules};
use model::trace::Caller;
use model::{ObjectId, Scope, Timestamp};
use oracle::Random;
use oracle::generate::{self, Names};
use oracle::request::Object;
use regorus::languages::azure_policy::{compiler, parser};
use regorus::rvm::RegoVM;
use regorus::{Source, Value};
use serde_json::json;

const WORLDS: u64 = 2_000;
const REQUESTS: usize = 30;

/// Ours, and not Azure's.
const OURS: [&str; 4] = ["principalid", "principaltype", "appid", "authtype"];

#[test]
fn rules_match_what_they_match_in_regorus() {
    let names = Names::usual();
    let facts = Facts::new(ObjectId(uuid::Uuid::nil()), "");
    let caller = Caller::anyone();
    let mut compared = [0, 0];
    let (root, declared, given) = (Scope::root(), Declared::default(), Values::default());
    for seed in 0..WORLDS {
        let mut random = Random::new(seed);
        let world = generate::world(&mut random, &names);
        let objects: Vec<Object> = (0..REQUESTS)
            .flat_map(|_| generate::request(&mut random, &names).objects.into_iter())
            .collect();
        for rule in world.definitions.iter().flat_map(|it| &it.rules) {
            let mut rule = rule.clone();
            rule["then"]["effect"] = json!("audit");
            let text = rule.to_string();
            if OURS.iter().any(|it| text.to_lowercase().contains(it)) || is_told_apart(&text) {
                continue;
            }
            let source = Source::from_contents("rule".into(), text.clone()).unwrap();
            let parsed =
                parser::parse_policy_rule(&source).unwrap_or_else(|it| panic!("{it}\n{text}"));
            let program = compiler::compile_policy_rule(&parsed).unwrap();
            let mine = parse_rules(&json!({ "policyRule": rule })).unwrap();
            for object in &objects {
                let judged = Question::object(object, model::trace::Verb::Write);
                let subject = Subject {
                    object: &judged,
                    caller: &caller,
                    action: "",
                    endpoint: "",
                    protocol: "",
                    enrollment: None,
                    scope: &root,
                    now: Timestamp::default(),
                    facts: &facts,
                    arguments: Arguments { declared: &declared, given: &given },
                    policy: gate::policy::Names::default(),
                };
                let expected = matches_there(program.clone(), object);
                let got = holds(&mine[0].condition, &subject, &mut None).unwrap();
                assert_eq!(got, expected, "{text}\n{object:?}");
                compared[usize::from(got)] += 1;
            }
        }
    }
    println!("did not match and matched: {compared:?}");
    assert!(compared.iter().all(|it| *it > 5_000), "{compared:?}");
}

/// Two things that the documentation leaves open, and that are read otherwise there: a missing field is in no
/// list, not even in one that holds the empty text; and the empty text equals null.
fn is_told_apart(rule: &str) -> bool {
    [r#"["","#, r#",""]"#, ":null"].iter().any(|it| rule.contains(it))
}

fn matches_there(program: std::sync::Arc<regorus::rvm::program::Program>, object: &Object) -> bool {
    let mut resource = object.body.clone();
    resource["type"] = json!(object.kind);
    resource["name"] = json!(object.name);
    // The host normalises what it hands over: keys in lower case, locations without spaces.
    if let Some(location) = resource["location"].as_str() {
        resource["location"] = json!(location.replace(' ', "").to_lowercase());
    }
    let input = json!({ "resource": in_lower_case(resource), "parameters": {} });
    let mut vm = RegoVM::new();
    vm.load_program(program);
    vm.set_input(Value::from_json_str(&input.to_string()).unwrap());
    vm.set_context(Value::new_object());
    vm.execute_entry_point_by_name("main").unwrap() != Value::Undefined
}

fn in_lower_case(value: serde_json::Value) -> serde_json::Value {
    let Some(members) = value.as_object() else { return value };
    let all = members.iter().map(|(key, it)| (key.to_lowercase(), in_lower_case(it.clone())));
    serde_json::Value::Object(all.collect())
}
