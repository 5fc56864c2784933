//! Pages of the console. What they are made of they ask of the public API, down the same road as everybody: a request
//! that never leaves the process, read and answered as one that came over a socket.

use super::{Client, Shared, Side, Slot};
use crate::answer::Reply;
use crate::body::Unread;
use crate::request;
use crate::router::Missed;
use crate::sent::Sent;
use bytes::Bytes;
use console::{Api, Ask, Asked, Console, FORM_BYTES_MAX, Told};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use ops::Answer;
use ops::call::body_of;
use serde_json::Value;
use std::sync::Arc;

/// Answers a request for a page. It runs to its end, as a call does: what a form began is not left half done.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    console: &Arc<Console>,
    client: Client,
    slot: Arc<Slot>,
    request: Request<Incoming>,
) -> Reply {
    let (parts, body) = request.into_parts();
    let body = Unread::new(body);
    let is_swallowed = parts.version < Version::HTTP_2;
    let read = body.reader()(FORM_BYTES_MAX, None).await;
    let reply = match read {
        Ok(read) => {
            let (own, console) = (Arc::clone(shared), Arc::clone(console));
            let page = shared.calls.run(async move {
                let _slot = slot;
                let api = move |ask: Ask| -> std::pin::Pin<Box<dyn Future<Output = Told> + Send>> {
                    Box::pin(told(Arc::clone(&own), client.clone(), ask))
                };
                let api: &Api = &api;
                console.answer(Asked { parts, body: read }, api).await
            });
            page.await.map_or_else(failed, |it| it.map(|body| Sent::Whole(Full::new(body))))
        }
        Err(_) => status(StatusCode::PAYLOAD_TOO_LARGE),
    };
    if is_swallowed {
        body.swallow().await;
    }
    reply
}

/// What the API answers to a request of the person whose browser is at the other end.
async fn told(shared: Arc<Shared>, client: Client, ask: Ask) -> Told {
    let side = if ask.host.is_some() { Side::Hubs } else { Side::Management };
    let failed = |status| Told { status, body: Value::Null, headers: HeaderMap::new() };
    let mut request = Request::builder().method(ask.method).uri(ask.target);
    if let Some(headers) = request.headers_mut() {
        *headers = ask.headers;
    }
    let Ok(request) = request.body(()) else { return failed(400) };
    let (parts, ()): (Parts, ()) = request.into_parts();
    let own = ask.host.as_deref().and_then(|it| ops::call::surface_at(&shared.env, host(it)));
    let body = body_of(ask.body);
    let answer = match request::read(side, own, &parts, client.address, None, body) {
        Ok((mut call, _)) => {
            call.channel.tls = client.tls;
            ops::call::run(&shared.env, call).await
        }
        Err(Missed { surface, error }) => ops::call::refuse_early(&shared.env, surface, &error),
    };
    as_told(answer)
}

fn host(named: &str) -> &str {
    named.rsplit_once(':').map_or(named, |(host, _)| host)
}

fn as_told(answer: Answer) -> Told {
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value.parse()) {
            headers.insert(name, value);
        }
    }
    Told { status: answer.status, body: answer.body.unwrap_or(Value::Null), headers }
}

fn failed() -> Reply {
    status(StatusCode::INTERNAL_SERVER_ERROR)
}

fn status(status: StatusCode) -> Reply {
    let mut response = Response::new(Sent::Whole(Full::new(Bytes::new())));
    *response.status_mut() = status;
    response
}
