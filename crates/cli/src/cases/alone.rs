//! What a case tries by itself, without a world: a pattern, a condition, a policy's rule.

use super::file::{Stop, broken, lacks, member, take};
use super::judge::{Answer, compared, object};
use super::world;
use gate::condition::{self, Condition};
use gate::policy::{Effect, Subject, holds, parse_rules};
use gate::{Attributes, Facts};
use model::principal::AuthType;
use model::trace::Caller;
use model::{ActionPattern, PrincipalKind, Scope};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The tenant of rules that are tried by themselves.
const TENANT: &str = "00000000-0000-0000-0000-000000000000";
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

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleContext {
    #[serde(default)]
    identity: IdentityTold,
    #[serde(default, rename = "now")]
    _now: Value,
    #[serde(default, rename = "resourceGroup")]
    _resource_group: Value,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IdentityTold {
    principal_id: Option<String>,
    principal_type: Option<PrincipalKind>,
    app_id: Option<String>,
    auth_type: Option<AuthType>,
    #[serde(default)]
    groups: Vec<Value>,
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

/// A rule alone, without assignment: its effect where it matches.
pub(super) fn rule(case: &Map<String, Value>, expected: &Value) -> Result<Answer, Stop> {
    let _: Option<String> = take(expected, "expect")?;
    if case.get("parameters").and_then(Value::as_object).is_some_and(|it| !it.is_empty()) {
        return lacks("policy expressions and parameters");
    }
    let told: Value = member(case, "policyRule")?;
    if told.is_array() {
        return broken(
            "policyRule",
            "this is one rule; a case of kind `authorize` shows rules in their order",
        );
    }
    let rules =
        parse_rules(&json!({ "policyRule": told })).map_err(|it| world::not_a_policy(it, ""))?;
    let context = match case.get("context") {
        Some(it) => take(it, "context")?,
        None => RuleContext::default(),
    };
    if !context.identity.groups.is_empty() {
        return lacks("groups");
    }
    let resource: Map<String, Value> = member(case, "resource")?;
    let object = object(&resource, &Scope::root(), "resource")?;
    let id_of = |it: &Option<String>, name: &str| {
        it.as_ref().map(|it| world::id(it, &format!("context.identity.{name}"))).transpose()
    };
    let caller = Caller {
        kind: context.identity.principal_type.unwrap_or(PrincipalKind::ServicePrincipal),
        object_id: id_of(&context.identity.principal_id, "principalId")?,
        app_id: id_of(&context.identity.app_id, "appId")?,
        auth: context.identity.auth_type.unwrap_or(AuthType::Entra),
        ..Caller::anyone()
    };
    let action = format!("{}/write", object.kind);
    // A rule alone knows nobody's services.
    let nobody = Facts::new(world::id(TENANT, "tenant")?, world::ORIGIN);
    let subject = Subject {
        object: &object,
        caller: &caller,
        action: &action,
        endpoint: "",
        protocol: "",
        facts: &nobody,
    };
    let first = rules
        .iter()
        .filter(|it| it.effect != Effect::Disabled)
        .find(|it| holds(&it.condition, &subject, &mut None));
    Ok(compared(expected.clone(), json!(first.map(|it| it.effect.as_str()))))
}
