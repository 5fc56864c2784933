//! The shared access policies of a hub: which a new one has, and the two operations that show keys.
//!
//! Keys leave the server in the answers of these operations, and in the lines that the first start
//! prints. Whoever may write a hub may also set its keys, see `shared_access.rs`.

use super::hubs::{self, HubDocument};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::shared_access;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Permit;
use gate::facts::Hub;
use model::Error;
use model::operations::Right;

/// What every new hub has.
/// Source: Azure documentation, "Control access to IoT Hub by using shared access signatures".
pub(super) const DEFAULTS: [(&str, &[Right]); 5] = [
    ("iothubowner", Right::HUB),
    ("service", &[Right::ServiceConnect]),
    ("device", &[Right::DeviceConnect]),
    ("registryRead", &[Right::RegistryRead]),
    ("registryReadWrite", &[Right::RegistryRead, Right::RegistryWrite]),
];

/// The primary key of a policy, in base64, for the connection string that the first start prints.
pub fn primary(hub: &Hub, name: &str) -> Option<String> {
    let policy = hub.access.policies.iter().find(|it| it.name == name)?;
    Some(STANDARD.encode(policy.primary.reveal()))
}

/// `POST .../listkeys`: every policy with its keys.
///
/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (HubDocument { policies, .. }, _) = hubs::named(input, env).await?;
    Ok(Reply::list(policies.iter().map(shared_access::show).collect()))
}

/// `POST .../IotHubKeys/{key}/listkeys`: one policy with its keys.
///
/// # Errors
/// `ResourceNotFound` for the hub; `IotHubKeyNotFound` for the policy.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (HubDocument { policies, .. }, _) = hubs::named(input, env).await?;
    let name = input.param("key");
    let found = shared_access::named(&policies, name).ok_or_else(|| Error::NotFound {
        code: "IotHubKeyNotFound",
        message: shared_access::no_policy("hub", name),
    })?;
    Ok(Reply::ok(shared_access::show(found)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

    #[test]
    fn a_new_hub_has_the_policies_that_clients_look_for() {
        let policies = shared_access::made(&DEFAULTS, &|| KEY.to_owned());
        let shown: Vec<Value> = policies.iter().map(shared_access::show).collect();
        assert_eq!(shown[0]["keyName"], "iothubowner");
        assert_eq!(
            shown[0]["rights"],
            "RegistryRead, RegistryWrite, ServiceConnect, DeviceConnect"
        );
        assert_eq!(shown[4]["rights"], "RegistryRead, RegistryWrite");
        let facts = shared_access::facts_of(&policies).unwrap();
        assert_eq!(facts.len(), 5);
        assert!(!format!("{facts:?}").contains(KEY));
    }
}
