//! Which of the linked hubs a device goes to, and how the provisioning service shows itself there.

use super::enrollment::{AllocationPolicy, Terms};
use super::registrations::Registration;
use crate::devices::names::without_port;
use crate::env::Env;
use gate::Facts;
use gate::facts::{Dps, DpsLink, Hub, LinkAuthentication};
use model::{Credential, SasToken, Secret};
use ring::hmac;

/// The hub for a device: the one it has, the one its enrollment names, or its share of all that are linked.
pub(super) fn allocate<'a>(
    dps: &'a Dps,
    terms: &Terms,
    registration: &Registration,
    facts: &'a Facts,
) -> Option<(&'a DpsLink, &'a Hub)> {
    let named = |host: &str, hub: &Hub| without_port(host).eq_ignore_ascii_case(&hub.host);
    let mut linked: Vec<(&DpsLink, &Hub)> = dps
        .links
        .iter()
        .filter_map(|it| Some((it, &**facts.hub_at(&it.hub)?)))
        .filter(|(_, hub)| {
            terms.iot_hubs.is_empty() || terms.iot_hubs.iter().any(|it| named(it, hub))
        })
        .collect();
    let wanted = match (&registration.assigned_hub, &terms.iot_hub_host_name) {
        (Some(host), _) if !terms.reprovision_policy.update_hub_assignment => Some(host),
        (_, Some(host)) => Some(host),
        (Some(host), None) => Some(host),
        (None, None) => None,
    };
    if let Some(host) = wanted {
        let found = linked.iter().position(|(_, hub)| named(host, hub));
        if found.is_some() || terms.iot_hub_host_name.is_some() {
            return found.map(|at| linked.swap_remove(at));
        }
    }
    if terms.allocation_policy == Some(AllocationPolicy::Static) {
        let first =
            terms.iot_hubs.iter().find_map(|it| linked.iter().position(|(_, hub)| named(it, hub)));
        return linked.into_iter().nth(first.unwrap_or(0));
    }
    linked.retain(|(link, _)| link.applies_allocation_policy || !terms.iot_hubs.is_empty());
    let total: u64 = linked.iter().map(|(link, _)| u64::from(link.weight)).sum();
    let mut place = share(&registration.registration_id).checked_rem(total)?;
    linked.into_iter().find(|(link, _)| {
        let is_here = place < u64::from(link.weight);
        place = place.saturating_sub(u64::from(link.weight));
        is_here
    })
}

/// An even spread that is the same on every day: the first eight bytes of SHA-256.
fn share(registration_id: &str) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, registration_id.as_bytes());
    digest.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// How the service shows itself to the hub: as its own identity, or with a key of the hub.
pub(crate) fn credential(
    env: &Env,
    dps: &Dps,
    link: &DpsLink,
    hub: &Hub,
) -> Result<Credential, String> {
    match &link.authentication {
        LinkAuthentication::SystemAssigned => {
            let identity = dps
                .identity
                .ok_or("the provisioning service has no system-assigned identity any more")?;
            let token =
                crate::entra::tokens::of_identity(env, identity, "https://iothubs.azure.net")
                    .map_err(|_| "the server could not sign a token")?;
            Ok(Credential::Bearer(Secret::new(token)))
        }
        LinkAuthentication::KeyBased { policy, key } => {
            let expiry = env.now().plus_seconds(3_600);
            let expiry_text = expiry.seconds().to_string();
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal());
            let signature = hmac::sign(&key, format!("{}\n{expiry_text}", hub.host).as_bytes());
            Ok(Credential::Sas(SasToken {
                resource_text: hub.host.clone(),
                resource: hub.host.clone(),
                signature: Secret::new(signature.as_ref().to_vec()),
                expiry_text,
                expiry,
                key_name: Some(policy.clone()),
            }))
        }
    }
}
