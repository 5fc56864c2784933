//! What else a hub answers with a number and a word of its own.

/// A hub's no that no other variant of [`super::Error`] stands for. Source: IoT Hub error codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HubFault {
    ModuleNotFound,
    ModuleAlreadyExists,
    TooManyModules,
    /// The device is not connected, or listens for no methods.
    DeviceNotOnline,
    /// As many methods are under way on the device as it can have.
    TooManyMethods,
    /// The device did not answer in time.
    NoAnswer,
    /// As many messages wait for the device as it can have.
    QueueFull,
    /// The message was settled already, or the time to settle it is over.
    MessageLockLost,
    MessageTooLarge,
    /// A message's own expiry is no time to come, or too far away.
    InvalidExpiry,
    ConfigurationNotFound,
    ConfigurationAlreadyExists,
    TooManyConfigurations,
    JobNotFound,
    JobAlreadyExists,
    TooManyJobs,
    /// Too much of this is going on; the same call can succeed later.
    Throttled,
}

impl HubFault {
    /// HTTP status, the hub's number, the hub's word.
    pub const fn codes(self) -> (u16, u32, &'static str) {
        match self {
            Self::ModuleNotFound => (404, 404_010, "ModuleNotFound"),
            Self::ModuleAlreadyExists => (409, 409_301, "ModuleAlreadyExistsOnDevice"),
            Self::TooManyModules => (413, 413_003, "TooManyModulesOnDevice"),
            Self::DeviceNotOnline => (404, 404_103, "DeviceNotOnline"),
            Self::TooManyMethods => (403, 403_800, "DeviceMaximumInflightMethodExceeded"),
            Self::NoAnswer => (504, 504_101, "GatewayTimeout"),
            Self::QueueFull => (403, 403_004, "DeviceMaximumQueueDepthExceeded"),
            Self::MessageLockLost => (412, 412_002, "DeviceMessageLockLost"),
            Self::MessageTooLarge => (413, 413_001, "MessageTooLarge"),
            Self::InvalidExpiry => (403, 403_009, "InvalidMessageExpiryTime"),
            Self::ConfigurationNotFound => (404, 404_301, "ConfigurationNotFound"),
            Self::ConfigurationAlreadyExists => (409, 409_401, "ConfigurationAlreadyExists"),
            Self::TooManyConfigurations => (413, 413_101, "ConfigurationCountLimitExceeded"),
            Self::JobNotFound => (404, 404_002, "JobNotFound"),
            Self::JobAlreadyExists => (409, 409_000, "GenericConflict"),
            Self::TooManyJobs => (403, 403_003, "JobQuotaExceeded"),
            Self::Throttled => (429, 429_001, "ThrottlingException"),
        }
    }
}
