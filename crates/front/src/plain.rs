//! The plain HTTP listener: is the server alive, does it answer, and how much has it done.
//!
//! It has its own listener so that numbers about the server are not open to whoever may reach a hub. It
//! reads no credential and changes nothing.

use crate::answer::Reply;
use crate::connections::{Slots, accept};
use crate::exchange::{Protocol, converse};
use crate::sent::Sent;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use ops::Env;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Most connections: probes and scrapers are few.
pub const PLAIN_CONNECTIONS_MAX: usize = 64;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Prometheus' text form. Source: Prometheus documentation, "Exposition formats".
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Serves `/healthz`, `/readyz` and `/metrics` until `stop` turns true.
pub async fn serve_plain(listener: TcpListener, env: Arc<Env>, stop: watch::Receiver<bool>) {
    let slots = Slots::new(PLAIN_CONNECTIONS_MAX, PLAIN_CONNECTIONS_MAX);
    let stopping = stop.clone();
    let reported = Arc::clone(&env);
    let connection = |stream, _, slot| {
        let (env, stop) = (Arc::clone(&env), stopping.clone());
        async move {
            let _slot = slot;
            let is_stopping = stop.clone();
            let respond = move |request: hyper::Request<_>| {
                let page =
                    page(request.method(), request.uri().path(), *is_stopping.borrow(), || {
                        let facts = env.facts.load();
                        let numbers = env.metrics.render(&facts.lookups, &env.presence);
                        numbers + &env.limits.render(&env)
                    });
                std::future::ready(page)
            };
            converse(stream, Protocol::Http1, stop, respond).await;
        }
    };
    let panicked =
        || reported.metrics.log_fault(reported.new_tracking_id(), "a connection ended in a panic");
    accept(listener, slots, stop, connection, panicked, async {}).await;
}

/// A server that stops is alive but takes no new work.
fn page(method: &Method, path: &str, is_stopping: bool, metrics: impl FnOnce() -> String) -> Reply {
    let (status, kind, text) = match (path, method) {
        ("/healthz" | "/readyz" | "/metrics", it) if it != Method::GET && it != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is possible here\n".to_owned())
        }
        ("/healthz", _) => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        ("/readyz", _) if is_stopping => {
            (StatusCode::SERVICE_UNAVAILABLE, TEXT, "the server is stopping\n".to_owned())
        }
        ("/readyz", _) => (StatusCode::OK, TEXT, "ok\n".to_owned()),
        ("/metrics", _) => (StatusCode::OK, METRICS, metrics()),
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            "nothing is here; there are /healthz, /readyz and /metrics\n".to_owned(),
        ),
    };
    let mut response = Response::new(Sent::Whole(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_its_status() {
        let check = |method: Method, path: &str, is_stopping: bool, expected: u16| {
            let page = page(&method, path, is_stopping, || "numbers".to_owned());
            assert_eq!(page.status(), expected, "{method} {path}");
        };
        check(Method::GET, "/healthz", false, 200);
        check(Method::GET, "/healthz", true, 200);
        check(Method::GET, "/readyz", false, 200);
        check(Method::GET, "/readyz", true, 503);
        check(Method::GET, "/metrics", false, 200);
        check(Method::HEAD, "/metrics", false, 200);
        check(Method::POST, "/metrics", false, 405);
        check(Method::GET, "/metrics/", false, 404);
        check(Method::GET, "/", false, 404);
        check(Method::POST, "/devices", false, 404);
    }

    #[test]
    fn numbers_are_made_only_where_they_are_asked_for() {
        page(&Method::GET, "/healthz", false, || unreachable!("nobody asked"));
        page(&Method::POST, "/metrics", false, || unreachable!("nobody may ask so"));
    }
}
