//! What the body of a hub may say of where its messages go: endpoints, routes, the fallback and enrichments.
//!
//! Nothing is stored that would not be followed: a member that nobody reads is refused, and so is a condition that
//! cannot be read. Sources: the published contract of Microsoft.Devices, api-version 2023-06-30-preview; IoT Hub
//! documentation, "Understand IoT Hub message routing"; IoT Hub quotas and throttling.

use super::{Kind, connection};
use crate::devices::endpoints::{IDENTITY_BASED, read_authentication};
use crate::devices::message::NAME_BYTES_MAX;
use crate::devices::message::routed::Source;
use crate::devices::query::message::{MessageCondition, TwinPath};
use crate::resources::fields::Fields;
use model::Error;
use model::json::{set, text};
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;

const ROUTES_MAX: usize = 100;
/// Of all kinds together, beside the built-in one.
pub(super) const CUSTOM_ENDPOINTS_MAX: usize = 10;
const ENRICHMENTS_MAX: usize = 10;
/// Longest name of an endpoint or a route.
const NAME_CHARACTERS_MAX: usize = 64;
/// Longest fixed value of an enrichment: as of a text in a twin.
const VALUE_BYTES_MAX: usize = 4 << 10;
/// Longest name of an entity or a container. Source: Azure's resource naming rules.
const ENTITY_CHARACTERS_MAX: usize = 260;
/// Longest address of an endpoint, and what else is only kept.
const TEXT_CHARACTERS_MAX: usize = 1_024;
/// What the built-in endpoint is called.
pub(crate) const EVENTS_NAME: &str = "events";
/// Names that no endpoint of a hub's own has.
const RESERVED: [&str; 4] =
    [EVENTS_NAME, "operationsMonitoringEvents", "fileNotifications", "$default"];

const BATCH_S: RangeInclusive<i64> = 60..=720;
const CHUNK_BYTES: RangeInclusive<i64> = 10_485_760..=524_288_000;
/// The first is that of files of which nothing is said. Azure has one more.
const ENCODINGS: [&str; 2] = ["avro", "json"];
const OTHER_ENCODING: &str = "avroDeflate";
const FILE_NAME_FORMAT: &str = "{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}";
const FILE_NAME_TOKENS: [&str; 7] =
    ["{iothub}", "{partition}", "{YYYY}", "{MM}", "{DD}", "{HH}", "{mm}"];

/// The sources by which routes are known.
const SOURCES: [&str; 5] = [
    Source::ALL[0].as_str(),
    Source::ALL[1].as_str(),
    Source::ALL[2].as_str(),
    Source::ALL[3].as_str(),
    Source::ALL[4].as_str(),
];

/// The routing that a body asks for, whole.
///
/// # Errors
/// The place in the body that breaks a rule.
pub(crate) fn read(given: &Fields<'_>) -> Result<Value, Error> {
    let mut endpoints = Map::new();
    let (mut routes, mut enrichments) = (Vec::new(), Vec::new());
    let routing = given.object("routing")?;
    let custom = match &routing {
        Some(routing) => {
            routing.only(&["endpoints", "routes", "fallbackRoute", "enrichments"])?;
            routing.object("endpoints")?
        }
        None => None,
    };
    let mut names = vec![EVENTS_NAME.to_owned()];
    if let Some(custom) = &custom {
        let kinds = Kind::ALL.map(Kind::as_str);
        custom.only(&[&kinds[..], &[COSMOS]].concat())?;
        if custom.array(COSMOS, CUSTOM_ENDPOINTS_MAX)?.is_some_and(|it| !it.is_empty()) {
            let because = "messages cannot be sent to databases here; known are serviceBusQueues, \
                           serviceBusTopics, eventHubs and storageContainers";
            return Err(custom.refuse(COSMOS, because));
        }
    }
    for kind in Kind::ALL {
        let of_kind = match &custom {
            Some(custom) => read_endpoints(custom, kind, &mut names)?,
            None => Vec::new(),
        };
        endpoints.insert(kind.as_str().to_owned(), Value::Array(of_kind));
    }
    endpoints.insert(COSMOS.to_owned(), json!([]));
    // A hub of which nothing was said keeps what no route takes; one that says where messages go and does not name the
    // fallback has none. Source: IoT Hub documentation, "Understand IoT Hub message routing", "Fallback route".
    let mut fallback = fallback(routing.is_none());
    if let Some(routing) = &routing {
        let mut taken: Vec<&str> = Vec::new();
        for it in routing.objects("routes", ROUTES_MAX)?.unwrap_or_default() {
            routes.push(read_route(&it, &names, &mut taken)?);
        }
        for it in routing.objects("enrichments", ENRICHMENTS_MAX)?.unwrap_or_default() {
            let read = read_enrichment(&it, &names)?;
            let is_same = |its: &Value| {
                text(its, &["key"]).is_some_and(|key| {
                    text(&read, &["key"]).is_some_and(|mine| mine.eq_ignore_ascii_case(key))
                })
            };
            if enrichments.iter().any(is_same) {
                return Err(it.refuse("key", "stands in the list already"));
            }
            enrichments.push(read);
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

/// Offered in Azure and not here.
const COSMOS: &str = "cosmosDBSqlContainers";

fn fallback(is_enabled: bool) -> Value {
    json!({
        "name": "$fallback",
        "source": "DeviceMessages",
        "condition": "true",
        "endpointNames": [EVENTS_NAME],
        "isEnabled": is_enabled,
    })
}

/// The endpoints of one kind. Their names are unique over all kinds.
fn read_endpoints(
    custom: &Fields<'_>,
    kind: Kind,
    names: &mut Vec<String>,
) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    for it in custom.objects(kind.as_str(), CUSTOM_ENDPOINTS_MAX)?.unwrap_or_default() {
        let name = read_name(&it, "name")?;
        let is_its = |its: &str| its.eq_ignore_ascii_case(name);
        if RESERVED.into_iter().any(is_its) {
            let because =
                format!("`{name}` is a name of the hub's own: none of {}", RESERVED.join(", "));
            return Err(it.refuse("name", because));
        }
        if names.iter().any(|its| is_its(its)) {
            return Err(it.refuse(
                "name",
                "an endpoint of this name, of whichever kind, stands in the body already",
            ));
        }
        if names.len() > CUSTOM_ENDPOINTS_MAX {
            let because = format!(
                "a hub has at most {CUSTOM_ENDPOINTS_MAX} endpoints of its own, of all kinds together"
            );
            return Err(custom.refuse(kind.as_str(), because));
        }
        names.push(name.to_owned());
        all.push(read_endpoint(&it, kind, name)?);
    }
    Ok(all)
}

fn read_endpoint(given: &Fields<'_>, kind: Kind, name: &str) -> Result<Value, Error> {
    let common = [
        "id",
        "name",
        "authenticationType",
        "connectionString",
        "endpointUri",
        "identity",
        "subscriptionId",
        "resourceGroup",
    ];
    let own: &[&str] = match kind {
        Kind::StorageContainers => &[
            "containerName",
            "fileNameFormat",
            "batchFrequencyInSeconds",
            "maxChunkSizeInBytes",
            "encoding",
        ],
        Kind::ServiceBusQueues | Kind::ServiceBusTopics | Kind::EventHubs => &["entityPath"],
    };
    given.only(&[&common[..], own].concat())?;
    let word = read_authentication(given)?.unwrap_or("keyBased");
    let mut endpoint = json!({ "name": name, "authenticationType": word });
    for (field, most) in [
        ("connectionString", connection::CHARACTERS_MAX),
        ("endpointUri", TEXT_CHARACTERS_MAX),
        ("subscriptionId", TEXT_CHARACTERS_MAX),
        ("resourceGroup", TEXT_CHARACTERS_MAX),
        ("entityPath", ENTITY_CHARACTERS_MAX),
        ("containerName", ENTITY_CHARACTERS_MAX),
    ] {
        if let Some(text) = given.text(field)? {
            if text.chars().count() > most {
                return Err(given.refuse(field, format!("longer than {most} characters")));
            }
            set(&mut endpoint, field, json!(text));
        }
    }
    if word == IDENTITY_BASED
        && let Some(all) = endpoint.as_object_mut()
    {
        // A key that nobody uses is not kept.
        all.shift_remove("connectionString");
    }
    if let Some(identity) = given.object("identity")? {
        identity.only(&["userAssignedIdentity"])?;
        set(&mut endpoint, "identity", identity.value().clone());
    }
    let requires = |field: &str, because: &str| match given.text(field)? {
        Some(it) if !it.is_empty() => Ok(()),
        Some(_) | None => Err(given.refuse(field, because)),
    };
    let entity = if kind == Kind::StorageContainers { "containerName" } else { "entityPath" };
    if word == IDENTITY_BASED {
        let wanted = match kind {
            Kind::StorageContainers => {
                "required with `identityBased`: `https://<account>.blob.core.windows.net/`"
            }
            Kind::ServiceBusQueues | Kind::ServiceBusTopics | Kind::EventHubs => {
                "required with `identityBased`: `sb://<namespace>.servicebus.windows.net/`"
            }
        };
        requires("endpointUri", wanted)?;
        requires(entity, "required with `identityBased`: the name of what is sent to")?;
        if let Some(address) = given.text("endpointUri")? {
            connection::host_of(kind, address).map_err(|it| given.refuse("endpointUri", it))?;
        }
    } else {
        requires("connectionString", "required with `keyBased`")?;
        if kind == Kind::StorageContainers {
            requires(entity, "required: the container that is written to")?;
        }
    }
    if kind == Kind::StorageContainers {
        read_files(given, &mut endpoint)?;
    }
    Ok(endpoint)
}

/// How a container is written to.
fn read_files(given: &Fields<'_>, endpoint: &mut Value) -> Result<(), Error> {
    let format = given.text("fileNameFormat")?.unwrap_or(FILE_NAME_FORMAT);
    let rest = FILE_NAME_TOKENS.iter().try_fold(format.to_owned(), |rest, token| {
        let (before, behind) = rest.split_once(token)?;
        Some(format!("{before}{behind}"))
    });
    let is_fine =
        |rest: &str| rest.bytes().all(|it| it.is_ascii_alphanumeric() || b"/-_.".contains(&it));
    if format.len() > TEXT_CHARACTERS_MAX || !rest.is_some_and(|it| is_fine(&it)) {
        let because = format!(
            "expected {}, each once and in any order, with letters, digits and `/`, `-`, `_`, `.` between them",
            FILE_NAME_TOKENS.join(", ")
        );
        return Err(given.refuse("fileNameFormat", because));
    }
    let batch = given.integer("batchFrequencyInSeconds", BATCH_S)?.unwrap_or(300);
    let chunk = given.integer("maxChunkSizeInBytes", CHUNK_BYTES)?.unwrap_or(314_572_800);
    set(endpoint, "fileNameFormat", json!(format));
    set(endpoint, "batchFrequencyInSeconds", json!(batch));
    set(endpoint, "maxChunkSizeInBytes", json!(chunk));
    if given.text("encoding")?.is_some_and(|it| it.eq_ignore_ascii_case(OTHER_ENCODING)) {
        let because = "files are not compressed here: send `avro` or `json`";
        return Err(given.refuse("encoding", because));
    }
    set(endpoint, "encoding", json!(given.word("encoding", &ENCODINGS)?.unwrap_or("avro")));
    Ok(())
}

fn read_name<'a>(given: &Fields<'a>, field: &str) -> Result<&'a str, Error> {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-._".contains(&it);
    let name = given.text(field)?.unwrap_or("");
    match (1..=NAME_CHARACTERS_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        true => Ok(name),
        false => {
            let because =
                format!("expected 1 to {NAME_CHARACTERS_MAX} letters, digits and `-`, `.`, `_`");
            Err(given.refuse(field, because))
        }
    }
}

const ROUTE: [&str; 5] = ["name", "source", "condition", "endpointNames", "isEnabled"];

/// A route, of which others of the hub have taken these names.
fn read_route<'a>(
    given: &Fields<'a>,
    endpoints: &[String],
    taken: &mut Vec<&'a str>,
) -> Result<Value, Error> {
    given.only(&ROUTE)?;
    let name = read_name(given, "name")?;
    if taken.iter().any(|it| it.eq_ignore_ascii_case(name)) {
        return Err(given.refuse("name", "stands in the list already"));
    }
    taken.push(name);
    let Some(source) = given.word("source", &SOURCES)? else {
        return Err(given.refuse("source", format!("required: one of {}", SOURCES.join(", "))));
    };
    let condition = given.text("condition")?.unwrap_or("true");
    MessageCondition::parse(condition).map_err(|it| given.refuse("condition", it.to_string()))?;
    let named = read_endpoint_names(given, endpoints, 1)?;
    let [endpoint] = named.as_slice() else {
        return Err(given.refuse(
            "endpointNames",
            "expected a list of one name: a route leads to one endpoint",
        ));
    };
    Ok(json!({
        "name": name,
        "source": source,
        "condition": condition,
        "endpointNames": [endpoint],
        "isEnabled": given.bool("isEnabled")?.unwrap_or(true),
    }))
}

/// A route as somebody tries it, whatever endpoint it leads to: its source and its condition.
///
/// # Errors
/// The place in the body that breaks a rule; not what is wrong with the condition.
pub(super) fn read_tried<'a>(given: &Fields<'a>) -> Result<(Source, &'a str), Error> {
    given.only(&ROUTE)?;
    let source = read_source(given, "source")?.unwrap_or(Source::DeviceMessages);
    Ok((source, given.text("condition")?.unwrap_or("true")))
}

pub(super) fn read_source(given: &Fields<'_>, field: &str) -> Result<Option<Source>, Error> {
    let word = given.word(field, &SOURCES)?;
    Ok(word.and_then(|word| Source::ALL.into_iter().find(|it| it.as_str() == word)))
}

/// Names of endpoints that the hub has, as these are written.
fn read_endpoint_names(
    given: &Fields<'_>,
    endpoints: &[String],
    most: usize,
) -> Result<Vec<String>, Error> {
    let mut found: Vec<String> = Vec::new();
    for it in given.array("endpointNames", most)?.unwrap_or(&[]) {
        let Some(name) = it.as_str() else {
            return Err(given.refuse("endpointNames", "expected a list of texts"));
        };
        let Some(known) = endpoints.iter().find(|it| it.eq_ignore_ascii_case(name)) else {
            let name: String = name.chars().take(NAME_CHARACTERS_MAX).collect();
            let because = format!(
                "there is no endpoint `{}`; there are {}",
                name.escape_debug(),
                endpoints.join(", ")
            );
            return Err(given.refuse("endpointNames", because));
        };
        if !found.contains(known) {
            found.push(known.clone());
        }
    }
    Ok(found)
}

fn read_fallback(given: &Fields<'_>) -> Result<Value, Error> {
    given.only(&ROUTE)?;
    given.word("source", &["DeviceMessages"])?;
    given.word("condition", &["true"])?;
    let named = given.array("endpointNames", 1)?.unwrap_or(&[]);
    if !matches!(named, [Value::String(it)] if it.eq_ignore_ascii_case(EVENTS_NAME)) {
        return Err(
            given.refuse("endpointNames", "expected [\"events\"]: what no route takes goes there")
        );
    }
    let name = given.text("name")?.unwrap_or("$fallback");
    if name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(given.refuse("name", format!("longer than {NAME_CHARACTERS_MAX} characters")));
    }
    let mut fallback = fallback(given.bool("isEnabled")?.unwrap_or(true));
    set(&mut fallback, "name", json!(name));
    Ok(fallback)
}

fn read_enrichment(given: &Fields<'_>, endpoints: &[String]) -> Result<Value, Error> {
    given.only(&["key", "value", "endpointNames"])?;
    let key = given.text("key")?.unwrap_or("");
    let forbidden =
        |it: char| it.is_whitespace() || it.is_control() || "()<>@,;:\\\"/?={}".contains(it);
    if !(1..=NAME_BYTES_MAX).contains(&key.len()) || key.contains(forbidden) {
        let because = format!(
            "expected 1 to {NAME_BYTES_MAX} bytes without white space and `()<>@,;:\\\"/?={{}}`"
        );
        return Err(given.refuse("key", because));
    }
    if crate::devices::message::is_reserved(key) {
        return Err(given.refuse("key", "this name is the hub's own"));
    }
    let value = given.text("value")?.unwrap_or("");
    if !(1..=VALUE_BYTES_MAX).contains(&value.len()) {
        return Err(given.refuse("value", format!("expected 1 to {VALUE_BYTES_MAX} bytes")));
    }
    if value.starts_with("$twin") && TwinPath::parse(value).is_none() {
        let because = "expected a path as `$twin.tags.site`, `$twin.properties.desired.x` or `$twin.properties.reported.x`";
        return Err(given.refuse("value", because));
    }
    let named = read_endpoint_names(given, endpoints, CUSTOM_ENDPOINTS_MAX + 1)?;
    match named.is_empty() {
        true => Err(given.refuse("endpointNames", "required: the endpoints whose messages get it")),
        false => Ok(json!({ "key": key, "value": value, "endpointNames": named })),
    }
}

/// Looks through connection strings, behind the masks that clients send back.
///
/// # Errors
/// The place in the body of one that cannot be used.
pub(crate) fn check_connection_strings(properties: &Value, at: &str) -> Result<(), Error> {
    for (kind, index, endpoint) in super::endpoints_of(properties) {
        let is_by_key = text(endpoint, &["authenticationType"]) == Some("keyBased");
        if let Some(string) = text(endpoint, &["connectionString"]).filter(|_| is_by_key) {
            let place =
                format!("{at}.routing.endpoints.{}[{index}].connectionString", kind.as_str());
            let entity = text(endpoint, &["entityPath"]);
            connection::parse(kind, string, entity).map_err(|it| Error::invalid(place, it))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
