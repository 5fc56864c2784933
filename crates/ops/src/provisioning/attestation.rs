//! By what a device may register: keys of its own enrollment or those that groups derive for it, its own
//! certificates, or those that a group's CAs have signed.
//!
//! This module finds and judges nothing: which key made a signature, which CA leads to a certificate, and whether
//! the enrollment behind it is enabled, is for the gates to say.

use super::enrollment::{Attestation, Kind, ProvisioningStatus, Source};
use super::enrollment_body::is_id;
use super::enrollments;
use crate::env::Env;
use gate::facts::{Dps, OwnCertificate, OwnKeys, OwnProof};
use model::trace::Caller;
use model::{Error, Secret};
use ring::hmac;
use store::ShardId;

/// By what a device may prove itself, and the enrollment that says so.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Named by the registration id: in the casing of an individual enrollment, in lower case for a group.
    pub(crate) proof: OwnProof,
    pub(crate) source: Source,
}

/// Everything that `registration_id` may register by: its individual enrollment and nothing else where it
/// has one, disabled or not; otherwise every group, in the order of their ids, each with the keys that it
/// derives or with its CAs. Nothing for what is no registration id.
///
/// # Errors
/// [`Error::Unavailable`] where the store cannot be read.
pub(crate) async fn candidates(
    env: &Env,
    dps: &Dps,
    registration_id: &str,
) -> Result<Vec<Known>, Error> {
    if !is_id(registration_id) {
        return Ok(Vec::new());
    }
    let shard = ShardId::dps(&dps.uid).map_err(|it| Error::Internal { message: it.to_string() })?;
    // INVARIANT: an individual enrollment hides every group, so that disabling it shuts the device out.
    let own = enrollments::read(env, &shard, Kind::Individual, registration_id).await?;
    if let Some((source, _)) = own {
        return Ok(vec![known(source, dps, registration_id)?]);
    }
    let mut all = Vec::new();
    for (key, document) in &enrollments::all_groups(env, &shard).await? {
        let read = Source::parse(Kind::Group, key, &document.body);
        match read.and_then(|it| known(it, dps, registration_id)) {
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
    let shard = ShardId::dps(&dps.uid).map_err(|it| Error::Internal { message: it.to_string() })?;
    // An individual enrollment hides every group here, too.
    let own = enrollments::read(env, &shard, Kind::Individual, registration_id).await?;
    let found = match own {
        Some(own) => Some(own),
        None => enrollments::read(env, &shard, Kind::Group, via).await?,
    };
    let source = found.map(|(it, _)| it).filter(|it| it.id() == via);
    source.map(|it| known(it, dps, registration_id)).transpose()
}

fn known(source: Source, dps: &Dps, registration_id: &str) -> Result<Known, Error> {
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
