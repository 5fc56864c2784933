//! The steps of a person's way to tokens, as forms show them, and what is kept of each.
//!
//! What a form shows is taken down here, and whatever the gates need to prove it by is read. Nothing is decided.

use super::{codes, device_codes, sign_ins, stretching, tokens};
use crate::env::Env;
use gate::{Facts, LookedUp, SIGN_IN_PAGES};
use model::credential::{Asking, ShownClient, SignInStep};
use model::{Credential, Error, Op, Secret};
use serde_json::{Value, json};

/// The credential of a form by which a person, or a client of one, comes; none where its grant is another. `proof`
/// is what the client shows of itself.
pub(crate) fn credential(
    op: Op,
    tenant: &str,
    proof: Option<Credential>,
    form: &Value,
) -> Option<Credential> {
    let field = |name: &str| model::json::text(form, &[name]).unwrap_or("").to_owned();
    let tenant = tenant.to_owned();
    let step = |it| Some(Credential::SignIn(Box::new(it)));
    let session = |tenant, asks| {
        let token = Secret::new(field("session"));
        step(SignInStep::Session { tenant, token, asks })
    };
    let for_code = || Asking::Code {
        client_id: field("client_id"),
        redirect_uri: field("redirect_uri"),
        challenge: field("code_challenge"),
        challenge_method: field("code_challenge_method"),
    };
    let password = |tenant, client_id| Credential::Password {
        tenant,
        client_id,
        username: field("username").trim().to_owned(),
        password: Secret::new(field("password")),
    };
    match op {
        Op::RequestDeviceCode => {
            let asks = Asking::Device { user_code: String::new() };
            step(SignInStep::Client { tenant, client_id: field("client_id"), asks })
        }
        Op::ReadAuthorization => {
            let asks = for_code();
            step(SignInStep::Client { tenant, client_id: field("client_id"), asks })
        }
        Op::OpenSession | Op::ChangeOwnPassword => Some(password(tenant, SIGN_IN_PAGES.to_owned())),
        Op::ReadSession | Op::CloseSession => session(tenant, Asking::Nothing),
        Op::IssueCode => session(tenant, for_code()),
        Op::ReadDeviceRequest | Op::AnswerDeviceRequest => {
            let user_code = device_codes::as_kept(&field("user_code"));
            session(tenant, Asking::Device { user_code })
        }
        _ => {
            let shown_id = match &proof {
                Some(
                    Credential::ClientSecret { client_id, .. }
                    | Credential::ClientAssertion { client_id, .. },
                ) => client_id.clone(),
                Some(_) | None => field("client_id"),
            };
            let has_proof = proof.is_some();
            let client = ShownClient { id: shown_id, proof: proof.map(Box::new) };
            match field("grant_type").trim() {
                tokens::PASSWORD if has_proof => Some(Credential::Malformed {
                    kind: "form",
                    because: "a person signs in by it, and it comes with a client's credential; the clients that take \
                              people's passwords here have none"
                        .into(),
                }),
                tokens::PASSWORD => Some(password(tenant, client.id)),
                tokens::REFRESH_TOKEN => {
                    let token = Secret::new(field("refresh_token"));
                    Some(Credential::RefreshToken { tenant, client, token })
                }
                tokens::AUTHORIZATION_CODE => step(SignInStep::Code {
                    tenant,
                    client,
                    code: Secret::new(field("code")),
                    redirect_uri: field("redirect_uri"),
                    verifier: Secret::new(field("code_verifier")),
                }),
                tokens::DEVICE_CODE | tokens::DEVICE_CODE_SHORT => {
                    let shown = Some(field("device_code")).filter(|it| !it.is_empty());
                    let code = Secret::new(shown.unwrap_or_else(|| field("code")));
                    step(SignInStep::DeviceCode { tenant, client, code })
                }
                _ => {
                    // Not a person's: the client goes on by what it has shown, or by nothing.
                    return client.proof.map(|it| *it);
                }
            }
        }
    }
}

/// Looks up what the gates need to prove a person by. What a client left out of its form because it said so when it
/// asked for a code is filled in.
pub(crate) async fn look_up(
    env: &Env,
    facts: &Facts,
    credential: &Credential,
    form: &mut Value,
) -> Result<LookedUp, Error> {
    match credential {
        Credential::Password { username, password, .. } => {
            stretching::shown(env, facts, username, password).await
        }
        Credential::RefreshToken { token, .. } => sign_ins::of_token(env, token.reveal()).await,
        Credential::SignIn(step) => match &**step {
            SignInStep::Client { .. } => Ok(LookedUp::Nothing),
            SignInStep::Session { token, asks, .. } => {
                device_codes::in_browser(env, token.reveal(), asks).await
            }
            SignInStep::Code { code, .. } => {
                let found = codes::shown(env, code.reveal()).await?;
                Ok(found.map_or(LookedUp::Nothing, |(code, scope)| {
                    complete(form, &[("scope", Some(scope))]);
                    LookedUp::Code(Box::new(code))
                }))
            }
            SignInStep::DeviceCode { code, .. } => {
                let found = device_codes::shown(env, code.reveal()).await?;
                Ok(found.map_or(LookedUp::Nothing, |(code, scope, resource)| {
                    complete(form, &[("scope", scope), ("resource", resource)]);
                    LookedUp::DeviceCode(Box::new(code))
                }))
            }
        },
        Credential::None
        | Credential::Bearer(_)
        | Credential::Sas(_)
        | Credential::Storage(_)
        | Credential::Certificate(_)
        | Credential::ClientSecret { .. }
        | Credential::ClientAssertion { .. }
        | Credential::Local(_)
        | Credential::Deployment(_)
        | Credential::Job(_)
        | Credential::Malformed { .. } => Ok(LookedUp::Nothing),
    }
}

/// Sets what a form lacks where it names nothing that a token is for. Source: RFC 6749, section 4.1.3, which has no
/// `scope`.
fn complete(form: &mut Value, with: &[(&str, Option<String>)]) {
    let says =
        |name: &str| model::json::text(form, &[name]).is_some_and(|it| !it.trim().is_empty());
    if says("scope") || says("resource") {
        return;
    }
    for (name, value) in with {
        if let Some(value) = value {
            model::json::set(form, name, json!(value));
        }
    }
}
