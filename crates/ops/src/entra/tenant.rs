//! What the directory tells about the tenant as a whole: its name, and its users, who are none yet.

use super::context;
use super::filters::{Forms, Listing};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::Error;
use serde_json::json;

const USER_FORMS: Forms = Forms {
    set: "users",
    equals: &["id", "displayName", "mail", "userPrincipalName"],
    flags: &[],
    starts: &["displayName", "userPrincipalName"],
    any: &[],
};

/// Lists users: there are none yet.
pub(crate) async fn list_users(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    Ok(Listing::read(input, &USER_FORMS)?.answer(&env.settings.origin, &USER_FORMS, Vec::new()))
}

/// Shows the tenant, the only one.
pub(crate) async fn get_organization(
    _permit: &Permit,
    _input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    Ok(Reply::ok(json!({
        "@odata.context": context(&env.settings.origin, "organization"),
        "value": [{
            "id": env.settings.tenant,
            "displayName": "Hubward",
            "tenantType": "AAD",
            "verifiedDomains": [],
        }],
    })))
}
