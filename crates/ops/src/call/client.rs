//! The credential of a call to the token endpoint: it stands in the form.

use crate::entra::{assertions, sign_ins};
use crate::input::Input;
use model::{Credential, Secret};

/// The client's id and what proves it, or the person's, from the form or from HTTP Basic.
pub(super) fn client_credential(shown: Credential, input: &Input) -> Credential {
    let tenant = input.param("tenant").to_owned();
    if let Some(person) = sign_ins::credential(&shown, &tenant, &input.body) {
        return person;
    }
    if assertions::is_shown(&input.body) {
        return assertions::credential(&shown, tenant, &input.body);
    }
    match shown {
        // No front makes one: it stands in a form.
        Credential::ClientAssertion { client_id, kind, assertion, .. } => {
            Credential::ClientAssertion { tenant, client_id, kind, assertion }
        }
        Credential::ClientSecret { client_id, secret, .. } => {
            Credential::ClientSecret { tenant, client_id, secret }
        }
        Credential::Malformed { kind, because } => Credential::Malformed { kind, because },
        // No front makes the last four: two stand in a form, and deployments and jobs sign in nowhere.
        Credential::None
        | Credential::Bearer(_)
        | Credential::Sas(_)
        | Credential::Storage(_)
        | Credential::Certificate(_)
        | Credential::Local(_)
        | Credential::Password { .. }
        | Credential::RefreshToken { .. }
        | Credential::Deployment(_)
        | Credential::Job(_) => Credential::ClientSecret {
            tenant,
            client_id: input.text(&["client_id"]).unwrap_or("").to_owned(),
            secret: Secret::new(input.text(&["client_secret"]).unwrap_or("").to_owned()),
        },
    }
}
