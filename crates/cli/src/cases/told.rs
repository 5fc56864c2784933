//! A world as a file writes it. A member that is not here is refused, so that a misspelt one is not ignored.

use model::PrincipalKind;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Told {
    #[serde(default, rename = "description")]
    pub(super) _description: Value,
    pub(super) tenant: String,
    pub(super) now: String,
    /// Each with the group above it.
    #[serde(default)]
    pub(super) management_groups: BTreeMap<String, Option<String>>,
    /// Each with the group that it is in.
    #[serde(default)]
    pub(super) subscriptions: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) resources: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) principals: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) role_definitions: Map<String, Value>,
    #[serde(default)]
    pub(super) role_assignments: Vec<Value>,
    #[serde(default)]
    pub(super) deny_assignments: Vec<Value>,
    #[serde(default)]
    pub(super) policy_definitions: Map<String, Value>,
    #[serde(default)]
    pub(super) policy_set_definitions: Map<String, Value>,
    #[serde(default)]
    pub(super) policy_assignments: Vec<Value>,
    #[serde(default)]
    pub(super) policy_exemptions: Vec<Value>,
    #[serde(default)]
    pub(super) locks: Vec<Value>,
    pub(super) propagation: Option<PropagationTold>,
    pub(super) explicit_grant_operations: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ResourceTold {
    pub(super) id: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) location: String,
    #[serde(default)]
    pub(super) disable_local_auth: bool,
    #[serde(default)]
    pub(super) shared_access_policies: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PrincipalTold {
    #[serde(rename = "type")]
    pub(super) kind: PrincipalKind,
    pub(super) object_id: String,
    pub(super) app_id: Option<String>,
    /// Aliases of groups.
    #[serde(default)]
    pub(super) member_of: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LockTold {
    pub(super) name: String,
    pub(super) scope: String,
    pub(super) level: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RoleTold {
    #[serde(rename = "roleType")]
    pub(super) _role_type: Option<String>,
    #[serde(rename = "description")]
    pub(super) _description: Option<String>,
    #[serde(default)]
    pub(super) assignable_scopes: Vec<String>,
    pub(super) permissions: Vec<PermissionTold>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PermissionTold {
    #[serde(default)]
    pub(super) actions: Vec<String>,
    #[serde(default)]
    pub(super) not_actions: Vec<String>,
    #[serde(default)]
    pub(super) data_actions: Vec<String>,
    #[serde(default)]
    pub(super) not_data_actions: Vec<String>,
    pub(super) condition: Option<String>,
    #[serde(rename = "conditionVersion")]
    pub(super) _condition_version: Option<ConditionVersion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RoleAssignmentTold {
    pub(super) name: String,
    pub(super) principal: String,
    pub(super) role: String,
    pub(super) scope: String,
    pub(super) condition: Option<String>,
    #[serde(rename = "conditionVersion")]
    pub(super) _condition_version: Option<ConditionVersion>,
    pub(super) created_on: Option<String>,
    pub(super) deleted_on: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PropagationTold {
    pub(super) delay_seconds: u32,
    #[serde(default = "yes")]
    pub(super) token_refresh_forces: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DenyAssignmentTold {
    pub(super) name: String,
    pub(super) scope: String,
    pub(super) principals: Vec<String>,
    #[serde(default)]
    pub(super) exclude_principals: Vec<String>,
    #[serde(default)]
    pub(super) do_not_apply_to_child_scopes: bool,
    pub(super) permissions: Vec<PermissionTold>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PolicyAssignmentTold {
    pub(super) name: String,
    pub(super) policy_definition: String,
    pub(super) scope: String,
    #[serde(default)]
    pub(super) not_scopes: Vec<String>,
    pub(super) enforcement_mode: Option<Enforcement>,
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
    #[serde(default)]
    pub(super) overrides: Vec<Value>,
    #[serde(default)]
    pub(super) resource_selectors: Vec<Value>,
    /// Policies act at once; when they were made is no part of the decision.
    #[serde(rename = "createdOn")]
    pub(super) _created_on: Option<String>,
}

/// The only version of the language of conditions.
#[derive(Deserialize)]
pub(super) enum ConditionVersion {
    #[serde(rename = "2.0")]
    Two,
}

#[derive(Deserialize, PartialEq)]
pub(super) enum Enforcement {
    Default,
    DoNotEnforce,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExemptionTold {
    pub(super) name: String,
    pub(super) scope: String,
    pub(super) policy_assignment: String,
    #[serde(rename = "exemptionCategory")]
    pub(super) _category: Category,
    pub(super) expires_on: Option<String>,
    #[serde(default)]
    pub(super) policy_definition_reference_ids: Vec<String>,
    #[serde(default)]
    pub(super) resource_selectors: Vec<Value>,
    #[serde(default)]
    pub(super) principal_ids: Vec<String>,
}

#[derive(Deserialize)]
pub(super) enum Category {
    Waiver,
    Mitigated,
}
