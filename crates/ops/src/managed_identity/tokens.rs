//! Tokens of a user-assigned identity for applications of this machine. Who may ask is the first gate's to say.
//!
//! Sources: Azure documentation, "How to use managed identities for Azure resources on an Azure VM to acquire an access
//! token", and "How to use managed identities for App Service", REST endpoint reference.

use crate::call::token_denial;
use crate::entra::tokens;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::Error;
use model::error::TokenFault;
use serde_json::json;

/// `GET /metadata/identity/oauth2/token` and `GET /msi/token`, both with `resource`. Numbers are texts, as clients of
/// both forms expect them.
///
/// # Errors
/// `invalid_request` without a resource, and `invalid_resource` for one that there is none of.
pub(crate) async fn issue(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let caller = permit.caller();
    let (Some(identity), Some(client)) = (caller.object_id, caller.app_id) else {
        let message = "a token was asked for by a caller that is no identity".into();
        return Err(Error::Internal { message });
    };
    let resource = input.query("resource").filter(|it| !it.is_empty()).ok_or_else(|| {
        token_denial(TokenFault::MissingField, "the parameter `resource` is required")
    })?;
    let audience = tokens::audience(resource, &env.settings.origin).ok_or_else(|| {
        token_denial(
            TokenFault::UnknownResource,
            tokens::no_resource(resource, &env.settings.origin),
        )
    })?;
    let issued = tokens::of_identity(env, identity, &audience)
        .map_err(|it| Error::Internal { message: it.to_string() })?;
    let left_s = issued.ends.seconds().saturating_sub(env.now().seconds()).to_string();
    let reply = Reply::ok(json!({
        "access_token": issued.token,
        "client_id": client,
        "expires_in": left_s,
        "expires_on": issued.ends.seconds().to_string(),
        "ext_expires_in": left_s,
        "not_before": issued.begins.seconds().to_string(),
        "resource": audience,
        "token_type": "Bearer",
    }));
    Ok(reply.with_header("Cache-Control", "no-store").with_header("Pragma", "no-cache"))
}
