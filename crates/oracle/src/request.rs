//! What is asked, and what is answered.

use crate::operations::Operation;
use serde_json::Value;

/// One call: who, what, where, when.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub operation: &'static Operation,
    pub scope: String,
    /// What it would write.
    pub objects: Vec<Object>,
    /// What the caller must be allowed elsewhere, too.
    pub linked: Vec<Link>,
    pub who: Who,
    pub now_ms: i64,
    /// How late the enforcement sees changes of role assignments; none where at once.
    pub view: Option<View>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub kind: String,
    pub name: String,
    pub id: String,
    pub body: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub action: &'static str,
    pub scope: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    pub delay_s: u32,
    /// A token that was issued after a change sees it at once.
    pub is_healed_by_token: bool,
}

/// The caller, with what it shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    /// A principal with an access token that is signed as it should be.
    Principal { id: String, token: Token },
    /// Whoever holds a key of a shared access policy.
    Key { policy: String, is_signed: bool, is_for_this_hub: bool, expires_s: i64 },
    /// A device that proved itself, at an endpoint of its own.
    Device(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub is_of_this_tenant: bool,
    pub audience: String,
    pub issued_ms: i64,
    pub not_before_ms: Option<i64>,
    pub expires_ms: Option<i64>,
}

/// The gates that may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    Authentication,
    Policy,
    Access,
    Resource,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The gate that refused.
    pub gate: Option<Gate>,
    pub status: u16,
    pub code: &'static str,
    /// The policy assignments that deny the first denied object, by name, sorted.
    pub denied_by: Vec<String>,
    /// A policy audits the call, or would deny it were it enforced. Only of calls that are allowed.
    pub is_on_record: bool,
}

impl Answer {
    pub const fn allowed() -> Self {
        Self { gate: None, status: 200, code: "OK", denied_by: Vec::new(), is_on_record: false }
    }

    pub fn refused(gate: Gate, status: u16, code: &'static str) -> Self {
        Self { gate: Some(gate), status, code, ..Self::allowed() }
    }
}
