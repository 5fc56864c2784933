//! What deploying a template would change: each resource as it is beside what it would be.

use super::document::Mode;
use super::preview::{Preview, preview, refusal};
use super::road::{Refused, Road};
use super::run::{API_VERSION, others};
use super::{Asked, deployer};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::objects;
use gate::Permit;
use model::json::{member, set};
use model::{Error, Scope};
use serde_json::{Value, json};

/// What the server alone says of a resource, right in it or in its `properties`: no template changes it.
const PASSED_OVER: &[&str] = &[
    "deviceProvisioningHostName",
    "etag",
    "hostName",
    "idScope",
    "provisioningState",
    "serviceOperationsHostName",
    "state",
    "systemData",
];
/// Deepest nesting that differences are looked for in; below it a value differs as a whole.
const DEPTH_MAX: usize = 16;

/// `POST .../whatIf`.
///
/// # Errors
/// As of `validate`; `DeploymentWhatIfFailed` where a resource cannot be read.
pub(crate) async fn what_if(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (place, _, found) = preview(permit, input, env).await?;
    if !found.refused.is_empty() {
        return Ok(Reply::with(400, Some(json!({ "error": refusal(found.refused) }))));
    }
    let deployer = deployer(permit, &place, env.now())?;
    let road = Road {
        env,
        deployer: &deployer,
        correlation_id: &input.correlation_id,
        address: &input.channel.address,
    };
    let mode = Asked::read(&input.body, &place.above)?.mode;
    match changes(&road, &place.above, mode, &found).await {
        Ok(changes) => Ok(Reply::ok(json!({
            "status": "Succeeded",
            "properties": { "correlationId": input.correlation_id, "changes": changes },
        }))),
        Err(refused) => Ok(Reply::with(refused.status, Some(json!({ "error": refused.error })))),
    }
}

async fn changes(
    road: &Road<'_>,
    above: &Scope,
    mode: Mode,
    found: &Preview,
) -> Result<Vec<Value>, Refused> {
    let mut all = Vec::new();
    for it in &found.resources {
        if Scope::parse(&it.id).ok().and_then(|it| it.resource_type()).as_deref()
            == Some(template::DEPLOYMENTS)
        {
            continue;
        }
        let Some(object) = &it.object else {
            all.push(json!({ "resourceId": it.id, "changeType": "Deploy" }));
            continue;
        };
        let mut after = object.body.clone();
        for (name, value) in [("id", &object.id), ("name", &object.name), ("type", &object.kind)] {
            if member(&after, name).is_none() {
                set(&mut after, name, value.as_str());
            }
        }
        set(&mut after, "apiVersion", it.api_version.as_str());
        match current(road, &it.id, &it.api_version).await? {
            None => {
                all.push(json!({ "resourceId": it.id, "changeType": "Create", "after": after }))
            }
            Some(mut before) => {
                set(&mut before, "apiVersion", it.api_version.as_str());
                let delta = differences(&before, &after, 0);
                let kind = if delta.is_empty() { "NoChange" } else { "Modify" };
                all.push(json!({
                    "resourceId": it.id, "changeType": kind, "before": before, "after": after, "delta": delta,
                }));
            }
        }
    }
    if above.resource_group().is_some() {
        let kept: Vec<String> = found.resources.iter().map(|it| it.id.clone()).collect();
        let kind = if mode == Mode::Complete { "Delete" } else { "Ignore" };
        for id in others(road, above, &kept).await? {
            let before = current(road, &id, API_VERSION).await?;
            all.push(json!({ "resourceId": id, "changeType": kind, "before": before }));
        }
    }
    Ok(all)
}

/// A resource as it is, without its secrets.
async fn current(road: &Road<'_>, id: &str, api_version: &str) -> Result<Option<Value>, Refused> {
    match road.call("GET", id, api_version, None).await {
        Ok(answer) => {
            let body = answer.body.unwrap_or(Value::Null);
            Ok(Some(Scope::parse(id).map_or(Value::Null, |it| objects::object(&it, &body).body)))
        }
        Err(it) if it.status == 404 => Ok(None),
        Err(it) => Err(it),
    }
}

/// The members in which a template would change what is there. What it says nothing of stays where it stands.
fn differences(before: &Value, after: &Value, depth: usize) -> Vec<Value> {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else { return Vec::new() };
    let mut all = Vec::new();
    for (name, value) in new {
        if depth <= 1 && PASSED_OVER.iter().any(|it| it.eq_ignore_ascii_case(name)) {
            continue;
        }
        let there = old.iter().find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, it)| it);
        match there {
            None if value.is_null() => {}
            None => {
                all.push(json!({ "path": name, "propertyChangeType": "Create", "after": value }))
            }
            Some(it) if is_same(it, value) => {}
            Some(it) if it.is_object() && value.is_object() && depth < DEPTH_MAX => {
                let below = differences(it, value, depth + 1);
                all.extend(below.into_iter().map(|mut change| {
                    let path = format!(
                        "{name}.{}",
                        member(&change, "path").and_then(Value::as_str).unwrap_or("")
                    );
                    set(&mut change, "path", path);
                    change
                }));
            }
            Some(it) => {
                all.push(json!({ "path": name, "propertyChangeType": "Modify", "before": it, "after": value }));
            }
        }
    }
    all
}

/// Ids and locations compare without regard to case; so do texts here.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        (_, _) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_by_their_paths() {
        let before = json!({ "etag": "1", "location": "westus", "sku": { "name": "S1", "capacity": 1 }, "tags": { "a": "1" } });
        let check = |after: Value, expected: &[(&str, &str)]| {
            let found = differences(&before, &after, 0);
            let found: Vec<(&str, &str)> = found
                .iter()
                .map(|it| {
                    (it["path"].as_str().unwrap(), it["propertyChangeType"].as_str().unwrap())
                })
                .collect();
            assert_eq!(found, expected, "{after}");
        };
        check(json!({ "etag": "2", "Location": "WestUS" }), &[]);
        check(json!({ "sku": { "name": "S2" } }), &[("sku.name", "Modify")]);
        check(json!({ "tags": { "a": "1", "b": "2" } }), &[("tags.b", "Create")]);
        check(json!({ "location": ["westus"] }), &[("location", "Modify")]);
    }
}
