//! Where clients find everything else: the cloud metadata that `az cloud register` reads.
//!
//! Nothing in it points outside this server: a client that follows it talks to nobody else.

use crate::entra::discovery::{host, host_with_port};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::Error;
use serde_json::{Value, json};

/// From this api-version on, clients want one cloud and not a list of one.
/// Source: `az cloud register` of Azure CLI 2.91, which sends it.
const ONE_CLOUD_SINCE: &str = "2022-09-01";

/// The name under which clients file this cloud, unless told another.
const CLOUD: &str = "Hubward";

/// `GET /metadata/endpoints`: an object, or a list of one for older api-versions.
pub(crate) async fn endpoints(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let cloud = cloud(&env.settings.origin);
    Ok(match input.query("api-version") {
        Some(version) if version < ONE_CLOUD_SINCE => Reply::ok(json!([cloud])),
        Some(_) | None => Reply::ok(cloud),
    })
}

fn cloud(origin: &str) -> Value {
    let slashed = format!("{origin}/");
    let host = host(host_with_port(origin));
    json!({
        "name": CLOUD,
        "portal": slashed,
        "authentication": {
            "loginEndpoint": origin,
            // The first of them becomes the resource of every management token.
            "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "resourceManager": slashed,
        "microsoftGraphResourceId": slashed,
        "graph": slashed,
        "graphAudience": slashed,
        "gallery": slashed,
        "sqlManagement": slashed,
        "batch": slashed,
        "media": slashed,
        "activeDirectoryDataLake": slashed,
        "vmImageAliasDoc": slashed,
        "logAnalyticsResourceId": slashed,
        "appInsightsResourceId": slashed,
        "ossrdbmsResourceId": slashed,
        "suffixes": {
            "storage": host,
            "keyVaultDns": host,
            "acrLoginServer": host,
            "sqlServerHostname": host,
            "azureDataLakeStoreFileSystem": host,
            "azureDataLakeAnalyticsCatalogAndJob": host,
            "azureFrontDoorEndpointSuffix": host,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIENCES: [&str; 2] =
        ["https://management.core.windows.net/", "https://management.azure.com/"];

    #[test]
    fn nothing_points_outside_the_server() {
        let mut texts = Vec::new();
        collect(&cloud("https://127.0.0.1:8443"), &mut texts);
        for text in texts {
            let is_ours = text == "127.0.0.1" || text.starts_with("https://127.0.0.1:8443");
            // Audiences are names that are compared and never addresses that are called.
            let is_a_name = AUDIENCES.contains(&text.as_str());
            assert!(
                is_ours || is_a_name || ["Hubward", "common", "AAD"].contains(&text.as_str()),
                "{text}"
            );
        }
    }

    fn collect(value: &Value, texts: &mut Vec<String>) {
        match value {
            Value::String(text) => texts.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|it| collect(it, texts)),
            Value::Object(members) => members.values().for_each(|it| collect(it, texts)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    #[test]
    fn a_host_is_an_origin_without_scheme_and_port() {
        let check =
            |origin: &str, expected: &str| assert_eq!(host(host_with_port(origin)), expected);
        check("https://localhost:8443", "localhost");
        check("https://localhost", "localhost");
        check("https://[::1]:8443", "[::1]");
        check("https://[::1]", "[::1]");
    }
}
