//! Microsoft.Management: the groups that subscriptions are in, up to the tenant's root.
//!
//! The root group goes by the tenant's id and always exists; what was put nowhere else is in it. What a
//! group contains is worked out in `gate::facts`, from the documents of groups and of subscriptions'
//! places. Source: Azure management groups documentation, "Organize your resources".

pub(crate) mod lists;
pub(crate) mod subscriptions;

use crate::control::{all, commit, delete as remove, get as read, put as keep};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::resources::Cascade;
use gate::facts::{LEVELS_MAX, ManagementGroup, management_group};
use gate::{Facts, Link, Permit};
use model::json::text;
use model::{ActionName, Error, Op, Scope};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Expect, tables};

/// Most management groups in a tenant.
const GROUPS_MAX: usize = 10_000;
/// Longest name and display name of a group, in characters.
const NAME_CHARS_MAX: usize = 90;
const DISPLAY_NAME_CHARS_MAX: usize = 90;

pub(crate) const WRITE: ActionName = ActionName::new("Microsoft.Management/managementGroups/write");

/// A group as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    name: String,
    display_name: String,
    parent: String,
    version: u64,
    updated_time: String,
    updated_by: String,
}

/// The scope of a group.
pub(crate) fn scope_of(name: &str) -> Scope {
    Scope::root().join(&format!("providers/Microsoft.Management/managementGroups/{name}"))
}

/// The group that the path names.
///
/// # Errors
/// `ManagementGroupNotFound`.
pub(crate) fn group<'a>(input: &Input, facts: &'a Facts) -> Result<&'a ManagementGroup, Error> {
    let name = input.param("group");
    facts.management.get(name).ok_or_else(|| not_found(name))
}

fn not_found(name: &str) -> Error {
    Error::NotFound {
        code: "ManagementGroupNotFound",
        message: format!("there is no management group `{}`", name.escape_debug()),
    }
}

/// Where a write of a group is judged, and where else: one that does not exist yet is judged where it will
/// be, one that moves also where it goes.
pub(crate) fn reached(input: &Input, facts: &Facts) -> Result<(Scope, Vec<Link>), Error> {
    let name = input.param("group");
    let target = parent_given(&input.body, facts)?;
    let Some(current) = facts.management.get(name) else {
        return Ok((scope_of(target.unwrap_or_else(|| facts.management.root())), Vec::new()));
    };
    let moves = target
        .filter(|it| current.parent.as_ref().is_none_or(|mine| !mine.eq_ignore_ascii_case(it)));
    let link = |it: &str| Link { action: WRITE, scope: scope_of(it) };
    let links = match (moves, &current.parent) {
        (Some(target), Some(before)) => vec![link(before), link(target)],
        (Some(target), None) => vec![link(target)],
        (None, _) => Vec::new(),
    };
    Ok((scope_of(&current.name), links))
}

/// The name of the group that a body wants as parent, in the two places where clients write it.
fn parent_given<'a>(body: &Value, facts: &'a Facts) -> Result<Option<&'a str>, Error> {
    let places: [&[&str]; 2] = [&["properties", "details", "parent", "id"], &["parentGroupId"]];
    let Some((id, place)) = places.iter().find_map(|it| Some((text(body, it)?, it))) else {
        return Ok(None);
    };
    let at = place.join(".");
    let scope = Scope::parse(id).map_err(|it| Error::invalid(&at, it.to_string()))?;
    let name = management_group(&scope)
        .ok_or_else(|| Error::invalid(&at, "the id of a management group is expected"))?;
    let found = facts.management.get(name).ok_or_else(|| not_found(name))?;
    Ok(Some(found.name.as_str()))
}

/// Creates, renames or moves a group. The permit says that the caller may; see [`reached`].
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let name = input.param("group");
    let current = facts.management.get(name);
    if current.is_none() && permit.operation().op == Op::PatchManagementGroup {
        return Err(not_found(name));
    }
    check_name_text(name)?;
    let target = parent_given(&input.body, &facts)?;
    let key = name.to_ascii_lowercase();
    let former: Option<(Document, u64)> = read(env, tables::MANAGEMENT_GROUPS, &key).await?;
    if current.is_some() && former.is_none() {
        return Err(Error::invalid("path", "the root management group cannot be changed"));
    }
    if former.is_none() && facts.management.all().count() >= GROUPS_MAX {
        let most = format!("a tenant has at most {GROUPS_MAX} management groups");
        return Err(Error::invalid("path", most));
    }
    let kept = former.as_ref().map(|(it, _)| it);
    let parent = target.map(str::to_owned).or_else(|| kept.map(|it| it.parent.clone()));
    let parent = parent.unwrap_or_else(|| facts.management.root().to_owned());
    check_place(name, &parent, &facts)?;
    let given = text(&input.body, &["properties", "displayName"])
        .or_else(|| text(&input.body, &["displayName"]));
    let display_name = given.map(str::to_owned).or_else(|| kept.map(|it| it.display_name.clone()));
    let display_name = display_name.unwrap_or_else(|| name.to_owned());
    if !(1..=DISPLAY_NAME_CHARS_MAX).contains(&display_name.chars().count()) {
        let why = format!("a display name has 1 to {DISPLAY_NAME_CHARS_MAX} characters");
        return Err(Error::invalid("properties.displayName", why));
    }
    let document = Document {
        name: kept.map_or_else(|| name.to_owned(), |it| it.name.clone()),
        display_name,
        parent,
        version: kept.map_or(1, |it| it.version + 1),
        updated_time: env.now().rfc3339(),
        updated_by: permit.caller().key(),
    };
    let expect =
        former.as_ref().map_or(Expect::Absent, |(_, revision)| Expect::Revision(*revision));
    commit(permit, env, vec![keep(tables::MANAGEMENT_GROUPS, &key, expect, &document)?]).await?;
    Ok(Reply::ok(shown(&document.name, env).await?))
}

/// A group lies at most six levels below the root, with everything in it, and never below itself.
fn check_place(name: &str, parent: &str, facts: &Facts) -> Result<(), Error> {
    let groups = &facts.management;
    if groups.upwards(parent).any(|it| it.eq_ignore_ascii_case(name)) {
        return Err(Error::invalid(
            "properties.details.parent.id",
            format!("`{parent}` lies in `{name}`: a group cannot be moved into itself"),
        ));
    }
    let above = groups.upwards(parent).count();
    let is_below =
        |it: &&ManagementGroup| groups.upwards(&it.name).any(|it| it.eq_ignore_ascii_case(name));
    let height = |it: &ManagementGroup| {
        groups.upwards(&it.name).take_while(|it| !it.eq_ignore_ascii_case(name)).count()
    };
    let below = groups.all().filter(is_below).map(height).max().unwrap_or(0);
    match above + 1 + below > LEVELS_MAX {
        true => Err(Error::invalid(
            "properties.details.parent.id",
            format!("management groups are at most {} levels deep below the root", LEVELS_MAX - 1),
        )),
        false => Ok(()),
    }
}

pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let found = group(input, &facts)?;
    let mut document = shown(&found.name, env).await?;
    if input.query("$expand").is_some_and(|it| it.eq_ignore_ascii_case("children")) {
        let is_deep = input.query("$recurse").is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let children = lists::children(&found.name, is_deep, &facts);
        if let Some(properties) = document.get_mut("properties") {
            model::json::set(properties, "children", children);
        }
    }
    Ok(Reply::ok(document))
}

pub(crate) async fn list(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let found = lists::readable(permit, &facts, env).into_iter().map(|it| {
        json!({
            "id": scope_of(&it.name),
            "type": "Microsoft.Management/managementGroups",
            "name": it.name,
            "properties": { "tenantId": env.settings.tenant, "displayName": it.display_name },
        })
    });
    Ok(Reply::list(found.collect()))
}

/// Deletes an empty group, with what was assigned at it.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let name = input.param("group");
    let Some(found) = facts.management.get(name) else { return Ok(Reply::empty(204)) };
    let key = name.to_ascii_lowercase();
    let Some((_, revision)) = read::<Document>(env, tables::MANAGEMENT_GROUPS, &key).await? else {
        return Err(Error::invalid("path", "the root management group cannot be deleted"));
    };
    let is_mine = |it: &str| it.eq_ignore_ascii_case(&found.name);
    let groups = facts.management.all();
    let mut inside: Vec<String> = groups
        .filter(|it| it.parent.as_deref().is_some_and(is_mine))
        .map(|it| it.name.clone())
        .collect();
    let places = lists::subscriptions(&facts);
    let held = places.filter(|it| is_mine(facts.management.of_subscription(it.name())));
    inside.extend(held.map(|it| it.name().to_owned()));
    if !inside.is_empty() {
        return Err(Error::Conflict {
            code: "CannotDeleteNonEmptyManagementGroup",
            message: format!(
                "`{}` is not empty; move or delete {} first",
                found.name,
                inside.iter().take(10).cloned().collect::<Vec<_>>().join(", ")
            ),
        });
    }
    let mut changes = Cascade::of(&scope_of(&found.name), env).await?.changes;
    changes.push(remove(tables::MANAGEMENT_GROUPS, &key, Expect::Revision(revision)));
    let definitions = format!("{}/providers/", scope_of(&found.name).key());
    for table in [tables::POLICY_DEFINITIONS] {
        for (key, _) in all::<IgnoredAny>(env, table, &definitions).await? {
            changes.push(remove(table, key, Expect::Present));
        }
    }
    commit(permit, env, changes).await?;
    Ok(Reply::empty(204))
}

pub(crate) async fn check_name(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let name = input.required_text(&["name"])?;
    let taken = env.facts.load().management.get(name).is_some();
    let (reason, message) = match (check_name_text(name), taken) {
        (Err(error), _) => (json!("Invalid"), json!(error.to_string())),
        (Ok(()), true) => (json!("AlreadyExists"), json!("the name is in use; choose another")),
        (Ok(()), false) => (Value::Null, Value::Null),
    };
    let is_free = reason.is_null();
    Ok(Reply::ok(json!({ "nameAvailable": is_free, "reason": reason, "message": message })))
}

fn check_name_text(name: &str) -> Result<(), Error> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_().".contains(&it))
        && !name.ends_with('.');
    match fits {
        true => Ok(()),
        false => Err(Error::invalid(
            "path",
            format!(
                "a management group's name has 1 to {NAME_CHARS_MAX} letters, digits and - _ ( ) . and does not end in a dot"
            ),
        )),
    }
}

/// A group as clients see it.
async fn shown(name: &str, env: &Env) -> Result<Value, Error> {
    let facts = env.facts.load();
    let kept: Option<(Document, u64)> =
        read(env, tables::MANAGEMENT_GROUPS, &name.to_ascii_lowercase()).await?;
    let of = |name: &str| {
        let display_name = facts.management.get(name).map(|it| it.display_name.clone());
        json!({ "name": name, "displayName": display_name })
    };
    let above: Vec<&str> = facts.management.upwards(name).skip(1).collect();
    let path: Vec<Value> = facts.management.upwards(name).map(of).collect();
    let parent = above.first().map(|it| {
        let mut parent = of(it);
        model::json::set(&mut parent, "id", scope_of(it).as_str());
        parent
    });
    Ok(json!({
        "id": scope_of(name),
        "type": "Microsoft.Management/managementGroups",
        "name": name,
        "properties": {
            "tenantId": env.settings.tenant,
            "displayName": facts.management.get(name).map(|it| it.display_name.clone()),
            "details": {
                "version": kept.as_ref().map_or(1, |(it, _)| it.version),
                "updatedTime": kept.as_ref().map(|(it, _)| it.updated_time.clone()),
                "updatedBy": kept.as_ref().map(|(it, _)| it.updated_by.clone()),
                "parent": parent,
                "path": path.into_iter().rev().collect::<Vec<_>>(),
                "managementGroupAncestors": above,
                "managementGroupAncestorsChain": above.iter().map(|it| of(it)).collect::<Vec<_>>(),
            },
            "children": null,
        },
    }))
}

/// Brings a group's document into the facts.
pub(crate) fn change_group(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_management_group(key);
        return Ok(());
    };
    let document: Document = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    facts.put_management_group(ManagementGroup {
        name: document.name,
        display_name: document.display_name,
        parent: Some(document.parent),
    });
    Ok(())
}

/// Brings a subscription's place into the facts.
pub(crate) fn change_place(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let document: Option<Value> =
        body.map(serde_json::from_slice).transpose().map_err(|it| it.to_string())?;
    let group = document.as_ref().and_then(|it| text(it, &["group"]));
    if body.is_some() && group.is_none() {
        return Err("`group` is missing".into());
    }
    facts.put_subscription(key, group);
    Ok(())
}
