//! What each error says to whoever called.

use super::Error;
use std::fmt;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => f.write_str(&denial.message),
            Self::Invalid { at, message, .. } => match at {
                Some(at) => write!(f, "{at}: {message}"),
                None => f.write_str(message),
            },
            Self::NotFound { message, .. }
            | Self::Conflict { message, .. }
            | Self::Stale { message }
            | Self::ApiVersion { message, .. }
            | Self::DeviceIdInvalid { message }
            | Self::EnrollmentNotFound { message }
            | Self::EnrollmentConflict { message }
            | Self::EnrollmentStale { message }
            | Self::Hub { message, .. }
            | Self::Blob { message, .. }
            | Self::LinkStolen { message }
            | Self::TooManyLinks { message }
            | Self::Limited { message, .. }
            | Self::TooManyRequests { message, .. }
            | Self::Unavailable { message } => f.write_str(message),
            Self::UnknownHost { host } => write!(
                f,
                "no hub answers to the host name `{}`; `az iot hub list` shows the host names of all hubs",
                host.escape_debug()
            ),
            Self::UnknownPath { method, path } => {
                write!(f, "there is nothing at `{method} {}`", path.escape_debug())
            }
            Self::MethodNotAllowed { method, allowed } => {
                write!(
                    f,
                    "`{}` is not possible here; possible are {}",
                    method.escape_debug(),
                    allowed.join(", ")
                )
            }
            Self::BodyTooLarge { limit } => {
                write!(f, "the body is larger than {limit} bytes, the most that this call takes")
            }
            Self::NotTheContentType { got, wanted } => {
                write!(f, "the body is `{}`, but this call takes `{wanted}`", got.escape_debug())
            }
            Self::BodyIncomplete => f.write_str("the connection ended in the middle of the body"),
            Self::DeviceInvalid { at, message } => write!(f, "{at}: {message}"),
            Self::DeviceNotFound(id) => write!(f, "there is no device `{id}` in this hub"),
            Self::DeviceAlreadyExists(id) => {
                write!(
                    f,
                    "a device `{id}` is registered already; send `If-Match` with its etag, or `*`, to update it"
                )
            }
            Self::DeviceStale(id) => write!(
                f,
                "the device `{id}` has changed since the etag in `If-Match` was read; read it again"
            ),
            Self::TpmChallenge { .. } => f.write_str("Authorization required"),
            Self::BulkFailed { .. } => {
                f.write_str("some entries of the bulk call failed; the body lists them")
            }
            Self::TooManyDevices { limit } => {
                write!(f, "a bulk call takes at most {limit} devices")
            }
            Self::Internal { .. } => {
                f.write_str("the server failed; its log has the cause under this tracking id")
            }
        }
    }
}
