//! Resource groups, and the resources of every type that lie in them.
//!
//! A group's document is the group as ARM shows it. Deleting one deletes all that is in it, see
//! `cascade.rs`.

use super::filter::{self, Comparison, Operator};
use super::{
    Cascade, check_etag, group_of, location, long_running, no_group, reading, scope_as_made,
    subscription_of, tags,
};
use crate::call::may_see;
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::{Facts, Permit};
use model::json::set;
use model::resource_types::normal_location;
use model::{Error, Op, Scope};
use serde_json::{Map, Value, json};
use store::{Expect, tables};

/// Longest name of a resource group.
/// Source: Azure resource naming rules, Microsoft.Resources.
const GROUP_NAME_CHARACTERS_MAX: usize = 90;
/// Most resource groups of a subscription. Source: Azure subscription limits.
pub(crate) const GROUPS_MAX: usize = 980;

/// The group at `scope`, where it exists: what a patch is laid over.
pub(crate) async fn current(env: &Env, scope: &Scope) -> Result<Option<Value>, Error> {
    let found = control::get::<Value>(env, tables::RESOURCES, &scope.key()).await?;
    Ok(found.map(|(group, _)| group))
}

/// Brings a subscription's or a group's document into the facts.
///
/// # Errors
/// Says what is wrong with the key.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    match body {
        None => facts.remove_container(&Scope::parse(key).map_err(|it| it.to_string())?),
        Some(body) => {
            let document: Value = serde_json::from_slice(body).map_err(|it| it.to_string())?;
            let scope = scope_as_made(key, &document)?;
            facts.put_container_document(&scope, document);
            facts.put_container(scope);
        }
    }
    Ok(())
}

/// `PUT` and `PATCH` of a resource group. The body of a `PATCH` is merged already.
///
/// # Errors
/// `LocationNotAvailableForResourceGroup`; `InvalidResourceGroupLocation` where the group is elsewhere;
/// the rule that a name or a tag breaks.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let subscription = subscription_of(input, &facts)?;
    let name = input.param("group");
    check_name(name)?;
    let scope = subscription.join(&format!("resourceGroups/{name}"));
    let stored = control::get::<Value>(env, tables::RESOURCES, &scope.key()).await?;
    if stored.is_none() && permit.operation().op == Op::PatchResourceGroup {
        return Err(no_group(name));
    }
    check_etag(input, stored.is_some().then_some("*"))?;
    let wanted = location(&input.body, "LocationNotAvailableForResourceGroup")?;
    let tags = tags(&input.body)?;
    let (group, expect, is_new) = match stored {
        Some((mut group, revision)) => {
            let current = model::json::text(&group, &["location"]).unwrap_or("").to_owned();
            if current != wanted {
                return Err(Error::Conflict {
                    code: "InvalidResourceGroupLocation",
                    message: format!(
                        "the resource group `{name}` is in `{current}` and cannot move to `{wanted}`; \
                         choose another name, or leave the location as it is"
                    ),
                });
            }
            set(&mut group, "tags", Value::Object(tags));
            (group, Expect::Revision(revision), false)
        }
        None => {
            check_count(&facts, &subscription)?;
            (new_group(&scope, wanted, tags), Expect::Absent, true)
        }
    };
    let change = control::put(tables::RESOURCES, scope.key(), expect, &group)?;
    control::commit(permit, env, vec![change]).await?;
    Ok(if is_new { Reply::created(group) } else { Reply::ok(group) })
}

fn new_group(scope: &Scope, location: &str, tags: Map<String, Value>) -> Value {
    json!({
        "id": scope.as_str(),
        "name": scope.name(),
        "type": "Microsoft.Resources/resourceGroups",
        "location": location,
        "tags": tags,
        "properties": { "provisioningState": "Succeeded" },
    })
}

/// A name has 1 to 90 ASCII letters, digits and `_ - . ( )`, and does not end in `.`. Azure also takes
/// letters of other alphabets; names compare without regard to case, which only ASCII makes unambiguous.
fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"_-.()".contains(&it);
    match (1..=GROUP_NAME_CHARACTERS_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.ends_with('.')
    {
        true => Ok(()),
        false => Err(Error::Invalid {
            code: "InvalidResourceGroupName",
            at: Some("resourceGroupName".into()),
            message: format!(
                "a resource group's name has 1 to {GROUP_NAME_CHARACTERS_MAX} letters, digits and \
                 _ - . ( ), and does not end in `.`"
            ),
        }),
    }
}

fn check_count(facts: &Facts, subscription: &Scope) -> Result<(), Error> {
    match groups_in(facts, subscription).count() < GROUPS_MAX {
        true => Ok(()),
        false => Err(Error::Conflict {
            code: "ResourceGroupQuotaExceeded",
            message: format!(
                "the subscription has {GROUPS_MAX} resource groups, which is the most"
            ),
        }),
    }
}

fn groups_in<'a>(facts: &'a Facts, subscription: &'a Scope) -> impl Iterator<Item = &'a Scope> {
    facts
        .containers
        .values()
        .filter(move |it| it.resource_group().is_some() && subscription.contains(it))
}

/// # Errors
/// `ResourceGroupNotFound`.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let scope = group_of(input, &env.facts.load())?;
    match control::get::<Value>(env, tables::RESOURCES, &scope.key()).await? {
        Some((group, _)) => Ok(Reply::ok(group)),
        None => Err(no_group(scope.name())),
    }
}

/// `HEAD`: 204 where the group exists, else 404 without a body.
pub(crate) async fn has(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    Ok(Reply::empty(match group_of(input, &env.facts.load()) {
        Ok(_) => 204,
        Err(_) => 404,
    }))
}

/// Lists groups. `$filter` takes `tagName` and `tagValue`, `$top` a number.
///
/// # Errors
/// A filter that is not offered.
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let subscription = subscription_of(input, &facts)?;
    let wanted = filter::parse(input.query("$filter").unwrap_or(""))?;
    let below = format!("{}/resourcegroups/", subscription.key());
    let found = control::all::<Value>(env, tables::RESOURCES, &below).await?;
    let groups = found
        .into_iter()
        .filter(|(key, _)| !is_in_a_group(key))
        .filter(|(key, _)| is_seen(permit, key, &facts, env))
        .map(|(_, it)| it);
    Ok(Reply::list(select(groups, &wanted, top(input)?)?))
}

/// True where the caller may read the group or resource that lies under the key.
fn is_seen(permit: &Permit, key: &str, facts: &Facts, env: &Env) -> bool {
    Scope::parse(key).is_ok_and(|it| may_see(permit, reading(&it), &it, facts, env))
}

/// True for the key of a resource and false for the key of a group.
fn is_in_a_group(key: &str) -> bool {
    key.split('/').filter(|it| !it.is_empty()).count() > 4
}

/// # Errors
/// `ResourceGroupNotFound`; `ScopeTooLarge`, see [`Cascade::of`].
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let scope = group_of(input, &env.facts.load())?;
    let cascade = Cascade::of(&scope, env).await?;
    long_running::delete(permit, env, &scope, cascade).await
}

/// Lists resources of every type, below the group or the subscription that the path names.
///
/// # Errors
/// `SubscriptionNotFound`, `ResourceGroupNotFound`, or a filter that is not offered.
pub(crate) async fn list_resources(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let below = match input.param("group").is_empty() {
        true => format!("{}/resourcegroups/", subscription_of(input, &facts)?.key()),
        false => format!("{}/", group_of(input, &facts)?.key()),
    };
    let wanted = filter::parse(input.query("$filter").unwrap_or(""))?;
    let found = control::all::<Value>(env, tables::RESOURCES, &below).await?;
    let resources = found
        .into_iter()
        .filter(|(key, _)| is_in_a_group(key) && is_seen(permit, key, &facts, env))
        .filter_map(|(_, document)| document.get("resource").map(generic));
    Ok(Reply::list(select(resources, &wanted, top(input)?)?))
}

/// What a list of all types shows of a resource: nothing that only its own type has.
fn generic(resource: &Value) -> Value {
    let shown = ["id", "name", "type", "location", "tags", "sku", "identity"];
    let members = shown
        .iter()
        .filter_map(|name| resource.get(*name).map(|value| ((*name).to_owned(), value.clone())));
    Value::Object(members.collect())
}

fn top(input: &Input) -> Result<usize, Error> {
    input.query("$top").map_or(Ok(usize::MAX), |text| {
        text.parse().map_err(|_| Error::invalid("$top", "expected a whole number"))
    })
}

/// Those that every comparison fits, at most `top`.
fn select(
    all: impl Iterator<Item = Value>,
    wanted: &[Comparison],
    top: usize,
) -> Result<Vec<Value>, Error> {
    for comparison in wanted {
        // Refused before anything is looked at: an empty list would look like an answer.
        fits(&Value::Null, comparison)?;
    }
    let mut selected = Vec::new();
    for item in all {
        let mut is_fit = selected.len() < top;
        for comparison in wanted {
            is_fit = is_fit && fits(&item, comparison)?;
        }
        if is_fit {
            selected.push(item);
        }
    }
    Ok(selected)
}

fn fits(resource: &Value, comparison: &Comparison) -> Result<bool, Error> {
    let text = |name: &str| model::json::text(resource, &[name]).unwrap_or("");
    let value = comparison.value.as_str();
    let tags = resource.get("tags").and_then(Value::as_object);
    let has_tag = |fits: &dyn Fn(&str, &Value) -> bool| {
        tags.is_some_and(|all| all.iter().any(|(name, it)| fits(name, it)))
    };
    let is = |name: &str| comparison.is(name, Operator::Eq);
    Ok(if is("resourceType") {
        text("type").eq_ignore_ascii_case(value)
    } else if is("name") {
        text("name").eq_ignore_ascii_case(value)
    } else if is("location") {
        text("location") == normal_location(value)
    } else if is("resourceGroup") {
        let scope = Scope::parse(text("id")).ok();
        scope.is_some_and(|it| it.resource_group().is_some_and(|it| it.eq_ignore_ascii_case(value)))
    } else if is("tagName") {
        has_tag(&|name, _| name.eq_ignore_ascii_case(value))
    } else if is("tagValue") {
        has_tag(&|_, it| it == value)
    } else if comparison.is("tagName", Operator::StartsWith) {
        has_tag(&|name, _| name.to_lowercase().starts_with(&value.to_lowercase()))
    } else {
        return Err(filter::not_offered(
            comparison,
            "resourceType, name, location, resourceGroup, tagName and tagValue with `eq`, and \
             `startswith(tagName, 'x')`",
        ));
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ObjectId;

    #[test]
    fn group_names_are_checked() {
        for good in ["a", "rg-1", "(x)_y.z", "0", &"a".repeat(90)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a.", "a b", "a/b", "ä", "a\0", "a%2f", &"a".repeat(91)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_document_puts_its_container_into_the_facts_and_takes_it_out() {
        let mut facts = Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost");
        let key = "/subscriptions/s/resourcegroups/rg";
        let body = br#"{"id":"/subscriptions/s/resourceGroups/RG"}"#;
        change_facts(&mut facts, key, Some(body)).unwrap();
        assert_eq!(facts.containers[key].as_str(), "/subscriptions/s/resourceGroups/RG");
        // A document that names another place does not move the container.
        change_facts(&mut facts, key, Some(br#"{"id":"/subscriptions/other"}"#)).unwrap();
        assert_eq!(facts.containers[key].as_str(), key);
        change_facts(&mut facts, key, None).unwrap();
        assert!(facts.containers.is_empty());
        assert!(change_facts(&mut facts, key, Some(b"not json")).is_err());
    }

    #[test]
    fn groups_are_counted_by_subscription() {
        let mut facts = Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost");
        for id in ["/subscriptions/s", "/subscriptions/s10"] {
            facts.put_container(Scope::parse(id).unwrap());
        }
        let subscription = Scope::subscription("s");
        for number in 0..GROUPS_MAX - 1 {
            facts.put_container(subscription.join(&format!("resourceGroups/rg{number}")));
        }
        facts.put_container(Scope::subscription("s10").join("resourceGroups/rg"));
        assert!(check_count(&facts, &subscription).is_ok());
        facts.put_container(subscription.join("resourceGroups/last"));
        assert!(check_count(&facts, &subscription).is_err());
    }

    #[test]
    fn a_list_is_filtered_by_what_clients_send() {
        let hub = |group: &str, name: &str, env: &str| {
            json!({
                "id": format!("/subscriptions/s/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{name}"),
                "name": name, "type": "Microsoft.Devices/IotHubs", "location": "westus",
                "tags": { "Env": env },
            })
        };
        let all = [hub("rg1", "a", "prod"), hub("rg10", "b", "test")];
        let check = |text: &str, expected: &[&str]| {
            let wanted = filter::parse(text).unwrap();
            let found = select(all.iter().cloned(), &wanted, usize::MAX).unwrap();
            let names: Vec<&str> = found.iter().filter_map(|it| it["name"].as_str()).collect();
            assert_eq!(names, expected, "{text}");
        };
        check("", &["a", "b"]);
        check("resourceGroup eq 'RG1'", &["a"]);
        check("resourceType eq 'microsoft.devices/iothubs' and name eq 'b'", &["b"]);
        check("location eq 'West US'", &["a", "b"]);
        check("tagname eq 'env' and tagvalue eq 'prod'", &["a"]);
        check("startswith(tagname, 'en')", &["a", "b"]);
        check("name eq 'c'", &[]);
        assert!(select(std::iter::empty(), &filter::parse("kind eq 'x'").unwrap(), 1).is_err());
        assert_eq!(select(all.iter().cloned(), &[], 1).unwrap().len(), 1);
    }
}
