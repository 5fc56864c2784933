//! Does a condition hold? Linear in the rule; nothing here backtracks or fails.

use super::{Field, FieldTest, Operator, Place, Test};
use crate::facts::{Dps, Facts};
use model::ObjectId;
use model::json::member;
use model::resource_types::normal_location;
use model::trace::{Caller, Condition, Object};
use serde_json::{Value, json};
use std::borrow::Cow;

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
    /// To know whose own identity the caller is.
    pub facts: &'a Facts,
}

/// How rules name every provisioning service, whatever it is called.
const PROVISIONING_SERVICE: &str = "Device Provisioning Service";

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
    let mut room = Room { id: [0; 36], text: String::new() };
    let actual = look_up(&test.field, subject, &mut room);
    let result = apply(test.operator, &actual, &test.expected);
    if let Some(all) = record {
        all.push(Condition {
            path: test.path.clone(),
            left: "field".into(),
            expression: test.text.clone(),
            operator: test.operator.as_str().into(),
            expected: test.expected.clone(),
            actual: actual.shown(),
            result,
        });
    }
    result
}

/// What a field holds, without a copy of it.
#[derive(Clone, Copy, Debug)]
enum Seen<'a> {
    Missing,
    Text(&'a str),
    Value(&'a Value),
}

impl<'a> Seen<'a> {
    fn text(it: &'a str) -> Self {
        if it.is_empty() { Self::Missing } else { Self::Text(it) }
    }

    fn value(it: Option<&'a Value>) -> Self {
        match it {
            None | Some(Value::Null) => Self::Missing,
            Some(Value::String(it)) => Self::Text(it),
            Some(it) => Self::Value(it),
        }
    }

    fn shown(self) -> Option<Value> {
        match self {
            Self::Missing => None,
            Self::Text(it) => Some(json!(it)),
            Self::Value(it) => Some(it.clone()),
        }
    }

    /// The text by which it compares; lists and objects have none.
    fn scalar(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Missing => None,
            Self::Text(it) => Some(Cow::Borrowed(it)),
            Self::Value(it) => scalar(it),
        }
    }
}

/// Where a text is put together that no one holds: ids on the stack, names on the heap.
struct Room {
    id: [u8; 36],
    text: String,
}

impl Room {
    fn id(&mut self, id: Option<ObjectId>) -> Seen<'_> {
        match id {
            Some(id) => Seen::Text(id.0.hyphenated().encode_lower(&mut self.id)),
            None => Seen::Missing,
        }
    }

    fn text(&mut self, text: String) -> Seen<'_> {
        self.text = text;
        Seen::text(&self.text)
    }
}

/// The provisioning service whose own identity the caller is.
fn service<'a>(subject: &Subject<'a>) -> Option<&'a Dps> {
    let id = subject.caller.object_id?;
    subject.facts.provisioning.values().find(|it| it.identity == Some(id)).map(|it| &**it)
}

fn look_up<'a>(field: &Field, subject: &Subject<'a>, room: &'a mut Room) -> Seen<'a> {
    let object = subject.object;
    let body = &object.body;
    match field {
        Field::Type => Seen::text(&object.kind),
        Field::Name => Seen::text(&object.name),
        Field::FullName => room.text(full_name(object)),
        Field::Id => Seen::text(&object.id),
        Field::Kind => Seen::value(member(body, "kind")),
        Field::Location => match member(body, "location").and_then(Value::as_str) {
            Some(it) => room.text(normal_location(it)),
            None => Seen::Missing,
        },
        Field::IdentityType => Seen::value(model::json::at(body, &["identity", "type"])),
        Field::Tags => Seen::value(member(body, "tags")),
        Field::Tag(name) => Seen::value(member(body, "tags").and_then(|it| member(it, name))),
        Field::PrincipalId => room.id(subject.caller.object_id),
        Field::PrincipalType => Seen::text(subject.caller.kind.as_str()),
        Field::AppId => room.id(subject.caller.app_id),
        Field::AuthType => Seen::text(subject.caller.auth.as_str()),
        Field::CallerResource => {
            service(subject).map_or(Seen::Missing, |it| Seen::text(it.scope.as_str()))
        }
        Field::CallerService => {
            service(subject).map_or(Seen::Missing, |_| Seen::text(PROVISIONING_SERVICE))
        }
        Field::Action => Seen::text(subject.action),
        Field::Endpoint => Seen::text(subject.endpoint),
        Field::Protocol => Seen::text(subject.protocol),
        Field::Property { kind, place, path } => {
            if !kind.eq_ignore_ascii_case(&object.kind) {
                return Seen::Missing;
            }
            let steps: Vec<&str> = path.iter().map(String::as_str).collect();
            let below = match place {
                Place::Top => Some(body),
                Place::Properties => member(body, "properties"),
            };
            Seen::value(below.and_then(|it| model::json::at(it, &steps)))
        }
    }
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

fn apply(operator: Operator, actual: &Seen<'_>, expected: &Value) -> bool {
    let not = |it: Operator| !apply(it, actual, expected);
    match operator {
        Operator::Equals => equals(*actual, expected),
        Operator::NotEquals => not(Operator::Equals),
        Operator::In => {
            expected.as_array().is_some_and(|all| all.iter().any(|it| equals(*actual, it)))
        }
        Operator::NotIn => not(Operator::In),
        Operator::Like => texts(*actual, expected, like),
        Operator::NotLike => not(Operator::Like),
        Operator::Match => texts(*actual, expected, |text, pattern| matches(text, pattern, false)),
        Operator::NotMatch => not(Operator::Match),
        Operator::MatchInsensitively => {
            texts(*actual, expected, |text, pattern| matches(text, pattern, true))
        }
        Operator::NotMatchInsensitively => not(Operator::MatchInsensitively),
        Operator::Contains => contains(*actual, expected),
        Operator::NotContains => not(Operator::Contains),
        Operator::ContainsKey => {
            let key = expected.as_str().unwrap_or("");
            let Seen::Value(Value::Object(members)) = actual else { return false };
            members.keys().any(|mine| same_text(mine, key))
        }
        Operator::NotContainsKey => not(Operator::ContainsKey),
        Operator::Exists => !matches!(actual, Seen::Missing) == expected.as_bool().unwrap_or(true),
    }
}

/// Texts compare without regard to case; a text and a number or a boolean compare by their text. What is
/// missing equals nothing but null and the empty text.
fn equals(actual: Seen<'_>, expected: &Value) -> bool {
    if matches!(actual, Seen::Missing) {
        return expected.is_null() || expected.as_str() == Some("");
    }
    match (actual.scalar(), scalar(expected)) {
        (Some(mine), Some(its)) => same_text(&mine, &its),
        (None, None) => matches!(actual, Seen::Value(it) if it == expected),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(it) => Some(Cow::Borrowed(it)),
        Value::Bool(it) => Some(Cow::Owned(it.to_string())),
        Value::Number(it) => Some(Cow::Owned(it.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Equal without regard to case. ASCII, which nearly everything is, needs no copies.
fn same_text(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
        || (!(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase())
}

fn texts(actual: Seen<'_>, expected: &Value, fits: impl Fn(&str, &str) -> bool) -> bool {
    match (actual.scalar(), expected.as_str()) {
        (Some(text), Some(pattern)) => fits(&text, pattern),
        (_, _) => false,
    }
}

/// At most one `*`, which stands for any run of characters.
fn like(text: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return same_text(text, pattern) };
    if text.is_ascii() && pattern.is_ascii() {
        let middle = text.len().checked_sub(tail.len()).filter(|it| *it >= head.len());
        let ends = middle.and_then(|it| Some((text.get(..head.len())?, text.get(it..)?)));
        return ends.is_some_and(|(first, last)| {
            first.eq_ignore_ascii_case(head) && last.eq_ignore_ascii_case(tail)
        });
    }
    let (text, head, tail) = (text.to_lowercase(), head.to_lowercase(), tail.to_lowercase());
    text.len() >= head.len() + tail.len() && text.starts_with(&head) && text.ends_with(&tail)
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

fn contains(actual: Seen<'_>, expected: &Value) -> bool {
    if let Seen::Value(Value::Array(items)) = actual {
        return items.iter().any(|it| equals(Seen::value(Some(it)), expected));
    }
    match (actual.scalar(), scalar(expected)) {
        (Some(text), Some(part)) => text.to_lowercase().contains(&part.to_lowercase()),
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operator: Operator, actual: Option<Value>, expected: Value, result: bool) {
        let seen = Seen::value(actual.as_ref());
        assert_eq!(apply(operator, &seen, &expected), result, "{operator:?} {actual:?} {expected}");
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
