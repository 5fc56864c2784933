//! Deployments within a template.
//!
//! What a nested deployment says is evaluated in the template around it, unless it asks for a scope of its own: then
//! its template goes along as it is. Source: Azure Resource Manager documentation, "Use nested and linked templates",
//! "Expression evaluation scope in nested templates".

use crate::evaluate::Evaluator;
use crate::{NotATemplate, RESOURCES_MAX, Stop};
use model::Scope;
use model::json::{member, set, text};
use serde_json::{Map, Value, json};

/// The type of deployments.
pub const DEPLOYMENTS: &str = "Microsoft.Resources/deployments";

pub(crate) fn is_deployment(kind: &str) -> bool {
    kind.trim_end_matches('/').eq_ignore_ascii_case(DEPLOYMENTS)
}

/// Where a nested deployment deploys to: what it names, else where the template around it does.
pub(crate) fn place(at: &Evaluator<'_>, resource: &Value, own: &Scope) -> Result<Scope, Stop> {
    let named =
        |name: &str| member(resource, name).map(|_| at.required_text(resource, name)).transpose();
    let (subscription, group) = (named("subscriptionId")?, named("resourceGroup")?);
    if subscription.is_none() && group.is_none() {
        return Ok(own.clone());
    }
    let Some(id) = subscription.as_deref().or_else(|| own.subscription_id()) else {
        return Stop::fault("a `resourceGroup` here needs a `subscriptionId`");
    };
    let text = match group {
        Some(group) => format!("/subscriptions/{id}/resourceGroups/{group}"),
        None => format!("/subscriptions/{id}"),
    };
    Scope::parse(&text).map_err(|it| Stop::Fault(it.to_string()))
}

/// The `properties` of a nested deployment as its own call sends them.
pub(crate) fn properties(at_place: &Evaluator<'_>, written: &Value) -> Result<Value, Stop> {
    let empty = json!({});
    let written = member(written, "properties").unwrap_or(&empty);
    if member(written, "templateLink").is_some() {
        return Stop::fault(
            "a linked template cannot be fetched: nothing is fetched from outside; write it in place, as `template`",
        );
    }
    let Some(template) = member(written, "template") else {
        return Stop::fault("a nested deployment has a `template` in its `properties`");
    };
    let is_inner = text(written, &["expressionEvaluationOptions", "scope"])
        .is_some_and(|it| it.eq_ignore_ascii_case("inner"));
    let mut own = json!({ "mode": at_place.value(member(written, "mode").unwrap_or(&json!("Incremental")))? });
    if let Some(parameters) = member(written, "parameters") {
        set(&mut own, "parameters", at_place.value(parameters)?);
    }
    let template = match is_inner {
        true => template.clone(),
        false => literal(at_place, template)?,
    };
    set(&mut own, "template", template);
    Ok(own)
}

/// A template in which everything is evaluated, by the template around it.
fn literal(around: &Evaluator<'_>, template: &Value) -> Result<Value, Stop> {
    let mut found = json!({
        "$schema": member(template, "$schema").cloned().unwrap_or(Value::Null),
        "contentVersion": member(template, "contentVersion").cloned().unwrap_or(json!("1.0.0.0")),
    });
    let mut resources = Vec::new();
    match member(template, "resources") {
        None | Some(Value::Null) => {}
        Some(Value::Array(all)) => {
            let mut loops = Map::new();
            for it in all {
                add(around, it, &mut resources, &mut loops)?;
            }
            name_loops(&mut resources, &loops);
        }
        Some(_) => {
            return Stop::fault(
                "symbolic names in a nested template need `expressionEvaluationOptions` of scope `inner`",
            );
        }
    }
    set(&mut found, "resources", resources);
    if let Some(outputs) = member(template, "outputs").and_then(Value::as_object) {
        let mut all = Map::new();
        for (name, it) in outputs {
            all.insert(name.clone(), escaped(around.value(it)?));
        }
        set(&mut found, "outputs", Value::Object(all));
    }
    Ok(found)
}

/// Adds a resource, or each of its copies.
fn add(
    around: &Evaluator<'_>,
    resource: &Value,
    all: &mut Vec<Value>,
    loops: &mut Map<String, Value>,
) -> Result<(), Stop> {
    let Some(copy) = member(resource, "copy") else {
        return add_one(around, resource, all).map(|_| ());
    };
    let name = text(copy, &["name"]).unwrap_or("").to_owned();
    let mut names = Vec::new();
    for index in 0..around.count(copy)? {
        names.extend(add_one(&around.within(&name, index), resource, all)?);
    }
    loops.insert(name.to_ascii_lowercase(), Value::Array(names));
    Ok(())
}

fn add_one(
    at_place: &Evaluator<'_>,
    resource: &Value,
    all: &mut Vec<Value>,
) -> Result<Option<Value>, Stop> {
    if !condition(at_place, resource)? {
        return Ok(None);
    }
    if all.len() >= RESOURCES_MAX {
        return Stop::fault(format!("more than {RESOURCES_MAX} resources"));
    }
    let mut found = Map::new();
    for (name, value) in resource.as_object().into_iter().flatten() {
        let is = |it: &str| name.eq_ignore_ascii_case(it);
        if is("copy") || is("condition") {
            continue;
        }
        let kind = text(resource, &["type"]).unwrap_or("");
        let value = match is("properties") && is_deployment(kind) {
            true => {
                let mut own = properties(at_place, resource)?;
                // What was evaluated here is not evaluated once more, and what was not is to be, where it belongs.
                if let Some(parameters) = own.get_mut("parameters") {
                    *parameters = escaped(parameters.take());
                }
                if let Some(options) = member(value, "expressionEvaluationOptions") {
                    set(&mut own, "expressionEvaluationOptions", options.clone());
                }
                own
            }
            false => escaped(at_place.value(value)?),
        };
        found.insert(name.clone(), value);
    }
    let name = found.get("name").cloned();
    all.push(Value::Object(found));
    Ok(name)
}

/// `dependsOn` of a loop becomes that of all that it made.
fn name_loops(resources: &mut [Value], loops: &Map<String, Value>) {
    for it in resources {
        let Some(depends) = it.get_mut("dependsOn").and_then(Value::as_array_mut) else { continue };
        let named = std::mem::take(depends).into_iter().flat_map(|it| {
            let key = it.as_str().map(str::to_ascii_lowercase);
            match key.and_then(|it| loops.get(&it)).and_then(Value::as_array) {
                Some(names) => names.clone(),
                None => vec![it],
            }
        });
        *depends = named.collect();
    }
}

/// Whether a resource is to be there.
pub(crate) fn condition(at_place: &Evaluator<'_>, resource: &Value) -> Result<bool, Stop> {
    let Some(written) = member(resource, "condition") else { return Ok(true) };
    let found = at_place.value(written)?;
    let is = |word: &str| found.as_str().is_some_and(|it| it.eq_ignore_ascii_case(word));
    match found.as_bool() {
        Some(it) => Ok(it),
        None if is("true") => Ok(true),
        None if is("false") => Ok(false),
        None => Stop::fault("`condition` is neither true nor false"),
    }
}

/// A value whose texts are no expressions, written so that they are none.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(it) if it.starts_with('[') => Value::String(format!("[{it}")),
        Value::Array(items) => items.into_iter().map(escaped).collect(),
        Value::Object(members) => {
            let escaped_name = |it: String| if it.starts_with('[') { format!("[{it}") } else { it };
            members.into_iter().map(|(name, it)| (escaped_name(name), escaped(it))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// # Errors
/// Where a template is no object, or says of itself what it cannot be.
pub(crate) fn check_shape(template: &Value) -> Result<(), NotATemplate> {
    if !template.is_object() {
        return Err(NotATemplate("a template is an object".into()));
    }
    if text(template, &["contentVersion"]).is_none() {
        return Err(NotATemplate("a template has a `contentVersion`, such as `1.0.0.0`".into()));
    }
    if member(template, "functions").and_then(Value::as_array).is_some_and(|it| !it.is_empty()) {
        return Err(NotATemplate(
            "functions of a template's own are not known here: write what they do where they are used".into(),
        ));
    }
    Ok(())
}
