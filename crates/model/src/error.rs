//! One error type for the domain, and the one place that knows what it looks like on each wire.

mod amqp;
mod blob_fault;
mod denial;
mod hub_fault;
mod words;

pub use blob_fault::BlobFault;
pub use denial::{AuthFault, Denial, DenialKind, TokenFault};
pub use hub_fault::HubFault;

use crate::ids::{DeviceId, TrackingId};
use crate::json;
use crate::operations::Surface;
use crate::time::Timestamp;
use crate::trace::Verb;
use serde_json::{Value, json};

/// What can go wrong with a call.
#[derive(Clone, PartialEq, Debug)]
pub enum Error {
    Denied(Box<Denial>),
    /// The request is wrong; `at` says where in it. `code` is ARM's word.
    Invalid {
        code: &'static str,
        at: Option<String>,
        message: String,
    },
    /// Nothing of that name; `code` is ARM's word.
    NotFound {
        code: &'static str,
        message: String,
    },
    Conflict {
        code: &'static str,
        message: String,
    },
    /// `If-Match` names another version.
    Stale {
        message: String,
    },
    ApiVersion {
        code: &'static str,
        message: String,
    },
    UnknownHost {
        host: String,
    },
    UnknownPath {
        method: String,
        path: String,
    },
    MethodNotAllowed {
        method: String,
        allowed: Vec<&'static str>,
    },
    BodyTooLarge {
        limit: usize,
    },
    NotTheContentType {
        got: String,
        wanted: &'static str,
    },
    BodyIncomplete,
    DeviceIdInvalid {
        message: String,
    },
    DeviceInvalid {
        at: String,
        message: String,
    },
    DeviceNotFound(DeviceId),
    DeviceAlreadyExists(DeviceId),
    DeviceStale(DeviceId),
    /// Some entries of a bulk call failed; `result` is the answer's body.
    BulkFailed {
        result: Value,
    },
    TooManyDevices {
        limit: usize,
    },
    /// What only hubs say no to.
    Hub {
        fault: HubFault,
        message: String,
    },
    /// More than the hub's edition takes: the same call can succeed after so many seconds, where any time helps.
    Limited {
        fault: HubFault,
        message: String,
        retry_after_s: Option<u64>,
    },
    /// What only the Blob service says no to.
    Blob {
        fault: BlobFault,
        message: String,
    },
    /// More than resource management or sign-in takes of one caller: it can come again after so many seconds.
    TooManyRequests {
        message: String,
        retry_after_s: u64,
    },
    /// No enrollment, or no registration, of that id.
    EnrollmentNotFound {
        message: String,
    },
    EnrollmentConflict {
        message: String,
    },
    /// `If-Match` names another version of an enrollment or a registration.
    EnrollmentStale {
        message: String,
    },
    /// A device with a TPM has to sign with what it is sent here, in base64: a key that its TPM alone opens.
    TpmChallenge {
        key: String,
    },
    /// Another reader has the place, with a claim that is as good or better.
    LinkStolen {
        message: String,
    },
    /// As many links lead there as may.
    TooManyLinks {
        message: String,
    },
    /// The store said no; nothing was changed.
    Unavailable {
        message: String,
    },
    /// A fault of ours. The sentence is for the log; the caller gets the tracking id.
    Internal {
        message: String,
    },
}

/// What a client sees: HTTP's number, the hub's number and word, ARM's word, and the sentence.
#[derive(Clone, PartialEq, Debug)]
pub struct Wire {
    pub http_status: u16,
    pub hub_code: u32,
    pub hub_name: &'static str,
    pub code: &'static str,
    pub message: String,
}

impl Error {
    pub fn invalid(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid {
            code: "InvalidRequestContent",
            at: Some(at.into()),
            message: message.into(),
        }
    }

    pub fn hub(fault: HubFault, message: impl Into<String>) -> Self {
        Self::Hub { fault, message: message.into() }
    }

    /// After how many seconds the same call can succeed without anybody changing anything.
    pub fn retry_after_s(&self) -> Option<u64> {
        if let Self::Limited { retry_after_s, .. } = self {
            return *retry_after_s;
        }
        if let Self::TooManyRequests { retry_after_s, .. } = self {
            return Some(*retry_after_s);
        }
        let tries = DenialKind::Token(TokenFault::TooManyTries);
        let passes = matches!(self, Self::Denied(denial) if denial.kind == tries)
            || matches!(self, Self::Unavailable { .. })
            || matches!(self, Self::Hub { fault: HubFault::Throttled, .. });
        passes.then_some(1)
    }

    /// What the operator is told. A caller only learns of [`Error::Internal`] that the server failed.
    pub fn cause(self) -> String {
        if let Self::Internal { message } = self {
            return message;
        }
        self.to_string()
    }

    /// The wire form of each error. No catch-all arm: a new variant needs its own.
    pub fn wire(&self) -> Wire {
        let (http_status, hub_code, hub_name, code) = match self {
            Self::Denied(denial) => match &denial.kind {
                DenialKind::Unauthenticated(fault) => {
                    let code = match fault {
                        AuthFault::Missing => "AuthenticationFailed",
                        AuthFault::Malformed
                        | AuthFault::Invalid
                        | AuthFault::NotYet
                        | AuthFault::LocalAuthDisabled => "InvalidAuthenticationToken",
                        AuthFault::Expired => "ExpiredAuthenticationToken",
                        AuthFault::WrongTenant => "InvalidAuthenticationTokenTenant",
                        AuthFault::WrongAudience => "InvalidAuthenticationTokenAudience",
                    };
                    (401, 401_002, "IotHubUnauthorizedAccess", code)
                }
                DenialKind::Policy { object, verb: Verb::Write | Verb::Move, .. }
                    if object.ends_with("/devices") =>
                {
                    (403, 403_000, "DeviceRegistrationDenied", "RequestDisallowedByPolicy")
                }
                DenialKind::Policy { .. } => {
                    (403, 403_000, "RequestDisallowedByPolicy", "RequestDisallowedByPolicy")
                }
                DenialKind::SecurityPolicy => {
                    (403, 403_000, "DisallowedBySecurityPolicy", "DisallowedBySecurityPolicy")
                }
                DenialKind::HubGone => (404, 401_001, "IotHubNotFound", "ResourceNotFound"),
                // Source: IoT Hub documentation, "Use IP filters", and that of DPS.
                DenialKind::Network => {
                    (401, 401_002, "IotHubUnauthorizedAccess", "PublicNetworkAccessDenied")
                }
                DenialKind::Locked => (409, 409_000, "GenericConflict", "ScopeLocked"),
                DenialKind::IdentityInUse => {
                    (409, 409_000, "GenericConflict", "ManagedIdentityInUse")
                }
                DenialKind::Violation => (400, 400_004, "ArgumentInvalid", "ArgumentInvalid"),
                DenialKind::NotAuthorizedLinked => {
                    (403, 401_003, "IotHubUnauthorized", "LinkedAuthorizationFailed")
                }
                DenialKind::LacksRight => {
                    (401, 401_002, "IotHubUnauthorizedAccess", "AuthorizationFailed")
                }
                DenialKind::DeniedByAssignment => {
                    (403, 401_003, "IotHubUnauthorized", "DenyAssignmentAuthorizationFailed")
                }
                DenialKind::NotAuthorized | DenialKind::NotAuthorizedYet => {
                    (403, 401_003, "IotHubUnauthorized", "AuthorizationFailed")
                }
                DenialKind::Token(fault) => {
                    (fault.codes().2, 401_000, "GenericUnauthorized", "invalid_client")
                }
            },
            Self::Invalid { code, .. } => (400, 400_004, "ArgumentInvalid", *code),
            Self::NotFound { code, .. } => (404, 404_000, "GenericNotFound", *code),
            Self::Conflict { code, .. } => (409, 409_000, "GenericConflict", *code),
            Self::Stale { .. } => (412, 412_001, "PreconditionFailed", "PreconditionFailed"),
            Self::ApiVersion { code, .. } => (400, 400_001, "InvalidProtocolVersion", *code),
            Self::UnknownHost { .. } => (404, 401_001, "IotHubNotFound", "UnknownHost"),
            Self::UnknownPath { .. } => (404, 404_000, "GenericNotFound", "InvalidResourceType"),
            Self::MethodNotAllowed { .. } => {
                (405, 405_000, "GenericMethodNotAllowed", "HttpMethodNotAllowed")
            }
            Self::BodyTooLarge { .. } => {
                (413, 413_001, "MessageTooLarge", "RequestContentTooLarge")
            }
            Self::NotTheContentType { .. } => {
                (415, 415_000, "UnsupportedMediaType", "UnsupportedMediaType")
            }
            Self::BodyIncomplete => (400, 400_000, "GenericBadRequest", "InvalidRequestContent"),
            Self::DeviceIdInvalid { .. } | Self::DeviceInvalid { .. } => {
                (400, 400_004, "ArgumentInvalid", "ArgumentInvalid")
            }
            Self::DeviceNotFound(_) => (404, 404_001, "DeviceNotFound", "DeviceNotFound"),
            Self::DeviceAlreadyExists(_) => {
                (409, 409_001, "DeviceAlreadyExists", "DeviceAlreadyExists")
            }
            Self::DeviceStale(_) => (412, 412_001, "PreconditionFailed", "PreconditionFailed"),
            Self::BulkFailed { .. } => {
                (400, 400_013, "BulkRegistryOperationFailure", "BulkRegistryOperationFailure")
            }
            Self::TooManyDevices { .. } => (413, 413_002, "TooManyDevices", "TooManyDevices"),
            Self::Hub { fault, .. } | Self::Limited { fault, .. } => {
                let (status, number, word) = fault.codes();
                (status, number, word, word)
            }
            Self::Blob { fault, .. } => {
                let (status, number, word) = fault.hub_codes();
                (status, number, word, fault.codes().1)
            }
            Self::TooManyRequests { .. } => {
                (429, 429_001, "ThrottlingException", "TooManyRequests")
            }
            Self::EnrollmentNotFound { .. } => {
                (404, 404_201, "EnrollmentNotFound", "EnrollmentNotFound")
            }
            Self::EnrollmentConflict { .. } => {
                (409, 409_201, "EnrollmentConflict", "EnrollmentConflict")
            }
            Self::EnrollmentStale { .. } => {
                (412, 412_201, "PreconditionFailed", "PreconditionFailed")
            }
            Self::TpmChallenge { .. } => (401, 401_002, "Unauthorized", "Unauthorized"),
            Self::LinkStolen { .. } => {
                (409, 409_002, "LinkCreationConflict", "LinkCreationConflict")
            }
            Self::TooManyLinks { .. } => (403, 403_002, "IotHubQuotaExceeded", "QuotaExceeded"),
            Self::Unavailable { .. } => (503, 503_001, "ServiceUnavailable", "ServiceUnavailable"),
            Self::Internal { .. } => (500, 500_001, "ServerError", "InternalServerError"),
        };
        Wire { http_status, hub_code, hub_name, code, message: self.to_string() }
    }

    /// True where the same call succeeds once a change has come everywhere.
    pub fn is_coming(&self) -> bool {
        let Self::Denied(denial) = self else { return false };
        matches!(
            denial.kind,
            DenialKind::NotAuthorizedYet
                | DenialKind::Unauthenticated(AuthFault::NotYet)
                | DenialKind::Token(TokenFault::NotYetKnown)
        )
    }

    /// The HTTP status at a surface: a hub's service API answers a missing permission with 401, ARM with 403.
    pub fn status(&self, surface: Surface) -> u16 {
        match (self, surface) {
            (Self::Denied(denial), Surface::Hub | Surface::Dps)
                if matches!(
                    denial.kind,
                    DenialKind::NotAuthorized
                        | DenialKind::NotAuthorizedYet
                        | DenialKind::DeniedByAssignment
                ) =>
            {
                401
            }
            (_, Surface::Blob) => self.blob_codes().0,
            _ => self.wire().http_status,
        }
    }

    /// The body at a surface, in the shape that its clients parse.
    pub fn body(&self, surface: Surface, tracking: TrackingId, now: Timestamp) -> Value {
        let wire = self.wire();
        match surface {
            // Over AMQP a refusal is a condition; nobody sees this body.
            Surface::Arm | Surface::EventHubs | Surface::ServiceBus | Surface::Blob => {
                self.arm_body(&wire)
            }
            Surface::Graph => self.graph_body(&wire, tracking, now),
            Surface::Entra => self.entra_body(&wire, tracking, now),
            Surface::Hub => self.hub_body(&wire, tracking, now),
            Surface::Dps => self.dps_body(&wire, tracking, now),
            Surface::Identity => self.identity_body(&wire, tracking),
        }
    }

    /// Machines answer in OAuth's form, app services in one of their own: the members of both.
    fn identity_body(&self, wire: &Wire, tracking: TrackingId) -> Value {
        json!({
            "error": self.entra_codes().0,
            "error_description": wire.message,
            "statusCode": wire.http_status,
            "message": wire.message,
            "correlationId": tracking,
        })
    }

    fn arm_body(&self, wire: &Wire) -> Value {
        let mut error = json!({ "code": wire.code, "message": wire.message });
        if let Self::Denied(denial) = self
            && !denial.violations.is_empty()
        {
            let info: Vec<Value> = denial
                .violations
                .iter()
                .map(|it| json!({ "type": "PolicyViolation", "info": it }))
                .collect();
            json::set(&mut error, "target", json!(denial.target));
            json::set(&mut error, "additionalInfo", json!(info));
        }
        if let Self::Invalid { at: Some(at), .. } = self {
            json::set(&mut error, "target", json!(at));
        }
        json!({ "error": error })
    }

    fn graph_body(&self, wire: &Wire, tracking: TrackingId, now: Timestamp) -> Value {
        let code = match wire.http_status {
            401 => "InvalidAuthenticationToken",
            403 => "Authorization_RequestDenied",
            404 => "Request_ResourceNotFound",
            503 | 500 => "ServiceUnavailable",
            _ => "Request_BadRequest",
        };
        json!({ "error": { "code": code, "message": wire.message, "innerError": {
            "date": now.rfc3339(), "request-id": tracking, "client-request-id": tracking } } })
    }

    fn entra_body(&self, wire: &Wire, tracking: TrackingId, now: Timestamp) -> Value {
        let (error, number) = self.entra_codes();
        json!({
            "error": error,
            "error_description": format!("AADSTS{number}: {} Trace ID: {tracking} Timestamp: {}", wire.message, now.rfc3339()),
            "error_codes": [number],
            "timestamp": now.rfc3339(),
            "trace_id": tracking,
            "correlation_id": tracking,
        })
    }

    /// OAuth's word and Entra's number.
    fn entra_codes(&self) -> (&'static str, u32) {
        if let Self::Denied(denial) = self
            && let DenialKind::Token(fault) = denial.kind
        {
            let (word, number, _) = fault.codes();
            return (word, number);
        }
        match self.wire().code {
            // The word that MSAL looks for when it asks whether an authority is known.
            "invalid_instance" => ("invalid_instance", 50_049),
            "TooManyRequests" => ("temporarily_unavailable", 90_055),
            _ => ("invalid_request", 900_000),
        }
    }

    /// The classic form: the Node clients read the word between the first `:` and the first `;`.
    fn hub_body(&self, wire: &Wire, tracking: TrackingId, now: Timestamp) -> Value {
        if let Self::BulkFailed { result } = self {
            return result.clone();
        }
        let mut body = json!({
            "Message": format!("ErrorCode:{};{}", wire.hub_name, self.hub_text(wire)),
            "ExceptionMessage": format!("Tracking ID:{tracking}-G:0-TimeStamp:{}", now.american()),
        });
        if let Self::Denied(denial) = self
            && !denial.violations.is_empty()
            && let Some(error) = self.arm_body(wire).get("error")
        {
            json::set(&mut body, "error", error.clone());
        }
        body
    }

    /// The provisioning service's form: one number, one sentence.
    fn dps_body(&self, wire: &Wire, tracking: TrackingId, now: Timestamp) -> Value {
        let mut body = json!({
            "errorCode": wire.hub_code,
            "trackingId": tracking,
            "message": self.hub_text(wire),
            "timestampUtc": now.rfc3339(),
        });
        if let Self::TpmChallenge { key } = self {
            json::set(&mut body, "authenticationKey", json!(key));
            json::set(&mut body, "keyName", json!("registration"));
        }
        body
    }

    /// A policy's refusal in the three lines that people know it by, and one more for each role that it
    /// requires and the caller lacks; everything else in its own words.
    fn hub_text(&self, wire: &Wire) -> String {
        let Self::Denied(denial) = self else { return wire.message.clone() };
        let DenialKind::Policy { assignments, object, verb, lacks } = &denial.kind else {
            return wire.message.clone();
        };
        let what = match (verb.is_write(), object.rsplit('/').next().unwrap_or("")) {
            (true, "devices") => "Device registration denied".to_owned(),
            (true, other) => format!("Write to {other} denied"),
            (false, "devices") => "Device deletion denied".to_owned(),
            (false, other) => format!("Deletion from {other} denied"),
        };
        let missing: String = lacks
            .iter()
            .map(|it| format!("\nMissing role: {} of {}", it.role_name, it.principal_name))
            .collect();
        format!("HTTP 403: Forbidden\nError: {what}\nPolicy: {}{missing}", assignments.join(", "))
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
