//! The hubs that a provisioning service assigns devices to: what a body may say of them, how they are
//! kept and how they are shown.
//!
//! A link is kept under its hub's host name, without a port. One with a key keeps the connection string
//! whole; an answer masks the key, and a masked string that comes back means the kept one. Whether the
//! key or the identity is enough for the hub is not decided here: the hub's gates say so, with every
//! registration. Nor is it whether the identity is there: a write that leaves a link without it is the resource gate's to
//! refuse, see [`uses`]. Source: the published contract of Microsoft.Devices, api-version 2025-02-01-preview.

use crate::devices::names::{host_name, without_port};
use crate::managed_identity::attached::{Use, user_assigned_id};
use crate::resources::fields::Fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Facts;
use gate::facts::{DpsLink, Hub, LinkAuthentication};
use model::json::set;
use model::resource_types::{LOCATIONS, normal_location};
use model::{Error, Scope, Secret};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Most hubs that a provisioning service is linked to. Source: DPS quotas and limits.
const LINKS_MAX: usize = 50;
/// Source: the published contract of Microsoft.Devices.
const WEIGHTS: RangeInclusive<i64> = 1..=1_000;
const CONNECTION_STRING_BYTES_MAX: usize = 1_024;
/// What stands in an answer in place of a key.
const MASK: &str = "****";
/// The first api-version whose clients know links without a connection string.
const IDENTITY_LINKS_SINCE: &str = "2025-02-01";

const KEY_BASED: &str = "KeyBased";
const SYSTEM_ASSIGNED: &str = "SystemAssigned";
const USER_ASSIGNED: &str = "UserAssigned";
const SELECTED: &str = "selectedUserAssignedIdentityResourceId";

const FORM: &str = "expected `HostName=...;SharedAccessKeyName=...;SharedAccessKey=...`";

/// The links that a body asks for, as they are kept. `former` are those that are kept now.
///
/// # Errors
/// Says which link breaks which rule, and never repeats a key.
pub(super) fn read(
    properties: &Fields<'_>,
    former: &[Value],
    facts: &Facts,
) -> Result<Vec<Value>, Error> {
    let mut links: Vec<Value> = Vec::new();
    for given in properties.objects("iotHubs", LINKS_MAX)?.unwrap_or_default() {
        let link = read_one(&given, former, facts)?;
        let host = host_of(&link);
        if links.iter().any(|it| host_of(it) == host) {
            let because = format!("the hub `{host}` stands in the list already");
            return Err(Error::invalid(given.at(), because));
        }
        links.push(link);
    }
    Ok(links)
}

fn read_one(given: &Fields<'_>, former: &[Value], facts: &Facts) -> Result<Value, Error> {
    let string = match given.text("connectionString")?.filter(|it| !it.is_empty()) {
        Some(text) => Some(
            ConnectionString::parse(text)
                .map_err(|because| given.refuse("connectionString", because))?,
        ),
        None => None,
    };
    let (host, known) = read_host(given, string.as_ref(), former, facts)?;
    let former = former.iter().find(|it| host_of(it) == host);
    let mut link = json!({
        "name": host,
        "authenticationType": KEY_BASED,
        "location": read_location(given, known, former)?,
        "applyAllocationPolicy": given.bool("applyAllocationPolicy")?.unwrap_or(true),
        "allocationWeight": given.integer("allocationWeight", WEIGHTS)?.unwrap_or(1),
    });
    match way(given, string.as_ref(), former)? {
        Way::Key => {
            let string = read_key(given, string.as_ref(), &host, former)?;
            set(&mut link, "connectionString", json!(string));
        }
        Way::Own => set(&mut link, "authenticationType", json!(SYSTEM_ASSIGNED)),
        Way::As(identity) => {
            set(&mut link, "authenticationType", json!(USER_ASSIGNED));
            set(&mut link, SELECTED, json!(identity));
        }
    }
    Ok(link)
}

/// The host name of the hub that is meant, and the hub. A hub that is gone may stay linked, as nobody
/// else gets its address meanwhile; it cannot be linked anew.
fn read_host<'a>(
    given: &Fields<'_>,
    string: Option<&ConnectionString<'_>>,
    former: &[Value],
    facts: &'a Facts,
) -> Result<(String, Option<&'a Arc<Hub>>), Error> {
    let by_name = given.text("hostName")?.filter(|it| !it.is_empty());
    let shown = given.text("name")?.filter(|it| !it.is_empty());
    let (place, text) = match (string, by_name, shown) {
        (Some(string), _, _) => ("connectionString", string.host),
        (None, Some(text), _) => ("hostName", text),
        (None, None, Some(text)) => ("name", text),
        (None, None, None) => {
            let because = format!(
                "required: a hub's connection string, or its host name with `authenticationType` \
                 `{SYSTEM_ASSIGNED}` or `{USER_ASSIGNED}`"
            );
            return Err(given.refuse("connectionString", because));
        }
    };
    let (host, hub) = resolve(text, facts);
    if by_name.is_some_and(|it| resolve(it, facts).0 != host) {
        return Err(given.refuse("hostName", "the connection string names another hub"));
    }
    if hub.is_none() && !former.iter().any(|it| host_of(it) == host) {
        let shown: String = text.chars().take(120).collect();
        let because = format!("there is no hub `{}` on this server", shown.escape_debug());
        return Err(given.refuse(place, because));
    }
    Ok((host, hub))
}

/// A hub by its host name, with or without a port, or by its own name.
fn resolve<'a>(text: &str, facts: &'a Facts) -> (String, Option<&'a Arc<Hub>>) {
    let host = without_port(text).to_ascii_lowercase();
    let hub = facts.hubs.values().find(|it| {
        it.host.eq_ignore_ascii_case(&host) || it.scope.name().eq_ignore_ascii_case(&host)
    });
    (hub.map_or(host, |it| it.host.to_ascii_lowercase()), hub)
}

fn read_location(
    given: &Fields<'_>,
    hub: Option<&Arc<Hub>>,
    former: Option<&Value>,
) -> Result<String, Error> {
    if let Some(text) = given.text("location")? {
        let wanted = normal_location(text);
        return match LOCATIONS.iter().any(|(name, _)| *name == wanted) {
            true => Ok(wanted),
            false => Err(given.refuse("location", "this is no location that is known here")),
        };
    }
    let kept = former.and_then(|it| model::json::text(it, &["location"]));
    Ok(hub.map_or(kept.unwrap_or(""), |it| it.location.as_str()).to_owned())
}

/// How a link signs in.
enum Way {
    Key,
    /// As the service's own identity.
    Own,
    /// As one that it has attached.
    As(Scope),
}

/// Older clients do not know `authenticationType` and send none: a link without a key then stays what it is.
fn way(
    given: &Fields<'_>,
    string: Option<&ConnectionString<'_>>,
    former: Option<&Value>,
) -> Result<Way, Error> {
    let kept = former.and_then(by_identity);
    let words = [KEY_BASED, SYSTEM_ASSIGNED, USER_ASSIGNED];
    Ok(match given.word("authenticationType", &words)? {
        Some(SYSTEM_ASSIGNED) => Way::Own,
        Some(USER_ASSIGNED) => match (given.text(SELECTED)?, kept) {
            (Some(text), _) => Way::As(user_assigned_id(text).ok_or_else(|| {
                given.refuse(SELECTED, "this is no id of a user-assigned identity")
            })?),
            (None, Some(Way::As(identity))) => Way::As(identity),
            (None, _) => {
                let because = "required: the id of an identity that the provisioning service has";
                return Err(given.refuse(SELECTED, because));
            }
        },
        Some(_) => Way::Key,
        None if string.is_some_and(|it| it.key.is_some()) => Way::Key,
        None => kept.unwrap_or(Way::Key),
    })
}

/// The connection string to keep.
fn read_key(
    given: &Fields<'_>,
    string: Option<&ConnectionString<'_>>,
    host: &str,
    former: Option<&Value>,
) -> Result<String, Error> {
    let refuse = |because: &str| given.refuse("connectionString", because);
    let (policy, key) = string
        .and_then(|it| it.policy.zip(it.key))
        .ok_or_else(|| refuse(&format!("required: {FORM}")))?;
    let key = match key == MASK {
        false => key,
        true => former
            .and_then(|it| model::json::text(it, &["connectionString"]))
            .and_then(|it| ConnectionString::parse(it).ok())
            .filter(|it| it.policy == Some(policy))
            .and_then(|it| it.key)
            .ok_or_else(|| refuse("the key is masked; send the whole connection string"))?,
    };
    match STANDARD.decode(key) {
        Ok(bytes) if !bytes.is_empty() => {}
        Ok(_) | Err(_) => return Err(refuse("its `SharedAccessKey` is not base64")),
    }
    Ok(format!("HostName={host};SharedAccessKeyName={policy};SharedAccessKey={key}"))
}

/// A hub's connection string, taken apart.
struct ConnectionString<'a> {
    host: &'a str,
    policy: Option<&'a str>,
    key: Option<&'a str>,
}

impl<'a> ConnectionString<'a> {
    /// # Errors
    /// Says what is wrong, without the text.
    fn parse(text: &'a str) -> Result<Self, String> {
        if text.len() > CONNECTION_STRING_BYTES_MAX {
            return Err(format!("longer than {CONNECTION_STRING_BYTES_MAX} bytes"));
        }
        let (mut host, mut policy, mut key) = (None, None, None);
        for part in text.split(';').filter(|it| !it.is_empty()) {
            let (name, value) = part.split_once('=').ok_or(FORM)?;
            let slot = if name.eq_ignore_ascii_case("HostName") {
                &mut host
            } else if name.eq_ignore_ascii_case("SharedAccessKeyName") {
                &mut policy
            } else if name.eq_ignore_ascii_case("SharedAccessKey") {
                &mut key
            } else {
                return Err(FORM.to_owned());
            };
            if value.is_empty() || slot.replace(value).is_some() {
                return Err(FORM.to_owned());
            }
        }
        Ok(Self { host: host.ok_or(FORM)?, policy, key })
    }
}

fn host_of(link: &Value) -> &str {
    model::json::text(link, &["name"]).unwrap_or("")
}

/// How a link signs in that needs no key.
fn by_identity(link: &Value) -> Option<Way> {
    let text = |name: &str| model::json::text(link, &[name]);
    let kind = text("authenticationType")?;
    if kind.eq_ignore_ascii_case(SYSTEM_ASSIGNED) {
        return Some(Way::Own);
    }
    let identity = text(SELECTED).and_then(user_assigned_id);
    identity.filter(|_| kind.eq_ignore_ascii_case(USER_ASSIGNED)).map(Way::As)
}

/// What of a provisioning service signs in as a managed identity of it, and as which.
pub(crate) fn uses(dps: &Value) -> Vec<Use> {
    let links = model::json::at(dps, &["properties", "iotHubs"]).and_then(Value::as_array);
    let used = |link: &Value| {
        let what = format!("the link to the hub `{}`", host_of(link));
        match by_identity(link)? {
            Way::Key => None,
            Way::Own => Some(Use { what, identity: None }),
            Way::As(identity) => Some(Use { what, identity: Some(identity) }),
        }
    };
    links.into_iter().flatten().filter_map(used).collect()
}

/// A link as an answer shows it: its key masked, its host name with the port of the running server.
///
/// Clients of older versions read nothing of a link but its connection string, and send back nothing
/// else: they get one without a key, by which the link is found again.
pub(super) fn show(link: &Value, port: u16, api_version: &str) -> Value {
    let mut shown = link.clone();
    let name = host_name(host_of(link), port);
    let string = model::json::text(link, &["connectionString"])
        .and_then(|it| ConnectionString::parse(it).ok())
        .and_then(|it| it.policy);
    if let Some(policy) = string {
        let masked = format!("HostName={name};SharedAccessKeyName={policy};SharedAccessKey={MASK}");
        set(&mut shown, "connectionString", json!(masked));
    } else {
        set(&mut shown, "hostName", json!(name));
        if api_version < IDENTITY_LINKS_SINCE {
            set(&mut shown, "connectionString", json!(format!("HostName={name}")));
        }
    }
    set(&mut shown, "name", json!(name));
    shown
}

/// A link as gates and registrations know it.
///
/// # Errors
/// Names the hub whose link cannot be read; its key is not repeated.
pub(super) fn facts_of(link: &Value) -> Result<DpsLink, String> {
    let hub = host_of(link).to_owned();
    let wrong = |what: &str| format!("the link to the hub `{hub}` {what}");
    let authentication = match by_identity(link) {
        Some(Way::Own) => LinkAuthentication::SystemAssigned,
        Some(Way::As(identity)) => LinkAuthentication::UserAssigned { identity },
        Some(Way::Key) | None => {
            let text = model::json::text(link, &["connectionString"]).unwrap_or("");
            let string = ConnectionString::parse(text)
                .ok()
                .and_then(|it| it.policy.zip(it.key))
                .ok_or_else(|| wrong("has no connection string"))?;
            let key =
                STANDARD.decode(string.1).map_err(|_| wrong("has a key that is no base64"))?;
            LinkAuthentication::KeyBased { policy: string.0.to_owned(), key: Secret::new(key) }
        }
    };
    let weight = link.get("allocationWeight").and_then(Value::as_u64);
    Ok(DpsLink {
        authentication,
        weight: weight
            .and_then(|it| u32::try_from(it).ok())
            .ok_or_else(|| wrong("has no weight"))?,
        applies_allocation_policy: link
            .get("applyAllocationPolicy")
            .and_then(Value::as_bool)
            .unwrap_or(true),
        hub,
    })
}

#[cfg(test)]
#[path = "links_tests.rs"]
mod tests;
