//! What only the Blob service answers, and the words that it has for what others answer, too.

use super::{AuthFault, Denial, DenialKind, Error};
use crate::ids::TrackingId;
use crate::time::Timestamp;

/// A Blob service's no that no other variant of [`Error`] stands for. Source: Azure Storage, "Blob service error codes"
/// and "Common REST API error codes".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlobFault {
    AppendPosition,
    BlobAlreadyExists,
    BlobNotFound,
    BlockCountExceedsLimit,
    ConditionNotMet,
    ContainerAlreadyExists,
    ContainerNotFound,
    Crc64Mismatch,
    InvalidBlobType,
    InvalidBlockId,
    InvalidBlockList,
    InvalidHeaderValue,
    InvalidMetadata,
    InvalidQueryParameterValue,
    /// `length` is the blob's.
    InvalidRange {
        length: u64,
    },
    InvalidResourceName,
    InvalidXml,
    LeaseNotPresent,
    MaxBlobSize,
    Md5Mismatch,
    MetadataTooLarge,
    MissingRequiredHeader,
    /// The caller has what is there already.
    NotModified,
    OutOfRangeQueryParameterValue,
    PublicAccessNotPermitted,
    ResourceNotFound,
    UnsupportedBlobType,
    UnsupportedHeader,
    UnsupportedQueryParameter,
}

impl BlobFault {
    /// HTTP status and the word.
    pub const fn codes(self) -> (u16, &'static str) {
        match self {
            Self::AppendPosition => (412, "AppendPositionConditionNotMet"),
            Self::BlobAlreadyExists => (409, "BlobAlreadyExists"),
            Self::BlobNotFound => (404, "BlobNotFound"),
            Self::BlockCountExceedsLimit => (409, "BlockCountExceedsLimit"),
            Self::ConditionNotMet => (412, "ConditionNotMet"),
            Self::ContainerAlreadyExists => (409, "ContainerAlreadyExists"),
            Self::ContainerNotFound => (404, "ContainerNotFound"),
            Self::Crc64Mismatch => (400, "Crc64Mismatch"),
            Self::InvalidBlobType => (409, "InvalidBlobType"),
            Self::InvalidBlockId => (400, "InvalidBlobOrBlock"),
            Self::InvalidBlockList => (400, "InvalidBlockList"),
            Self::InvalidHeaderValue => (400, "InvalidHeaderValue"),
            Self::InvalidMetadata => (400, "InvalidMetadata"),
            Self::InvalidQueryParameterValue => (400, "InvalidQueryParameterValue"),
            Self::InvalidRange { .. } => (416, "InvalidRange"),
            Self::InvalidResourceName => (400, "InvalidResourceName"),
            Self::InvalidXml => (400, "InvalidXmlDocument"),
            Self::LeaseNotPresent => (412, "LeaseNotPresentWithBlobOperation"),
            Self::MaxBlobSize => (412, "MaxBlobSizeConditionNotMet"),
            Self::Md5Mismatch => (400, "Md5Mismatch"),
            Self::MetadataTooLarge => (400, "MetadataTooLarge"),
            Self::MissingRequiredHeader => (400, "MissingRequiredHeader"),
            Self::NotModified => (304, "ConditionNotMet"),
            Self::OutOfRangeQueryParameterValue => (400, "OutOfRangeQueryParameterValue"),
            Self::PublicAccessNotPermitted => (409, "PublicAccessNotPermitted"),
            Self::ResourceNotFound => (404, "ResourceNotFound"),
            Self::UnsupportedBlobType => (400, "InvalidHeaderValue"),
            Self::UnsupportedHeader => (400, "UnsupportedHeader"),
            Self::UnsupportedQueryParameter => (400, "UnsupportedQueryParameter"),
        }
    }

    /// Status and number as hubs would have them, for those who count in them.
    pub(super) const fn hub_codes(self) -> (u16, u32, &'static str) {
        match self.codes().0 {
            404 => (404, 404_000, "GenericNotFound"),
            409 => (409, 409_000, "GenericConflict"),
            412 => (412, 412_001, "PreconditionFailed"),
            status => (status, 400_004, "ArgumentInvalid"),
        }
    }
}

impl Error {
    /// HTTP status and word where blobs are served.
    pub fn blob_codes(&self) -> (u16, &'static str) {
        match self {
            Self::Blob { fault, .. } => fault.codes(),
            Self::Denied(denial) => denied(denial),
            Self::Invalid { .. } => (400, "InvalidInput"),
            Self::BodyTooLarge { .. } => (413, "RequestBodyTooLarge"),
            Self::BodyIncomplete => (400, "IncompleteBody"),
            Self::Stale { .. } => (412, "ConditionNotMet"),
            Self::UnknownHost { .. } => (404, "ResourceNotFound"),
            Self::UnknownPath { .. } => (400, "InvalidUri"),
            Self::MethodNotAllowed { .. } => (405, "UnsupportedHttpVerb"),
            Self::Unavailable { .. } => (503, "ServerBusy"),
            Self::Internal { .. } => (500, "InternalError"),
            _ => {
                let wire = self.wire();
                (wire.http_status, wire.code)
            }
        }
    }
}

impl Error {
    /// The body where blobs are served.
    pub fn blob_body(&self, tracking: TrackingId, now: Timestamp) -> String {
        let code = self.blob_codes().1;
        // Text of XML, in which these three alone mean something.
        let message =
            self.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let message = message.replace(|it: char| it.is_control(), " ");
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}\nRequestId:{tracking}\n\
             Time:{}</Message></Error>",
            now.rfc3339()
        )
    }
}

fn denied(denial: &Denial) -> (u16, &'static str) {
    match &denial.kind {
        DenialKind::Unauthenticated(AuthFault::Missing) => (401, "NoAuthenticationInformation"),
        DenialKind::Unauthenticated(AuthFault::LocalAuthDisabled) => {
            (403, "KeyBasedAuthenticationNotPermitted")
        }
        DenialKind::Unauthenticated(
            AuthFault::WrongAudience | AuthFault::WrongTenant | AuthFault::NotYet,
        ) => (401, "InvalidAuthenticationInfo"),
        DenialKind::Unauthenticated(
            AuthFault::Malformed | AuthFault::Invalid | AuthFault::Expired,
        ) => (403, "AuthenticationFailed"),
        DenialKind::NotAuthorized
        | DenialKind::NotAuthorizedYet
        | DenialKind::NotAuthorizedLinked
        | DenialKind::LacksRight
        | DenialKind::DeniedByAssignment => (403, "AuthorizationPermissionMismatch"),
        DenialKind::Network => (403, "AuthorizationFailure"),
        DenialKind::HubGone => (404, "ResourceNotFound"),
        DenialKind::Policy { .. } | DenialKind::SecurityPolicy => {
            (403, "RequestDisallowedByPolicy")
        }
        DenialKind::Locked => (409, "ScopeLocked"),
        DenialKind::IdentityInUse => (409, "ManagedIdentityInUse"),
        DenialKind::Violation => (400, "InvalidInput"),
        DenialKind::Token(fault) => (fault.codes().2, "AuthenticationFailed"),
    }
}
