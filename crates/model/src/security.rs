//! What a security policy says of a device, and what a call of the device shows of it.
//!
//! Which calls a policy stands against is decided in `gate/src/security.rs`; `docs/reference/security-policies.md`
//! says what each member means.

use crate::network::{Network, NotANetwork};
use crate::operations::Op;
use crate::principal::AuthType;
use crate::time::Timestamp;
use crate::trace::{FindingKind, FindingResult, Trace};
// Addresses as numbers: `core` knows no sockets.
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// What becomes of a call that a policy does not allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecurityAction {
    /// It passes, and is on record.
    Audit,
    /// It is refused.
    Enforce,
}

impl SecurityAction {
    pub const ALL: [Self; 2] = [Self::Audit, Self::Enforce];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Enforce => "enforce",
        }
    }
}

/// The versions of TLS that the server speaks, the older first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum TlsVersion {
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

impl TlsVersion {
    pub const ALL: [Self; 2] = [Self::V1_2, Self::V1_3];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

/// What a connected device does, in the words of policies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OperationClass {
    Telemetry,
    Twin,
    Methods,
    Messages,
    Files,
}

impl OperationClass {
    pub const ALL: [Self; 5] =
        [Self::Telemetry, Self::Twin, Self::Methods, Self::Messages, Self::Files];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Twin => "twin",
            Self::Methods => "methods",
            Self::Messages => "messages",
            Self::Files => "files",
        }
    }

    /// The class of an operation; none for connecting, which no list of classes stands against.
    pub fn of(op: Op) -> Option<Self> {
        // Of all operations a few are a device's own.
        Some(match () {
            () if op == Op::SendTelemetry => Self::Telemetry,
            () if [Op::BeginUpload, Op::EndUpload].contains(&op) => Self::Files,
            () if [Op::GetOwnTwin, Op::ReportProperties, Op::ReceiveDesired].contains(&op) => {
                Self::Twin
            }
            () if op == Op::ReceiveMethods => Self::Methods,
            () if [Op::ReceiveMessages, Op::CompleteMessage, Op::AbandonMessage].contains(&op) => {
                Self::Messages
            }
            () => return None,
        })
    }
}

/// A network as it was written: `10.0.0.0/8`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WrittenNetwork {
    text: String,
    network: Network,
}

impl WrittenNetwork {
    /// # Errors
    /// [`NotANetwork`].
    pub fn parse(text: &str) -> Result<Self, NotANetwork> {
        Ok(Self { network: Network::parse(text)?, text: text.to_owned() })
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.network.contains(address)
    }
}

impl TryFrom<String> for WrittenNetwork {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        Self::parse(&text)
    }
}

impl From<WrittenNetwork> for String {
    fn from(written: WrittenNetwork) -> Self {
        written.text
    }
}

/// What a policy can limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecurityMember {
    AllowedAuthentication,
    MaxKeyAgeDays,
    MinimumTlsVersion,
    AllowedNetworks,
    AllowedOperations,
    MaxMessagesPerMinute,
}

impl SecurityMember {
    pub const ALL: [Self; 6] = [
        Self::AllowedAuthentication,
        Self::MaxKeyAgeDays,
        Self::MinimumTlsVersion,
        Self::AllowedNetworks,
        Self::AllowedOperations,
        Self::MaxMessagesPerMinute,
    ];

    /// Its name in a policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowedAuthentication => "allowedAuthentication",
            Self::MaxKeyAgeDays => "maxKeyAgeDays",
            Self::MinimumTlsVersion => "minimumTlsVersion",
            Self::AllowedNetworks => "allowedNetworks",
            Self::AllowedOperations => "allowedOperations",
            Self::MaxMessagesPerMinute => "maxMessagesPerMinute",
        }
    }
}

/// What a policy says, of one device or of all that have none of their own. What is absent limits nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityPolicy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_authentication: Option<Vec<AuthType>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_key_age_days: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_tls_version: Option<TlsVersion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_networks: Option<Vec<WrittenNetwork>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_operations: Option<Vec<OperationClass>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_messages_per_minute: Option<u32>,
    /// The settings' action, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<SecurityAction>,
}

/// What holds at a hub for devices that have no policy of their own, and for policies that name no action.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecurityDefaults {
    pub policy: Option<SecurityPolicy>,
    pub action: SecurityAction,
}

/// The policy that a device's call is held to, and what was observed of the device. Who calls, from where and over
/// which version of TLS stands beside it in the trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secured {
    /// Whose policy it is; absent for the default one of the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    pub policy: SecurityPolicy,
    /// The policy's own, or that of the hub's settings.
    pub action: SecurityAction,
    /// When the key or thumbprint that the device proves itself by was written, or its certificate began; absent
    /// where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_changed: Option<Timestamp>,
    /// How many messages the device has sent in this minute, with those of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_in_minute: Option<u32>,
    /// What the session does that is on record already, and is not to be once more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<SecurityMember>,
}

impl Secured {
    /// What holds after it was looked up anew in a session: what is on record of the same policy stays so.
    #[must_use]
    pub fn after(mut self, former: Option<&Self>) -> Self {
        let is_same = |it: &&Self| {
            it.device == self.device && it.policy == self.policy && it.action == self.action
        };
        if let Some(former) = former.filter(is_same) {
            self.told.clone_from(&former.told);
        }
        self
    }

    /// Remembers what a trace has put on record of a call that was let through.
    pub fn remember(&mut self, trace: &Trace) {
        let found = trace.steps.iter().flat_map(|it| &it.findings);
        let noted = found.filter(|it| {
            it.kind == FindingKind::SecurityPolicy && it.result == FindingResult::Audit
        });
        for finding in noted {
            let member = SecurityMember::ALL.into_iter().find(|it| it.as_str() == finding.name);
            self.told.extend(member.filter(|it| !self.told.contains(it)));
        }
    }
}
