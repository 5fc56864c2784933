//! What an operation gets and gives: values, read and checked once.

use crate::blobs::{Content, Received};
use bytes::Bytes;
use model::trace::Channel;
use model::{CertificateChain, Error, Scope};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What came with a call, decoded.
#[derive(Clone, Debug)]
pub struct Input {
    /// The variable segments of the path, percent-decoded: `hub`, `device`, `name`.
    pub params: BTreeMap<&'static str, String>,
    /// The query, decoded, in order. Names compare without regard to case.
    pub query: Vec<(String, String)>,
    /// The body: `null` where none came, an object of texts for a form.
    pub body: Value,
    /// The body of a call that takes bytes, whatever they are; empty elsewhere.
    pub raw: Bytes,
    /// The body of a call that takes bytes without end, on the disk; nothing elsewhere.
    pub received: Option<Arc<Received>>,
    /// The place that the path names, as `model::Scope` reads it.
    pub scope: Scope,
    /// The path as it was asked for, decoded.
    pub path: String,
    pub headers: Headers,
    /// Over what the call came.
    pub channel: Channel,
    /// What the caller proves itself by, where that is a certificate.
    pub certificates: Option<CertificateChain>,
    /// Joins what is told of the call with what is told of the calls that it makes: the client's own id for
    /// it, where it sent one, else the tracking id.
    pub correlation_id: String,
}

/// The request headers that mean something to an operation.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// Without quotes; `*` stands for any version.
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub content_type: Option<String>,
    pub content_length: Option<u64>,
    /// `x-ms-client-request-id`.
    pub client_request_id: Option<String>,
    pub prefer: Option<String>,
    /// `x-ms-max-item-count`: most items of a page.
    pub max_item_count: Option<usize>,
    /// `x-ms-continuation`: where the page before ended, as its answer had it.
    pub continuation: Option<String>,
    /// What devices say of a message beside its body: every `iothub-...` and `dt-subject`, in lower case and in
    /// order.
    pub message: Vec<(String, String)>,
    /// What callers of storage say beside the body, names in lower case: every `x-ms-...`, what goes with the bytes, which
    /// of them, and on what the call depends.
    pub storage: Vec<(String, String)>,
}

impl Headers {
    /// What a caller of storage says in a header.
    pub fn said(&self, name: &str) -> Option<&str> {
        self.storage.iter().find(|(its, _)| its == name).map(|(_, it)| it.as_str())
    }
}

impl Input {
    /// A segment of the path that the route promises.
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name).map_or("", String::as_str)
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, it)| it.as_str())
    }

    /// The text below a path of names in the body.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        model::json::text(&self.body, path)
    }

    /// The same where it must be there.
    pub fn required_text(&self, path: &[&str]) -> Result<&str, Error> {
        self.text(path).ok_or_else(|| Error::invalid(path.join("."), "this text is required"))
    }
}

/// What an operation answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub body: Option<Value>,
    /// In place of a body of JSON.
    pub message: Option<Box<Message>>,
    /// Likewise, read as it is sent.
    pub content: Option<Box<Content>>,
    pub headers: Vec<(&'static str, String)>,
    /// Further headers, whose names are the caller's own.
    pub more: Vec<(String, String)>,
}

/// A body of bytes that are nobody's affair, and the properties that go with it as headers.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub body: Bytes,
    /// Named as senders named them: what is no name of a header is left to whoever answers.
    pub properties: Vec<(String, String)>,
}

impl Reply {
    pub const fn ok(body: Value) -> Self {
        Self::with(200, Some(body))
    }

    pub const fn created(body: Value) -> Self {
        Self::with(201, Some(body))
    }

    pub const fn empty(status: u16) -> Self {
        Self::with(status, None)
    }

    pub const fn with(status: u16, body: Option<Value>) -> Self {
        Self { status, body, message: None, content: None, headers: Vec::new(), more: Vec::new() }
    }

    /// An ARM list: `{"value": [...]}`.
    pub fn list(items: Vec<Value>) -> Self {
        Self::ok(serde_json::json!({ "value": items }))
    }

    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The pairs of a query or a form, decoded: `+` is a space, `%XX` a byte.
pub fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter(|it| !it.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
