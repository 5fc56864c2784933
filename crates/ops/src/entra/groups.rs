//! Groups of the directory: what roles can be given to in place of each principal alone.
//!
//! A document per group holds its members too; [`super::members`] changes them. Who is in which group
//! through which others is worked out in `gate::facts`, from what [`change_facts`] makes here.

use super::filters::{self, Forms, Listing};
use super::{Object, applications, entity, properties, room_for_one};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::{Error, ObjectId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{Expect, tables};

/// Most groups in the tenant: a list with a filter reads them all.
const GROUPS_MAX: u64 = 10_000;
/// Longest mail nickname. Source: Microsoft Graph, "group resource type".
const NICKNAME_CHARS_MAX: usize = 64;

/// What only the server sets.
const READ_ONLY: &[&str] = &["id", "createdDateTime", "deletedDateTime", "mail"];
/// What [`Group::change`] reads itself.
const OWN: &[&str] =
    &["displayName", "mailNickname", "mailEnabled", "securityEnabled", "groupTypes"];
/// What Graph takes with a group and this server in calls of their own.
const ELSEWHERE: &[&str] = &["members", "members@odata.bind", "owners", "owners@odata.bind"];

pub(super) const FORMS: Forms = Forms {
    set: "groups",
    equals: &["id", "displayName", "mailNickname"],
    flags: &["mailEnabled", "securityEnabled"],
    starts: &["displayName", "mailNickname"],
    any: &[],
};

/// A group as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
    pub(super) object_id: ObjectId,
    display_name: String,
    mail_nickname: String,
    created_date_time: Timestamp,
    /// Principals and groups. Whoever was deleted since is dropped when the next member comes.
    #[serde(default)]
    pub(super) members: BTreeSet<ObjectId>,
    /// What clients set and this server does not act on: see [`properties`].
    #[serde(default)]
    properties: Object,
}

impl Group {
    pub(super) fn key(&self) -> String {
        self.object_id.to_string()
    }

    /// As Graph shows it: a security group without mail, the only kind there is here.
    fn shown(&self) -> Object {
        let mut all = Object::new();
        all.insert("id".into(), json!(self.object_id));
        all.insert("deletedDateTime".into(), Value::Null);
        all.insert("createdDateTime".into(), json!(self.created_date_time.rfc3339()));
        all.insert("displayName".into(), json!(self.display_name));
        all.insert("groupTypes".into(), json!([]));
        all.insert("mail".into(), Value::Null);
        all.insert("mailEnabled".into(), json!(false));
        all.insert("mailNickname".into(), json!(self.mail_nickname));
        all.insert("securityEnabled".into(), json!(true));
        all.extend(properties::shown_with(defaults(), &self.properties));
        all
    }

    /// The same among objects of several kinds.
    fn described(&self) -> Object {
        let mut all = Object::new();
        all.insert("@odata.type".into(), "#microsoft.graph.group".into());
        all.extend(self.shown());
        all
    }

    /// Takes what a body sets.
    fn change(&mut self, body: &Value) -> Result<(), Error> {
        properties::check_read_only(body, &self.shown(), READ_ONLY)?;
        check_kind(body)?;
        if let Some(name) = ELSEWHERE.iter().find(|it| model::json::member(body, it).is_some()) {
            return Err(Error::invalid(
                *name,
                "leave this out and add members one by one, with POST /groups/{id}/members/$ref; groups have no \
                 owners here",
            ));
        }
        if let Some(name) = properties::display_name(body)? {
            self.display_name = name.to_owned();
        }
        if let Some(nickname) = mail_nickname(body)? {
            self.mail_nickname = nickname.to_owned();
        }
        let elsewhere: Vec<&str> = READ_ONLY.iter().chain(OWN).copied().collect();
        properties::take(&mut self.properties, &defaults(), body, &elsewhere)
    }
}

/// Every property that is kept for clients. Source: Microsoft Graph, "group resource type".
fn defaults() -> Object {
    properties::object(json!({ "description": null, "classification": null, "visibility": null }))
}

/// Refuses what would be another kind of group than the one there is.
fn check_kind(body: &Value) -> Result<(), Error> {
    let flags = [("mailEnabled", false), ("securityEnabled", true)];
    for (name, only) in flags {
        match model::json::member(body, name) {
            None => {}
            Some(given) if *given == Value::Bool(only) => {}
            Some(_) => {
                return Err(Error::invalid(
                    name,
                    format!("this is `{only}`: groups here are security groups without mail"),
                ));
            }
        }
    }
    match model::json::member(body, "groupTypes") {
        None => Ok(()),
        Some(Value::Array(types)) if types.is_empty() => Ok(()),
        Some(_) => Err(Error::invalid(
            "groupTypes",
            "this is an empty list: groups here are security groups, and somebody adds each member",
        )),
    }
}

/// `mailNickname`, where the body has one. Source of the characters: Microsoft Graph, "Create group".
pub(super) fn mail_nickname(body: &Value) -> Result<Option<&str>, Error> {
    let is_right = |it: &str| {
        let is_plain = |it: u8| it.is_ascii_graphic() && !b"@()\\[]\";:<>,".contains(&it);
        (1..=NICKNAME_CHARS_MAX).contains(&it.len()) && it.bytes().all(is_plain)
    };
    match model::json::member(body, "mailNickname") {
        None => Ok(None),
        Some(Value::String(name)) if is_right(name) => Ok(Some(name)),
        Some(_) => Err(Error::invalid(
            "mailNickname",
            format!(
                "this is a text of 1 to {NICKNAME_CHARS_MAX} ASCII characters without spaces and without any of \
                 @ ( ) \\ [ ] \" ; : < > ,"
            ),
        )),
    }
}

/// Lists groups.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let listing = Listing::read(input, &FORMS)?;
    let all: Vec<(String, Group)> = control::all(env, tables::GROUPS, "").await?;
    let shown = all.iter().map(|(_, it)| it.shown()).collect();
    Ok(listing.answer(&env.settings.origin, &FORMS, shown))
}

/// Shows a group by its object id.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let select = filters::selected(input)?;
    let group = required(env, input.param("id")).await?;
    Ok(Reply::ok(entity(env, FORMS.set, filters::project(group.shown(), &select))))
}

/// Makes a group, with nobody in it.
///
/// # Errors
/// [`Error::Invalid`] where a property is missing or cannot be taken.
pub(crate) async fn create(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    room_for_one(env, tables::GROUPS, GROUPS_MAX, "groups").await?;
    let required = |name: &'static str| Error::invalid(name, "this text is required");
    let display_name =
        properties::display_name(&input.body)?.ok_or_else(|| required("displayName"))?;
    let nickname = mail_nickname(&input.body)?.ok_or_else(|| required("mailNickname"))?;
    let mut group = Group {
        object_id: ObjectId(env.new_uuid()),
        display_name: display_name.to_owned(),
        mail_nickname: nickname.to_owned(),
        created_date_time: env.now(),
        members: BTreeSet::new(),
        properties: Object::new(),
    };
    group.change(&input.body)?;
    let change = control::put(tables::GROUPS, group.key(), Expect::Absent, &group)?;
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::created(entity(env, FORMS.set, group.shown())))
}

/// Changes a group.
pub(crate) async fn patch(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut group = required(env, input.param("id")).await?;
    group.change(&input.body)?;
    let change = control::put(tables::GROUPS, group.key(), Expect::Present, &group)?;
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::empty(204))
}

/// Deletes a group. Nobody is in it any more from the next call on; its role assignments stay, orphaned.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let group = required(env, input.param("id")).await?;
    let change = control::delete(tables::GROUPS, group.key(), Expect::Present);
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::empty(204))
}

/// The group of an object id.
pub(super) async fn find(env: &Env, id: ObjectId) -> Result<Option<Group>, Error> {
    Ok(control::get(env, tables::GROUPS, &id.to_string()).await?.map(|(it, _)| it))
}

pub(super) async fn required(env: &Env, id: &str) -> Result<Group, Error> {
    let found = match ObjectId::parse(id) {
        Some(id) => find(env, id).await?,
        None => None,
    };
    found.ok_or_else(|| applications::not_found(id))
}

/// A group among objects of several kinds.
pub(super) async fn described(env: &Env, id: ObjectId) -> Result<Option<Object>, Error> {
    Ok(find(env, id).await?.map(|it| it.described()))
}

/// Brings a group's document into the facts, or takes it out.
pub(crate) fn change_facts(
    facts: &mut gate::Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_group(ObjectId::parse(key).ok_or("its key is not an object id")?);
        return Ok(());
    };
    let group: Group = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    facts.put_group(gate::facts::Group {
        id: group.object_id,
        display_name: group.display_name,
        members: group.members,
    });
    Ok(())
}
