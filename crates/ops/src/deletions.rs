//! What policies see of what would be deleted: each thing as it is stored, without its secrets, and of what
//! is not there its name alone.
//!
//! Whoever deletes sends no body, so it is read. That happens only where a policy guards deletions at all:
//! elsewhere a deletion reads what it always read, and no policy looks at it.

use crate::control::get as read;
use crate::env::Env;
use crate::{
    certificates, devices, managed_identity, objects, private_endpoints, provisioning, resources,
    targets,
};
use model::trace::{Object, Verb};
use model::{Error, Op, Operation, Scope};
use serde_json::{Value, json};
use store::tables;

/// What a deletion in the control plane would take away.
///
/// With a resource group go the resources in it: each is an object of its own. What else goes along with a
/// resource (devices with their hub, assignments and settings with what they are on) is no object.
pub(crate) async fn objects(
    row: &Operation,
    scope: &Scope,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    let facts = env.facts.load();
    if !row.deletes() || !gate::policy::guards_deletions(&facts, scope) {
        return Ok(Vec::new());
    }
    let mut found = vec![object(scope, Verb::Delete, env).await?];
    if row.op == Op::DeleteResourceGroup {
        for it in facts.resources().filter(|it| scope.contains(it)) {
            found.push(object(it, Verb::DeleteWithGroup, env).await?);
        }
    }
    Ok(found)
}

async fn object(scope: &Scope, verb: Verb, env: &Env) -> Result<Object, Error> {
    let body = stored(scope, env).await?.unwrap_or_else(|| json!({}));
    Ok(Object { verb, ..objects::object(scope, &body) })
}

/// A resource, or what lies at one, as policies see it but for its secrets.
pub(crate) async fn stored(scope: &Scope, env: &Env) -> Result<Option<Value>, Error> {
    let kind = scope.resource_type().unwrap_or_default().to_ascii_lowercase();
    let table = match kind.as_str() {
        "microsoft.resources/subscriptions/resourcegroups" => {
            return resources::groups::current(env, scope).await;
        }
        "microsoft.devices/iothubs" => return devices::hubs::current(env, scope).await,
        "microsoft.devices/iothubs/securitypolicies" => {
            return devices::security::current(env, scope).await;
        }
        "microsoft.devices/iothubs/certificates"
        | "microsoft.devices/provisioningservices/certificates" => {
            return certificates::current(env, scope).await;
        }
        "microsoft.devices/iothubs/privateendpointconnections"
        | "microsoft.devices/provisioningservices/privateendpointconnections" => {
            return private_endpoints::current(env, scope).await;
        }
        "microsoft.devices/provisioningservices" => {
            return provisioning::services::current(env, scope).await;
        }
        "microsoft.managedidentity/userassignedidentities" => {
            return managed_identity::user_assigned::current(env, scope).await;
        }
        "microsoft.authorization/roleassignments" => tables::ROLE_ASSIGNMENTS,
        "microsoft.insights/diagnosticsettings" => tables::DIAGNOSTIC_SETTINGS,
        "microsoft.authorization/roledefinitions" => {
            let id = scope.name().to_ascii_lowercase();
            return Ok(read::<Value>(env, tables::ROLE_DEFINITIONS, &id).await?.map(|(it, _)| it));
        }
        _ if targets::is_target(scope) => return targets::current(env, scope).await,
        _ => return Ok(None),
    };
    Ok(read::<Value>(env, table, &scope.key()).await?.map(|(it, _)| it))
}
