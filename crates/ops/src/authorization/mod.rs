//! Who may do what: roles and denials, policies, the history of both, and locks.

pub(crate) mod deny_assignments;
pub(crate) mod exemptions;
pub(crate) mod locks;
pub(crate) mod policies;
pub(crate) mod policy_sets;
pub(crate) mod policy_terms;
pub(crate) mod revisions;
pub mod role_assignments;
pub(crate) mod roles;

use crate::env::Env;
use gate::Facts;
use gate::facts::management_group;
use model::resource_types::resource_type;
use model::{Error, Scope};
use serde_json::{Value, json};

/// Who wrote a document and when, in the members that ARM's documents carry.
pub(crate) fn stamp(
    properties: &mut Value,
    former: Option<&Value>,
    author: &str,
    env: &Env,
    names: [&str; 4],
) {
    let [created_on, created_by, updated_on, updated_by] = names;
    let now = env.now().rfc3339();
    let kept = |name: &str| former.and_then(|it| it.get(name)).cloned();
    properties[created_on] = kept(created_on).unwrap_or_else(|| json!(now));
    properties[created_by] = kept(created_by).unwrap_or_else(|| json!(author));
    properties[updated_on] = if former.is_some() { json!(now) } else { Value::Null };
    properties[updated_by] = if former.is_some() { json!(author) } else { Value::Null };
}

/// Checks that something exists at a scope that roles and policies can be put on.
///
/// # Errors
/// [`Error::NotFound`] where nothing does, and [`Error::Invalid`] where the scope is below a hub: a
/// device is no scope.
pub(crate) fn check_scope(scope: &Scope, facts: &Facts) -> Result<(), Error> {
    let key = scope.key();
    if let Some(group) = management_group(scope) {
        let exists = facts.management.get(group).is_some();
        return match exists && scope.same_place(&crate::management::scope_of(group)) {
            true => Ok(()),
            false => Err(Error::NotFound {
                code: "ManagementGroupNotFound",
                message: format!("there is no management group at `{scope}`"),
            }),
        };
    }
    if scope.is_root()
        || facts.containers.contains_key(&key)
        || facts.resource(scope).is_some()
        || facts.entities.contains_key(&key)
    {
        return Ok(());
    }
    if let Some(hub) = facts.hubs.values().find(|it| it.scope.contains(scope)) {
        return Err(Error::Invalid {
            code: "InvalidScope",
            at: Some("path".into()),
            message: format!(
                "a hub is the narrowest scope; `{scope}` lies below the hub `{}`",
                hub.scope
            ),
        });
    }
    let code = match (
        scope.resource_group(),
        scope.resource_type().is_some_and(|it| resource_type(&it).is_some_and(|it| it.is_tracked)),
    ) {
        (_, true) => "ResourceNotFound",
        (Some(_), false) => "ResourceGroupNotFound",
        (None, false) => "SubscriptionNotFound",
    };
    Err(Error::NotFound { code, message: format!("there is nothing at the scope `{scope}`") })
}

/// The scope in front of the last `/providers/...` of a path: what an assignment or a setting lies at.
pub(crate) fn scope_before(path: &Scope) -> Scope {
    let all: Vec<&str> = path.segments().collect();
    let at = all.iter().rposition(|it| it.eq_ignore_ascii_case("providers")).unwrap_or(all.len());
    Scope::parse(&format!("/{}", all.get(..at).unwrap_or(&[]).join("/")))
        .unwrap_or_else(|_| Scope::root())
}

/// A member that must be absent or empty, because acting without it would be wrong.
pub(crate) fn refuse_unless_empty(properties: &Value, name: &str, why: &str) -> Result<(), Error> {
    let is_empty = match model::json::member(properties, name) {
        None | Some(Value::Null) => true,
        Some(Value::Array(it)) => it.is_empty(),
        Some(Value::Object(it)) => it.is_empty(),
        Some(Value::String(it)) => it.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => false,
    };
    match is_empty {
        true => Ok(()),
        false => Err(Error::invalid(format!("properties.{name}"), why)),
    }
}

/// Which neighbours of a scope a list shows, as `$filter` says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// Without a filter: at the scope, above and below it.
    Everything,
    /// `atScope()`: what applies there.
    AtAndAbove,
    /// `atExactScope()`.
    Exactly,
    /// `atScopeAndBelow()`.
    AtAndBelow,
}

impl Reach {
    /// Finds the function in a filter that may say more besides.
    pub(crate) fn of(filter: &str) -> Self {
        let filter = filter.to_ascii_lowercase();
        match () {
            () if filter.contains("atexactscope()") => Self::Exactly,
            () if filter.contains("atscopeandbelow()") => Self::AtAndBelow,
            () if filter.contains("atscope()") => Self::AtAndAbove,
            () => Self::Everything,
        }
    }

    /// True where the list at `here` shows what lies at `place`.
    pub(crate) fn shows(self, place: &Scope, here: &Scope, facts: &Facts) -> bool {
        let (above, below) = (facts.contains(place, here), facts.contains(here, place));
        match self {
            Self::Everything => above || below,
            Self::AtAndAbove => above,
            Self::Exactly => above && below,
            Self::AtAndBelow => below,
        }
    }
}
