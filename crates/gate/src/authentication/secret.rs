//! An application's secret at the token endpoint.

use super::{No, Proof, finding};
use crate::facts::{Application, Facts};
use model::error::{DenialKind, TokenFault};
use model::principal::AuthType;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{ObjectId, Secret, Timestamp};
use ring::digest;
use subtle::ConstantTimeEq;

pub(super) fn token_no(fault: TokenFault, message: &str, client: &str) -> Box<No> {
    let found = finding(FindingKind::Secret, client, FindingResult::Deny, message);
    Box::new(No { kind: DenialKind::Token(fault), message: message.to_owned(), finding: found })
}

pub(super) fn client_secret(
    tenant: &str,
    client_id: &str,
    secret: &Secret<String>,
    facts: &Facts,
    now: Timestamp,
) -> Proof {
    let deny = |fault, message: &str| Err(token_no(fault, message, client_id));
    let own = facts.tenant.to_string();
    if !tenant.eq_ignore_ascii_case(&own) {
        return deny(
            TokenFault::TenantNotFound,
            &format!("there is no tenant of that name here; this server's tenant is `{own}`."),
        );
    }
    if client_id.is_empty() || secret.reveal().is_empty() {
        return deny(
            TokenFault::MissingField,
            "the form must carry `client_id` and `client_secret`.",
        );
    }
    let application = ObjectId::parse(client_id).and_then(|it| facts.applications.get(&it));
    let Some(application) = application else {
        return deny(
            TokenFault::UnknownApplication,
            "no application with this client id is registered in the tenant.",
        );
    };
    match secret_of(application, secret, now) {
        SecretFit::Right => {}
        SecretFit::Expired => {
            return deny(
                TokenFault::ExpiredSecret,
                "the client secret has expired; `az ad app credential reset` makes a new one.",
            );
        }
        SecretFit::Wrong => {
            return deny(
                TokenFault::BadSecret,
                "the client secret is wrong; send the secret's value, not its id.",
            );
        }
    }
    let principal = application.principal.and_then(|it| facts.principals.get(&it));
    match principal {
        Some(it) if it.is_enabled => {
            let caller = Caller {
                kind: it.kind,
                object_id: Some(it.id),
                app_id: Some(application.app_id),
                name: it.display_name.clone(),
                auth: AuthType::Entra,
                signed_in: "client secret".into(),
                token_issued: None,
                via: None,
                rights: Vec::new(),
            };
            Ok((
                caller,
                finding(
                    FindingKind::Secret,
                    client_id,
                    FindingResult::Allow,
                    "the client secret is right",
                ),
            ))
        }
        Some(_) => deny(
            TokenFault::UnknownApplication,
            "the application's service principal is switched off.",
        ),
        None => deny(
            TokenFault::UnknownApplication,
            "the application has no service principal in this tenant; `az ad sp create --id` makes one.",
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
