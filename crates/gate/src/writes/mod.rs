//! What roles and their assignments must be to be taken, whoever writes them.
//!
//! Pure, as the gates are, and beside them: operations ask here before they keep what they were given, and
//! `hubward test` asks the same of the writes that cases tell of. Source: Azure RBAC documentation, "Azure
//! custom roles" and "Troubleshoot Azure RBAC limits".

mod assignments;
mod conditions;
mod patterns;
mod roles;

pub use assignments::{NewAssignment, PrincipalGiven, check_assignment};
pub use conditions::{keep as keep_condition, read as read_condition};
pub use patterns::check_patterns;
pub use roles::{
    NewRole, check_role_unused, links_of_change, permission, permissions_of, scopes_of,
};
