//! Attestation by a TPM: which endorsement key an enrollment takes, as it is kept, read and shown.
//!
//! A TPM shows that it holds the endorsement key by opening what was encrypted for it: a key, with which the device
//! then signs, see `challenges.rs`. What is encrypted, and how, is in `tpm/activation.rs`.

mod activation;
mod public;

pub(super) use activation::{Chance, activation};
pub(super) use public::Public;

use crate::resources::fields::Fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest public key of a TPM, in base64: twice what one of RSA with 2,048 bits takes.
const KEY_TEXT_BYTES_MAX: usize = 1_024;
const ENDORSEMENT: &str = "endorsementKey";
const STORAGE: &str = "storageRootKey";

/// The public keys of a TPM, in base64.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tpm {
    pub(super) endorsement_key: String,
    /// Whichever the device names where none is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) storage_root_key: Option<String>,
}

impl Tpm {
    /// Reads the object of that name: of an enrollment's attestation, or of a device that registers.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the place.
    pub(super) fn read(above: &Fields<'_>) -> Result<Self, Error> {
        let refuse = || above.refuse("tpm", format!("required: the TPM's `{ENDORSEMENT}`"));
        let given = above.object("tpm")?.ok_or_else(refuse)?;
        Ok(Self {
            endorsement_key: read_key(&given, ENDORSEMENT)?.ok_or_else(refuse)?,
            storage_root_key: read_key(&given, STORAGE)?,
        })
    }

    pub(super) fn shown(&self) -> Value {
        let mut keys = json!({ ENDORSEMENT: self.endorsement_key });
        if let Some(key) = &self.storage_root_key {
            model::json::set(&mut keys, STORAGE, json!(key));
        }
        json!({ "type": "tpm", "tpm": keys })
    }

    /// Whether a device that shows these keys is the one that is enrolled. Public keys are no secrets.
    pub(super) fn is_of(&self, shown: &Self) -> bool {
        self.endorsement_key == shown.endorsement_key
            && self
                .storage_root_key
                .as_ref()
                .is_none_or(|it| shown.storage_root_key.as_ref() == Some(it))
    }
}

/// A public key, in base64 as we write it.
fn read_key(given: &Fields<'_>, name: &str) -> Result<Option<String>, Error> {
    let Some(text) = given.text(name)?.filter(|it| !it.is_empty()) else { return Ok(None) };
    let der = (text.len() <= KEY_TEXT_BYTES_MAX).then(|| STANDARD.decode(text).ok()).flatten();
    let bytes =
        der.ok_or_else(|| given.refuse(name, "expected a public key of a TPM in base64"))?;
    Public::read(&bytes).map_err(|it| given.refuse(name, it.to_string()))?;
    Ok(Some(STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests;
