//! Which of the linked hubs a device goes to, and how the provisioning service shows itself there.

use super::enrollment::{AllocationPolicy, Terms};
use super::proven::Proven;
use super::register::Begun;
use super::registrations::Registration;
use super::webhook::{self, Said};
use crate::devices::names::without_port;
use crate::env::Env;
use gate::Facts;
use gate::facts::{Allocation, Dps, DpsLink, Hub, LinkAuthentication};
use model::{Credential, SasToken, Secret};
use ring::hmac;

/// A hub that a provisioning service can write to.
#[derive(Clone, Copy)]
pub(super) struct Linked<'a> {
    pub(super) link: &'a DpsLink,
    pub(super) hub: &'a Hub,
}

/// Where a device goes, and what the webhook said besides, where one chose.
pub(super) struct Place<'a> {
    pub(super) at: Linked<'a>,
    pub(super) said: Said,
}

/// Why a device goes nowhere: the number and the sentence that it is told.
pub(super) type Nowhere = (u32, String);

/// The hub for a device: the one it has, where its enrollment leaves it there; else the one that its enrollment or
/// policy says.
///
/// # Errors
/// [`Nowhere`].
pub(super) async fn allocate<'a>(
    env: &Env,
    dps: &'a Dps,
    proven: &Proven,
    (begun, registration): (&Begun, &Registration),
    facts: &'a Facts,
) -> Result<Place<'a>, Nowhere> {
    let terms = proven.source.terms();
    let mut linked: Vec<Linked<'a>> = linked(dps, facts)
        .filter(|it| terms.iot_hubs.is_empty() || terms.iot_hubs.iter().any(|host| it.is(host)))
        .collect();
    let has = registration.assigned_hub.as_deref();
    let former = has.and_then(|host| linked.iter().find(|it| it.is(host)).copied());
    let place = |at| Ok(Place { at, said: Said::default() });
    if let (Some(former), false) = (former, terms.reprovision_policy.update_hub_assignment) {
        return place(former);
    }
    if let Some(host) = &terms.iot_hub_host_name {
        let named = linked.iter().find(|it| it.is(host)).copied();
        return named.map_or_else(|| Err(none()), place);
    }
    let policy = policy(terms, dps);
    if policy == AllocationPolicy::Static {
        let named = terms.iot_hubs.iter().find_map(|host| linked.iter().find(|it| it.is(host)));
        return named.or(linked.first()).copied().map_or_else(|| Err(none()), place);
    }
    linked.retain(|it| it.link.applies_allocation_policy || !terms.iot_hubs.is_empty());
    if linked.is_empty() {
        return Err(none());
    }
    if let (AllocationPolicy::Custom, Some(custom)) = (policy, &terms.custom) {
        let (at, said) = webhook::ask(env, custom, proven, (begun, registration), &linked).await?;
        return Ok(Place { at, said });
    }
    if policy == AllocationPolicy::GeoLatency
        && let Some(closest) = closest(env, &begun.channel.address, &linked)
    {
        return place(closest);
    }
    // Who has a place that is still one of them stays: a hub more would move most devices.
    let spread = former.filter(|it| linked.iter().any(|other| other.hub.uid == it.hub.uid));
    let id = &registration.registration_id;
    spread.or_else(|| share_of(id, &linked)).map_or_else(|| Err(none()), place)
}

fn none() -> Nowhere {
    let sentence =
        "no hub is linked to the provisioning service, or none that the enrollment names";
    (400_000, sentence.to_owned())
}

/// The hubs that a provisioning service is linked to and that there are, in its order.
pub(super) fn linked<'a>(dps: &'a Dps, facts: &'a Facts) -> impl Iterator<Item = Linked<'a>> {
    dps.links.iter().filter_map(|link| {
        let hub = facts.hub_at(&link.hub)?;
        Some(Linked { link, hub })
    })
}

impl Linked<'_> {
    fn is(&self, host: &str) -> bool {
        without_port(host).eq_ignore_ascii_case(&self.hub.host)
    }
}

/// The enrollment's own policy, else the provisioning service's.
fn policy(terms: &Terms, dps: &Dps) -> AllocationPolicy {
    terms.allocation_policy.unwrap_or(match dps.allocation {
        Allocation::Hashed => AllocationPolicy::Hashed,
        Allocation::GeoLatency => AllocationPolicy::GeoLatency,
        Allocation::Static => AllocationPolicy::Static,
    })
}

/// The hub whose region is closest by the operator's table; none where that says nothing of the device.
fn closest<'a>(env: &Env, address: &str, linked: &[Linked<'a>]) -> Option<Linked<'a>> {
    let known = linked.iter().filter_map(|it| {
        let ms = env.settings.latencies.ms(address, &it.hub.location)?;
        Some((ms, *it))
    });
    known.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, it)| it)
}

/// A device's hub where all get their share by weight.
fn share_of<'a>(registration_id: &str, linked: &[Linked<'a>]) -> Option<Linked<'a>> {
    let total: u64 = linked.iter().map(|it| u64::from(it.link.weight)).sum();
    let mut place = share(registration_id).checked_rem(total)?;
    let here = linked.iter().find(|it| {
        let weight = u64::from(it.link.weight);
        let is_here = place < weight;
        place = place.saturating_sub(weight);
        is_here
    });
    here.copied()
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
        LinkAuthentication::SystemAssigned | LinkAuthentication::UserAssigned { .. } => {
            let identity = dps.signs_in_as(link).ok_or_else(|| match &link.authentication {
                LinkAuthentication::UserAssigned { identity } => {
                    format!("the provisioning service does not have the identity `{identity}` attached any more")
                }
                LinkAuthentication::SystemAssigned | LinkAuthentication::KeyBased { .. } => {
                    "the provisioning service has no system-assigned identity any more".to_owned()
                }
            })?;
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
