//! What the directory tells about the tenant as a whole.

use super::context;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::Error;
use serde_json::json;

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
