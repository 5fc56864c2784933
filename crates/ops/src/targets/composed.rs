//! A target as ARM shows it: what its body says, and what it has besides.

use super::kinds::{self, Keyed, Kind};
use super::{BYTES_MAX, NO_HOST, keys, rules};
use crate::devices::names;
use crate::env::Env;
use crate::resources::fields::Fields;
use crate::resources::{location, tags};
use model::json::{set, text};
use model::{Error, Scope};
use serde_json::{Value, json};

/// The resource that a body describes, whole.
pub(super) fn composed(
    kind: &Kind,
    body: &Value,
    former: Option<&Value>,
    id: &Scope,
    host: &str,
    env: &Env,
) -> Result<Value, Error> {
    let now = env.now().rfc3339();
    let now = now.as_str();
    let host = if host.is_empty() { NO_HOST } else { host };
    let fields = Fields::of(body)?;
    let nothing = json!({});
    let given = fields.object("properties")?.map_or_else(|| Fields::of(&nothing), Ok)?;
    let mut properties = kind.read(&given, former.and_then(|it| it.get("properties")))?;
    let mut resource = json!({ "id": id, "name": id.name(), "type": kind.full_type });
    let made = former.and_then(|it| text(it, &["systemData", "createdAt"])).unwrap_or(now);
    if kind.is_top() {
        let unknown = "LocationNotAvailableForResourceType";
        let place = match (former.and_then(|it| text(it, &["location"])), fields.text("location")?)
        {
            (Some(is), None) => is,
            (Some(is), Some(_)) if location(body, unknown)? != is => {
                return Err(fields.refuse(
                    "location",
                    format!("it is in `{is}` and cannot move to another location"),
                ));
            }
            (_, _) => location(body, unknown)?,
        };
        check_not_offered(&fields, &given)?;
        set(&mut resource, "location", json!(place));
        set(&mut resource, "tags", json!(tags(body)?));
        set(&mut resource, "sku", kinds::sku(kind, &fields, former.and_then(|it| it.get("sku")))?);
    }
    let all = match kind.keys {
        Keyed::Rule => json!({ "rights": keys::read_rights(&given)? }),
        Keyed::Account => {
            let kinds = ["StorageV2", "BlobStorage", "BlockBlobStorage", "Storage"];
            set(&mut resource, "kind", json!(fields.word("kind", &kinds)?.unwrap_or("StorageV2")));
            let acls = given.object("networkAcls")?.map_or_else(|| Fields::of(&nothing), Ok)?;
            set(&mut properties, "networkAcls", rules::read(&acls, rules::Words::OfAccount)?.shown);
            account(host, id, &resource, made, env)
        }
        Keyed::No if kind.is_top() => json!({
            "provisioningState": "Succeeded",
            "status": "Active",
            "createdAt": made,
            "updatedAt": now,
            "serviceBusEndpoint": format!("https://{host}:443/"),
            "metricId": format!("{}:{}", id.subscription_id().unwrap_or_default(), id.name().to_ascii_lowercase()),
            "privateEndpointConnections": [],
        }),
        Keyed::No => json!({ "createdAt": made, "updatedAt": now }),
    };
    for (name, value) in all.as_object().into_iter().flatten() {
        set(&mut properties, name, value.clone());
    }
    if let Some(count) = properties.get("partitionCount").and_then(Value::as_i64) {
        let ids: Vec<String> = (0..count).map(|it| it.to_string()).collect();
        set(&mut properties, "partitionIds", json!(ids));
    }
    set(&mut resource, "properties", properties);
    set(&mut resource, "systemData", json!({ "createdAt": made, "lastModifiedAt": now }));
    match resource.to_string().len() <= BYTES_MAX {
        true => Ok(resource),
        false => Err(Error::invalid("body", format!("at most {BYTES_MAX} bytes are kept"))),
    }
}

/// What a storage account has beside what its body says.
fn account(host: &str, id: &Scope, resource: &Value, made: &str, env: &Env) -> Value {
    let host = names::host_name(host, env.settings.hub_port);
    json!({
        "provisioningState": "Succeeded",
        "creationTime": made,
        "primaryLocation": text(resource, &["location"]),
        "statusOfPrimary": "available",
        // Clients find an account by its address in the path, as it has no name of its own.
        "primaryEndpoints": { "blob": format!("https://{host}/{}", id.name()) },
        "keyCreationTime": { "key1": made, "key2": made },
        "encryption": { "keySource": "Microsoft.Storage", "services": { "blob": { "enabled": true }, "file": { "enabled": true } } },
        "privateEndpointConnections": [],
    })
}

/// Refused and not ignored: the caller would count on it.
fn check_not_offered(fields: &Fields<'_>, given: &Fields<'_>) -> Result<(), Error> {
    if let Some(identity) = fields.object("identity")? {
        identity.word("type", &["None"])?;
    }
    if let Some(encryption) = given.object("encryption")? {
        encryption.word("keySource", &["Microsoft.Storage"])?;
    }
    match given.array("privateEndpointConnections", 1)? {
        Some([_, ..]) => Err(given.refuse("privateEndpointConnections", "targets have none yet")),
        Some([]) | None => Ok(()),
    }
}
