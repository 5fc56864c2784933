//! A tenant as plain data: names and texts as a person would write them down. Times are milliseconds.

use serde_json::Value;

/// Everything that a decision may depend on, besides the request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// The tenant's id, and the name of the root management group.
    pub tenant: String,
    /// Hubward's own switch: security policies need roles that name them.
    pub has_explicit_grants: bool,
    pub management_groups: Vec<ManagementGroup>,
    pub subscriptions: Vec<Subscription>,
    pub hubs: Vec<Hub>,
    pub principals: Vec<Principal>,
    pub groups: Vec<Group>,
    pub roles: Vec<Role>,
    pub role_assignments: Vec<RoleAssignment>,
    pub deny_assignments: Vec<DenyAssignment>,
    pub definitions: Vec<Definition>,
    pub policy_assignments: Vec<PolicyAssignment>,
    pub exemptions: Vec<Exemption>,
    pub locks: Vec<Lock>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ManagementGroup {
    pub name: String,
    /// The name of the group above; none for the root.
    pub parent: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    pub id: String,
    /// None is the root.
    pub management_group: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hub {
    pub scope: String,
    pub host: String,
    /// `disableLocalAuth`.
    pub is_local_auth_disabled: bool,
    pub policies: Vec<SasPolicy>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SasPolicy {
    pub name: String,
    pub rights: Vec<crate::Right>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    pub id: String,
    pub app_id: Option<String>,
    /// `User`, `ServicePrincipal` or `ManagedIdentity`.
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub id: String,
    /// Principals and groups; groups may come around in circles.
    pub members: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    pub id: String,
    /// The built-in Owner, whose `*` reaches the directory.
    pub is_owner: bool,
    pub permissions: Vec<Permission>,
}

/// One block of a role or of a deny assignment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Permission {
    pub actions: Vec<String>,
    pub not_actions: Vec<String>,
    pub data_actions: Vec<String>,
    pub not_data_actions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RoleAssignment {
    pub name: String,
    pub principal: String,
    pub role: String,
    pub scope: String,
    pub created_ms: i64,
    pub deleted_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DenyAssignment {
    pub name: String,
    pub scope: String,
    /// `doNotApplyToChildScopes`.
    pub is_at_scope_only: bool,
    pub permissions: Vec<Permission>,
    /// None is everyone.
    pub principals: Option<Vec<String>>,
    pub excluded: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub name: String,
    /// In order; each an object with `if` and `then`.
    pub rules: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PolicyAssignment {
    pub name: String,
    pub scope: String,
    /// The name of its definition, which may not exist.
    pub definition: String,
    pub not_scopes: Vec<String>,
    /// False is `DoNotEnforce`.
    pub is_enforced: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exemption {
    pub name: String,
    pub scope: String,
    /// The name of the assignment that it lifts.
    pub assignment: String,
    pub expires_ms: Option<i64>,
    /// Hubward's own; empty is every caller.
    pub principal_ids: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Lock {
    pub name: String,
    pub scope: String,
    /// `ReadOnly`; else `CanNotDelete`.
    pub is_read_only: bool,
}
