//! What gates look at, and what comes of it, by kind.

use serde::{Deserialize, Serialize};

/// What kind of thing a gate looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FindingKind {
    Token,
    Sas,
    Secret,
    Certificate,
    PolicyRule,
    DenyAssignment,
    RoleAssignment,
    SasRight,
    Plane,
    Lock,
    /// Network rules of a hub or provisioning service.
    Network,
    Resource,
    ConditionalAccessPolicy,
    /// One member of a security policy that a device's call does not keep to.
    SecurityPolicy,
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FindingResult {
    Match,
    NoMatch,
    Exempt,
    Excluded,
    Disabled,
    WouldDeny,
    Audit,
    Deny,
    Allow,
    Error,
    NotVisible,
    /// It changes what is written.
    Change,
    /// It would, were it enforced.
    WouldChange,
}

impl FindingResult {
    /// For people.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::NoMatch => "no match",
            Self::Exempt => "exempt",
            Self::Excluded => "excluded",
            Self::Disabled => "disabled",
            Self::WouldDeny => "would deny",
            Self::Audit => "audit",
            Self::Deny => "deny",
            Self::Allow => "allow",
            Self::Error => "error",
            Self::NotVisible => "not visible yet",
            Self::Change => "changes it",
            Self::WouldChange => "would change it",
        }
    }
}
