//! What first start decided, kept in the control plane's settings: ids, keys and the loopback net.

use crate::signing_keys::SigningKey;
use model::{ObjectId, Secret};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use store::{Change, Engine, Expect, ShardId, Write, tables};

const KEY: &str = "server";
/// The form that the document has now. Documents without a number have the first: one `signing_key`.
pub(crate) const FORMAT: u32 = 2;

/// The settings document. Holds secrets: it lies in a file of mode 0600 and has no `Debug` of its own.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) format: u32,
    pub(crate) tenant: ObjectId,
    pub(crate) subscription: ObjectId,
    pub(crate) loopback_net: String,
    pub(crate) ca_certificate: String,
    #[serde(serialize_with = "reveal", deserialize_with = "hide")]
    pub(crate) ca_key: Secret<String>,
    /// The newest first; never empty.
    pub(crate) signing_keys: Vec<SigningKey>,
    pub(crate) admin_app_id: ObjectId,
    pub(crate) admin_object_id: ObjectId,
    #[serde(serialize_with = "reveal", deserialize_with = "hide")]
    pub(crate) admin_secret: Secret<String>,
    /// The administrator as a person, and the password that first start gave; empty where first start was that of a
    /// version without.
    #[serde(default)]
    pub(crate) admin_user: String,
    #[serde(default = "none", serialize_with = "reveal", deserialize_with = "hide")]
    pub(crate) admin_password: Secret<String>,
    /// What `up` makes beside the tenant; empty after `--empty`.
    pub(crate) resource_group: String,
    pub(crate) hub: String,
    /// Empty also where first start was that of a version without provisioning services.
    #[serde(default)]
    pub(crate) dps: String,
    pub(crate) device: String,
    /// What applications show at the ports of identities, in the form of app services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) identity_headers: Vec<IdentityHeader>,
    /// True once the resources above were made. Until then the next start goes on where this one ended.
    pub(crate) is_complete: bool,
}

/// The secret of one identity's port.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct IdentityHeader {
    /// The identity's id in lower case.
    pub(crate) identity: String,
    #[serde(serialize_with = "reveal", deserialize_with = "hide")]
    pub(crate) header: Secret<String>,
}

fn none() -> Secret<String> {
    Secret::new(String::new())
}

pub(crate) fn reveal<S: Serializer>(
    secret: &Secret<String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.reveal())
}

pub(crate) fn hide<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

impl Saved {
    /// The document, and the revision that it has.
    pub(crate) async fn read(store: &Engine) -> Result<Option<(Self, u64)>, String> {
        let found = store
            .get(&ShardId::control(), tables::SETTINGS, KEY)
            .await
            .map_err(|it| it.to_string())?;
        found.map(|it| Ok((Self::parse(&it.body)?, it.revision))).transpose()
    }

    fn parse(document: &[u8]) -> Result<Self, String> {
        let told =
            |it: &dyn std::fmt::Display| format!("the server's settings cannot be read: {it}");
        let mut document: Value = serde_json::from_slice(document).map_err(|it| told(&it))?;
        match document.get("format").and_then(Value::as_u64) {
            None => upgrade(&mut document),
            Some(it) if it == u64::from(FORMAT) => {}
            Some(it) => {
                return Err(told(&format!(
                    "they have the form {it}, of a newer version; use that"
                )));
            }
        }
        let saved: Self = serde_json::from_value(document).map_err(|it| told(&it))?;
        match saved.signing_keys.is_empty() {
            true => Err(told(&"they hold no key to sign tokens with")),
            false => Ok(saved),
        }
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

/// Brings a document of the first form into the present one. How old its key is, nobody wrote down, so it
/// counts as made at the beginning of time, and gives way at this start.
fn upgrade(document: &mut Value) {
    let key = document.get("signing_key").cloned().unwrap_or_default();
    model::json::set(document, "format", json!(FORMAT));
    model::json::set(document, "signing_keys", json!([{ "key": key, "since": 0 }]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_newer_version_are_refused() {
        let told = Saved::parse(br#"{"format":3}"#).err().unwrap();
        assert!(told.contains("newer version"), "{told}");
    }

    #[test]
    fn settings_of_a_version_without_provisioning_services_are_read() {
        let id = "11111111-1111-4111-8111-111111111111";
        let document = json!({
            "tenant": id, "subscription": id, "loopback_net": "127.71.3",
            "ca_certificate": "c", "ca_key": "k", "signing_key": "s",
            "admin_app_id": id, "admin_object_id": id, "admin_secret": "a",
            "resource_group": "rg", "hub": "hub-1", "device": "device-1", "is_complete": true,
        });
        let saved = Saved::parse(document.to_string().as_bytes()).unwrap();
        assert_eq!((saved.hub.as_str(), saved.dps.as_str()), ("hub-1", ""));
        assert_eq!(
            (saved.signing_keys.len(), saved.signing_keys[0].key.reveal().as_str()),
            (1, "s")
        );
        // Written once in the present form, it is read as such.
        let again = Saved::parse(&serde_json::to_vec(&saved).unwrap()).unwrap();
        assert_eq!((again.format, again.signing_keys[0].key.reveal().as_str()), (FORMAT, "s"));
    }
}
