//! A case of one policy rule, by itself: on a resource, for a caller, without a world.

use super::file::{Stop, broken, member, take};
use super::judge::{Answer, compared, object};
use super::world;
use gate::Facts;
use gate::facts::Group;
use gate::policy::{
    Arguments, Effect, Kind, Names, PolicyDefinition, Rule, Subject, bind, holds, parse,
};
use model::principal::AuthType;
use model::trace::Caller;
use model::{PrincipalKind, Scope, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The tenant and subscription of rules that are tried by themselves.
const TENANT: &str = "00000000-0000-0000-0000-000000000000";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleContext {
    #[serde(default)]
    identity: IdentityTold,
    now: Option<String>,
    /// What `resourceGroup()` gives.
    resource_group: Option<Map<String, Value>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IdentityTold {
    principal_id: Option<String>,
    principal_type: Option<PrincipalKind>,
    app_id: Option<String>,
    auth_type: Option<AuthType>,
    /// Ids of the groups that it is in.
    #[serde(default)]
    groups: Vec<String>,
}

/// A rule alone, without assignment: its effect where it matches.
pub(super) fn judge(case: &Map<String, Value>, expected: &Value) -> Result<Answer, Stop> {
    let _: Option<String> = take(expected, "expect")?;
    let told: Value = member(case, "policyRule")?;
    if told.is_array() {
        return broken(
            "policyRule",
            "this is one rule; a case of kind `authorize` shows rules in their order",
        );
    }
    let given: Map<String, Value> =
        case.get("parameters").map_or_else(|| Ok(Map::new()), |it| take(it, "parameters"))?;
    // A rule alone declares nothing: a parameter is of the type of its value.
    let declared: Map<String, Value> = given
        .iter()
        .map(|(name, it)| (name.clone(), json!({ "type": Kind::of(it).as_str() })))
        .collect();
    let values: Map<String, Value> =
        given.into_iter().map(|(name, it)| (name, json!({ "value": it }))).collect();
    let no = |it| world::not_a_policy(it, "");
    let parsed = parse(&json!({ "policyRule": told, "parameters": declared })).map_err(no)?;
    if let Some(it) = parsed.rules.iter().find_map(|it| it.required.as_ref()) {
        return broken(
            it.at.as_str(),
            "a rule alone knows nobody's roles; a case of kind `authorize` shows who holds what",
        );
    }
    let definition = PolicyDefinition {
        id: String::new(),
        name: String::new(),
        display_name: String::new(),
        version: String::new(),
        parameters: parsed.parameters,
        rules: parsed.rules,
    };
    let values = bind(&definition, Some(&Value::Object(values))).map_err(|it| no(it.into()))?;
    let context = match case.get("context") {
        Some(it) => take(it, "context")?,
        None => RuleContext::default(),
    };
    let resource: Map<String, Value> = member(case, "resource")?;
    let object = object(&resource, &Scope::root(), "resource")?;
    let caller = context.identity.caller()?;
    let arguments = Arguments { declared: &definition.parameters, given: &values };
    // A rule alone knows nobody's services.
    let mut facts = Facts::new(world::id(TENANT, "tenant")?, world::ORIGIN);
    let scope = context.surroundings(&caller, &mut facts)?;
    let now = match &context.now {
        Some(it) => world::time(it, "context.now")?,
        None => Timestamp::default(),
    };
    let subject = Subject {
        object: &object,
        caller: &caller,
        action: &format!("{}/write", object.kind),
        endpoint: "",
        protocol: "",
        enrollment: None,
        scope: &scope,
        now,
        facts: &facts,
        arguments,
        policy: Names::default(),
    };
    let said = definition.rules.iter().find_map(|it| word(it, &subject));
    Ok(compared(expected.clone(), json!(said)))
}

/// What a rule alone says, where it says anything.
fn word(rule: &Rule, subject: &Subject<'_>) -> Option<&'static str> {
    /// How the format writes that a rule has no answer.
    const ERROR: &str = "deny!error";
    match rule.effect(subject.arguments) {
        Ok(Effect::Disabled) => None,
        Ok(effect) => match holds(&rule.condition, subject, &mut None) {
            Ok(true) => Some(effect.as_str()),
            Ok(false) => None,
            Err(_) => Some(ERROR),
        },
        Err(_) => Some(ERROR),
    }
}

impl IdentityTold {
    fn caller(&self) -> Result<Caller, Stop> {
        let id_of = |it: &Option<String>, name: &str| {
            it.as_ref().map(|it| world::id(it, &format!("context.identity.{name}"))).transpose()
        };
        Ok(Caller {
            kind: self.principal_type.unwrap_or(PrincipalKind::ServicePrincipal),
            object_id: id_of(&self.principal_id, "principalId")?,
            app_id: id_of(&self.app_id, "appId")?,
            auth: self.auth_type.unwrap_or(AuthType::Entra),
            ..Caller::anyone()
        })
    }
}

impl RuleContext {
    /// Puts the caller's groups and the resource group into the facts; the scope is where it judges.
    fn surroundings(&self, caller: &Caller, facts: &mut Facts) -> Result<Scope, Stop> {
        const GROUPS: &str = "context.identity.groups";
        if caller.object_id.is_none() && !self.identity.groups.is_empty() {
            return broken(GROUPS, "whoever is in a group has a `principalId`");
        }
        for it in &self.identity.groups {
            facts.put_group(Group {
                id: world::id(it, GROUPS)?,
                display_name: it.clone(),
                members: caller.object_id.into_iter().collect(),
            });
        }
        let subscription = Scope::subscription(TENANT);
        let Some(told) = &self.resource_group else { return Ok(subscription) };
        let name = told.get("name").and_then(Value::as_str).unwrap_or("case");
        let scope = subscription.join(&format!("resourceGroups/{name}"));
        facts.put_container_document(&scope, Value::Object(told.clone()));
        Ok(scope)
    }
}
