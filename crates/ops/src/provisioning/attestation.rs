//! By what a device may register: keys of its own enrollment or those that groups derive for it, its own
//! certificates, or those that a group's CAs have signed.
//!
//! This module finds and judges nothing: which key made a signature, which CA leads to a certificate, and whether
//! the enrollment behind it is enabled, is for the gates to say.

use super::challenges::KEY_BYTES;
use super::enrollment::{Attestation, Kind, ProvisioningStatus, Source};
use super::enrollment_body::is_id;
use super::enrollments;
use super::register::shard;
use crate::env::Env;
use gate::facts::{Dps, OwnCertificate, OwnKeys, OwnProof};
use model::trace::Caller;
use model::{Error, Op, Secret};
use ring::hmac;

/// By what a device may prove itself, and the enrollment that says so.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Named by the registration id: in the casing of an individual enrollment, in lower case for a group.
    pub(crate) proof: OwnProof,
    pub(crate) source: Source,
}

impl Known {
    /// The same by a key that the device was sent.
    fn by_key(&self, key: Secret<Vec<u8>>) -> Self {
        let proof = match &self.proof {
            OwnProof::Keys(own) => {
                OwnProof::Keys(OwnKeys { primary: key.clone(), secondary: key, ..own.clone() })
            }
            other @ OwnProof::Certificate(_) => other.clone(),
        };
        Self { proof, source: self.source.clone() }
    }
}

/// Everything that `registration_id` may do an operation by: its individual enrollment and nothing else where it
/// has one, disabled or not; otherwise every group, in the order of their ids, each with the keys that it
/// derives or with its CAs. Nothing for what is no registration id.
///
/// # Errors
/// [`Error::Unavailable`] where the store cannot be read.
pub(crate) async fn candidates(
    env: &Env,
    dps: &Dps,
    registration_id: &str,
    op: Op,
) -> Result<Vec<Known>, Error> {
    if !is_id(registration_id) {
        return Ok(Vec::new());
    }
    // INVARIANT: an individual enrollment hides every group, so that disabling it shuts the device out.
    if let Some(source) = enrolled(env, dps, registration_id).await? {
        let sent = match source.attestation() {
            Attestation::Tpm(_) => env.challenges.live(dps, registration_id, op, env.now()),
            Attestation::SymmetricKey(_) | Attestation::X509(_) => Vec::new(),
        };
        let known = known(source, dps, registration_id, env)?;
        return Ok(match sent.is_empty() {
            true => vec![known],
            false => sent.into_iter().map(|it| known.by_key(it)).collect(),
        });
    }
    let shard = shard(dps)?;
    let mut all = Vec::new();
    for (key, document) in &enrollments::all_groups(env, &shard).await? {
        let read = Source::parse(Kind::Group, key, &document.body);
        match read.and_then(|it| known(it, dps, registration_id, env)) {
            Ok(it) => all.push(it),
            // It opens nothing, and must not shut the others out.
            Err(Error::Internal { message }) => {
                env.metrics.log_fault(env.new_tracking_id(), &message)
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// What the enrollment that vouched for a caller says now, where it still is what `registration_id` would
/// register by.
///
/// # Errors
/// [`Error::Unavailable`] where the store cannot be read.
pub(crate) async fn vouched(
    env: &Env,
    dps: &Dps,
    registration_id: &str,
    caller: &Caller,
) -> Result<Option<Known>, Error> {
    let Some(via) = caller.via.as_deref() else { return Ok(None) };
    // An individual enrollment hides every group here, too.
    let found = match enrolled(env, dps, registration_id).await? {
        Some(own) => Some(own),
        None => enrollments::read(env, &shard(dps)?, Kind::Group, via).await?.map(|(it, _)| it),
    };
    let source = found.filter(|it| it.id() == via);
    source.map(|it| known(it, dps, registration_id, env)).transpose()
}

/// The individual enrollment of a device, where it has one.
///
/// # Errors
/// [`Error::Unavailable`] where the store cannot be read.
pub(super) async fn enrolled(
    env: &Env,
    dps: &Dps,
    registration_id: &str,
) -> Result<Option<Source>, Error> {
    let own = enrollments::read(env, &shard(dps)?, Kind::Individual, registration_id).await?;
    Ok(own.map(|(it, _)| it))
}

fn known(source: Source, dps: &Dps, registration_id: &str, env: &Env) -> Result<Known, Error> {
    let is_enabled = source.terms().provisioning_status == ProvisioningStatus::Enabled;
    let name = match &source {
        Source::Individual(it) => it.registration_id.clone(),
        Source::Group(_) => registration_id.to_ascii_lowercase(),
    };
    let via = Some(source.id().to_owned());
    let proof = match source.attestation() {
        Attestation::SymmetricKey(keys) => {
            let keys = keys.decoded().ok_or_else(|| Error::Internal {
                message: format!("a key of the enrollment `{}` is not base64", source.id()),
            })?;
            let [primary, secondary] = match &source {
                Source::Individual(_) => keys,
                Source::Group(_) => {
                    keys.map(|it| Secret::new(derive(it.reveal(), registration_id).to_vec()))
                }
            };
            OwnProof::Keys(OwnKeys { name, via, primary, secondary, is_enabled })
        }
        Attestation::X509(x509) => {
            let counts = x509.counts(&dps.authorities)?;
            OwnProof::Certificate(OwnCertificate { name, via, counts, is_enabled })
        }
        // It signs with what it was sent, and with nothing before that.
        Attestation::Tpm(_) => {
            let nobodys = || Secret::new(env.random::<KEY_BYTES>().to_vec());
            OwnProof::Keys(OwnKeys {
                name,
                via,
                primary: nobodys(),
                secondary: nobodys(),
                is_enabled,
            })
        }
    };
    Ok(Known { proof, source })
}

/// The key of a device in a group: HMAC-SHA-256 of its registration id in lower case under the group's key,
/// which is given decoded. Source: Azure documentation, "Symmetric key attestation", group enrollments.
pub(crate) fn derive(group_key: &[u8], registration_id: &str) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, group_key);
    let tag = hmac::sign(&key, registration_id.to_ascii_lowercase().as_bytes());
    let mut derived = [0; 32];
    derived.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    derived
}

#[cfg(test)]
#[path = "attestation_tests.rs"]
pub(in crate::provisioning) mod tests;
