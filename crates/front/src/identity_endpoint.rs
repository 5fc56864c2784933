//! The ports at which applications of this machine get the tokens of a user-assigned identity: plain HTTP, as their
//! libraries expect it. What a request shows is taken down here, and judged by the gates.

use crate::answer::{Reply, response};
use crate::connections::{Slots, accept};
use crate::exchange::{Protocol, converse};
use crate::https::Side;
use crate::request;
use crate::router::Missed;
use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName};
use model::credential::LocalCaller;
use model::{Credential, Secret};
use ops::Env;
use ops::call::body_of;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Most connections of one port: applications ask once an hour.
const CONNECTIONS_MAX: usize = 64;

const METADATA: HeaderName = HeaderName::from_static("metadata");
const IDENTITY_HEADER: HeaderName = HeaderName::from_static("x-identity-header");
/// By what proxies tell of themselves.
const FORWARDING: [&str; 6] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "via"];
/// By what a request names the identity that it means.
const SELECTORS: [&str; 6] =
    ["client_id", "clientid", "object_id", "principal_id", "mi_res_id", "msi_res_id"];

/// Serves a port until `stop` turns true.
pub async fn serve(listener: TcpListener, port: u16, env: Arc<Env>, stop: watch::Receiver<bool>) {
    let slots = Slots::new(CONNECTIONS_MAX, CONNECTIONS_MAX);
    let stopping = stop.clone();
    let reported = Arc::clone(&env);
    let connection = |stream, peer: std::net::SocketAddr, slot| {
        let (env, stop) = (Arc::clone(&env), stopping.clone());
        async move {
            let _slot = slot;
            let respond = move |request| respond(Arc::clone(&env), port, peer.ip(), request);
            converse(stream, Protocol::Http1, stop, respond).await;
        }
    };
    let panicked =
        || reported.metrics.log_fault(reported.new_tracking_id(), "a connection ended in a panic");
    accept(listener, slots, stop, connection, panicked, async {}).await;
}

async fn respond(env: Arc<Env>, port: u16, peer: IpAddr, request: Request<Incoming>) -> Reply {
    let (parts, _) = request.into_parts();
    // Nothing that is asked here has a body.
    let read = request::read(Side::Identity(port), None, &parts, peer, None, body_of(Bytes::new()));
    let (call, wanted_back) = match read {
        Ok(it) => it,
        Err(Missed { surface, error }) => {
            return response(
                ops::call::refuse_early(&env, surface, &error),
                &parts.method,
                Vec::new(),
            );
        }
    };
    response(ops::call::run(&env, call).await, &parts.method, wanted_back)
}

/// What a request at a port shows.
pub(crate) fn credential(
    port: u16,
    host: &str,
    path: &str,
    query: &[(String, String)],
    headers: &HeaderMap,
) -> Credential {
    // A header that stands twice counts as none: two readers could each take another one.
    let single = |name: &HeaderName| {
        let mut all = headers.get_all(name).iter();
        all.next().filter(|_| all.next().is_none()).and_then(|it| it.to_str().ok())
    };
    let meant = query.iter().filter_map(|(name, value)| {
        let name = SELECTORS.iter().find(|it| it.eq_ignore_ascii_case(name))?;
        Some((*name, value.clone()))
    });
    Credential::Local(Box::new(LocalCaller {
        port,
        host: host.to_owned(),
        is_app_service: path.starts_with("/msi/"),
        metadata: single(&METADATA).map(str::to_owned),
        header: single(&IDENTITY_HEADER).map(|it| Secret::new(it.to_owned())),
        forwarded: FORWARDING.into_iter().find(|it| headers.contains_key(*it)),
        meant: meant.collect(),
    }))
}
