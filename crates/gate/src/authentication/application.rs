//! The application that a client names at the token endpoint, and whom it calls as once it has proven
//! itself: the same for a secret, a certificate and an assertion of another issuer.

use super::{No, finding};
use crate::facts::{Application, Facts};
use model::ObjectId;
use model::error::{DenialKind, TokenFault};
use model::principal::AuthType;
use model::trace::{Caller, FindingKind, FindingResult};

/// What is wrong with a sign-in: the fault and its sentence.
pub(super) type Fault = (TokenFault, String);

pub(super) fn token_no(
    kind: FindingKind,
    fault: TokenFault,
    message: String,
    client: &str,
) -> Box<No> {
    let found = finding(kind, client, FindingResult::Deny, &message);
    Box::new(No { kind: DenialKind::Token(fault), message, finding: found })
}

/// Checks the tenant whose address was called.
pub(super) fn check_tenant(tenant: &str, facts: &Facts) -> Result<(), Fault> {
    let own = facts.tenant.to_string();
    match tenant.eq_ignore_ascii_case(&own) {
        true => Ok(()),
        false => Err((
            TokenFault::TenantNotFound,
            format!("there is no tenant of that name here; this server's tenant is `{own}`."),
        )),
    }
}

pub(super) fn named<'a>(client_id: &str, facts: &'a Facts) -> Result<&'a Application, Fault> {
    let application = ObjectId::parse(client_id).and_then(|it| facts.applications.get(&it));
    application.ok_or_else(|| {
        (
            TokenFault::UnknownApplication,
            "no application with this client id is registered in the tenant.".to_owned(),
        )
    })
}

/// The caller that a proven application is: its service principal.
pub(super) fn caller(
    application: &Application,
    signed_in: String,
    facts: &Facts,
) -> Result<Caller, Fault> {
    let no = |because: &str| Err((TokenFault::UnknownApplication, because.to_owned()));
    match application.principal.and_then(|it| facts.principals.get(&it)) {
        Some(it) if it.is_enabled => Ok(Caller {
            kind: it.kind,
            object_id: Some(it.id),
            app_id: Some(application.app_id),
            name: it.display_name.clone(),
            auth: AuthType::Entra,
            signed_in,
            token_issued: None,
            via: None,
            rights: Vec::new(),
        }),
        Some(_) => no("the application's service principal is switched off."),
        None => no(
            "the application has no service principal in this tenant; `az ad sp create --id` makes one.",
        ),
    }
}
