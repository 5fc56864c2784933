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
    match op == Op::IssueToken {
        true => of_grant(tenant, proof, form),
        false => of_page(op, tenant, form),
    }
}

fn field(form: &Value, name: &str) -> String {
    model::json::text(form, &[name]).unwrap_or("").to_owned()
}

fn password(form: &Value, tenant: String, client_id: String) -> Credential {
    let username = field(form, "username").trim().to_owned();
    let password = Secret::new(field(form, "password"));
    Credential::Password { tenant, client_id, username, password }
}

fn step(step: SignInStep) -> Option<Credential> {
    Some(Credential::SignIn(Box::new(step)))
}

/// What a page of sign-in shows for somebody, or a client that asks for a device code.
fn of_page(op: Op, tenant: &str, form: &Value) -> Option<Credential> {
    let tenant = tenant.to_owned();
    if [Op::OpenSession, Op::ChangeOwnPassword].contains(&op) {
        return Some(password(form, tenant, SIGN_IN_PAGES.to_owned()));
    }
    let asks = if [Op::ReadAuthorization, Op::IssueCode].contains(&op) {
        Asking::Code {
            client_id: field(form, "client_id"),
            redirect_uri: field(form, "redirect_uri"),
            challenge: field(form, "code_challenge"),
            challenge_method: field(form, "code_challenge_method"),
        }
    } else if [Op::ReadSession, Op::CloseSession].contains(&op) {
        Asking::Nothing
    } else {
        Asking::Device { user_code: device_codes::as_kept(&field(form, "user_code")) }
    };
    if [Op::RequestDeviceCode, Op::ReadAuthorization].contains(&op) {
        return step(SignInStep::Client { tenant, client_id: field(form, "client_id"), asks });
    }
    step(SignInStep::Session { tenant, token: Secret::new(field(form, "session")), asks })
}

/// What comes to the token endpoint.
fn of_grant(tenant: &str, proof: Option<Credential>, form: &Value) -> Option<Credential> {
    let tenant = tenant.to_owned();
    let id = match &proof {
        Some(
            Credential::ClientSecret { client_id, .. }
            | Credential::ClientAssertion { client_id, .. },
        ) => client_id.clone(),
        Some(_) | None => field(form, "client_id"),
    };
    let client = ShownClient { id, proof: proof.map(Box::new) };
    match field(form, "grant_type").trim() {
        tokens::PASSWORD if client.proof.is_some() => Some(Credential::Malformed {
            kind: "form",
            because: "a person signs in by it, and it comes with a client's credential; the clients that take people's \
                      passwords here have none"
                .into(),
        }),
        tokens::PASSWORD => Some(password(form, tenant, client.id)),
        tokens::REFRESH_TOKEN => {
            let token = Secret::new(field(form, "refresh_token"));
            Some(Credential::RefreshToken { tenant, client, token })
        }
        tokens::AUTHORIZATION_CODE => step(SignInStep::Code {
            tenant,
            client,
            code: Secret::new(field(form, "code")),
            redirect_uri: field(form, "redirect_uri"),
            verifier: Secret::new(field(form, "code_verifier")),
        }),
        tokens::DEVICE_CODE | tokens::DEVICE_CODE_SHORT => {
            let code = Secret::new(device_codes::of_form(form));
            step(SignInStep::DeviceCode { tenant, client, code })
        }
        // Not a person's: the client goes on by what it has shown, or by nothing.
        _ => client.proof.map(|it| *it),
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
