//! What first start decided, kept in the control plane's settings: ids, keys and the loopback net.

use model::{ObjectId, Secret};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use store::{Change, Engine, Expect, ShardId, Write, tables};

const KEY: &str = "server";

/// The settings document. Holds secrets: it lies in a file of mode 0600 and has no `Debug` of its own.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) tenant: ObjectId,
    pub(crate) subscription: ObjectId,
    pub(crate) loopback_net: String,
    pub(crate) ca_certificate: String,
    #[serde(serialize_with = "reveal", deserialize_with = "hide")]
    pub(crate) ca_key: Secret<String>,
    /// PKCS#8, base64.
    #[serde(serialize_with = "reveal", deserialize_with = "hide")]
    pub(crate) signing_key: Secret<String>,
    pub(crate) admin_app_id: ObjectId,
    pub(crate) admin_object_id: ObjectId,
    #[serde(serialize_with = "reveal", deserialize_with = "hide")]
    pub(crate) admin_secret: Secret<String>,
    /// What `up` makes beside the tenant; empty after `--empty`.
    pub(crate) resource_group: String,
    pub(crate) hub: String,
    /// Empty also where first start was that of a version without provisioning services.
    #[serde(default)]
    pub(crate) dps: String,
    pub(crate) device: String,
    /// True once the resources above were made. Until then the next start goes on where this one ended.
    pub(crate) is_complete: bool,
}

fn reveal<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}

fn hide<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

impl Saved {
    pub(crate) async fn read(store: &Engine) -> Result<Option<Self>, String> {
        let found = store
            .get(&ShardId::control(), tables::SETTINGS, KEY)
            .await
            .map_err(|it| it.to_string())?;
        found
            .map(|it| {
                serde_json::from_slice(&it.body)
                    .map_err(|it| format!("the server's settings cannot be read: {it}"))
            })
            .transpose()
    }

    pub(crate) fn change(&self, expect: Expect) -> Result<Change, String> {
        let body = serde_json::to_vec(self).map_err(|it| it.to_string())?;
        Ok(Change {
            table: tables::SETTINGS,
            key: KEY.into(),
            expect,
            write: Write::Put(body.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_of_a_version_without_provisioning_services_are_read() {
        let id = "11111111-1111-4111-8111-111111111111";
        let document = json!({
            "tenant": id, "subscription": id, "loopback_net": "127.71.3",
            "ca_certificate": "c", "ca_key": "k", "signing_key": "s",
            "admin_app_id": id, "admin_object_id": id, "admin_secret": "a",
            "resource_group": "rg", "hub": "hub-1", "device": "device-1", "is_complete": true,
        });
        let saved: Saved = serde_json::from_value(document).unwrap();
        assert_eq!((saved.hub.as_str(), saved.dps.as_str()), ("hub-1", ""));
    }
}
