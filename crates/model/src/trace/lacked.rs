//! What a policy requires of a caller and does not find.

use super::ScopeText;
use crate::ids::ObjectId;
use serde::{Deserialize, Serialize};

/// A role that a policy requires of a caller who does not hold it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LackedRole {
    pub role_id: String,
    pub role_name: String,
    /// Absent for a shared access key, which holds no role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<ObjectId>,
    pub principal_name: String,
    /// Where, or above which, it must be held.
    pub scope: ScopeText,
}
