//! What an error is called over AMQP.

use super::{Error, HubFault};

impl Error {
    /// The condition that clients of hubs know. No catch-all arm, as for every other wire.
    /// Source: the public client libraries for devices and services.
    pub fn amqp_condition(&self) -> &'static str {
        match self {
            Self::Denied(_) => match self.wire().http_status {
                401 | 403 => "amqp:unauthorized-access",
                404 => "amqp:not-found",
                _ => "amqp:not-allowed",
            },
            Self::NotFound { .. }
            | Self::UnknownPath { .. }
            | Self::DeviceNotFound(_)
            | Self::EnrollmentNotFound { .. } => "amqp:not-found",
            Self::UnknownHost { .. } => "com.microsoft:iot-hub-not-found-error",
            Self::Invalid { .. }
            | Self::ApiVersion { .. }
            | Self::NotTheContentType { .. }
            | Self::BodyIncomplete
            | Self::DeviceIdInvalid { .. }
            | Self::DeviceInvalid { .. }
            | Self::BulkFailed { .. }
            | Self::TooManyDevices { .. } => "com.microsoft:argument-error",
            Self::MethodNotAllowed { .. }
            | Self::Conflict { .. }
            | Self::EnrollmentConflict { .. } => "amqp:not-allowed",
            Self::DeviceAlreadyExists(_) => "com.microsoft:device-already-exists",
            Self::Stale { .. } | Self::DeviceStale(_) | Self::EnrollmentStale { .. } => {
                "com.microsoft:precondition-failed"
            }
            Self::BodyTooLarge { .. } => "amqp:link:message-size-exceeded",
            // Blobs are not served over AMQP.
            Self::Blob { .. } => "amqp:not-allowed",
            Self::Hub { fault, .. } | Self::Limited { fault, .. } => fault.amqp_condition(),
            Self::TpmChallenge { .. } => "amqp:unauthorized-access",
            Self::LinkStolen { .. } => "amqp:link:stolen",
            Self::TooManyLinks { .. } => "amqp:resource-limit-exceeded",
            Self::TooManyRequests { .. } | Self::Unavailable { .. } => "com.microsoft:server-busy",
            Self::Internal { .. } => "amqp:internal-error",
        }
    }
}

impl HubFault {
    const fn amqp_condition(self) -> &'static str {
        match self {
            Self::ModuleNotFound
            | Self::DeviceNotOnline
            | Self::ConfigurationNotFound
            | Self::JobNotFound => "amqp:not-found",
            Self::ModuleAlreadyExists => "com.microsoft:device-already-exists",
            Self::ConfigurationAlreadyExists | Self::JobAlreadyExists | Self::NotInEdition => {
                "amqp:not-allowed"
            }
            Self::TooManyModules
            | Self::TooManyMethods
            | Self::QueueFull
            | Self::TooManyConfigurations
            | Self::TooManyJobs
            | Self::QuotaExceeded => "amqp:resource-limit-exceeded",
            Self::Throttled => "com.microsoft:device-container-throttled",
            Self::NoAnswer => "com.microsoft:timeout",
            Self::TooManyUploads => "amqp:resource-limit-exceeded",
            Self::UnknownUpload | Self::LateUpload | Self::NoStorage | Self::StorageSaysNo => {
                "com.microsoft:argument-error"
            }
            Self::MessageLockLost => "com.microsoft:message-lock-lost",
            Self::MessageTooLarge => "amqp:link:message-size-exceeded",
            Self::TooManyChanges => "amqp:link:message-size-exceeded",
            Self::InvalidExpiry
            | Self::DefinedTwice
            | Self::InvalidPolicyKey
            | Self::InvalidOperation
            | Self::InvalidTargetCondition
            | Self::InvalidConfigurationContent
            | Self::InvalidMetricsQuery
            | Self::ImmutableContent
            | Self::InvalidTwinPatch => "com.microsoft:argument-error",
        }
    }
}
