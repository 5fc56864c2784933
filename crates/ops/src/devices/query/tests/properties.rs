//! What holds of every condition and of every document.

use super::*;
use proptest::prelude::*;

/// A condition over few names and values, as text.
fn conditions() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("tags.a".to_owned()),
        Just("tags.b".to_owned()),
        Just("status".to_owned()),
        Just("'x'".to_owned()),
        Just("null".to_owned()),
        Just("undefined".to_owned()),
        (-3_i8..4).prop_map(|it| it.to_string()),
    ];
    let relation = prop_oneof![Just("="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let leaf = (value.clone(), relation, value).prop_map(|(a, is, b)| format!("{a} {is} {b}"));
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|it| format!("NOT ({it})")),
        ]
    })
}

fn values() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        Just(Some(json!(null))),
        Just(Some(json!("x"))),
        Just(Some(json!("y"))),
        Just(Some(json!(true))),
        Just(Some(json!({}))),
        (-3_i8..4).prop_map(|it| Some(json!(it))),
    ]
}

proptest! {
    #[test]
    fn a_negation_turns_the_answer_round(text in conditions(), a in values(), b in values()) {
        let twin = of(a, b);
        let truth = Condition::parse(&text).unwrap().truth(&twin);
        let negated = Condition::parse(&format!("NOT ({text})")).unwrap().truth(&twin);
        prop_assert_eq!(negated, truth.map(|it| !it));
    }

    #[test]
    fn and_and_or_are_each_others_mirror(one in conditions(), other in conditions(), a in values(), b in values()) {
        let twin = of(a, b);
        let truth = |text: String| Condition::parse(&text).unwrap().truth(&twin);
        prop_assert_eq!(
            truth(format!("NOT (({one}) AND ({other}))")),
            truth(format!("NOT ({one}) OR NOT ({other})"))
        );
        prop_assert_eq!(truth(format!("({one}) OR ({other})")), truth(format!("({other}) OR ({one})")));
    }

    #[test]
    fn in_is_a_chain_of_equals(a in values(), list in proptest::collection::vec(-3_i8..4, 1..4), with_text: bool) {
        let twin = of(a, None);
        let mut all: Vec<String> = list.iter().map(i8::to_string).collect();
        all.extend(with_text.then(|| "'x'".to_owned()));
        let truth = |text: String| Condition::parse(&text).unwrap().truth(&twin);
        let chain: Vec<String> = all.iter().map(|it| format!("tags.a = {it}")).collect();
        prop_assert_eq!(truth(format!("tags.a IN [{}]", all.join(","))), truth(chain.join(" OR ")));
        prop_assert_eq!(
            truth(format!("tags.a NIN [{}]", all.join(","))),
            truth(format!("NOT ({})", chain.join(" OR ")))
        );
    }

    #[test]
    fn a_text_in_quotes_is_itself(text in "\\PC{0,20}") {
        let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
        let document = json!({ "tags": { "a": text } });
        let condition = Condition::parse(&format!("tags.a = '{escaped}'")).unwrap();
        prop_assert_eq!(condition.truth(&document), Some(true));
    }
}

fn of(a: Option<Value>, b: Option<Value>) -> Value {
    let mut twin = json!({ "status": "x", "tags": {} });
    for (name, value) in [("a", a), ("b", b)] {
        if let Some(value) = value {
            twin["tags"][name] = value;
        }
    }
    twin
}
