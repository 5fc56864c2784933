//! What a template declares, and what it is given for it.

use crate::{NotATemplate, PARAMETERS_MAX};
use model::json::{member, text};
use serde_json::{Map, Value};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Text,
    Int,
    Bool,
    Object,
    Array,
    /// A type of the template's own, whose values are not looked into.
    Any,
}

/// The word, and whether its values are secret.
pub(crate) fn kind(declared: &Value) -> Option<(Kind, bool)> {
    if member(declared, "$ref").is_some() {
        return Some((Kind::Any, false));
    }
    Some(match text(declared, &["type"])?.to_ascii_lowercase().as_str() {
        "string" => (Kind::Text, false),
        "securestring" => (Kind::Text, true),
        "int" => (Kind::Int, false),
        "bool" => (Kind::Bool, false),
        "object" => (Kind::Object, false),
        "secureobject" => (Kind::Object, true),
        "array" => (Kind::Array, false),
        _ => return None,
    })
}

impl Kind {
    pub(crate) fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Int => value.is_i64() || value.is_u64(),
            Self::Bool => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::Any => true,
        }
    }
}

/// The declared parameters with what was given for each.
///
/// # Errors
/// Names the parameter that is unknown, missing or not as declared.
pub(crate) fn given(
    declared: &Map<String, Value>,
    given: &Value,
) -> Result<Map<String, Value>, NotATemplate> {
    if declared.len() > PARAMETERS_MAX {
        return Err(NotATemplate(format!(
            "the template declares more than {PARAMETERS_MAX} parameters"
        )));
    }
    // A whole parameter file, as some clients send it.
    let given = match (member(given, "$schema"), member(given, "parameters")) {
        (Some(_), Some(inner)) => inner,
        (_, _) => given,
    };
    let empty = Map::new();
    let given = match given {
        Value::Null => &empty,
        Value::Object(it) => it,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(NotATemplate("`parameters` is an object".into()));
        }
    };
    let known = |name: &str| declared.keys().find(|it| it.eq_ignore_ascii_case(name));
    let mut found = Map::new();
    for (name, it) in given {
        let Some(known) = known(name) else {
            return Err(NotATemplate(format!(
                "the parameter `{}` is not one of the template's: it declares {}",
                name.escape_debug(),
                listed(declared)
            )));
        };
        if member(it, "reference").is_some() {
            return Err(NotATemplate(format!(
                "the parameter `{known}` refers to a key vault, and there are none here: give its `value`"
            )));
        }
        let Some(value) = member(it, "value") else {
            return Err(NotATemplate(format!("the parameter `{known}` is given without `value`")));
        };
        found.insert(known.clone(), value.clone());
    }
    for (name, it) in declared {
        if kind(it).is_none() {
            return Err(NotATemplate(format!(
                "the parameter `{name}` has no `type` that there is: string, securestring, int, bool, object, \
                 secureobject or array"
            )));
        }
        let is_optional = member(it, "defaultValue").is_some()
            || member(it, "nullable").and_then(Value::as_bool) == Some(true);
        if !is_optional && !found.contains_key(name) {
            return Err(NotATemplate(format!(
                "the value for the template parameter `{name}` is not provided, and it has no default"
            )));
        }
    }
    Ok(found)
}

fn listed(declared: &Map<String, Value>) -> String {
    match declared.is_empty() {
        true => "none".into(),
        false => declared.keys().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "),
    }
}

/// Checks a value against what is declared of it. The value itself is in no sentence: it may be secret.
///
/// # Errors
/// Names the rule.
pub(crate) fn check(name: &str, declared: &Value, value: &Value) -> Result<(), NotATemplate> {
    let refuse = |why: String| {
        Err(NotATemplate(format!("the value of the template parameter `{name}` {why}")))
    };
    let Some((kind, _)) = kind(declared) else { return Ok(()) };
    let is_nullable = member(declared, "nullable").and_then(Value::as_bool) == Some(true);
    if value.is_null() && is_nullable {
        return Ok(());
    }
    if !kind.fits(value) {
        return refuse(format!(
            "is not of its type, {}",
            text(declared, &["type"]).unwrap_or("any")
        ));
    }
    if let Some(Value::Array(allowed)) = member(declared, "allowedValues") {
        // A list may hold any of those that are allowed.
        let items = value.as_array().filter(|items| items.iter().all(|it| allowed.contains(it)));
        let is_allowed = allowed.contains(value) || items.is_some();
        if !is_allowed {
            let shown: Vec<String> = allowed.iter().take(20).map(expression::brief).collect();
            return refuse(format!("is not allowed: allowed are {}", shown.join(", ")));
        }
    }
    let length = match value {
        Value::String(it) => i64::try_from(it.chars().count()).ok(),
        Value::Array(it) => i64::try_from(it.len()).ok(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    for (rule, actual, is_least) in [
        ("minValue", value.as_i64(), true),
        ("maxValue", value.as_i64(), false),
        ("minLength", length, true),
        ("maxLength", length, false),
    ] {
        let Some(limit) = member(declared, rule).and_then(Value::as_i64) else { continue };
        let fits = actual.is_none_or(|it| if is_least { it >= limit } else { it <= limit });
        if !fits {
            return refuse(format!("is not within `{rule}`, which is {limit}"));
        }
    }
    Ok(())
}
