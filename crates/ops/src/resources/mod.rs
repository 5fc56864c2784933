//! Microsoft.Resources: what there is to manage. Discovery, subscriptions, providers, resource groups and
//! long-running operations.
//!
//! A subscription, a group or a resource is a document in `tables::RESOURCES` under its id in lower case;
//! the gates' facts say which of them exist.

mod cascade;
pub mod deployments;
pub(crate) mod discovery;
pub(crate) mod fields;
pub(crate) mod filter;
pub(crate) mod groups;
pub mod long_running;
pub(crate) mod moves;
pub(crate) mod providers;
pub mod subscriptions;

pub(crate) use cascade::Cascade;

use crate::input::Input;
use gate::Facts;
use model::resource_types::{LOCATIONS, normal_location};
use model::{Error, Op, Scope};
use serde_json::{Map, Value};

/// Most tags of a resource.
/// Source: Azure Resource Manager documentation, "Use tags to organize your resources".
pub(crate) const TAGS_MAX: usize = 50;
/// Longest name of a tag, in characters. Source: as [`TAGS_MAX`].
pub(crate) const TAG_NAME_CHARACTERS_MAX: usize = 512;
/// Longest value of a tag, in characters. Source: as [`TAGS_MAX`].
pub(crate) const TAG_VALUE_CHARACTERS_MAX: usize = 256;

/// The subscription that the path names, in the casing it was made with.
///
/// # Errors
/// `SubscriptionNotFound` where it does not exist.
pub(crate) fn subscription_of(input: &Input, facts: &Facts) -> Result<Scope, Error> {
    let id = input.param("subscription");
    facts.containers.get(&Scope::subscription(id).key()).cloned().ok_or_else(|| Error::NotFound {
        code: "SubscriptionNotFound",
        message: format!("there is no subscription `{}`", shown(id)),
    })
}

/// The resource group that the path names, in the casing it was made with.
///
/// # Errors
/// `SubscriptionNotFound` or `ResourceGroupNotFound`.
pub(crate) fn group_of(input: &Input, facts: &Facts) -> Result<Scope, Error> {
    let name = input.param("group");
    let scope = subscription_of(input, facts)?.join(&format!("resourceGroups/{name}"));
    facts.containers.get(&scope.key()).cloned().ok_or_else(|| no_group(name))
}

/// What a list is about: the group that the path names, else the subscription.
///
/// # Errors
/// `SubscriptionNotFound` or `ResourceGroupNotFound`.
pub(crate) fn container_of(input: &Input, facts: &Facts) -> Result<Scope, Error> {
    match input.param("group").is_empty() {
        true => subscription_of(input, facts),
        false => group_of(input, facts),
    }
}

/// The operation that shows a group or a resource.
pub(crate) fn reading(scope: &Scope) -> Op {
    match scope.resource_type().unwrap_or_default().to_ascii_lowercase().as_str() {
        "microsoft.devices/iothubs" => Op::GetHub,
        "microsoft.devices/provisioningservices" => Op::GetDps,
        "microsoft.managedidentity/userassignedidentities" => Op::GetUserAssignedIdentity,
        "microsoft.eventhub/namespaces" => Op::GetEventHubNamespace,
        "microsoft.servicebus/namespaces" => Op::GetServiceBusNamespace,
        "microsoft.storage/storageaccounts" => Op::GetStorageAccount,
        _ => Op::GetResourceGroup,
    }
}

/// The scope of a document in the casing that it was made with. Its key has lost it.
///
/// # Errors
/// Says what is wrong with the key.
pub(crate) fn scope_as_made(key: &str, document: &Value) -> Result<Scope, String> {
    let scope = Scope::parse(key).map_err(|it| it.to_string())?;
    let named = model::json::text(document, &["id"]).and_then(|it| Scope::parse(it).ok());
    Ok(named.filter(|it| it.same_place(&scope)).unwrap_or(scope))
}

pub(crate) fn no_group(name: &str) -> Error {
    Error::NotFound {
        code: "ResourceGroupNotFound",
        message: format!("resource group `{}` could not be found", shown(name)),
    }
}

pub(crate) fn no_resource(scope: &Scope) -> Error {
    Error::NotFound {
        code: "ResourceNotFound",
        message: format!("the resource `{}` could not be found", shown(scope.as_str())),
    }
}

/// A name from outside as an error may repeat it.
fn shown(text: &str) -> String {
    text.chars().take(300).collect::<String>().escape_debug().to_string()
}

/// The location of a body, as it is stored: no spaces, lower case.
///
/// # Errors
/// `LocationRequired` where none is given, and `unknown` where it is not one of ours.
pub(crate) fn location(body: &Value, unknown: &'static str) -> Result<&'static str, Error> {
    let at = || Some("location".to_owned());
    let Some(text) = model::json::text(body, &["location"]) else {
        return Err(Error::Invalid {
            code: "LocationRequired",
            at: at(),
            message: "a location is required, as text".into(),
        });
    };
    let wanted = normal_location(text);
    match LOCATIONS.iter().find(|(name, _)| *name == wanted) {
        Some((name, _)) => Ok(name),
        None => {
            let known: Vec<&str> = LOCATIONS.iter().map(|(name, _)| *name).collect();
            Err(Error::Invalid {
                code: unknown,
                at: at(),
                message: format!(
                    "the location `{}` is not known; known are {}",
                    shown(text),
                    known.join(", ")
                ),
            })
        }
    }
}

/// The tags of a body, checked. Absent is empty.
///
/// # Errors
/// Names the tag that breaks a rule.
pub(crate) fn tags(body: &Value) -> Result<Map<String, Value>, Error> {
    let given = match model::json::member(body, "tags") {
        None | Some(Value::Null) => return Ok(Map::new()),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(Error::invalid("tags", "expected an object of texts")),
    };
    if given.len() > TAGS_MAX {
        return Err(Error::invalid("tags", format!("more than {TAGS_MAX} tags")));
    }
    let mut tags = Map::new();
    for (name, value) in given {
        let at = || format!("tags.{}", shown(name));
        let is_long = name.chars().count() > TAG_NAME_CHARACTERS_MAX;
        if name.is_empty()
            || is_long
            || name.chars().any(|it| it.is_control() || r"<>%&\?/".contains(it))
        {
            return Err(Error::invalid(
                at(),
                format!(
                    r"a tag's name has 1 to {TAG_NAME_CHARACTERS_MAX} characters without < > % & \ ? /"
                ),
            ));
        }
        let Some(text) = value.as_str() else {
            return Err(Error::invalid(at(), "a tag's value is a text"));
        };
        if text.chars().count() > TAG_VALUE_CHARACTERS_MAX {
            return Err(Error::invalid(
                at(),
                format!("a tag's value has at most {TAG_VALUE_CHARACTERS_MAX} characters"),
            ));
        }
        // Tag names compare without regard to case: two readers must not see two different values.
        if tags.keys().any(|it: &String| it.eq_ignore_ascii_case(name)) {
            return Err(Error::invalid(at(), "this tag stands twice, in two casings"));
        }
        tags.insert(name.clone(), value.clone());
    }
    Ok(tags)
}

/// Checks `If-Match` and `If-None-Match` against the etag of what is stored.
///
/// # Errors
/// [`Error::Stale`] where the caller expected another state.
pub(crate) fn check_etag(input: &Input, stored: Option<&str>) -> Result<(), Error> {
    let stale = |message: &str| Err(Error::Stale { message: message.to_owned() });
    match (input.headers.if_match.as_deref(), stored) {
        (Some(_), None) => return stale("`If-Match` was sent, but the resource does not exist"),
        (Some(wanted), Some(etag)) if wanted != "*" && wanted != etag => {
            return stale(
                "the resource has changed since the etag in `If-Match` was read; read it again",
            );
        }
        (None | Some(_), _) => {}
    }
    match (input.headers.if_none_match.as_deref(), stored) {
        (Some(unwanted), Some(etag)) if unwanted == "*" || unwanted == etag => {
            stale("`If-None-Match` was sent, and the resource exists already")
        }
        (None | Some(_), _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Headers;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn place(error: &Error) -> &str {
        let Error::Invalid { at: Some(at), .. } = error else { panic!("{error:?}") };
        at
    }

    #[test]
    fn locations_compare_without_spaces_and_case() {
        assert_eq!(location(&json!({ "location": "West US 2" }), "X").unwrap(), "westus2");
        assert_eq!(location(&json!({ "Location": "westus2" }), "X").unwrap(), "westus2");
        let refusal = location(&json!({ "location": "westus22" }), "X").unwrap_err();
        assert!(matches!(refusal, Error::Invalid { code: "X", .. }), "{refusal:?}");
        for missing in [json!({}), json!({ "location": 1 }), json!(null)] {
            let refusal = location(&missing, "X").unwrap_err();
            assert!(
                matches!(refusal, Error::Invalid { code: "LocationRequired", .. }),
                "{refusal:?}"
            );
        }
    }

    #[test]
    fn tags_are_checked_to_their_last_character() {
        let fifty = |count: usize| {
            let all: Map<String, Value> =
                (0..count).map(|it| (format!("t{it}"), json!(""))).collect();
            json!({ "tags": all })
        };
        assert_eq!(tags(&fifty(TAGS_MAX)).unwrap().len(), TAGS_MAX);
        assert_eq!(place(&tags(&fifty(TAGS_MAX + 1)).unwrap_err()), "tags");
        assert!(tags(&json!({ "tags": null })).unwrap().is_empty());
        assert_eq!(place(&tags(&json!({ "tags": ["a"] })).unwrap_err()), "tags");
        assert_eq!(place(&tags(&json!({ "tags": { "a": 1 } })).unwrap_err()), "tags.a");
        assert_eq!(place(&tags(&json!({ "tags": { "a/b": "" } })).unwrap_err()), "tags.a/b");
        assert_eq!(
            place(&tags(&json!({ "tags": { "Env": "", "env": "" } })).unwrap_err()),
            "tags.env"
        );
        assert!(tags(&json!({ "tags": { "n".repeat(512): "v".repeat(256) } })).is_ok());
        assert!(tags(&json!({ "tags": { "n".repeat(513): "" } })).is_err());
        assert!(tags(&json!({ "tags": { "n": "v".repeat(257) } })).is_err());
        assert!(tags(&json!({ "tags": { "": "" } })).is_err());
    }

    #[test]
    fn an_etag_guards_a_write() {
        let check = |if_match: Option<&str>,
                     if_none_match: Option<&str>,
                     stored: Option<&str>,
                     expected: bool| {
            let input = Input {
                params: BTreeMap::new(),
                query: Vec::new(),
                body: Value::Null,
                raw: bytes::Bytes::new(),
                received: None,
                scope: Scope::root(),
                path: String::new(),
                channel: model::trace::Channel::default(),
                certificates: None,
                correlation_id: String::new(),
                headers: Headers {
                    if_match: if_match.map(str::to_owned),
                    if_none_match: if_none_match.map(str::to_owned),
                    ..Headers::default()
                },
            };
            assert_eq!(
                check_etag(&input, stored).is_ok(),
                expected,
                "{if_match:?} {if_none_match:?} {stored:?}"
            );
        };
        check(None, None, None, true);
        check(None, None, Some("a"), true);
        check(Some("a"), None, Some("a"), true);
        check(Some("*"), None, Some("a"), true);
        check(Some("a"), None, Some("b"), false);
        check(Some("A"), None, Some("a"), false);
        check(Some("*"), None, None, false);
        check(None, Some("*"), Some("a"), false);
        check(None, Some("*"), None, true);
    }
}
