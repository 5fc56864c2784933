//! Over what a call came, and what else is true of it that gates look at.

use super::{Caller, EnrollmentKind};
use crate::security::{Secured, TlsVersion};
use serde::{Deserialize, Serialize};

/// Over what the call came.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// `https`, later `mqtt` and `amqp`.
    pub protocol: String,
    /// `PUT /devices/d1`: no query, which may hold what is secret.
    pub request: String,
    /// The peer's address without its port.
    pub address: String,
    /// What the client calls itself, where it does; its word alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Box<str>>,
    /// The operator says that who has this address comes through private endpoints.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_private: bool,
    /// The server itself calls, for one of its hubs.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_within: bool,
    /// For whom the caller calls: the device whose registration a provisioning service carries out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Box<Caller>>,
    /// By what that device registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollment: Option<EnrollmentKind>,
    /// The deployment that makes the call, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Box<str>>,
    /// The rule that what was sent breaks, in a sentence, where no hub takes anything like it from anybody: a
    /// message with QoS 2, a topic of another device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violation: Option<Box<str>>,
    /// The version of TLS that the connection speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsVersion>,
    /// The security policy that a device's call is held to, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Box<Secured>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(it: &bool) -> bool {
    !*it
}
