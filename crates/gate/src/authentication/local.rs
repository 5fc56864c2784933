//! An application of this machine that asks for the token of a user-assigned identity, at that identity's port.
//!
//! It shows no secret of the identity: whoever runs here may ask, as on a machine in Azure. What must not get through is
//! somebody elsewhere who has a program here ask for him. A page in a browser cannot set the header, and names its own
//! host when its name leads here; a proxy says so. Each is refused for itself.

use super::application::{Fault, token_no};
use super::{Proof, finding};
use crate::facts::{Facts, IdentityEndpoint, UserAssigned};
use core::net::IpAddr;
use model::credential::LocalCaller;
use model::error::TokenFault;
use model::principal::AuthType;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{ObjectId, PrincipalKind, Scope};
use subtle::ConstantTimeEq as _;

pub(super) fn local(shown: &LocalCaller, facts: &Facts) -> Proof {
    let endpoint = facts.identity_endpoints.get(&shown.port);
    let name = endpoint.map_or("", |it| it.identity.name());
    match proven(shown, endpoint, facts) {
        Ok(caller) => {
            let reason = "the application runs on this machine, at the identity's port";
            Ok((caller, finding(FindingKind::Secret, name, FindingResult::Allow, reason)))
        }
        Err((fault, message)) => Err(token_no(FindingKind::Secret, fault, message, name)),
    }
}

fn proven(
    shown: &LocalCaller,
    endpoint: Option<&IdentityEndpoint>,
    facts: &Facts,
) -> Result<Caller, Fault> {
    let no = |fault, message: String| Err((fault, message));
    if !shown.host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback()) {
        let message = "`Host` must be a loopback address, such as `127.0.0.1`: tokens of identities are for applications \
                       on this machine alone";
        return no(TokenFault::NotLocal, message.into());
    }
    if let Some(name) = shown.forwarded {
        return no(
            TokenFault::NotLocal,
            format!("the request came through a proxy (`{name}`); ask for the token directly"),
        );
    }
    let Some(endpoint) = endpoint else {
        return no(TokenFault::IdentityNotFound, "no identity has this port".into());
    };
    match shown.is_app_service {
        true if !has_header(shown, endpoint) => {
            let message =
                "`X-IDENTITY-HEADER` must be the secret that the server printed when it started";
            return no(TokenFault::IdentityHeader, message.into());
        }
        false if !shown.metadata.as_ref().is_some_and(|it| it.eq_ignore_ascii_case("true")) => {
            return no(
                TokenFault::IdentityHeader,
                "the header `Metadata: true` is required".into(),
            );
        }
        true | false => {}
    }
    let Some(identity) = facts.user_assigned(&endpoint.identity) else {
        let message = format!(
            "the identity `{}` of this port does not exist; `az identity create` makes it",
            endpoint.identity
        );
        return no(TokenFault::IdentityNotFound, message);
    };
    if let Some((name, _)) = shown.meant.iter().find(|(name, value)| !is(identity, name, value)) {
        let message = format!(
            "Identity not found: this port has `{}` alone, and `{name}` names another",
            identity.scope.name()
        );
        return no(TokenFault::IdentityNotFound, message);
    }
    Ok(Caller {
        kind: PrincipalKind::ManagedIdentity,
        object_id: Some(identity.principal),
        app_id: Some(identity.client),
        name: identity.scope.name().to_owned(),
        auth: AuthType::None,
        signed_in: format!("on this machine, at port {}", shown.port),
        token_issued: None,
        via: None,
        rights: Vec::new(),
    })
}

fn has_header(shown: &LocalCaller, endpoint: &IdentityEndpoint) -> bool {
    let secret = endpoint.header.reveal().as_bytes();
    shown.header.as_ref().is_some_and(|it| it.reveal().as_bytes().ct_eq(secret).into())
}

/// True where a parameter names this identity.
fn is(identity: &UserAssigned, name: &str, value: &str) -> bool {
    match name {
        "client_id" | "clientid" => ObjectId::parse(value) == Some(identity.client),
        "object_id" | "principal_id" => ObjectId::parse(value) == Some(identity.principal),
        _ => Scope::parse(value).is_ok_and(|it| it.same_place(&identity.scope)),
    }
}
