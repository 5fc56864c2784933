//! What a case tries by itself, without a world: a pattern, a condition.

use super::file::{Stop, broken, member, take};
use super::judge::{Answer, compared};
use gate::Attributes;
use gate::condition::{self, Condition};
use model::ActionPattern;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The call that a condition is tried on by itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConditionContext {
    action: String,
    #[serde(default)]
    request: Map<String, Value>,
    #[serde(default)]
    resource: Map<String, Value>,
    #[serde(default)]
    principal: Map<String, Value>,
    #[serde(default)]
    environment: Map<String, Value>,
}

pub(super) fn pattern(case: &Map<String, Value>, expected: &Value) -> Result<Answer, Stop> {
    let (pattern, action): (String, String) = (member(case, "pattern")?, member(case, "action")?);
    let expected: bool = take(expected, "expect")?;
    let got = ActionPattern::new(&pattern).matches_text(&action);
    Ok(compared(json!(expected), json!(got)))
}

/// A condition alone: whether it is fulfilled, or `error` where it has no answer or cannot be read.
pub(super) fn condition(case: &Map<String, Value>, expected: &Value) -> Result<Answer, Stop> {
    if !expected.is_boolean() && expected != "error" {
        return broken("expect", "a condition is `true`, `false` or `\"error\"`");
    }
    let text: String = member(case, "condition")?;
    let context: ConditionContext = member(case, "context")?;
    let subject = condition::Subject {
        action: &context.action,
        attributes: Attributes {
            request: Some(&context.request),
            resource: Some(&context.resource),
            principal: Some(&context.principal),
            environment: Some(&context.environment),
        },
        now: None,
    };
    let compiled = match Condition::parse(&text) {
        Ok(it) => it,
        Err(_) if expected == "error" => return Ok(compared(expected.clone(), json!("error"))),
        // What was expected of a misspelt condition says nothing about conditions.
        Err(it) => return broken("condition", it.to_string()),
    };
    let got = compiled.holds(&subject, None).map_or(json!("error"), Value::Bool);
    Ok(compared(expected.clone(), got))
}
