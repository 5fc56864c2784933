//! What the body of a hub may say of where it sends: routes, their endpoints, and the storage for uploaded files.
//!
//! An endpoint signs in with a connection string (`keyBased`) or as a managed identity of the hub (`identityBased`):
//! the one that it names, else the hub's own. Sources: the published contract of Microsoft.Devices, api-version
//! 2023-06-30-preview, and IoT Hub documentation, "Understand IoT Hub message routing".

use crate::managed_identity::attached::{Use, user_assigned_id};
use crate::resources::fields::Fields;
use model::Error;
use model::json::{at, set, text};
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;

/// Source: IoT Hub quotas and throttling.
const ROUTES_MAX: usize = 100;
/// Of one kind. Source: IoT Hub quotas and throttling.
const CUSTOM_ENDPOINTS_MAX: usize = 10;
/// Source: IoT Hub quotas and throttling.
const ENRICHMENTS_MAX: usize = 10;
/// Life of a file upload's signature: a minute to a day.
const UPLOAD_TTL_S: RangeInclusive<u64> = 60..=86_400;
/// Longest name of an endpoint. Source: the published contract of Microsoft.Devices.
const NAME_CHARACTERS_MAX: usize = 64;

const IDENTITY_BASED: &str = "identityBased";

const ENDPOINT_KINDS: [&str; 5] = [
    "serviceBusQueues",
    "serviceBusTopics",
    "eventHubs",
    "storageContainers",
    "cosmosDBSqlContainers",
];

/// The routing that a body asks for, whole.
///
/// # Errors
/// The place in the body that breaks a rule.
pub(super) fn read_routing(given: &Fields<'_>) -> Result<Value, Error> {
    let mut endpoints = Map::new();
    let mut routes = Vec::new();
    let mut enrichments = Vec::new();
    let mut fallback = json!({
        "name": "$fallback",
        "source": "DeviceMessages",
        "condition": "true",
        "endpointNames": ["events"],
        "isEnabled": true,
    });
    let routing = given.object("routing")?;
    let custom = match &routing {
        Some(routing) => routing.object("endpoints")?,
        None => None,
    };
    for kind in ENDPOINT_KINDS {
        let of_kind = match &custom {
            Some(custom) => read_endpoints(custom, kind)?,
            None => Vec::new(),
        };
        endpoints.insert(kind.to_owned(), Value::Array(of_kind));
    }
    if let Some(routing) = &routing {
        routes = named_objects(routing, "routes", ROUTES_MAX)?;
        if let Some(given) = routing.objects("enrichments", ENRICHMENTS_MAX)? {
            enrichments = given.iter().map(|it| it.value().clone()).collect();
        }
        if let Some(given) = routing.object("fallbackRoute")? {
            fallback = read_fallback(&given)?;
        }
    }
    Ok(json!({
        "endpoints": endpoints,
        "routes": routes,
        "fallbackRoute": fallback,
        "enrichments": enrichments,
    }))
}

/// The endpoints of one kind.
fn read_endpoints(custom: &Fields<'_>, kind: &str) -> Result<Vec<Value>, Error> {
    let mut all = named_objects(custom, kind, CUSTOM_ENDPOINTS_MAX)?;
    let given = custom.objects(kind, CUSTOM_ENDPOINTS_MAX)?.unwrap_or_default();
    for (endpoint, given) in all.iter_mut().zip(given) {
        let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-._".contains(&it);
        let name = given.text("name")?.unwrap_or("");
        if name.len() > NAME_CHARACTERS_MAX || !name.bytes().all(allowed) {
            let because =
                format!("expected 1 to {NAME_CHARACTERS_MAX} letters, digits and `-`, `.`, `_`");
            return Err(given.refuse("name", because));
        }
        if let Some(word) = read_authentication(&given)? {
            set(endpoint, "authenticationType", json!(word));
        }
    }
    Ok(all)
}

/// How an endpoint signs in, where it says so.
fn read_authentication(given: &Fields<'_>) -> Result<Option<&'static str>, Error> {
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
    let routing = ENDPOINT_KINDS.iter().flat_map(|kind| list(kind)).filter_map(|endpoint| {
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

/// A list of objects, each with a name of its own.
fn named_objects(given: &Fields<'_>, name: &str, items_max: usize) -> Result<Vec<Value>, Error> {
    let mut names: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    for item in given.objects(name, items_max)?.unwrap_or_default() {
        let Some(its) = item.text("name")?.filter(|it| !it.is_empty()) else {
            return Err(item.refuse("name", "required"));
        };
        if names.iter().any(|it| it.eq_ignore_ascii_case(its)) {
            return Err(item.refuse("name", "stands in the list already"));
        }
        names.push(its);
        all.push(item.value().clone());
    }
    Ok(all)
}

fn read_fallback(given: &Fields<'_>) -> Result<Value, Error> {
    let names = given.array("endpointNames", 1)?.unwrap_or(&[]);
    let [Value::String(endpoint)] = names else {
        return Err(given.refuse("endpointNames", "expected a list of one text"));
    };
    Ok(json!({
        "name": given.text("name")?.unwrap_or("$fallback"),
        "source": given.text("source")?.unwrap_or("DeviceMessages"),
        "condition": given.text("condition")?.unwrap_or("true"),
        "endpointNames": [endpoint],
        "isEnabled": given.bool("isEnabled")?.unwrap_or(true),
    }))
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
