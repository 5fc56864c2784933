//! What a device is held to when it proves itself: its own policy, or the hub's default.

use super::stored;
use crate::devices::named::Named;
use crate::devices::registry::shard;
use crate::env::Env;
use gate::facts::{Counts, Hub, OwnProof};
use gate::x509::Certificate;
use model::security::{Secured, SecurityAction};
use model::{Credential, Error, Timestamp};

/// The policy that holds for a device and its modules, where one does. `key_changed` is since when its key is the
/// same, where that is known.
pub(crate) async fn applied(
    env: &Env,
    hub: &Hub,
    named: &Named,
    key_changed: Option<Timestamp>,
) -> Result<Option<Box<Secured>>, Error> {
    let defaults = hub.security.as_deref();
    let own = stored(env, &shard(hub)?, &named.device).await?;
    let (device, policy) = match own {
        Some((own, _)) => (Some(named.device.as_str().to_owned()), own.policy),
        None => match defaults.and_then(|it| it.policy.clone()) {
            Some(policy) => (None, policy),
            None => return Ok(None),
        },
    };
    let action = policy.action.or_else(|| defaults.map(|it| it.action));
    Ok(Some(Box::new(Secured {
        device,
        policy,
        action: action.unwrap_or(SecurityAction::Enforce),
        key_changed,
        messages_in_minute: None,
        told: Vec::new(),
    })))
}

/// When a certificate began that a CA vouches for: the hub keeps no key of such a device, and the certificate itself
/// tells how old its own is.
pub(crate) fn certificate_began(proof: &OwnProof, credential: &Credential) -> Option<Timestamp> {
    match (proof, credential) {
        (OwnProof::Certificate(own), Credential::Certificate(chain))
            if matches!(own.counts, Counts::OfAuthority) =>
        {
            Certificate::read(chain.leaf()).ok().map(|it| it.starts)
        }
        (_, _) => None,
    }
}
