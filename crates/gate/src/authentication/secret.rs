//! An application's secret at the token endpoint.

use super::application::{self, Fault};
use super::{Proof, finding};
use crate::facts::{Application, Facts};
use model::error::TokenFault;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{Secret, Timestamp};
use ring::digest;
use subtle::ConstantTimeEq;

pub(super) fn client_secret(
    tenant: &str,
    client_id: &str,
    secret: &Secret<String>,
    facts: &Facts,
    now: Timestamp,
) -> Proof {
    let kind = FindingKind::Secret;
    match proven(tenant, client_id, secret, facts, now) {
        Ok(caller) => Ok((
            caller,
            finding(kind, client_id, FindingResult::Allow, "the client secret is right"),
        )),
        Err((fault, message)) => Err(application::token_no(kind, fault, message, client_id)),
    }
}

fn proven(
    tenant: &str,
    client_id: &str,
    secret: &Secret<String>,
    facts: &Facts,
    now: Timestamp,
) -> Result<Caller, Fault> {
    application::check_tenant(tenant, facts)?;
    let no = |fault, message: &str| Err((fault, message.to_owned()));
    if client_id.is_empty() || secret.reveal().is_empty() {
        return no(
            TokenFault::MissingField,
            "the form must carry `client_id` and `client_secret`, or `client_assertion` in its place.",
        );
    }
    let application = application::named(client_id, facts)?;
    match secret_of(application, secret, now) {
        SecretFit::Right => application::caller(application, "client secret".into(), facts),
        SecretFit::Expired => no(
            TokenFault::ExpiredSecret,
            "the client secret has expired; `az ad app credential reset` makes a new one.",
        ),
        SecretFit::Wrong => no(
            TokenFault::BadSecret,
            "the client secret is wrong; send the secret's value, not its id.",
        ),
    }
}

enum SecretFit {
    Right,
    Expired,
    Wrong,
}

/// Compares with every secret of the application, each in constant time.
fn secret_of(application: &Application, secret: &Secret<String>, now: Timestamp) -> SecretFit {
    let mut fit = SecretFit::Wrong;
    for kept in &application.secrets {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&kept.salt);
        context.update(secret.reveal().as_bytes());
        if bool::from(context.finish().as_ref().ct_eq(&kept.hash)) {
            fit = match now < kept.expires {
                true => SecretFit::Right,
                false => SecretFit::Expired,
            };
        }
    }
    fit
}
