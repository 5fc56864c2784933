//! The condition of a policy rule, read from its JSON each time.
//!
//! Source: Azure Policy documentation, "Azure Policy definition structure policy rule". `identity.*` of the
//! caller is Hubward's own. A subset: what the generator writes.

use crate::request::{Object, Who};
use crate::{Request, World};
use serde_json::Value;

/// What rules can see of the caller.
pub(crate) struct Caller {
    principal_id: Option<String>,
    principal_type: String,
    app_id: Option<String>,
    auth_type: &'static str,
}

impl Caller {
    pub(crate) fn of(world: &World, request: &Request) -> Self {
        match &request.who {
            Who::Principal { id, .. } => {
                let principal = world.principals.iter().find(|it| it.id.eq_ignore_ascii_case(id));
                Self {
                    principal_id: Some(id.clone()),
                    principal_type: principal.map_or_else(String::new, |it| it.kind.clone()),
                    app_id: principal.and_then(|it| it.app_id.clone()),
                    auth_type: "entra",
                }
            }
            Who::Key { .. } | Who::Device(_) => Self {
                principal_id: None,
                principal_type: "SasKey".into(),
                app_id: None,
                auth_type: "sas",
            },
        }
    }
}

pub(crate) fn holds(condition: &Value, caller: &Caller, object: &Object) -> bool {
    if let Some(all) = member(condition, "allOf").and_then(Value::as_array) {
        return all.iter().all(|it| holds(it, caller, object));
    }
    if let Some(any) = member(condition, "anyOf").and_then(Value::as_array) {
        return any.iter().any(|it| holds(it, caller, object));
    }
    if let Some(inner) = member(condition, "not") {
        return !holds(inner, caller, object);
    }
    let name = member(condition, "field").and_then(Value::as_str).unwrap_or_default();
    let actual = field(name, caller, object);
    let Some((operator, expected)) = condition
        .as_object()
        .and_then(|it| it.iter().find(|(key, _)| !key.eq_ignore_ascii_case("field")))
    else {
        return false;
    };
    compare(&operator.to_lowercase(), actual.as_ref(), expected)
}

/// A member of an object, its name in any casing.
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, it)| it)
}

/// What a field holds; null is as good as missing.
fn field(name: &str, caller: &Caller, object: &Object) -> Option<Value> {
    let text = |it: &str| Some(Value::String(it.to_owned()));
    let body = &object.body;
    let found = match name.to_lowercase().as_str() {
        "type" => text(&object.kind),
        "name" => text(&object.name),
        // Without its spaces and in lower case.
        "location" => {
            let written = member(body, "location").and_then(Value::as_str);
            written.map(|it| Value::String(it.replace(' ', "").to_lowercase()))
        }
        "tags" => member(body, "tags").cloned(),
        "identity.type" => member(body, "identity").and_then(|it| member(it, "type")).cloned(),
        "identity.principalid" => caller.principal_id.as_deref().and_then(text),
        "identity.principaltype" => text(&caller.principal_type),
        "identity.appid" => caller.app_id.as_deref().and_then(text),
        "identity.authtype" => text(caller.auth_type),
        // `tags.env`, `tags[env]` and `tags['env']` are one.
        lower => {
            let tag = lower.strip_prefix("tags").unwrap_or_default();
            let tag = tag.trim_start_matches(['.', '[']).trim_end_matches(']').trim_matches('\'');
            member(body, "tags").and_then(|it| member(it, tag)).cloned()
        }
    };
    found.filter(|it| !it.is_null())
}

/// Each negated operator is the opposite of the other, also where the field is missing.
fn compare(operator: &str, actual: Option<&Value>, expected: &Value) -> bool {
    match operator {
        "equals" => equals(actual, expected),
        "notequals" => !equals(actual, expected),
        "in" => is_in(actual, expected),
        "notin" => !is_in(actual, expected),
        "like" => is_like(actual, expected),
        "notlike" => !is_like(actual, expected),
        "contains" => contains(actual, expected),
        "notcontains" => !contains(actual, expected),
        "containskey" => has_key(actual, expected),
        "notcontainskey" => !has_key(actual, expected),
        "exists" => {
            let text = expected.as_str().unwrap_or_default();
            let wanted = expected.as_bool().unwrap_or(text.eq_ignore_ascii_case("true"));
            actual.is_some() == wanted
        }
        _ => false,
    }
}

fn lower(value: &Value) -> Option<String> {
    value.as_str().map(str::to_lowercase)
}

/// Texts without regard to case. What is missing equals null and the empty text.
fn equals(actual: Option<&Value>, expected: &Value) -> bool {
    match actual {
        None => expected.is_null() || expected.as_str() == Some(""),
        Some(it) => lower(it).is_some() && lower(it) == lower(expected),
    }
}

fn is_in(actual: Option<&Value>, expected: &Value) -> bool {
    expected.as_array().is_some_and(|all| all.iter().any(|it| equals(actual, it)))
}

/// At most one `*`.
fn is_like(actual: Option<&Value>, expected: &Value) -> bool {
    let (Some(text), Some(pattern)) = (actual.and_then(lower), lower(expected)) else {
        return false;
    };
    match pattern.split_once('*') {
        None => text == pattern,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| rest.ends_with(tail)),
    }
}

fn contains(actual: Option<&Value>, expected: &Value) -> bool {
    match (actual.and_then(lower), lower(expected)) {
        (Some(text), Some(part)) => text.contains(&part),
        (_, _) => false,
    }
}

fn has_key(actual: Option<&Value>, expected: &Value) -> bool {
    let key = expected.as_str().unwrap_or_default();
    actual.is_some_and(|it| member(it, key).is_some())
}
