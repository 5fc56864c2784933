//! Shared access signatures: of a service's policies, and of a device's own keys.

use super::{Door, Proof, finding, no};
use crate::facts::{OwnKeys, OwnProof, SasPolicy, SharedAccess, SwitchedOff};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::error::AuthFault;
use model::operations::Surface;
use model::principal::AuthType;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{PrincipalKind, SasToken, Timestamp};
use ring::hmac;

pub(super) fn policy_key(token: &SasToken, door: &Door<'_>, now: Timestamp) -> Proof {
    let shown = token.key_name.as_deref().unwrap_or("");
    let deny = |fault, message: &str| {
        Err(no(
            fault,
            message.to_owned(),
            finding(FindingKind::Sas, shown, FindingResult::Deny, message),
        ))
    };
    let Some(access) = door.access else {
        return deny(
            AuthFault::Invalid,
            "a shared access signature opens a hub's own address only",
        );
    };
    let policy = access.policies.iter().find(|it| it.name.eq_ignore_ascii_case(shown));
    let is_signed = signed_by(token, policy) || signed_by_text(token, policy, door);
    if access.is_disabled {
        let told = keys_are_off(door.operation.surface());
        // Who did it and when is for whoever holds a key that would count.
        return match access.off.as_deref().filter(|_| is_signed) {
            Some(SwitchedOff { since, by }) => {
                let why = format!("since {since} by `{by}` (`disableLocalAuth`)");
                deny(AuthFault::LocalAuthDisabled, &told.replacen("(`disableLocalAuth`)", &why, 1))
            }
            None => deny(AuthFault::LocalAuthDisabled, told),
        };
    }
    if !is_signed {
        // One answer for a wrong key, a wrong policy name and a device's own key: none of them is proven.
        return deny(
            AuthFault::Invalid,
            match is_of_namespace(door) {
                true => {
                    "the signature fits no authorization rule of this namespace, or of what is addressed in it"
                }
                false => {
                    "the signature fits no shared access policy of this hub; a device's own key does not open the service API"
                }
            },
        );
    }
    let Some(policy) = policy else {
        return deny(AuthFault::Invalid, "the signature fits no shared access policy of this hub");
    };
    if let Err((fault, message)) = fits_here(token, door, now) {
        return deny(fault, &message);
    }
    let caller = Caller {
        kind: PrincipalKind::SasKey,
        object_id: None,
        app_id: None,
        name: policy.name.clone(),
        auth: AuthType::Sas,
        signed_in: format!(
            "a key of the shared access policy `{}`, valid until {}",
            policy.name, token.expiry
        ),
        token_issued: None,
        via: None,
        rights: policy.rights.clone(),
    };
    Ok((
        caller,
        finding(
            FindingKind::Sas,
            &policy.name,
            FindingResult::Allow,
            "signature, resource and expiry are right",
        ),
    ))
}

/// What whoever shows a key is told where keys of policies are switched off.
pub(super) const fn keys_are_off(surface: Surface) -> &'static str {
    match surface {
        Surface::Dps => {
            "keys are switched off on this provisioning service (`disableLocalAuth`); sign in with Entra instead"
        }
        Surface::EventHubs | Surface::ServiceBus => {
            "keys are switched off on this namespace (`disableLocalAuth`); sign in with Entra instead"
        }
        Surface::Blob => {
            "keys are switched off on this storage account (`allowSharedKeyAccess`); sign in with Entra instead"
        }
        Surface::Hub | Surface::Arm | Surface::Entra | Surface::Graph | Surface::Identity => {
            "keys are switched off on this hub (`disableLocalAuth`); sign in with Entra instead"
        }
    }
}

/// The same of the own keys of devices or of modules, where they are switched off.
pub(super) const fn own_keys_are_off(
    access: &SharedAccess,
    is_of_module: bool,
) -> Option<&'static str> {
    match is_of_module {
        true if access.is_disabled_for_modules => Some(
            "keys of modules are switched off on this hub (`disableModuleSAS`); connect with a certificate instead",
        ),
        false if access.is_disabled_for_devices => Some(
            "keys of devices are switched off on this hub (`disableDeviceSAS`); connect with a certificate instead",
        ),
        true | false => None,
    }
}

/// At an endpoint of devices: the device's own key or, at a hub, the key of a policy, which acts for any device
/// that the signature covers. Provisioning services know no policy there; their devices send a name all the same.
pub(super) fn of_device(token: &SasToken, door: &Door<'_>, now: Timestamp) -> Proof {
    let is_at_hub = door.operation.surface() == Surface::Hub;
    let Some(shown) = token.key_name.as_deref().filter(|_| is_at_hub) else {
        return own_key(token, door, now);
    };
    let proof = policy_key(token, door, now)?;
    // Whoever holds the key of a policy may know which devices there are.
    let because = match door.own.first() {
        Some(own) if own.is_enabled() => return Ok(proof),
        Some(_) => "the device is disabled",
        None => "the hub does not contain the device, or it has nothing to prove itself by",
    };
    let found = finding(FindingKind::Sas, shown, FindingResult::Deny, because);
    Err(no(AuthFault::Invalid, because.to_owned(), found))
}

/// A device's own key, or the one that its enrollment group derives for it.
fn own_key(token: &SasToken, door: &Door<'_>, now: Timestamp) -> Proof {
    let shown = door.own.first().map_or("", OwnProof::name);
    let deny_because = |fault, message: &str, reason: &str| {
        let found = finding(FindingKind::Sas, shown, FindingResult::Deny, reason);
        Err(no(fault, message.to_owned(), found))
    };
    let deny = |fault, message: &str| deny_because(fault, message, message);
    let off = door.access.and_then(|it| own_keys_are_off(it, is_of_module(door.resource)));
    if let Some(message) = off {
        return deny(AuthFault::LocalAuthDisabled, message);
    }
    let keys: Vec<&OwnKeys> = door
        .own
        .iter()
        .filter_map(|it| match it {
            OwnProof::Keys(keys) => Some(keys),
            OwnProof::Certificate(_) => None,
        })
        .collect();
    let signer = keys
        .iter()
        .find(|it| signed_by_one_of(token, [it.primary.reveal(), it.secondary.reveal()]));
    let Some(own) = signer else {
        // One answer, and one signature's work, for a wrong key, for a device that nobody knows, and for one
        // that has no keys.
        if keys.is_empty() {
            signed_by_one_of(token, [&[0; 32], &[0; 32]]);
        }
        let told = "the signature fits no device or enrollment of this name";
        return match keys.is_empty() && !door.own.is_empty() {
            true => deny_because(
                AuthFault::Invalid,
                told,
                "the device proves itself with a certificate (`selfSigned` or `certificateAuthority`), and so with no key",
            ),
            false => deny(AuthFault::Invalid, told),
        };
    };
    if let Err((fault, message)) = fits_here(token, door, now) {
        return deny(fault, &message);
    }
    if !own.is_enabled {
        return deny(AuthFault::Invalid, "the device or its enrollment is disabled");
    }
    let caller = Caller {
        kind: PrincipalKind::Device,
        object_id: None,
        app_id: None,
        name: own.name.clone(),
        auth: AuthType::Sas,
        signed_in: format!("its own key, signature valid until {}", token.expiry),
        token_issued: None,
        via: own.via.clone(),
        rights: Vec::new(),
    };
    Ok((
        caller,
        finding(
            FindingKind::Sas,
            &own.name,
            FindingResult::Allow,
            "signature, resource and expiry are right",
        ),
    ))
}

/// True for `{host}/devices/{device}/modules/{module}` and what lies below.
fn is_of_module(resource: &str) -> bool {
    resource.split('/').nth(3).is_some_and(|it| it.eq_ignore_ascii_case("modules"))
}

fn signed_by_one_of(token: &SasToken, keys: [&[u8]; 2]) -> bool {
    let text = format!("{}\n{}", token.resource_text, token.expiry_text);
    let fits = keys.map(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, text.as_bytes(), token.signature.reveal()).is_ok()
    });
    fits[0] | fits[1]
}

/// True where either key of the policy made the signature. Takes as long for a policy that does not exist.
fn signed_by(token: &SasToken, policy: Option<&SasPolicy>) -> bool {
    let unknown = [0_u8; 32];
    let keys: [&[u8]; 2] = match policy {
        Some(it) => [it.primary.reveal(), it.secondary.reveal()],
        None => [&unknown, &unknown],
    };
    signed_by_one_of(token, keys) & policy.is_some()
}

/// The same where the text of a key, as connection strings have it, was the key: so sign the clients that read
/// events, who know hubs as event hubs. Source: the public client libraries for Event Hubs.
fn signed_by_text(token: &SasToken, policy: Option<&SasPolicy>, door: &Door<'_>) -> bool {
    if !is_of_events(door) {
        return false;
    }
    let text = |key: Option<&[u8]>| STANDARD.encode(key.unwrap_or(&[0; 32])).into_bytes();
    let primary = text(policy.map(|it| it.primary.reveal().as_slice()));
    let secondary = text(policy.map(|it| it.secondary.reveal().as_slice()));
    signed_by_one_of(token, [&primary, &secondary]) & policy.is_some()
}

/// True where clients of Event Hubs and Service Bus come, at a hub or at a namespace.
fn is_of_events(door: &Door<'_>) -> bool {
    door.operation.is_built_in_endpoint() || is_of_namespace(door)
}

fn is_of_namespace(door: &Door<'_>) -> bool {
    matches!(door.operation.surface(), Surface::EventHubs | Surface::ServiceBus)
}

/// Checks what a proven signature is for, and until when.
fn fits_here(token: &SasToken, door: &Door<'_>, now: Timestamp) -> Result<(), (AuthFault, String)> {
    if !covers(&token.resource, door.resource, is_of_events(door)) {
        let sentence = "the signature is for another resource (`sr`) than the one addressed";
        return Err((AuthFault::Invalid, sentence.to_owned()));
    }
    if now > token.expiry {
        let late_s = now.seconds().saturating_sub(token.expiry.seconds());
        return Err((
            AuthFault::Expired,
            format!("the shared access signature expired {late_s} s ago"),
        ));
    }
    Ok(())
}

/// True where `given` is `resource` or a path above it, segment by segment: `h/devices/d1` does not
/// cover `h/devices/d10`. The host compares without regard to case or port, the rest exactly, but for events:
/// their clients write `consumergroups` as they like, and the ids of devices are not in their paths.
fn covers(given: &str, resource: &str, is_of_events: bool) -> bool {
    let scheme = ["https://", "sb://", "amqps://"].iter().find_map(|it| given.strip_prefix(it));
    let given = scheme.unwrap_or(given).trim_end_matches('/');
    let mut below = resource.split('/');
    given.split('/').enumerate().all(|(at, mine)| match (at, below.next()) {
        (0, Some(its)) => host(mine).eq_ignore_ascii_case(host(its)),
        (_, Some(its)) => mine == its || (is_of_events && mine.eq_ignore_ascii_case(its)),
        (_, None) => false,
    })
}

fn host(text: &str) -> &str {
    text.rsplit_once(':').map_or(text, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_signature_covers_whole_segments_only() {
        let check = |given: &str, expected: bool| {
            assert_eq!(covers(given, "127.70.1.2/devices/device10", false), expected, "{given}")
        };
        check("127.70.1.2", true);
        check("127.70.1.2:8443", true);
        check("127.70.1.2/", true);
        check("127.70.1.2/devices", true);
        check("sb://127.70.1.2/devices", true);
        check("amqps://127.70.1.2:5671/devices/", true);
        check("ftp://127.70.1.2/devices", false);
        check("127.70.1.2/devices/device10", true);
        check("127.70.1.2/devices/device1", false);
        check("127.70.1.2/devices/DEVICE10", false);
        check("127.70.1.20", false);
        check("127.70.1.2/devices/device10/x", false);
        check("", false);
    }

    #[test]
    fn groups_of_readers_have_no_case_and_devices_have() {
        let events = "h/e/ConsumerGroups/g/Partitions/0";
        assert!(covers("sb://h/E/consumergroups/g", events, true));
        assert!(!covers("sb://h/E/consumergroups/g", events, false));
        assert!(!covers("sb://h/e/consumergroups/g2", events, true));
    }
}
