//! Does a condition hold? Linear in the rule; nothing here backtracks or fails.

use super::{Field, FieldTest, Operator, Test};
use model::json::member;
use model::resource_types::normal_location;
use model::trace::{Caller, Condition, Object};
use serde_json::{Value, json};

/// What a rule looks at: one object, and the call that would write it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub object: &'a Object,
    pub caller: &'a Caller,
    /// The write action that is asked for.
    pub action: &'a str,
    /// The path of the request.
    pub endpoint: &'a str,
    pub protocol: &'a str,
}

/// True where the condition holds. With `record`, every condition is evaluated and noted; without, the
/// first that settles the answer ends it. The answer is the same.
pub fn holds(test: &Test, subject: &Subject<'_>, record: &mut Option<Vec<Condition>>) -> bool {
    match test {
        Test::AllOf(tests) => settle(tests, subject, record, true),
        Test::AnyOf(tests) => settle(tests, subject, record, false),
        Test::Not(inner) => !holds(inner, subject, record),
        Test::Field(it) => compare(it, subject, record),
    }
}

/// `allOf` is true until one is false, `anyOf` false until one is true.
fn settle(
    tests: &[Test],
    subject: &Subject<'_>,
    record: &mut Option<Vec<Condition>>,
    start: bool,
) -> bool {
    let mut answer = start;
    for it in tests {
        if holds(it, subject, record) != start {
            answer = !start;
            if record.is_none() {
                break;
            }
        }
    }
    answer
}

fn compare(test: &FieldTest, subject: &Subject<'_>, record: &mut Option<Vec<Condition>>) -> bool {
    let actual = look_up(&test.field, subject);
    let result = apply(test.operator, actual.as_ref(), &test.expected);
    if let Some(all) = record {
        all.push(Condition {
            path: test.path.clone(),
            left: "field".into(),
            expression: test.text.clone(),
            operator: test.operator.as_str().into(),
            expected: test.expected.clone(),
            actual,
            result,
        });
    }
    result
}

fn look_up(field: &Field, subject: &Subject<'_>) -> Option<Value> {
    let object = subject.object;
    let text = |it: &str| (!it.is_empty()).then(|| json!(it));
    match field {
        Field::Type => text(&object.kind),
        Field::Name => text(&object.name),
        Field::FullName => text(&full_name(object)),
        Field::Id => text(&object.id),
        Field::Kind => member(&object.body, "kind").cloned(),
        Field::Location => {
            member(&object.body, "location")?.as_str().map(|it| json!(normal_location(it)))
        }
        Field::IdentityType => model::json::at(&object.body, &["identity", "type"]).cloned(),
        Field::Tags => member(&object.body, "tags").cloned(),
        Field::Tag(name) => member(member(&object.body, "tags")?, name).cloned(),
        Field::PrincipalId => subject.caller.object_id.map(|it| json!(it.to_string())),
        Field::PrincipalType => text(subject.caller.kind.as_str()),
        Field::AppId => subject.caller.app_id.map(|it| json!(it.to_string())),
        Field::AuthType => text(subject.caller.auth.as_str()),
        Field::Action => text(subject.action),
        Field::Endpoint => text(subject.endpoint),
        Field::Protocol => text(subject.protocol),
        Field::Property { kind, path } => {
            if !kind.eq_ignore_ascii_case(&object.kind) {
                return None;
            }
            let steps: Vec<&str> = path.iter().map(String::as_str).collect();
            let below =
                member(&object.body, "properties").and_then(|it| model::json::at(it, &steps));
            below.or_else(|| model::json::at(&object.body, &steps)).cloned()
        }
    }
    .filter(|it| !it.is_null())
}

/// The name with those of the parents in front: `hub1/device1`.
fn full_name(object: &Object) -> String {
    let tail = object.id.rsplit_once("/providers/").map_or("", |(_, it)| it);
    let names: Vec<&str> = tail.split('/').skip(2).step_by(2).collect();
    match names.is_empty() {
        true => object.name.clone(),
        false => names.join("/"),
    }
}

fn apply(operator: Operator, actual: Option<&Value>, expected: &Value) -> bool {
    match operator {
        Operator::Equals => equals(actual, expected),
        Operator::NotEquals => !equals(actual, expected),
        Operator::In => {
            expected.as_array().is_some_and(|all| all.iter().any(|it| equals(actual, it)))
        }
        Operator::NotIn => !apply(Operator::In, actual, expected),
        Operator::Like => texts(actual, expected, like),
        Operator::NotLike => !texts(actual, expected, like),
        Operator::Match => texts(actual, expected, |text, pattern| matches(text, pattern, false)),
        Operator::NotMatch => !apply(Operator::Match, actual, expected),
        Operator::MatchInsensitively => {
            texts(actual, expected, |text, pattern| matches(text, pattern, true))
        }
        Operator::NotMatchInsensitively => !apply(Operator::MatchInsensitively, actual, expected),
        Operator::Contains => contains(actual, expected),
        Operator::NotContains => !contains(actual, expected),
        Operator::ContainsKey => {
            let key = expected.as_str().unwrap_or("");
            actual
                .and_then(Value::as_object)
                .is_some_and(|it| it.keys().any(|mine| same_text(mine, key)))
        }
        Operator::NotContainsKey => !apply(Operator::ContainsKey, actual, expected),
        Operator::Exists => actual.is_some() == expected.as_bool().unwrap_or(true),
    }
}

/// Texts compare without regard to case; a text and a number or a boolean compare by their text. What is
/// missing equals nothing but null and the empty text.
fn equals(actual: Option<&Value>, expected: &Value) -> bool {
    let Some(actual) = actual else {
        return expected.is_null() || expected.as_str() == Some("");
    };
    match (scalar(actual), scalar(expected)) {
        (Some(mine), Some(its)) => same_text(&mine, &its),
        (None, None) => actual == expected,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(it) => Some(it.clone()),
        Value::Bool(it) => Some(it.to_string()),
        Value::Number(it) => Some(it.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn same_text(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}

fn texts(actual: Option<&Value>, expected: &Value, fits: impl Fn(&str, &str) -> bool) -> bool {
    match (actual.and_then(scalar), expected.as_str()) {
        (Some(text), Some(pattern)) => fits(&text, pattern),
        _ => false,
    }
}

/// At most one `*`, which stands for any run of characters.
fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.to_lowercase(), pattern.to_lowercase());
    match pattern.split_once('*') {
        None => text == pattern,
        Some((head, tail)) => {
            text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail)
        }
    }
}

/// `#` a digit, `?` a letter, `.` any character, everything else itself; the whole text.
fn matches(text: &str, pattern: &str, ignores_case: bool) -> bool {
    let mut mine = text.chars();
    let fits = pattern.chars().all(|wanted| match (wanted, mine.next()) {
        (_, None) => false,
        ('#', Some(it)) => it.is_ascii_digit(),
        ('?', Some(it)) => it.is_alphabetic(),
        ('.', Some(_)) => true,
        (wanted, Some(it)) if ignores_case => wanted.to_lowercase().eq(it.to_lowercase()),
        (wanted, Some(it)) => wanted == it,
    });
    fits && mine.next().is_none()
}

fn contains(actual: Option<&Value>, expected: &Value) -> bool {
    match actual {
        Some(Value::Array(items)) => items.iter().any(|it| equals(Some(it), expected)),
        Some(it) => match (scalar(it), scalar(expected)) {
            (Some(text), Some(part)) => text.to_lowercase().contains(&part.to_lowercase()),
            _ => false,
        },
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operator: Operator, actual: Option<Value>, expected: Value, result: bool) {
        assert_eq!(
            apply(operator, actual.as_ref(), &expected),
            result,
            "{operator:?} {actual:?} {expected}"
        );
    }

    #[test]
    fn operators_follow_the_documentation() {
        check(Operator::Equals, Some(json!("ABC")), json!("abc"), true);
        check(Operator::Equals, Some(json!(true)), json!("true"), true);
        check(Operator::Equals, Some(json!(5)), json!("5"), true);
        check(Operator::Equals, Some(json!("device1")), json!("device10"), false);
        check(Operator::In, Some(json!("b")), json!(["a", "B"]), true);
        check(Operator::NotIn, Some(json!("b")), json!(["a", "B"]), false);
        check(Operator::Like, Some(json!("device-1")), json!("DEVICE-*"), true);
        check(Operator::Like, Some(json!("xdevice-1")), json!("device-*"), false);
        check(Operator::Like, Some(json!("aba")), json!("ab*ba"), false);
        check(Operator::Match, Some(json!("dev-1a")), json!("dev-#?"), true);
        check(Operator::Match, Some(json!("DEV-1a")), json!("dev-#?"), false);
        check(Operator::MatchInsensitively, Some(json!("DEV-1a")), json!("dev-#?"), true);
        check(Operator::Match, Some(json!("dev-1ab")), json!("dev-#?"), false);
        check(Operator::Contains, Some(json!("device")), json!("VIC"), true);
        check(Operator::Contains, Some(json!(["a", "b"])), json!("b"), true);
        check(Operator::Contains, Some(json!(["ab"])), json!("b"), false);
        check(Operator::ContainsKey, Some(json!({"Env": 1})), json!("env"), true);
    }

    #[test]
    fn what_is_missing_follows_the_documentation() {
        check(Operator::Equals, None, json!("x"), false);
        check(Operator::Equals, None, json!(""), true);
        check(Operator::Equals, None, Value::Null, true);
        check(Operator::NotEquals, None, json!("x"), true);
        check(Operator::Like, None, json!("*"), false);
        check(Operator::NotLike, None, json!("*"), true);
        check(Operator::Contains, None, json!(""), false);
        check(Operator::NotContains, None, json!("x"), true);
        check(Operator::NotMatch, None, json!("#"), true);
        check(Operator::NotIn, None, json!(["x"]), true);
        check(Operator::NotContainsKey, None, json!("x"), true);
        check(Operator::Exists, None, json!(false), true);
        check(Operator::Exists, Some(json!(1)), json!(false), false);
    }
}
