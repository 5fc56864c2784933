//! Management locks: a subscription, a resource group or a resource kept from deletion, or from any change.

use super::policies::{
    check_text, count_at, document, former, kept, properties_of, remove, save, show,
};
use super::{Reach, check_scope, refuse_unless_empty, scope_before};
use crate::control::all;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::locks::{Level, Lock};
use gate::{Facts, Permit};
use model::json::text;
use model::{Error, Scope};
use serde_json::{Value, json};
use store::tables;

/// Most locks at one scope.
const LOCKS_MAX: usize = 20;
/// Longest name and longest notes, in characters.
const NAME_CHARS_MAX: usize = 260;
const NOTES_CHARS_MAX: usize = 512;

pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let place = scope_before(permit.scope());
    if place.subscription_id().is_none() {
        return Err(Error::Invalid {
            code: "InvalidScope",
            at: Some("path".into()),
            message: format!(
                "a lock lies at a subscription, a resource group or a resource; `{place}` is none of them"
            ),
        });
    }
    check_scope(&place, &env.facts.load())?;
    check_name(permit.scope().name())?;
    let given = properties_of(&input.body)?;
    check_text(given, "notes", NOTES_CHARS_MAX)?;
    let level = level_of(given)?;
    refuse_unless_empty(given, "owners", "locks have no owners: roles say who manages them")?;
    let former = former(env, tables::LOCKS, permit.scope()).await?;
    if former.is_none() && count_at(env, tables::LOCKS, &place).await? >= LOCKS_MAX {
        return Err(Error::invalid("path", format!("a scope holds at most {LOCKS_MAX} locks")));
    }
    let mut properties = kept(given, &["notes"]);
    properties.insert("level".into(), json!(level.as_str()));
    let document = document(permit, "locks", properties, former.as_ref(), env);
    save(permit, env, tables::LOCKS, document, former).await
}

pub(crate) async fn get(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    show(permit, env, tables::LOCKS, "LockNotFound", "lock").await
}

/// Locks at and below the scope, or as `$filter` says, see [`Reach`].
pub(crate) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let filter = input.query("$filter").unwrap_or("");
    let reach = match Reach::of(filter) {
        Reach::Everything if filter.trim().is_empty() => Reach::AtAndBelow,
        Reach::Everything => {
            return Err(Error::invalid(
                "$filter",
                "filters of locks are atScope(), atExactScope() and atScopeAndBelow()",
            ));
        }
        reach @ (Reach::AtAndAbove | Reach::Exactly | Reach::AtAndBelow) => reach,
    };
    let facts = env.facts.load();
    let mut found = Vec::new();
    for (key, document) in all::<Value>(env, tables::LOCKS, "").await? {
        let lock = lock_of(&document, &key).map_err(|message| Error::Internal { message })?;
        if reach.shows(&lock.scope, permit.scope(), &facts) {
            found.push(document);
        }
    }
    Ok(Reply::list(found))
}

pub(crate) async fn delete(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    remove(permit, env, tables::LOCKS).await
}

/// Brings a lock's document into the facts.
pub(crate) fn change_facts(
    facts: &mut Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        facts.remove_lock(key);
        return Ok(());
    };
    let document: Value = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    facts.put_lock(lock_of(&document, key)?);
    Ok(())
}

fn lock_of(document: &Value, key: &str) -> Result<Lock, String> {
    let properties = document.get("properties").ok_or("`properties` is missing")?;
    let id = text(document, &["id"]).unwrap_or(key);
    let path = Scope::parse(id).map_err(|it| it.to_string())?;
    Ok(Lock {
        id: id.to_owned(),
        name: path.name().to_owned(),
        scope: scope_before(&path),
        level: level_of(properties).map_err(|it| it.to_string())?,
    })
}

fn level_of(properties: &Value) -> Result<Level, Error> {
    let given = text(properties, &["level"]).unwrap_or("");
    Level::parse(given).ok_or_else(|| {
        let known = Level::ALL.map(Level::as_str).join(" and ");
        Error::invalid("properties.level", format!("the levels of a lock are {known}"))
    })
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && !name.chars().any(|it| it.is_control() || "<>%&:\\?/".contains(it));
    match fits {
        true => Ok(()),
        false => Err(Error::invalid(
            "path",
            format!("a lock's name has 1 to {NAME_CHARS_MAX} characters, none of < > % & : \\ ? /"),
        )),
    }
}
