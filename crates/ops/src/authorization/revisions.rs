//! The history of policies and roles: every write leaves who, when and what changed.

use crate::control::{all, delete, put, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::{Error, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, Expect, Scan, ShardId, tables};

/// Most differences that one revision lists; a longer list is cut and says so.
const DIFFERENCES_MAX: usize = 200;

/// Most revisions of one document that are kept; the oldest go first.
const REVISIONS_MAX: usize = 200;

/// Most revisions that one look into the past reads, and how many at a time.
const NOTED_READ_MAX: usize = 10_000;
const NOTED_PAGE: usize = 200;

/// Under what the revisions of a document are kept. No name holds a `/`.
pub(crate) fn prefix(key: &str) -> String {
    format!("{key}/revisions/")
}

/// One state of a document.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Revision {
    /// From 1, without gaps.
    revision: u64,
    time: String,
    author: Author,
    tracking_id: String,
    /// What changed since the revision before.
    difference: Vec<Difference>,
    /// The document as it was written; `null` where it was deleted.
    resource: Value,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Author {
    pub(crate) name: String,
    pub(crate) object_id: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Difference {
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// What notes a write, for the commit of the write itself. `before` is the document that it replaces or
/// deletes: what was made at first start has no revision that could tell.
pub(crate) async fn changes(
    permit: &Permit,
    env: &Env,
    key: &str,
    before: Option<&Value>,
    after: &Value,
) -> Result<Vec<Change>, Error> {
    let known: Vec<(String, Revision)> = all(env, tables::REVISIONS, &prefix(key)).await?;
    let last = known.last().map(|(_, it)| it);
    let revision = Revision {
        revision: last.map_or(0, |it| it.revision) + 1,
        time: env.now().rfc3339(),
        author: Author {
            name: permit.caller().name.clone(),
            object_id: permit.caller().object_id.map(|it| it.to_string()),
        },
        tracking_id: permit.trace().map_or_else(String::new, |it| it.id.to_string()),
        difference: differences(before.unwrap_or(&Value::Null), after),
        resource: after.clone(),
    };
    let name = format!("{}{:08}", prefix(key), revision.revision);
    let mut changes = vec![put(tables::REVISIONS, name, Expect::Absent, &revision)?];
    let too_many = (known.len() + 1).saturating_sub(REVISIONS_MAX);
    changes.extend(
        known
            .into_iter()
            .take(too_many)
            .map(|(old, _)| delete(tables::REVISIONS, old, Expect::Anything)),
    );
    Ok(changes)
}

/// A noted write, with what it replaced.
pub(crate) struct Noted {
    /// The document's key, its id in lower case.
    pub(crate) key: String,
    /// Orders the writes of one instant.
    pub(crate) commit: u64,
    pub(crate) time: Timestamp,
    pub(crate) author: Author,
    pub(crate) tracking_id: String,
    pub(crate) before: Before,
    /// `null` where it was deleted.
    pub(crate) after: Value,
}

impl Noted {
    /// As a list of changes shows it. `before` is missing where it is not kept any more.
    pub(crate) fn shown(self) -> Value {
        let own = |it: &Value| it.get("id").and_then(Value::as_str).map(str::to_owned);
        let id = match &self.before {
            Before::Document(it) => own(it),
            Before::Nothing | Before::Forgotten => own(&self.after),
        };
        let mut shown = json!({
            "id": id.unwrap_or(self.key),
            "time": self.time.rfc3339(),
            "author": self.author,
            "trackingId": self.tracking_id,
            "after": self.after,
        });
        match self.before {
            Before::Nothing => model::json::set(&mut shown, "before", Value::Null),
            Before::Document(it) => model::json::set(&mut shown, "before", it),
            Before::Forgotten => {}
        }
        shown
    }
}

/// What a write found.
#[derive(PartialEq, Debug)]
pub(crate) enum Before {
    Nothing,
    Document(Value),
    /// The revision that would tell is not kept any more.
    Forgotten,
}

/// The noted writes behind a prefix of keys that are `wanted`, oldest first of each document; `true` beside
/// them where there are more than [`NOTED_READ_MAX`] to look at.
pub(crate) async fn noted(
    env: &Env,
    prefix: &str,
    wanted: &(dyn Fn(&Noted) -> bool + Sync),
) -> Result<(Vec<Noted>, bool), Error> {
    let mut found = Vec::new();
    let mut last: Option<(String, Revision)> = None;
    let mut after: Option<String> = None;
    for _ in 0..NOTED_READ_MAX / NOTED_PAGE {
        let scan = Scan { prefix: prefix.to_owned(), after: after.take(), limit: NOTED_PAGE };
        let page = env.store.scan(&ShardId::control(), tables::REVISIONS, scan).await;
        let page = page.map_err(|it| unread(&it))?;
        for (path, document) in &page {
            let revision: Revision = serde_json::from_slice(&document.body).map_err(|it| {
                Error::Internal { message: format!("the revision `{path}` cannot be read: {it}") }
            })?;
            let key = path.rsplit_once("/revisions/").map_or("", |(key, _)| key);
            let former = last.take().filter(|(it, _)| it == key).map(|(_, it)| it);
            let noted = Noted {
                key: key.to_owned(),
                commit: document.revision,
                time: Timestamp::parse(&revision.time).unwrap_or_default(),
                author: revision.author.clone(),
                tracking_id: revision.tracking_id.clone(),
                before: before(&revision, former.as_ref()),
                after: revision.resource.clone(),
            };
            last = Some((key.to_owned(), revision));
            found.extend(Some(noted).filter(|it| wanted(it)));
        }
        match page.last() {
            Some((path, _)) if page.len() == NOTED_PAGE => after = Some(path.clone()),
            Some(_) | None => return Ok((found, false)),
        }
    }
    Ok((found, true))
}

fn before(revision: &Revision, former: Option<&Revision>) -> Before {
    // Where a document came or went, the difference is the whole of it.
    match revision.difference.first().filter(|it| it.path.is_empty()) {
        Some(Difference { before: None, .. }) => return Before::Nothing,
        Some(Difference { before: Some(whole), .. }) => return Before::Document(whole.clone()),
        None => {}
    }
    match former.filter(|it| it.revision + 1 == revision.revision && !it.resource.is_null()) {
        Some(former) => Before::Document(former.resource.clone()),
        None => Before::Forgotten,
    }
}

/// `GET {id}/revisions`, oldest first.
pub(crate) async fn list(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let key = permit.scope().key();
    let found: Vec<(String, Value)> = all(env, tables::REVISIONS, &prefix(&key)).await?;
    if found.is_empty() {
        return Err(Error::NotFound {
            code: "ResourceNotFound",
            message: format!("`{}` was never written", permit.scope()),
        });
    }
    Ok(Reply::list(found.into_iter().map(|(_, it)| it).collect()))
}

/// Every place in which two values differ, in the order of the second.
fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", before, after, &mut found);
    // When and by whom stands in the revision itself.
    found.retain(|it| {
        let last = it.path.rsplit('.').next().unwrap_or("");
        !matches!(
            last,
            "updatedOn" | "updatedBy" | "createdOn" | "createdBy" | "updatedAt" | "lastModifiedAt"
        )
    });
    if found.len() > DIFFERENCES_MAX {
        found.truncate(DIFFERENCES_MAX);
        found.push(Difference {
            path: "...".into(),
            before: None,
            after: Some(json!("more differences are left out")),
        });
    }
    found
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    let below =
        |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                compare(&below(name), old.get(name).unwrap_or(&Value::Null), value, found);
            }
            for (name, value) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
                compare(&below(name), value, &Value::Null, found);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for at in 0..old.len().max(new.len()) {
                let side = |it: &Vec<Value>| it.get(at).cloned().unwrap_or(Value::Null);
                compare(&format!("{path}[{at}]"), &side(old), &side(new), found);
            }
        }
        _ => {
            let some = |it: &Value| (!it.is_null()).then(|| it.clone());
            found.push(Difference {
                path: path.to_owned(),
                before: some(before),
                after: some(after),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_place_and_both_values() {
        let before = json!({ "a": { "b": 1, "gone": true }, "list": [1, 2] });
        let after = json!({ "a": { "b": 2 }, "list": [1, 2, 3] });
        let found = differences(&before, &after);
        let places: Vec<&str> = found.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(places, ["a.b", "a.gone", "list[2]"]);
        assert!(differences(&before, &before).is_empty());
    }

    #[test]
    fn a_revision_knows_what_was_there_before_or_that_it_does_not() {
        let (old, new) = (json!({ "a": 1 }), json!({ "a": 2 }));
        let revision = |number: u64, before: &Value, after: &Value| Revision {
            revision: number,
            time: String::new(),
            author: Author { name: String::new(), object_id: None },
            tracking_id: String::new(),
            difference: differences(before, after),
            resource: after.clone(),
        };
        let created = revision(1, &Value::Null, &old);
        let updated = revision(2, &old, &new);
        let deleted = revision(3, &new, &Value::Null);
        assert_eq!(before(&created, None), Before::Nothing);
        assert_eq!(before(&updated, Some(&created)), Before::Document(old.clone()));
        assert_eq!(before(&deleted, Some(&updated)), Before::Document(new.clone()));
        assert_eq!(before(&revision(4, &Value::Null, &old), Some(&deleted)), Before::Nothing);
        // What first start made has no revision; its end tells all the same, and its change does not.
        assert_eq!(before(&revision(1, &old, &Value::Null), None), Before::Document(old.clone()));
        assert_eq!(before(&revision(1, &old, &new), None), Before::Forgotten);
        assert_eq!(before(&revision(9, &old, &new), Some(&created)), Before::Forgotten);
    }
}
