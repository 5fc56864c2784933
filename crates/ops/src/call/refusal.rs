//! An error, as the answer that the clients of its surface read.

use super::Answer;
use crate::env::Env;
use crate::input::Message;
use model::error::BlobFault;
use model::operations::Surface;
use model::{Error, TrackingId};

pub(super) fn refuse(
    env: &Env,
    surface: Surface,
    error: &Error,
    tracking: TrackingId,
    wants_flat: bool,
) -> Answer {
    let wire = error.wire();
    let status = error.status(surface);
    let body = match (surface, wants_flat) {
        (Surface::Arm, true) => {
            serde_json::json!({ "error": wire.code, "code": status, "message": wire.message })
        }
        _ => error.body(surface, tracking, env.now()),
    };
    // Where blobs are served, it is XML; and who has the blob already gets none.
    let (body, message) = match (surface == Surface::Blob, status) {
        (true, 304) => (None, None),
        (true, _) => {
            let text = error.blob_body(tracking, env.now());
            (None, Some(Box::new(Message { body: text.into(), properties: Vec::new() })))
        }
        (false, _) => (Some(body), None),
    };
    let mut headers = vec![("x-hubward-retry", retry_hint(error).to_owned())];
    match surface {
        Surface::Hub => headers.push(("iothub-errorcode", wire.hub_name.to_owned())),
        Surface::Dps => headers.push(("x-ms-error-code", wire.hub_code.to_string())),
        Surface::Arm => headers.push(("x-ms-failure-cause", "gateway".to_owned())),
        Surface::Blob => {
            headers.push(("Content-Type", "application/xml".to_owned()));
            headers.push(("x-ms-error-code", error.blob_codes().1.to_owned()));
            if let Error::Blob { fault: BlobFault::InvalidRange { length }, .. } = error {
                headers.push(("Content-Range", format!("bytes */{length}")));
            }
        }
        Surface::Entra
        | Surface::Graph
        | Surface::Identity
        | Surface::EventHubs
        | Surface::ServiceBus => {}
    }
    if status == 401 && surface == Surface::Blob {
        let challenge = format!(
            "Bearer authorization_uri={}/{}/oauth2/authorize resource_id=https://storage.azure.com",
            env.settings.origin, env.settings.tenant
        );
        headers.push(("WWW-Authenticate", challenge));
    }
    if status == 401 && matches!(surface, Surface::Arm | Surface::Graph) {
        let challenge = format!(
            "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{}\"",
            env.settings.origin,
            env.settings.tenant,
            wire.message.replace(['"', '\\'], "'").replace(|it: char| it.is_control(), " ")
        );
        headers.push(("WWW-Authenticate", challenge));
    }
    if let Error::MethodNotAllowed { allowed, .. } = error {
        headers.push(("Allow", allowed.join(", ")));
    }
    if let Some(after_s) = error.retry_after_s() {
        headers.push(("Retry-After", after_s.to_string()));
    }
    if let Error::Internal { message } = error {
        env.metrics.log_fault(tracking, message);
    }
    Answer {
        status,
        body,
        message,
        content: None,
        headers,
        more: Vec::new(),
        tracking,
        error: Some(error.clone()),
    }
}

/// Whether the same call can succeed later without anybody changing anything.
fn retry_hint(error: &Error) -> &'static str {
    match () {
        () if error.is_coming() => "propagation",
        () if error.retry_after_s().is_some() => "throttle",
        () => "never",
    }
}
