//! Who holds what in a world: roles and their assignments, denials, and the groups above subscriptions.

use super::file::{Stop, broken, lacks, take};
use super::told::{DenyAssignmentTold, PermissionTold, RoleAssignmentTold, RoleTold, Told};
use super::world::{World, id, id_at, place, principal, time};
use gate::condition::Condition;
use gate::deny::{DenyAssignment, Whom};
use gate::facts::{ManagementGroup, Permission, Role, RoleAssignment};
use model::{ActionPattern, ObjectId};
use serde_json::Value;

/// Management groups, and which subscription is in which.
pub(super) fn management_groups(world: &mut World, told: &Told) -> Result<(), Stop> {
    for (name, parent) in &told.management_groups {
        if let Some(missing) =
            parent.as_ref().filter(|it| !told.management_groups.contains_key(*it))
        {
            let at = format!("managementGroups.{name}");
            return broken(at, format!("the world has no management group `{missing}`"));
        }
        world.facts.put_management_group(ManagementGroup {
            name: name.clone(),
            display_name: name.clone(),
            parent: parent.clone(),
        });
    }
    for (id, group) in &told.subscriptions {
        if !told.management_groups.contains_key(group) {
            let at = format!("subscriptions.{id}");
            return broken(at, format!("the world has no management group `{group}`"));
        }
        world.facts.put_subscription(id, Some(group));
    }
    Ok(())
}

pub(super) fn deny_assignment(
    world: &World,
    index: usize,
    value: &Value,
) -> Result<DenyAssignment, Stop> {
    const EVERYONE: &str = "everyone";
    let at = format!("denyAssignments[{index}]");
    let told: DenyAssignmentTold = take(value, &at)?;
    let scope = place(&told.scope, &format!("{at}.scope"))?;
    let principals = |all: &[String], name: &str| -> Result<Vec<ObjectId>, Stop> {
        all.iter().map(|it| principal(world, it, &format!("{at}.{name}"))).collect()
    };
    let whom = match told.principals.iter().any(|it| it == EVERYONE) {
        true => Whom::Everyone,
        false => Whom::These(principals(&told.principals, "principals")?),
    };
    let mut permissions = Vec::new();
    for (block, it) in told.permissions.into_iter().enumerate() {
        if it.condition.is_some() {
            return lacks("conditions of deny assignments");
        }
        permissions.push(permission(it, &format!("{at}.permissions[{block}]"))?);
    }
    Ok(DenyAssignment {
        id: id_at(&scope, "denyAssignments", &told.name),
        name: told.name,
        scope,
        is_at_scope_only: told.do_not_apply_to_child_scopes,
        permissions,
        whom,
        excluded: principals(&told.exclude_principals, "excludePrincipals")?,
    })
}

pub(super) fn role(index: usize, name: &str, value: &Value) -> Result<Role, Stop> {
    let at = format!("roleDefinitions.{name}");
    let told: RoleTold = take(value, &at)?;
    let mut assignable_scopes = Vec::new();
    for it in &told.assignable_scopes {
        assignable_scopes.push(place(it, &format!("{at}.assignableScopes"))?);
    }
    let mut permissions = Vec::new();
    for (block, it) in told.permissions.into_iter().enumerate() {
        permissions.push(permission(it, &format!("{at}.permissions[{block}]"))?);
    }
    Ok(Role {
        // Files name roles; the gates know them by ids.
        id: id(&format!("00000000-0000-0000-0000-{index:012x}"), &at)?,
        name: name.to_owned(),
        is_builtin: false,
        permissions,
        assignable_scopes,
    })
}

pub(super) fn role_assignment(
    world: &World,
    index: usize,
    value: &Value,
) -> Result<RoleAssignment, Stop> {
    let at = format!("roleAssignments[{index}]");
    let told: RoleAssignmentTold = take(value, &at)?;
    let principal = principal(world, &told.principal, &format!("{at}.principal"))?;
    let condition = condition(told.condition.as_deref(), &format!("{at}.condition"))?;
    let created = match &told.created_on {
        Some(it) => time(it, &format!("{at}.createdOn"))?,
        None => world.now,
    };
    let deleted = told.deleted_on.map(|it| time(&it, &format!("{at}.deletedOn"))).transpose()?;
    let own = world.roles.iter().find(|(_, it)| it.eq_ignore_ascii_case(&told.role));
    let builtin = || {
        world
            .facts
            .roles
            .values()
            .find(|it| it.is_builtin && it.name.eq_ignore_ascii_case(&told.role))
    };
    let role = match own.map(|(id, _)| *id).or_else(|| builtin().map(|it| it.id)) {
        Some(it) => it,
        None => {
            return lacks(format!(
                "the role `{}`, which is neither in the file nor built in",
                told.role
            ));
        }
    };
    let scope = place(&told.scope, &format!("{at}.scope"))?;
    Ok(RoleAssignment {
        id: id_at(&scope, "roleAssignments", &told.name),
        name: told.name,
        principal,
        role,
        scope,
        created,
        condition,
        deleted,
    })
}

fn permission(told: PermissionTold, at: &str) -> Result<Permission, Stop> {
    let patterns = |all: Vec<String>| all.iter().map(|it| ActionPattern::new(it)).collect();
    Ok(Permission {
        actions: patterns(told.actions),
        not_actions: patterns(told.not_actions),
        data_actions: patterns(told.data_actions),
        not_data_actions: patterns(told.not_data_actions),
        condition: condition(told.condition.as_deref(), &format!("{at}.condition"))?,
    })
}

fn condition(text: Option<&str>, at: &str) -> Result<Option<Condition>, Stop> {
    text.map(Condition::parse)
        .transpose()
        .map_err(|it| Stop::Broken { at: at.to_owned(), because: it.to_string() })
}
