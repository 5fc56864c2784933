//! The credential of a call to the token endpoint: it stands in the form.

use crate::entra::{assertions, steps};
use crate::input::Input;
use model::{Credential, Operation, Plane, Secret};

/// The client's id and what proves it, or the person's, from the form or from HTTP Basic.
pub(super) fn client_credential(
    shown: Credential,
    operation: &Operation,
    input: &Input,
) -> Credential {
    if operation.plane != Plane::Token {
        return shown;
    }
    let tenant = input.param("tenant").to_owned();
    let proof = proof(shown, &tenant, input);
    if let Some(malformed @ Credential::Malformed { .. }) = proof {
        return malformed;
    }
    let named = steps::credential(operation.op, &tenant, proof, &input.body);
    named.unwrap_or_else(|| Credential::ClientSecret {
        tenant,
        client_id: input.text(&["client_id"]).unwrap_or("").to_owned(),
        secret: Secret::new(String::new()),
    })
}

/// What a client shows to prove itself; none where it shows nothing.
fn proof(shown: Credential, tenant: &str, input: &Input) -> Option<Credential> {
    let tenant = tenant.to_owned();
    if assertions::is_shown(&input.body) {
        return Some(assertions::credential(&shown, tenant, &input.body));
    }
    match shown {
        // No front makes one: it stands in a form.
        Credential::ClientAssertion { client_id, kind, assertion, .. } => {
            Some(Credential::ClientAssertion { tenant, client_id, kind, assertion })
        }
        Credential::ClientSecret { client_id, secret, .. } => {
            Some(Credential::ClientSecret { tenant, client_id, secret })
        }
        malformed @ Credential::Malformed { .. } => Some(malformed),
        // No front makes the last five: they stand in a form, and deployments and jobs sign in nowhere.
        Credential::None
        | Credential::Bearer(_)
        | Credential::Sas(_)
        | Credential::Storage(_)
        | Credential::Certificate(_)
        | Credential::Local(_)
        | Credential::Password { .. }
        | Credential::RefreshToken { .. }
        | Credential::SignIn(_)
        | Credential::Deployment(_)
        | Credential::Job(_) => {
            let secret = input.text(&["client_secret"]).unwrap_or("").to_owned();
            (!secret.is_empty()).then(|| Credential::ClientSecret {
                tenant,
                client_id: input.text(&["client_id"]).unwrap_or("").to_owned(),
                secret: Secret::new(secret),
            })
        }
    }
}
