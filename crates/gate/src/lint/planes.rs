//! Roles whose actions stand on the wrong plane, and so grant nothing. What no plane has, `unknown` tells.

use super::{Code, Warning};
use crate::facts::{Facts, List, Role};
use crate::writes::permission;
use model::json::member;
use model::operations::known;
use model::{ActionPattern, Error, ObjectId};
use serde_json::{Value, json};

/// Warnings about the blocks of a role, `[{"actions": [...], "dataActions": [...]}]`.
///
/// # Errors
/// The place of a condition that cannot be read.
pub fn role(permissions: &[Value]) -> Result<Vec<Warning>, Error> {
    let facts = Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost");
    let mut found = Vec::new();
    for (index, block) in permissions.iter().enumerate() {
        for (name, own, other) in [
            ("actions", List::Actions, List::DataActions),
            ("dataActions", List::DataActions, List::Actions),
        ] {
            let texts = member(block, name).and_then(Value::as_array).into_iter().flatten();
            let mut judged = Vec::new();
            for text in texts.filter_map(Value::as_str) {
                // As it stands, and as it would stand on the other side.
                let is_granted = grants(&alone(name, text)?, own, &facts);
                let would_be = grants(&alone(other.as_str(), text)?, other, &facts);
                judged.push((text, is_granted, would_be));
            }
            let is_mixed_up = judged.iter().any(|it| matches!(it, (_, false, true)));
            let (other, at) = (other.as_str(), format!("permissions[{index}].{name}"));
            for (text, is_granted, would_be) in judged {
                let because = match (is_granted, would_be) {
                    (false, true) => format!(
                        "`{text}` grants nothing among `{name}`: all that it matches is looked for among `{other}`"
                    ),
                    // One name for two actions: which is meant, what stands beside it tells.
                    (true, true) if is_mixed_up && !text.contains('*') => format!(
                        "`{text}` among `{name}` grants nothing of what it names among `{other}`, where others of \
                         this list belong"
                    ),
                    _ => continue,
                };
                found.push(Warning {
                    at: at.clone(),
                    rule: None,
                    code: Code::WrongPlane,
                    because,
                    advice: format!("move `{text}` to `{other}`"),
                });
            }
        }
    }
    found.extend(super::unknown::unknown(permissions));
    Ok(found)
}

/// A role with one pattern in one list.
fn alone(list: &str, text: &str) -> Result<Role, Error> {
    Ok(Role {
        id: ObjectId(uuid::Uuid::nil()),
        name: String::new(),
        is_builtin: false,
        permissions: vec![permission(&json!({ list: [text] }))?],
        assignable_scopes: Vec::new(),
    })
}

/// True where the role grants anything at all by that list. Some operations only a pattern reaches that names
/// them; such a wildcard stands on its plane all the same.
fn grants(role: &Role, list: List, facts: &Facts) -> bool {
    let patterns: Vec<&ActionPattern> =
        role.permissions.iter().flat_map(|it| it.actions.iter().chain(&it.data_actions)).collect();
    known().filter(|it| List::of(it.role_plane()) == list).flat_map(|it| it.actions).any(|action| {
        facts.grants(role, action.as_str(), list).is_some()
            || patterns.iter().any(|it| it.matches(*action))
                && facts.grants_by_wildcard(role, action.as_str(), list).is_some()
    })
}
