//! Role definitions as they are written.

use super::{check_patterns, conditions};
use crate::decide::Link;
use crate::facts::{Facts, Permission, management_group};
use model::json::{member, text};
use model::{ActionName, ActionPattern, Error, ObjectId, Scope};
use serde_json::{Value, json};

/// Most blocks in a role, and most patterns in one of its lists.
const BLOCKS_MAX: usize = 64;
const PATTERNS_MAX: usize = 2_048;
/// Longest display name, in characters.
const NAME_CHARS_MAX: usize = 512;
/// Most custom roles in a tenant.
const CUSTOM_ROLES_MAX: usize = 5_000;

pub(super) const LISTS: [&str; 4] = ["actions", "notActions", "dataActions", "notDataActions"];

/// Most scopes at which a role can be assigned.
const SCOPES_MAX: usize = 2_000;

/// A role that can be taken.
pub struct NewRole {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// The blocks with all four lists and their condition, as they are kept.
    pub permissions: Vec<Value>,
}

impl NewRole {
    /// Reads a role's `properties` and checks them against the roles that there are.
    ///
    /// # Errors
    /// What is wrong, with its place; `RoleDefinitionWithSameNameExists`, `RoleDefinitionLimitExceeded`,
    /// `InvalidActionOrNotAction`.
    pub fn read(id: ObjectId, properties: &Value, facts: &Facts) -> Result<Self, Error> {
        let name = text(properties, &["roleName"])
            .ok_or_else(|| Error::invalid("properties.roleName", "a role needs a name"))?;
        if name.trim().is_empty() || name.chars().count() > NAME_CHARS_MAX {
            return Err(Error::invalid("properties.roleName", "the name has 1 to 512 characters"));
        }
        let scopes = scopes_of(properties)?;
        let permissions = permissions_of(properties)?;
        check_patterns(&permissions)?;
        check_groups(&scopes, &permissions)?;
        if facts.roles.values().any(|it| it.id != id && it.name.eq_ignore_ascii_case(name)) {
            return Err(Error::Conflict {
                code: "RoleDefinitionWithSameNameExists",
                message: format!(
                    "another role is called `{}`; role names are unique in the tenant",
                    name.escape_debug()
                ),
            });
        }
        let custom = || facts.roles.values().filter(|it| !it.is_builtin).count();
        if !facts.roles.contains_key(&id) && custom() >= CUSTOM_ROLES_MAX {
            return Err(Error::Invalid {
                code: "RoleDefinitionLimitExceeded",
                at: None,
                message: "Role definition limit exceeded. No more role definitions can be created."
                    .into(),
            });
        }
        Ok(Self { name: name.to_owned(), scopes, permissions })
    }
}

/// A role reaches at most one management group, and none with data actions.
fn check_groups(scopes: &[Scope], permissions: &[Value]) -> Result<(), Error> {
    let at = "properties.assignableScopes";
    let has_data = permissions.iter().any(|block| {
        let is_there =
            |name: &str| block.get(name).and_then(Value::as_array).is_some_and(|it| !it.is_empty());
        is_there("dataActions") || is_there("notDataActions")
    });
    match scopes.iter().filter(|it| management_group(it).is_some()).count() {
        0 => Ok(()),
        _ if has_data => Err(Error::invalid(
            at,
            "a role of one's own with data actions cannot be assigned at a management group; name subscriptions",
        )),
        1 => Ok(()),
        _ => Err(Error::invalid(at, "a role of one's own names at most one management group")),
    }
}

/// What a write of a role takes beyond the right to write roles: where somebody holds it and what it grants would
/// change, the right to give roles, wherever this one could be assigned. Else whoever may write roles gives
/// themselves any right, by a role that they hold. Azure asks for no more than the right to write roles.
pub fn links_of_change(id: ObjectId, properties: &Value, facts: &Facts) -> Vec<Link> {
    let Some(role) = facts.roles.get(&id) else { return Vec::new() };
    // What cannot be read changes nothing: it is refused.
    let Ok(blocks) = permissions_of(properties) else { return Vec::new() };
    let Ok(after) = blocks.iter().map(permission).collect::<Result<Vec<_>, _>>() else {
        return Vec::new();
    };
    if after == role.permissions || check_role_unused(id, facts).is_ok() {
        return Vec::new();
    }
    let action = ActionName::new("Microsoft.Authorization/roleAssignments/write");
    role.assignable_scopes.iter().map(|it| Link { action, scope: it.clone() }).collect()
}

/// Checks that nobody holds a role, so that it can be deleted.
///
/// # Errors
/// `RoleDefinitionHasAssignments`.
pub fn check_role_unused(id: ObjectId, facts: &Facts) -> Result<(), Error> {
    match facts.role_assignments.iter().any(|it| it.role == id) {
        false => Ok(()),
        true => Err(Error::Invalid {
            code: "RoleDefinitionHasAssignments",
            at: None,
            message: "There are existing role assignments referencing role; delete them first"
                .into(),
        }),
    }
}

/// A block as the gates know it.
///
/// # Errors
/// The place of a condition that cannot be read.
pub fn permission(block: &Value) -> Result<Permission, Error> {
    let list = |name: &str| {
        let texts = block.get(name).and_then(Value::as_array).into_iter().flatten();
        texts.filter_map(Value::as_str).map(ActionPattern::new).collect()
    };
    let [actions, not_actions, data_actions, not_data_actions] = LISTS;
    Ok(Permission {
        actions: list(actions),
        not_actions: list(not_actions),
        data_actions: list(data_actions),
        not_data_actions: list(not_data_actions),
        condition: conditions::read(block, "properties.permissions")?,
    })
}

/// The scopes at which a role can be assigned.
///
/// # Errors
/// What is wrong with the list.
pub fn scopes_of(properties: &Value) -> Result<Vec<Scope>, Error> {
    let at = "properties.assignableScopes";
    let given = member(properties, "assignableScopes")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if given.is_empty() || given.len() > SCOPES_MAX {
        return Err(Error::invalid(
            at,
            "a role needs 1 to 2,000 scopes at which it can be assigned",
        ));
    }
    given
        .iter()
        .map(|it| {
            let scope = Scope::parse(it.as_str().unwrap_or(""))
                .map_err(|it| Error::invalid(at, it.to_string()))?;
            match scope.is_root() {
                true => Err(Error::invalid(
                    at,
                    "`/` is for built-in roles only; name a subscription or something below it",
                )),
                false => Ok(scope),
            }
        })
        .collect()
}

/// The blocks with all four lists and their condition, each text checked; what cannot be decided by is
/// refused.
///
/// # Errors
/// What is wrong, with its place.
pub fn permissions_of(properties: &Value) -> Result<Vec<Value>, Error> {
    let at = "properties.permissions";
    let given =
        member(properties, "permissions").and_then(Value::as_array).cloned().unwrap_or_default();
    if given.is_empty() || given.len() > BLOCKS_MAX {
        return Err(Error::invalid(
            at,
            format!("a role needs 1 to {BLOCKS_MAX} blocks of permissions"),
        ));
    }
    let mut blocks = Vec::new();
    for (index, block) in given.iter().enumerate() {
        let place = format!("{at}[{index}]");
        let condition = conditions::read(block, &place)?;
        let mut kept = json!({});
        for name in LISTS {
            let texts = member(block, name).filter(|it| !it.is_null());
            let texts = match texts {
                None => Vec::new(),
                Some(it) => it.as_array().cloned().ok_or_else(|| {
                    Error::invalid(format!("{place}.{name}"), "this is a list of texts")
                })?,
            };
            if texts.len() > PATTERNS_MAX {
                return Err(Error::invalid(
                    format!("{place}.{name}"),
                    format!("more than {PATTERNS_MAX} patterns"),
                ));
            }
            for text in &texts {
                let is_pattern = text.as_str().is_some_and(|it| {
                    (1..=512).contains(&it.len())
                        && it.bytes().all(|b| b.is_ascii_alphanumeric() || b"*/._-$".contains(&b))
                        && (it == "*" || it.contains('/'))
                });
                if !is_pattern {
                    return Err(Error::Invalid {
                        code: "InvalidActionOrNotAction",
                        at: Some(format!("{place}.{name}")),
                        message: format!(
                            "{text} is not an action; one looks like `Microsoft.Devices/IotHubs/read`"
                        ),
                    });
                }
            }
            model::json::set(&mut kept, name, json!(texts));
        }
        conditions::keep(&mut kept, condition.as_ref());
        blocks.push(kept);
    }
    Ok(blocks)
}
