//! Initiatives of a world, and what assignments and exemptions say of their members.

use super::file::{Stop, broken};
use super::world::{World, definition_id, id_at, not_a_policy};
use gate::policy::{
    Declared, Initiative, NotAPolicy, Override, ResourceSelector, check_members, parse_members,
    parse_overrides, parse_resource_selectors, references,
};
use model::Scope;
use serde_json::{Value, json};

const KNOWN: &[&str] = &[
    "displayName",
    "description",
    "version",
    "metadata",
    "parameters",
    "policyDefinitions",
    "policyDefinitionGroups",
];

/// An initiative. Its members name definitions of the world, by `policyDefinition` or as ids do at their end.
pub(super) fn initiative(world: &World, name: &str, value: &Value) -> Result<Initiative, Stop> {
    let at = format!("policySetDefinitions.{name}");
    let Some(told) = value.as_object() else { return broken(at, "an initiative is an object") };
    if let Some(other) = told.keys().find(|it| !KNOWN.contains(&it.as_str())) {
        return broken(format!("{at}.{other}"), format!("an initiative has {}", KNOWN.join(", ")));
    }
    let placed = |it: NotAPolicy| not_a_policy(it, &format!("{at}."));
    let parameters = Declared::parse(told.get("parameters")).map_err(|it| placed(it.into()))?;
    let mut told = told.clone();
    let members = told.get_mut("policyDefinitions").and_then(Value::as_array_mut);
    for (index, it) in members.into_iter().flatten().enumerate() {
        let at = format!("{at}.policyDefinitions[{index}]");
        let Some(it) = it.as_object_mut() else { return broken(at, "a member is an object") };
        let word =
            it.shift_remove("policyDefinition").or_else(|| it.get("policyDefinitionId").cloned());
        let word = word.as_ref().and_then(Value::as_str).unwrap_or("");
        let id = definition_id(word.rsplit('/').next().unwrap_or(word));
        if !world.facts.policy_definitions.contains_key(&id.to_ascii_lowercase()) {
            return broken(
                format!("{at}.policyDefinition"),
                format!("the world has no policy definition `{word}`"),
            );
        }
        it.insert("policyDefinitionId".into(), json!(id));
    }
    let members = parse_members(&Value::Object(told), &parameters).map_err(placed)?;
    check_members(&members, &world.facts).map_err(|it| placed(it.into()))?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    Ok(Initiative {
        id: initiative_id(name),
        name: name.to_owned(),
        display_name: text("displayName").unwrap_or(name).to_owned(),
        version: text("version").unwrap_or("1.0.0").to_owned(),
        parameters,
        members,
    })
}

/// The id of the definition or initiative that an assignment names.
pub(super) fn assigned(world: &World, name: &str, at: &str) -> Result<String, Stop> {
    let at = format!("{at}.policyDefinition");
    let (one, several) = (definition_id(name), initiative_id(name));
    let is_one = world.facts.policy_definitions.contains_key(&one.to_ascii_lowercase());
    let is_several = world.facts.initiatives.contains_key(&several.to_ascii_lowercase());
    match (is_one, is_several) {
        (true, false) => Ok(one),
        (false, true) => Ok(several),
        (true, true) => {
            broken(at, format!("a definition and an initiative are called `{name}`; rename one"))
        }
        (false, false) => {
            broken(at, format!("the world has no policy definition or initiative `{name}`"))
        }
    }
}

pub(super) fn overrides(
    told: Vec<Value>,
    initiative: Option<&Initiative>,
    at: &str,
) -> Result<Vec<Override>, Stop> {
    let found = parse_overrides(&json!({ "overrides": told }))
        .map_err(|it| not_a_policy(it, &format!("{at}.")))?;
    for (below, name) in references(&found) {
        check_reference(&format!("{at}.{below}"), name, initiative)?;
    }
    Ok(found)
}

pub(super) fn resource_selectors(
    told: Vec<Value>,
    at: &str,
) -> Result<Vec<ResourceSelector>, Stop> {
    parse_resource_selectors(&json!({ "resourceSelectors": told }))
        .map_err(|it| not_a_policy(it, &format!("{at}.")))
}

/// Checks that a name is one of the members of what is assigned.
pub(super) fn check_reference(
    at: &str,
    name: &str,
    initiative: Option<&Initiative>,
) -> Result<(), Stop> {
    match initiative {
        Some(it) if it.has(name) => Ok(()),
        Some(it) => broken(at, format!("the initiative `{}` has no member `{name}`", it.name)),
        None => broken(at, "a single definition is assigned, and only an initiative has members"),
    }
}

fn initiative_id(name: &str) -> String {
    id_at(&Scope::root(), "policySetDefinitions", name)
}
