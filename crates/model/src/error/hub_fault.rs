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
    /// The device has as many uploads under way as it can have.
    TooManyUploads,
    /// No such upload of the device.
    UnknownUpload,
    /// Its time is over.
    LateUpload,
    /// The hub has no storage for files.
    NoStorage,
    /// The storage for files does not do what the hub asks.
    StorageSaysNo,
    /// A message's own expiry is no time to come, or too far away.
    InvalidExpiry,
    ConfigurationNotFound,
    ConfigurationAlreadyExists,
    TooManyConfigurations,
    JobNotFound,
    JobAlreadyExists,
    TooManyJobs,
    /// What a call comes to is more than can be written at once.
    TooManyChanges,
    /// One device or module stands in a call more than once.
    DefinedTwice,
    InvalidPolicyKey,
    /// What is asked for is nothing that can be done to this.
    InvalidOperation,
    InvalidTargetCondition,
    InvalidConfigurationContent,
    InvalidMetricsQuery,
    /// What is asked for would change a configuration's content, which stays as it was made.
    ImmutableContent,
    InvalidTwinPatch,
    /// Too much of this is going on; the same call can succeed later.
    Throttled,
    /// The hub has had what it takes in a day, or has as many devices as it can.
    QuotaExceeded,
    /// The hub's edition does not have this.
    NotInEdition,
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
            Self::TooManyUploads => (403, 403_006, "DeviceMaximumActiveFileUploadLimitExceeded"),
            Self::UnknownUpload => (400, 400_015, "InvalidFileUploadCorrelationId"),
            Self::LateUpload => (400, 400_016, "ExpiredFileUploadCorrelationId"),
            Self::NoStorage => (400, 400_014, "DefaultStorageEndpointNotConfigured"),
            Self::StorageSaysNo => (400, 400_020, "InvalidStorageEndpointOrBlob"),
            Self::InvalidExpiry => (403, 403_009, "InvalidMessageExpiryTime"),
            Self::ConfigurationNotFound => (404, 404_301, "ConfigurationNotFound"),
            Self::ConfigurationAlreadyExists => (409, 409_401, "ConfigurationAlreadyExists"),
            Self::TooManyConfigurations => (413, 413_101, "ConfigurationCountLimitExceeded"),
            Self::JobNotFound => (404, 404_002, "JobNotFound"),
            Self::JobAlreadyExists => (409, 409_000, "GenericConflict"),
            Self::TooManyJobs => (403, 403_003, "JobQuotaExceeded"),
            Self::TooManyChanges => (413, 413_002, "TooManyDevices"),
            Self::DefinedTwice => (400, 400_011, "DeviceDefinedMultipleTimes"),
            Self::InvalidPolicyKey => (400, 400_035, "InvalidPolicyKey"),
            Self::InvalidOperation => (400, 400_003, "InvalidOperation"),
            Self::InvalidTargetCondition => (400, 400_401, "InvalidConfigurationTargetCondition"),
            Self::InvalidConfigurationContent => (400, 400_402, "InvalidConfigurationContent"),
            Self::ImmutableContent => (400, 400_403, "CannotModifyImmutableConfigurationContent"),
            Self::InvalidMetricsQuery => (400, 400_404, "InvalidConfigurationCustomMetricsQuery"),
            Self::InvalidTwinPatch => (400, 400_501, "InvalidDigitalTwinJsonPatch"),
            Self::Throttled => (429, 429_001, "ThrottlingException"),
            Self::QuotaExceeded => (403, 403_002, "IotHubQuotaExceeded"),
            Self::NotInEdition => (403, 403_010, "OperationNotAvailableInCurrentTier"),
        }
    }
}
