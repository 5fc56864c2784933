//! Who is in a group: the members that it lists, and the groups that somebody is in through others.
//!
//! A group that would come to contain itself is refused, so that "through which groups" always has an
//! answer that ends.

use super::filters::{Forms, Listing};
use super::{Object, applications, context, groups, principals, shown, users};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::{Facts, Permit};
use model::{Error, ObjectId, PrincipalKind};
use serde_json::{Value, json};
use store::{Expect, tables};

/// Most members that a group lists.
const MEMBERS_MAX: usize = 1_000;
/// Most groups that one principal or group is in, directly and through others: with it, how deep groups
/// nest, and how many role assignments' holders one decision looks at.
const GROUPS_OF_ONE_MAX: usize = 200;

/// The sets by which a member's address names it. Source: Microsoft Graph, "Add members".
const SETS: &[&str] = &["directoryObjects", "servicePrincipals", "users", "groups"];

const FORMS: Forms = Forms {
    set: "directoryObjects",
    equals: &["id", "displayName"],
    flags: &[],
    starts: &["displayName"],
    any: &[],
};

/// Lists whom a group lists.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let group = groups::required(env, input.param("id")).await?;
    let path = format!("groups/{}/members", group.object_id);
    answer(input, env, &path, group.members.into_iter().collect()).await
}

/// Lists the groups that list somebody; with `is_transitive`, also those that these are in.
pub(crate) async fn list_groups_of(
    _permit: &Permit,
    input: &Input,
    env: &Env,
    is_transitive: bool,
) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let id = somebody(&facts, input.param("id"))?;
    let set = match facts.kind_of(id) {
        Some(PrincipalKind::Group) => "groups",
        Some(PrincipalKind::User) => "users",
        Some(_) | None => "servicePrincipals",
    };
    let list = if is_transitive { "transitiveMemberOf" } else { "memberOf" };
    let path = format!("{set}/{id}/{list}");
    let all = facts.groups.of(id).iter().filter(|it| is_transitive || it.below.is_none());
    answer(input, env, &path, all.map(|it| it.group).collect()).await
}

/// The page of a list of objects of several kinds. Those that are gone are not shown.
async fn answer(input: &Input, env: &Env, path: &str, ids: Vec<ObjectId>) -> Result<Reply, Error> {
    let listing = Listing::read(input, &FORMS)?;
    let mut objects: Vec<Object> = Vec::with_capacity(ids.len());
    for id in ids {
        objects.extend(described(env, id).await?);
    }
    Ok(listing.answer_at(&env.settings.origin, &FORMS, path, objects))
}

/// Whatever of the directory has an object id, as it is shown among objects of several kinds.
pub(super) async fn described(env: &Env, id: ObjectId) -> Result<Option<Object>, Error> {
    if let Some(principal) = principals::described(env, id).await? {
        return Ok(Some(principal));
    }
    match users::described(env, id).await? {
        Some(user) => Ok(Some(user)),
        None => groups::described(env, id).await,
    }
}

/// What a described object is: `user`, `group`, `servicePrincipal`.
pub(super) fn kind(object: &Object) -> &str {
    let kind = object.get("@odata.type").and_then(Value::as_str).unwrap_or("");
    kind.strip_prefix("#microsoft.graph.").unwrap_or(kind)
}

/// Adds a member to a group. It holds the group's roles from the next call on.
///
/// # Errors
/// [`Error::NotFound`] where there is no such group or member; [`Error::Invalid`] where it is listed
/// already, would make a group contain itself, or goes beyond a limit.
pub(crate) async fn add(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut group = groups::required(env, input.param("id")).await?;
    let member = referenced(&input.body)?;
    let facts = env.facts.load();
    somebody(&facts, &member.to_string())?;
    if group.members.contains(&member) {
        return Err(refused(
            "One or more added object references already exist for the following modified properties: 'members'."
                .into(),
        ));
    }
    if member == group.object_id || facts.groups.is_in(group.object_id, member) {
        let sentence = match member == group.object_id {
            true => format!("the group `{}` cannot be a member of itself", facts.name_of(member)),
            false => format!(
                "the group `{}` cannot be a member of `{}`, which is in it already: it would contain itself",
                facts.name_of(member),
                facts.name_of(group.object_id)
            ),
        };
        return Err(refused(sentence));
    }
    group.members.retain(|it| facts.kind_of(*it).is_some());
    if group.members.len() >= MEMBERS_MAX {
        return Err(refused(format!(
            "the group `{}` lists {MEMBERS_MAX} members, and takes no more; put some into a group of their own and \
             add that",
            facts.name_of(group.object_id)
        )));
    }
    group.members.insert(member);
    let change = control::put(tables::GROUPS, group.key(), Expect::Present, &group)?;
    let after = env.facts.with(std::slice::from_ref(&change))?;
    if after.groups.most_of_one() > GROUPS_OF_ONE_MAX {
        return Err(refused(format!(
            "with this member somebody would be in more than {GROUPS_OF_ONE_MAX} groups, directly and through \
             others; use fewer groups, or nest them less"
        )));
    }
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::empty(204))
}

/// Removes a member from a group. What it held through the group is gone from the next call on.
pub(crate) async fn remove(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut group = groups::required(env, input.param("id")).await?;
    let member = input.param("member");
    if !ObjectId::parse(member).is_some_and(|it| group.members.remove(&it)) {
        return Err(not_there(member));
    }
    let change = control::put(tables::GROUPS, group.key(), Expect::Present, &group)?;
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::empty(204))
}

/// Tells which of the body's `groupIds` somebody is in. Source: Microsoft Graph, "checkMemberGroups".
pub(crate) async fn check_groups(
    _permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let id = somebody(&facts, input.param("id"))?;
    let asked = principals::ids(&input.body, "groupIds")?;
    Ok(ids(env, asked.into_iter().filter(|it| facts.groups.is_in(id, *it))))
}

/// Tells every group that somebody is in. All groups here are security groups, so `securityEnabledOnly`
/// changes nothing. Source: Microsoft Graph, "getMemberGroups".
pub(crate) async fn get_groups(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let id = somebody(&facts, input.param("id"))?;
    Ok(ids(env, facts.groups.of(id).iter().map(|it| it.group)))
}

fn ids(env: &Env, all: impl Iterator<Item = ObjectId>) -> Reply {
    Reply::ok(json!({
        "@odata.context": context(&env.settings.origin, "Collection(Edm.String)"),
        "value": all.collect::<Vec<_>>(),
    }))
}

/// The object id of a principal or group that exists; a user goes by its name, too.
fn somebody(facts: &Facts, id: &str) -> Result<ObjectId, Error> {
    ObjectId::parse(id)
        .or_else(|| facts.people.named(id).map(|it| it.id))
        .filter(|it| facts.kind_of(*it).is_some())
        .ok_or_else(|| applications::not_found(id))
}

/// The object that a body names by its address: `{"@odata.id": ".../directoryObjects/{id}"}`.
fn referenced(body: &Value) -> Result<ObjectId, Error> {
    let address = model::json::member(body, "@odata.id").and_then(Value::as_str).unwrap_or("");
    let mut segments = address.rsplit('/');
    let id = segments.next().and_then(ObjectId::parse);
    let is_set =
        segments.next().is_some_and(|set| SETS.iter().any(|it| it.eq_ignore_ascii_case(set)));
    id.filter(|_| is_set).ok_or_else(|| {
        Error::invalid(
            "@odata.id",
            "this is the address of the new member, which ends in `/directoryObjects/` and an object id",
        )
    })
}

fn refused(message: String) -> Error {
    Error::Invalid { code: "Request_BadRequest", at: None, message }
}

fn not_there(member: &str) -> Error {
    Error::NotFound {
        code: "Request_ResourceNotFound",
        message: format!(
            "the group does not list `{}`; who is in it through another group is removed there",
            shown(member)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_named_by_an_address_that_ends_in_its_id() {
        const ID: &str = "aaaaaaaa-0000-4000-8000-000000000001";
        let check = |address: Value, expected: bool| {
            let found = referenced(&json!({ "@odata.id": address }));
            assert_eq!(found.is_ok(), expected, "{address}: {found:?}");
        };
        for set in SETS {
            check(json!(format!("https://127.0.0.1:8443/v1.0/{set}/{ID}")), true);
        }
        check(json!(format!("https://graph.microsoft.com/v1.0/directoryobjects/{ID}")), true);
        check(json!(ID), false);
        check(json!(format!("https://graph.microsoft.com/v1.0/applications/{ID}")), false);
        check(json!("https://graph.microsoft.com/v1.0/directoryObjects/ana"), false);
        check(json!(7), false);
        assert!(referenced(&Value::Null).is_err());
    }
}
