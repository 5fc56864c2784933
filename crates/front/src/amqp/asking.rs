//! Calls over a connection.

use super::address::Place;
use super::driver::Driver;
use bytes::Bytes;
use model::operations::{Protocol, Surface, operation};
use model::trace::Channel;
use model::{Credential, Op};
use ops::Call;
use ops::call::body_of;
use ops::input::Headers;
use std::collections::BTreeMap;

/// A call over this connection.
pub(super) struct Asking {
    pub(super) op: Op,
    /// Whom the client means; empty for whoever is at the connection's address.
    pub(super) host: String,
    pub(super) verb: &'static str,
    pub(super) path: String,
    pub(super) params: BTreeMap<&'static str, String>,
    pub(super) credential: Credential,
}

impl Driver<'_> {
    /// The host that a client means, empty for whoever is at the connection's address.
    fn meant(&self, host: String) -> String {
        match host.is_empty() {
            true => self.local.ip().to_canonical().to_string(),
            false => host,
        }
    }

    /// Who answers at a host. Whoever is nobody is told so by the road.
    pub(super) fn surface(&self, host: &str) -> Surface {
        ops::call::surface_at(self.env, &self.meant(host.to_owned())).unwrap_or(Surface::Hub)
    }

    /// Who answers at an address, by the token that was put for it.
    pub(super) fn surface_of(&self, place: &Place) -> Surface {
        self.surface(&self.claims.shown(&place.path()).0)
    }

    /// A call over this connection, without a body.
    pub(super) fn call(&self, asking: Asking) -> Call {
        self.call_with(asking, Bytes::new())
    }

    pub(super) fn call_with(&self, asking: Asking, body: Bytes) -> Call {
        let Asking { op, host, verb, path, params, credential } = asking;
        let row = operation(op);
        let host = self.meant(host);
        let request = crate::path::shown(&format!("{verb} {path}"));
        Call {
            operation: row,
            surface: row.surface(),
            host,
            path,
            params,
            query: Vec::new(),
            headers: Headers {
                content_type: Some("application/json".into()),
                ..Headers::default()
            },
            credential,
            channel: Channel {
                protocol: Protocol::Amqp.as_str().to_owned(),
                request,
                address: self.peer.to_canonical().to_string(),
                tls: self.tls,
                ..Channel::default()
            },
            body: body_of(body),
        }
    }
}
