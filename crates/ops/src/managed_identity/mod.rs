//! Managed identities: principals of the directory that belong to resources, and need no secret.
//!
//! A user-assigned identity is a resource of its own, `user_assigned.rs`; a system-assigned one belongs to one hub or
//! provisioning service, and comes and goes with it. What `identity` of these says is in `attached.rs`.

pub(crate) mod attached;
pub(crate) mod user_assigned;

use crate::env::Env;
use model::ObjectId;
use serde::{Deserialize, Serialize};

/// A managed identity: the service principal behind it, and the name it signs in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    pub(crate) principal_id: ObjectId,
    pub(crate) client_id: ObjectId,
}

impl Identity {
    pub(crate) fn new(env: &Env) -> Self {
        let new = || ObjectId(env.new_uuid());
        Self { principal_id: new(), client_id: new() }
    }
}
