//! The history of policies and roles: every write leaves who, when and what changed.

use crate::control::{all, delete, put};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, Expect, tables};

/// Most differences that one revision lists; a longer list is cut and says so.
const DIFFERENCES_MAX: usize = 200;

/// Most revisions of one document that are kept; the oldest go first.
const REVISIONS_MAX: usize = 200;

/// Under what the revisions of a document are kept. No name holds a `/`.
fn prefix(key: &str) -> String {
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

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Author {
    name: String,
    object_id: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Difference {
    path: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// What notes a write, for the commit of the write itself.
pub(crate) async fn changes(
    permit: &Permit,
    env: &Env,
    key: &str,
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
        difference: differences(last.map_or(&Value::Null, |it| &it.resource), after),
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
}
