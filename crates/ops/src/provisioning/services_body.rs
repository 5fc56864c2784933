//! What the body of a provisioning service may say, and what stands where it says nothing.
//!
//! A `PUT` replaces all that a caller may set, with two exceptions: what clients of older versions do
//! not know, and so leave out when they send back what they read, stays as it is (`identity`,
//! `disableLocalAuth`, `portalOperationsHostName`). What a caller may not set is ignored where it stands
//! in the body. Sources: the published contract of Microsoft.Devices, api-versions 2021-10-15 to
//! 2025-02-01-preview, and the sources of Azure CLI 2.91.

use super::links;
use crate::network;
use crate::resources::fields::Fields;
use crate::resources::{location, tags};
use gate::Facts;
use model::json::set;
use model::{Error, Scope};
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// Largest provisioning service in bytes of JSON.
const DPS_BYTES_MAX: usize = 256 << 10;
/// A bound of ours: units mean nothing here.
const UNITS: RangeInclusive<i64> = 1..=1_000;
/// Longest host name. Source: RFC 1035.
const HOST_NAME_BYTES_MAX: usize = 253;

/// What a provisioning service has whatever its body says.
pub(super) struct Place<'a> {
    pub(super) scope: &'a Scope,
    pub(super) id_scope: &'a str,
    pub(super) etag: &'a str,
    /// As it is shown, see [`Identities::shown`](crate::managed_identity::attached::Identities::shown).
    pub(super) identity: &'a Value,
    pub(super) facts: &'a Facts,
}

/// The provisioning service that a body describes, whole. `stored` is it as it is, where it exists.
///
/// # Errors
/// The place in the body that breaks a rule.
pub(super) fn read(
    body: &Value,
    stored: Option<&Value>,
    place: &Place<'_>,
) -> Result<Value, Error> {
    let fields = Fields::of(body)?;
    let scope = place.scope;
    let location = location(body, "LocationNotAvailableForResourceType")?;
    if let Some(current) = stored.and_then(|it| model::json::text(it, &["location"]))
        && current != location
    {
        return Err(fields.refuse(
            "location",
            format!("it is in `{current}`; a provisioning service cannot move to another location"),
        ));
    }
    let nothing = json!({});
    let properties = match fields.object("properties")? {
        Some(properties) => properties,
        None => Fields::of(&nothing)?,
    };
    let dps = json!({
        "id": scope.as_str(),
        "name": scope.name(),
        "type": "Microsoft.Devices/provisioningServices",
        "location": location,
        "tags": tags(body)?,
        "etag": place.etag,
        // Undocumented, and dereferenced by the command line and its extension.
        "resourcegroup": scope.resource_group(),
        "subscriptionid": scope.subscription_id(),
        "properties": read_properties(&properties, stored, place)?,
        "sku": read_sku(&fields, stored)?,
        "identity": place.identity,
    });
    match dps.to_string().len() <= DPS_BYTES_MAX {
        true => Ok(dps),
        false => {
            let because = format!("a provisioning service has at most {DPS_BYTES_MAX} bytes");
            Err(Error::invalid("properties", because))
        }
    }
}

fn read_sku(fields: &Fields<'_>, stored: Option<&Value>) -> Result<Value, Error> {
    let Some(sku) = fields.object("sku")? else {
        return stored.and_then(|it| it.get("sku")).cloned().ok_or_else(|| {
            fields.refuse("sku", "required: `{\"name\": \"S1\", \"capacity\": 1}`")
        });
    };
    if sku.word("name", &["S1"])?.is_none() {
        return Err(sku.refuse("name", "required: `S1`"));
    }
    let capacity = sku.integer("capacity", UNITS)?.unwrap_or(1);
    Ok(json!({ "name": "S1", "tier": "Standard", "capacity": capacity }))
}

fn read_properties(
    given: &Fields<'_>,
    stored: Option<&Value>,
    place: &Place<'_>,
) -> Result<Value, Error> {
    let former = |name: &str| stored.and_then(|it| model::json::at(it, &["properties", name]));
    let before = former("iotHubs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let policy = given.word("allocationPolicy", &["Hashed", "GeoLatency", "Static"])?;
    let is_disabled = given.bool("disableLocalAuth")?;
    let was_disabled = || former("disableLocalAuth").and_then(Value::as_bool).unwrap_or(false);
    let mut all = json!({
        "state": "Active",
        "provisioningState": "Succeeded",
        "iotHubs": links::read(given, before, place.facts)?,
        "allocationPolicy": policy.unwrap_or("Hashed"),
        "serviceOperationsHostName": null,
        "deviceProvisioningHostName": null,
        "idScope": place.id_scope,
        "publicNetworkAccess": "Enabled",
        "disableLocalAuth": is_disabled.unwrap_or_else(was_disabled),
        "enableDataResidency": given.bool("enableDataResidency")?.unwrap_or(false),
    });
    network::store(given, stored.and_then(|it| it.get("properties")), &mut all)?;
    let portal = given.text("portalOperationsHostName")?;
    if portal.is_some_and(|it| it.len() > HOST_NAME_BYTES_MAX) {
        let because = format!("longer than {HOST_NAME_BYTES_MAX} bytes");
        return Err(given.refuse("portalOperationsHostName", because));
    }
    let portal = portal.map(Value::from).or_else(|| former("portalOperationsHostName").cloned());
    if let Some(portal) = portal {
        set(&mut all, "portalOperationsHostName", portal);
    }
    Ok(all)
}

/// The provisioning service as an answer shows it: the keys in its links masked, its host names those
/// of the running server.
pub(super) fn show(resource: &Value, host_name: &str, port: u16, api_version: &str) -> Value {
    let mut shown = resource.clone();
    let Some(properties) = shown.get_mut("properties") else { return shown };
    set(properties, "serviceOperationsHostName", json!(host_name));
    set(properties, "deviceProvisioningHostName", json!(host_name));
    if let Some(all) = properties.get_mut("iotHubs").and_then(Value::as_array_mut) {
        for link in all {
            *link = links::show(link, port, api_version);
        }
    }
    shown
}

#[cfg(test)]
#[path = "services_body_tests.rs"]
mod tests;
