//! What a hub signs in to as one of its identities, and what its body may say of the storage for uploaded files.
//!
//! What a body may say of routes and their endpoints is in `routing/body.rs`. An endpoint signs in with a connection string (`keyBased`) or as a managed identity of the hub (`identityBased`):
//! the one that it names, else the hub's own. Sources: the published contract of Microsoft.Devices, api-version
//! 2023-06-30-preview, and IoT Hub documentation, "Understand IoT Hub message routing".

use super::routing::Kind;
use crate::managed_identity::attached::{Use, user_assigned_id};
use crate::resources::fields::Fields;
use model::Error;
use model::json::{at, set, text};
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// Life of a file upload's signature: a minute to a day.
const UPLOAD_TTL_S: RangeInclusive<u64> = 60..=86_400;
pub(super) const IDENTITY_BASED: &str = "identityBased";

/// How an endpoint signs in, where it says so.
pub(super) fn read_authentication(given: &Fields<'_>) -> Result<Option<&'static str>, Error> {
    if let Some(identity) = given.object("identity")?
        && let Some(id) = identity.text("userAssignedIdentity")?
        && user_assigned_id(id).is_none()
    {
        let because = "this is no id of a user-assigned identity";
        return Err(identity.refuse("userAssignedIdentity", because));
    }
    given.word("authenticationType", &["keyBased", IDENTITY_BASED])
}

/// What of a hub signs in as a managed identity of it, and as which.
pub(crate) fn uses(hub: &Value) -> Vec<Use> {
    let list = |kind: &str| {
        let found = at(hub, &["properties", "routing", "endpoints", kind]);
        found.and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
    };
    let routing = Kind::ALL.iter().flat_map(|it| list(it.as_str())).filter_map(|endpoint| {
        let name = text(endpoint, &["name"]).unwrap_or("");
        used(endpoint, format!("the routing endpoint `{name}`"))
    });
    let storage = at(hub, &["properties", "storageEndpoints", "$default"]);
    let storage = storage.and_then(|it| used(it, "the file upload endpoint `$default`".to_owned()));
    routing.chain(storage).collect()
}

fn used(endpoint: &Value, what: String) -> Option<Use> {
    let is_by_identity = text(endpoint, &["authenticationType"])
        .is_some_and(|it| it.eq_ignore_ascii_case(IDENTITY_BASED));
    let named = text(endpoint, &["identity", "userAssignedIdentity"]);
    is_by_identity.then(|| Use { what, identity: named.and_then(user_assigned_id) })
}

/// The storage for uploaded files.
///
/// # Errors
/// The place in the body that breaks a rule.
pub(super) fn read_storage(given: &Fields<'_>) -> Result<Value, Error> {
    let mut endpoint = json!({
        "sasTtlAsIso8601": "PT1H",
        "connectionString": "",
        "containerName": "",
    });
    if let Some(endpoints) = given.object("storageEndpoints")? {
        if let Some(other) =
            endpoints.members().and_then(|it| it.keys().find(|name| *name != "$default"))
        {
            return Err(given.refuse(
                "storageEndpoints",
                format!("only `$default` can be set, and not `{}`", other.escape_debug()),
            ));
        }
        if let Some(own) = endpoints.object("$default")? {
            if let Some(ttl) = own.duration("sasTtlAsIso8601", UPLOAD_TTL_S)? {
                set(&mut endpoint, "sasTtlAsIso8601", json!(ttl));
            }
            if let Some(word) = read_authentication(&own)? {
                set(&mut endpoint, "authenticationType", json!(word));
            }
            for name in ["connectionString", "containerName"] {
                if let Some(text) = own.text(name)? {
                    set(&mut endpoint, name, json!(text));
                }
            }
            if let Some(identity) = own.object("identity")? {
                set(&mut endpoint, "identity", identity.value().clone());
            }
        }
    }
    Ok(json!({ "$default": endpoint }))
}
