//! The public API, as the console calls it: a request that never leaves the process, and its answer.

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use serde_json::Value;
use std::pin::Pin;

/// A request for the public API.
#[derive(Clone, Debug)]
pub struct Ask {
    /// A hub's, a provisioning service's or a target's own; none for the management origin.
    pub host: Option<String>,
    pub method: Method,
    /// Path and query, percent-encoded.
    pub target: String,
    /// With `host` and `content-type` where they are needed.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What the API answered.
#[derive(Clone, Debug)]
pub struct Told {
    pub status: u16,
    /// Null where it has none.
    pub body: Value,
    pub headers: HeaderMap,
}

/// Calls the API on behalf of whoever asked for a page: the address of the caller is theirs.
pub type Api = dyn Fn(Ask) -> Pin<Box<dyn Future<Output = Told> + Send>> + Send + Sync;

impl Told {
    pub(crate) const fn is_ok(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The id under which the decision can be asked for.
    pub(crate) fn tracking(&self) -> Option<&str> {
        self.headers.get("x-ms-request-id")?.to_str().ok()
    }

    /// The code and the sentence of an error, in any of the shapes that error bodies have.
    pub(crate) fn error(&self) -> (String, String) {
        let text = |path: &str| self.body.pointer(path).and_then(Value::as_str);
        // A hub has both in one line.
        let hub = text("/Message").and_then(|it| it.strip_prefix("ErrorCode:")?.split_once(';'));
        let code = text("/error/code").or_else(|| text("/error")).or(hub.map(|it| it.0));
        let message = text("/error/message")
            .or_else(|| text("/error_description"))
            .or_else(|| text("/message"))
            .or(hub.map(|it| it.1))
            .or_else(|| text("/Message"));
        let status = || format!("status {}", self.status);
        (
            code.map_or_else(status, str::to_owned),
            message.unwrap_or("no reason was given").to_owned(),
        )
    }
}
