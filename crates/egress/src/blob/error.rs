//! Why a container does not do what it was asked.

use super::xml;
use crate::client::{EgressError, shortened, with_id};
use bytes::Bytes;
use hyper::Response;
use hyper::header::RETRY_AFTER;
use std::fmt;
use std::time::Duration;

/// What kind of no it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// There is no such account, container or blob.
    NotFound,
    /// The credential does not count, or does not count for this; or there is none.
    Unauthorized,
    /// It is there already, or is another than was expected, or is held.
    Conflict,
    /// The service wants us to come back.
    Throttled,
    /// Nobody answers, or who answers is in trouble.
    Unreachable,
    /// Anything else that asking again does not change.
    Refused,
}

/// A no, in the words of the service where it has said some.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlobError {
    pub why: Why,
    /// 0 where nobody has answered.
    pub status: u16,
    /// The service's own, as `AuthorizationPermissionMismatch`.
    pub code: String,
    pub message: String,
    /// By which the service knows its decision.
    pub request_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            0 => f.write_str(&self.message),
            status => write!(f, "{status} {}: {}", self.code, self.message),
        }
    }
}

impl std::error::Error for BlobError {}

impl From<EgressError> for BlobError {
    fn from(error: EgressError) -> Self {
        Self::own(Why::Unreachable, error.to_string())
    }
}

impl BlobError {
    /// The no as operators are shown it, with the id of the service's decision.
    pub fn told(&self) -> String {
        with_id(self, self.request_id.as_deref())
    }

    pub(super) fn own(why: Why, message: String) -> Self {
        let (status, code, request_id) = (0, String::new(), None);
        Self { why, status, code, message, request_id, retry_after: None }
    }

    pub(super) fn of(answer: &Response<Bytes>) -> Self {
        let header = |name: &str| answer.headers().get(name).and_then(|it| it.to_str().ok());
        let body = std::str::from_utf8(answer.body()).unwrap_or_default();
        let code = header("x-ms-error-code").map(str::to_owned);
        let code = code.or_else(|| xml::text(body, "Code")).unwrap_or_default();
        let status = answer.status().as_u16();
        // The request's id and the time stand in further lines.
        let message = xml::text(body, "Message").unwrap_or_default();
        let message = message.lines().next().unwrap_or_default();
        let after = header(RETRY_AFTER.as_str()).and_then(|it| it.parse().ok());
        let why = match status {
            404 => Why::NotFound,
            401 | 403 => Why::Unauthorized,
            409 | 412 => Why::Conflict,
            429 | 503 => Why::Throttled,
            500..=599 => Why::Unreachable,
            _ => Why::Refused,
        };
        Self {
            why,
            status,
            code: shortened(&code),
            message: shortened(message),
            request_id: header("x-ms-request-id").map(shortened),
            retry_after: after.map(Duration::from_secs),
        }
    }
}
