//! The ports of identities that `--identity-endpoint` asks for, and the secret of each, which is made once and kept.

use crate::config::IdentityPort;
use crate::first_start::{hex, random};
use crate::saved::{IdentityHeader, Saved};
use model::{Scope, Secret};
use ops::managed_identity::endpoints::Endpoint;
use std::net::IpAddr;
use store::{Engine, Expect, ShardId};

/// Random bytes of a secret.
const HEADER_BYTES: usize = 32;

/// Finds the identities, and makes the secrets that are not there yet.
///
/// # Errors
/// The sentence for a person.
pub(crate) async fn read(
    ports: &[IdentityPort],
    saved: &mut Saved,
    store: &Engine,
    find: impl Fn(&str) -> Result<Scope, String>,
) -> Result<Vec<Endpoint>, String> {
    let before = saved.identity_headers.len();
    let mut endpoints = Vec::with_capacity(ports.len());
    for IdentityPort { identity, port } in ports {
        let identity = find(identity)?;
        let header = header(saved, &identity);
        endpoints.push(Endpoint { identity, port: *port, header });
    }
    if saved.identity_headers.len() > before {
        let change = saved.change(Expect::Present)?;
        store.commit(&ShardId::control(), vec![change]).await.map_err(|it| it.to_string())?;
    }
    Ok(endpoints)
}

fn header(saved: &mut Saved, identity: &Scope) -> Secret<String> {
    let key = identity.key();
    if let Some(kept) = saved.identity_headers.iter().find(|it| it.identity == key) {
        return kept.header.clone();
    }
    let header = Secret::new(hex(&random::<HEADER_BYTES>()));
    saved.identity_headers.push(IdentityHeader { identity: key, header: header.clone() });
    header
}

/// Where an identity's tokens are, as applications are told it.
pub(crate) fn origin(own: IpAddr, port: u16) -> String {
    format!("http://{own}:{port}")
}
