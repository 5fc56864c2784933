//! What the body of a hub may say, and what stands where it says nothing.
//!
//! A `PUT` replaces all that a caller may set. Clients read a hub and send it back whole, so what a caller
//! may not set is ignored where it stands in the body. Every member that Azure's clients dereference is in
//! the answer. Sources: the published contract of Microsoft.Devices, api-version 2023-06-30-preview, and
//! the sources of Azure CLI 2.91.

use super::{endpoints, routing, secrets};
use crate::network;
use crate::resources::fields::Fields;
use crate::resources::{location, tags};
use model::json::set;
use model::resource_types::LOCATIONS;
use model::{Error, Scope};
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// Largest hub in bytes of JSON.
const HUB_BYTES_MAX: usize = 256 << 10;
/// A bound of ours: fully qualified names that the hub may send to.
const ALLOWED_NAMES_MAX: usize = 100;

/// The editions: name, tier, most units, most partitions. Source: IoT Hub quotas and throttling.
const SKUS: [(&str, &str, i64, i64); 7] = [
    ("F1", "Free", 1, 2),
    ("B1", "Basic", 200, 32),
    ("B2", "Basic", 200, 32),
    ("B3", "Basic", 10, 32),
    ("S1", "Standard", 200, 32),
    ("S2", "Standard", 200, 32),
    ("S3", "Standard", 10, 32),
];

/// Partitions of a hub whose body names no number, as far as its edition has so many.
const PARTITIONS_DEFAULT: i64 = 4;
const RETENTION_DAYS: RangeInclusive<i64> = 1..=7;
const DELIVERY_COUNT: RangeInclusive<i64> = 1..=100;
/// Time to live of messages and notifications: a minute to two days.
const TTL_S: RangeInclusive<u64> = 60..=172_800;
const LOCK_S: RangeInclusive<u64> = 5..=300;

/// What a hub has whatever its body says.
pub(super) struct Place<'a> {
    pub(super) scope: &'a Scope,
    pub(super) address: &'a str,
    pub(super) host_name: &'a str,
    pub(super) etag: &'a str,
    /// As it is shown, see [`Identities::shown`](crate::managed_identity::attached::Identities::shown).
    pub(super) identity: &'a Value,
}

/// The hub that a body describes, whole. `stored` is the hub as it is, where it exists.
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
            format!("the hub is in `{current}`; a hub cannot move to another location"),
        ));
    }
    let (sku, partitions_max) = read_sku(&fields, stored)?;
    let nothing = json!({});
    let properties = match fields.object("properties")? {
        Some(properties) => properties,
        None => Fields::of(&nothing)?,
    };
    let hub = json!({
        "id": scope.as_str(),
        "name": scope.name(),
        "type": "Microsoft.Devices/IotHubs",
        "location": location,
        "tags": tags(body)?,
        "etag": place.etag,
        // Undocumented, and dereferenced by the command line and its extension.
        "resourcegroup": scope.resource_group(),
        "subscriptionid": scope.subscription_id(),
        "properties": read_properties(&properties, stored, place, location, partitions_max)?,
        "sku": sku,
        "identity": place.identity,
    });
    match hub.to_string().len() <= HUB_BYTES_MAX {
        true => Ok(hub),
        false => {
            Err(Error::invalid("properties", format!("a hub has at most {HUB_BYTES_MAX} bytes")))
        }
    }
}

/// The edition, and the most partitions that it has.
fn read_sku(fields: &Fields<'_>, stored: Option<&Value>) -> Result<(Value, i64), Error> {
    let Some(sku) = fields.object("sku")? else {
        return Err(fields.refuse("sku", "required: `{\"name\": \"S1\", \"capacity\": 1}`"));
    };
    let names = SKUS.map(|(name, ..)| name);
    let Some(name) = sku.word("name", &names)? else {
        return Err(sku.refuse("name", format!("required: one of {}", names.join(", "))));
    };
    let found = SKUS.iter().find(|(its, ..)| *its == name);
    let (_, tier, units_max, partitions_max) = *found.unwrap_or(&("S1", "Standard", 200, 32));
    let capacity = sku.integer("capacity", 1..=units_max)?.unwrap_or(1);
    let current = stored.and_then(|it| model::json::text(it, &["sku", "tier"]));
    if let Some(current) = current
        && !may_move(current, tier)
    {
        return Err(sku.refuse(
            "name",
            format!(
                "a hub cannot move from the {current} tier to the {tier} tier; make another hub"
            ),
        ));
    }
    Ok((json!({ "name": name, "tier": tier, "capacity": capacity }), partitions_max))
}

/// Within a tier, and from basic to standard. Source: IoT Hub documentation, "Choose the right tier".
fn may_move(from: &str, to: &str) -> bool {
    from == to || (from == "Basic" && to == "Standard")
}

fn read_properties(
    given: &Fields<'_>,
    stored: Option<&Value>,
    place: &Place<'_>,
    location: &str,
    partitions_max: i64,
) -> Result<Value, Error> {
    let former = stored.and_then(|it| it.get("properties"));
    let display_name =
        LOCATIONS.iter().find(|(name, _)| *name == location).map_or(location, |(_, it)| it);
    let mut all = json!({
        "locations": [{ "location": display_name, "role": "primary" }],
        "state": "Active",
        "provisioningState": "Succeeded",
        "hostName": place.host_name,
        "eventHubEndpoints": { "events": read_events(given, former, place, partitions_max)? },
        "routing": routing::body::read(given)?,
        "storageEndpoints": endpoints::read_storage(given)?,
        "messagingEndpoints": read_messaging(given)?,
        "enableFileUploadNotifications": given.bool("enableFileUploadNotifications")?.unwrap_or(false),
        "cloudToDevice": read_cloud_to_device(given)?,
        "features": given.word("features", &["None", "DeviceManagement"])?.unwrap_or("None"),
        "allowedFqdnList": read_names(given, "allowedFqdnList")?,
        "disableLocalAuth": given.bool("disableLocalAuth")?.unwrap_or(false),
        "disableDeviceSAS": given.bool("disableDeviceSAS")?.unwrap_or(false),
        "disableModuleSAS": given.bool("disableModuleSAS")?.unwrap_or(false),
        "restrictOutboundNetworkAccess": given.bool("restrictOutboundNetworkAccess")?.unwrap_or(false),
    });
    network::store(given, former, &mut all)?;
    let optional = [
        ("minTlsVersion", given.text("minTlsVersion")?.map(Value::from)),
        ("comments", given.text("comments")?.map(Value::from)),
        ("ipVersion", given.text("ipVersion")?.map(Value::from)),
        ("enableDataResidency", given.bool("enableDataResidency")?.map(Value::from)),
        ("deviceStreams", object(given, "deviceStreams")?),
        ("encryption", object(given, "encryption")?),
        ("rootCertificate", object(given, "rootCertificate")?),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            set(&mut all, name, value);
        }
    }
    secrets::restore(&mut all, former, given.at())?;
    routing::body::check_connection_strings(&all, given.at())?;
    Ok(all)
}

fn object(given: &Fields<'_>, name: &str) -> Result<Option<Value>, Error> {
    Ok(given.object(name)?.map(|it| it.value().clone()))
}

fn read_names<'a>(given: &Fields<'a>, name: &str) -> Result<&'a [Value], Error> {
    let names = given.array(name, ALLOWED_NAMES_MAX)?.unwrap_or(&[]);
    match names.iter().all(Value::is_string) {
        true => Ok(names),
        false => Err(given.refuse(name, "expected a list of texts")),
    }
}

/// The built-in endpoint. The number of partitions is fixed for the hub's life.
fn read_events(
    given: &Fields<'_>,
    former: Option<&Value>,
    place: &Place<'_>,
    partitions_max: i64,
) -> Result<Value, Error> {
    let path = ["eventHubEndpoints", "events", "partitionCount"];
    let fixed = former.and_then(|it| model::json::at(it, &path)).and_then(Value::as_i64);
    let mut days = *RETENTION_DAYS.start();
    let mut partitions = fixed.unwrap_or(PARTITIONS_DEFAULT.min(partitions_max));
    if let Some(endpoints) = given.object("eventHubEndpoints")?
        && let Some(events) = endpoints.object("events")?
    {
        days = events.integer("retentionTimeInDays", RETENTION_DAYS)?.unwrap_or(days);
        let wanted = match fixed {
            Some(_) => events.integer("partitionCount", i64::MIN..=i64::MAX)?,
            None => events.integer("partitionCount", 2..=partitions_max)?,
        };
        if let (Some(wanted), Some(fixed)) = (wanted, fixed)
            && wanted != fixed
        {
            let message = format!("the hub has {fixed} partitions; their number cannot change");
            return Err(events.refuse("partitionCount", message));
        }
        partitions = wanted.unwrap_or(partitions);
    }
    let ids: Vec<String> = (0..partitions).map(|it| it.to_string()).collect();
    Ok(json!({
        "retentionTimeInDays": days,
        "partitionCount": partitions,
        "partitionIds": ids,
        "path": place.scope.name().to_ascii_lowercase(),
        "endpoint": format!("sb://{}/", place.address),
    }))
}

fn read_messaging(given: &Fields<'_>) -> Result<Value, Error> {
    let endpoints = given.object("messagingEndpoints")?;
    let notifications = match &endpoints {
        Some(endpoints) => endpoints.object("fileNotifications")?,
        None => None,
    };
    Ok(json!({ "fileNotifications": read_delivery(notifications.as_ref())? }))
}

fn read_cloud_to_device(given: &Fields<'_>) -> Result<Value, Error> {
    let (mut count, mut ttl, mut feedback) = (None, None, None);
    if let Some(given) = given.object("cloudToDevice")? {
        count = given.integer("maxDeliveryCount", DELIVERY_COUNT)?;
        ttl = given.duration("defaultTtlAsIso8601", TTL_S)?;
        feedback = given.object("feedback")?;
    }
    Ok(json!({
        "maxDeliveryCount": count.unwrap_or(10),
        "defaultTtlAsIso8601": ttl.unwrap_or("PT1H"),
        "feedback": read_delivery(feedback.as_ref())?,
    }))
}

/// How feedback and file notifications are delivered.
fn read_delivery(given: Option<&Fields<'_>>) -> Result<Value, Error> {
    let (mut lock, mut ttl, mut count) = (None, None, None);
    if let Some(given) = given {
        lock = given.duration("lockDurationAsIso8601", LOCK_S)?;
        ttl = given.duration("ttlAsIso8601", TTL_S)?;
        count = given.integer("maxDeliveryCount", DELIVERY_COUNT)?;
    }
    Ok(json!({
        "lockDurationAsIso8601": lock.unwrap_or("PT1M"),
        "ttlAsIso8601": ttl.unwrap_or("PT1H"),
        "maxDeliveryCount": count.unwrap_or(10),
    }))
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
