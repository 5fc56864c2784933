//! Reading a call's body, once its caller is known: within its limits, into one value that gate and operation
//! share.

use crate::input::{Headers, Input};
use bytes::Bytes;
use model::operations::Body;
use model::{Error, Operation, Plane};
use serde_json::{Map, Value};
use std::future::ready;
use std::pin::Pin;
use tokio::sync::mpsc;

/// Largest body of a control-plane call: a template with its parameters.
pub const CONTROL_BODY_BYTES_MAX: usize = 4 << 20;
/// Largest body of a service call: a bulk of 100 devices with their twins.
pub const SERVICE_BODY_BYTES_MAX: usize = 8 << 20;
/// Largest body of bytes: a batch of messages in base64, with their properties.
pub const RAW_BODY_BYTES_MAX: usize = 512 << 10;
/// Largest form at the token endpoint.
pub const FORM_BYTES_MAX: usize = 64 << 10;

/// Why a body could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyFault {
    TooLarge,
    Incomplete,
}

/// Reads the body up to a number of bytes. Called once, after authentication.
pub type BodyReader = Box<dyn FnOnce(usize, Taker) -> Reading + Send>;

/// Who takes what comes: whoever waits at the other end, or nobody, and then the reading brings all of it.
pub type Taker = Option<mpsc::Sender<Bytes>>;

/// A body that is there already.
pub fn body_of(bytes: Bytes) -> BodyReader {
    Box::new(move |limit, _| {
        let read = if bytes.len() <= limit { Ok(bytes) } else { Err(BodyFault::TooLarge) };
        Box::pin(ready(read))
    })
}

/// A body that is being read.
pub type Reading = Pin<Box<dyn Future<Output = Result<Bytes, BodyFault>> + Send>>;

async fn read(read: BodyReader, limit: usize, headers: &Headers) -> Result<Bytes, Error> {
    if headers.content_length.is_some_and(|it| it > limit as u64) {
        return Err(Error::BodyTooLarge { limit });
    }
    read(limit, None).await.map_err(|fault| match fault {
        BodyFault::TooLarge => Error::BodyTooLarge { limit },
        BodyFault::Incomplete => Error::BodyIncomplete,
    })
}

/// Reads the body that an operation takes; of a form nothing is left to read by then.
pub(super) async fn read_into(
    input: &mut Input,
    operation: &Operation,
    reader: BodyReader,
) -> Result<(), Error> {
    match operation.body {
        Body::Json | Body::Template => {
            input.body = read_json(reader, operation, &input.headers).await?;
        }
        Body::Raw => input.raw = read(reader, RAW_BODY_BYTES_MAX, &input.headers).await?,
        // A file's is read on the road itself.
        Body::None | Body::Form | Body::File => {}
    }
    Ok(())
}

async fn read_json(
    reader: BodyReader,
    operation: &Operation,
    headers: &Headers,
) -> Result<Value, Error> {
    let limit = match operation.plane {
        Plane::Service | Plane::Device => SERVICE_BODY_BYTES_MAX,
        Plane::Control | Plane::Directory | Plane::Open | Plane::Token => CONTROL_BODY_BYTES_MAX,
    };
    let bytes = read(reader, limit, headers).await?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let media = media_type(headers);
    if !(media.is_empty()
        || media == "application/json"
        || media == "text/json"
        || media.ends_with("+json"))
    {
        return Err(Error::NotTheContentType { got: media, wanted: "application/json" });
    }
    let read = match operation.body {
        Body::Template => model::json::parse_relaxed(&bytes),
        Body::None | Body::Json | Body::Form | Body::Raw | Body::File => model::json::parse(&bytes),
    };
    read.map_err(|it| Error::invalid("body", format!("not JSON that can be taken: {it}")))
}

pub(super) async fn read_form(reader: BodyReader, headers: &Headers) -> Result<Value, Error> {
    let bytes = read(reader, FORM_BYTES_MAX, headers).await?;
    let media = media_type(headers);
    if !(media.is_empty() || media == "application/x-www-form-urlencoded") {
        return Err(Error::NotTheContentType {
            got: media,
            wanted: "application/x-www-form-urlencoded",
        });
    }
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Error::invalid("body", "the form is not UTF-8"))?;
    let mut form = Map::new();
    for (key, value) in crate::input::pairs(text) {
        if form.insert(key.clone(), Value::String(value)).is_some() {
            return Err(Error::invalid(key, "this field stands twice in the form"));
        }
    }
    Ok(Value::Object(form))
}

fn media_type(headers: &Headers) -> String {
    let text = headers.content_type.as_deref().unwrap_or("");
    text.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}
