//! Signatures of storage accounts: of requests and of addresses, by the account's keys or by a user delegation key.

use super::{Door, Proof, finding, no};
use crate::facts::{Facts, SasPolicy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::net::IpAddr;
use model::error::AuthFault;
use model::operations::Right;
use model::principal::AuthType;
use model::trace::{Caller, Finding, FindingKind, FindingResult};
use model::{
    DelegationKey, ObjectId, Op, Operation, PrincipalKind, Secret, StorageKey, StorageSas,
    StorageSignature, StorageSigned, Timestamp,
};
use ring::hmac;

/// How far the date of a signed request may be off. Source: Azure Storage, "Authorize with Shared Key".
const REQUEST_SKEW_S: i64 = 900;

/// A user delegation key in base64, made of what is said of it and of the account's own keys: nothing is kept of it.
pub fn delegation_key(key: &DelegationKey, account: &SasPolicy) -> Secret<String> {
    Secret::new(STANDARD.encode(delegated_bytes(key, account)))
}

fn delegated_bytes(key: &DelegationKey, account: &SasPolicy) -> hmac::Tag {
    let secret =
        [account.primary.reveal().as_slice(), account.secondary.reveal().as_slice()].concat();
    let own = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let DelegationKey { object_id, tenant, start, expiry, service, version } = key;
    let text =
        format!("user delegation\n{object_id}\n{tenant}\n{start}\n{expiry}\n{service}\n{version}");
    hmac::sign(&own, text.as_bytes())
}

/// What of an account an operation is about, as account signatures name it.
fn level(operation: &Operation) -> char {
    let path = operation.routes.first().map_or("/{account}/{container}/{blob}", |it| it.path);
    match path.split('?').next().unwrap_or_default().matches('/').count() {
        1 => 's',
        2 => 'c',
        _ => 'o',
    }
}

/// The rights that letters of `sp` stand for.
fn rights(permissions: &str) -> Vec<Right> {
    let of = |letter| match letter {
        'r' => Some(Right::ReadBlobs),
        'a' => Some(Right::AddBlobs),
        'c' => Some(Right::CreateBlobs),
        'w' => Some(Right::WriteBlobs),
        'd' => Some(Right::DeleteBlobs),
        'l' => Some(Right::ListBlobs),
        _ => None,
    };
    permissions.chars().filter_map(of).collect()
}

pub(super) fn signature(
    shown: &StorageSignature,
    door: &Door<'_>,
    facts: &Facts,
    until: &mut Option<Timestamp>,
) -> Proof {
    let now = door.head.time;
    let target = facts.target_around(door.scope);
    let keys = target.and_then(|it| facts.target_keys.get(&it.scope.key()));
    let (Some(target), Some(keys)) = (target, keys) else {
        return deny(
            AuthFault::Invalid,
            "a signature of storage opens the address of its account only",
        );
    };
    let StorageSignature { text, signature, of } = shown;
    let delegation = match of {
        StorageSigned::Address(StorageSas { key: StorageKey::Delegation(key), .. }) => Some(key),
        StorageSigned::Address(_) | StorageSigned::Request { .. } => None,
    };
    let fits = |key: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, text.as_bytes(), signature.reveal()).is_ok()
    };
    let (is_first, is_second) = match delegation {
        Some(key) => (fits(delegated_bytes(key, keys).as_ref()), false),
        None => (fits(keys.primary.reveal()), fits(keys.secondary.reveal())),
    };
    if delegation.is_none() && !target.takes_keys {
        return deny(
            AuthFault::LocalAuthDisabled,
            "keys and what they have signed are switched off on this storage account (`allowSharedKeyAccess`); sign in \
             with Entra, or use a user delegation signature",
        );
    }
    if !(is_first | is_second) {
        return deny(
            AuthFault::Invalid,
            "the signature fits no key of this storage account, or not what is addressed; an address that is signed \
             opens what it was signed for and nothing else",
        );
    }
    let key_name = if is_first { "key1" } else { "key2" };
    match of {
        StorageSigned::Request { account, made } => {
            if !account.eq_ignore_ascii_case(target.scope.name()) {
                return deny(AuthFault::Invalid, "the signature is for another account");
            }
            let Some(made) = made else {
                return deny(AuthFault::Malformed, "the request has no date; send `x-ms-date`");
            };
            if now.seconds().saturating_sub(made.seconds()).saturating_abs() > REQUEST_SKEW_S {
                return deny(
                    AuthFault::Expired,
                    "the date of the request (`x-ms-date`) is more than 15 minutes off; set the clock right",
                );
            }
            let signed_in = format!("the account's `{key_name}`");
            allow(
                key_caller(key_name, Right::BLOB.to_vec(), signed_in),
                "signature and date are right",
            )
        }
        StorageSigned::Address(sas) => {
            *until = Some(sas.expiry);
            address(sas, key_name, door, facts, now)
        }
    }
}

/// An address whose signature is right: whether it holds here and now, and who comes by it.
fn address(
    sas: &StorageSas,
    key_name: &str,
    door: &Door<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Proof {
    if now > sas.expiry {
        let late_s = now.seconds().saturating_sub(sas.expiry.seconds());
        return deny(
            AuthFault::Expired,
            &format!("the signature expired {late_s} s ago (`se`); get a new one"),
        );
    }
    if let Some(start) = sas.start.filter(|it| now < *it) {
        return deny(
            AuthFault::Invalid,
            &format!("the signature is not valid before {start} (`st`)"),
        );
    }
    if let Some((first, last)) = sas.addresses
        && !is_between(&door.head.channel.address, first, last)
    {
        return deny(
            AuthFault::Invalid,
            "the signature is for callers from other addresses (`sip`)",
        );
    }
    let level = level(door.operation);
    let rights = rights(&sas.permissions);
    match &sas.key {
        StorageKey::Account { services, .. } if !services.contains('b') => deny(
            AuthFault::Invalid,
            "the signature is for other services of the account than blobs (`ss`)",
        ),
        StorageKey::Account { types, .. } if !types.contains(level) => deny(
            AuthFault::Invalid,
            &format!("the signature is for other types of resource than `{level}` (`srt`)"),
        ),
        StorageKey::Service | StorageKey::Delegation(_)
            if level != 'o' && door.operation.op != Op::ListBlobs =>
        {
            deny(
                AuthFault::Invalid,
                "a signature of a container or blob opens its blobs; use one of the account, a key or a token here",
            )
        }
        StorageKey::Account { .. } | StorageKey::Service => {
            let signed_in =
                format!("a signature by the account's `{key_name}`, valid until {}", sas.expiry);
            allow(key_caller(key_name, rights, signed_in), "signature, time and place are right")
        }
        StorageKey::Delegation(key) => delegated(key, sas, rights, facts, now),
    }
}

/// By a user delegation key comes whoever asked for the key, as far as the signature goes.
fn delegated(
    key: &DelegationKey,
    sas: &StorageSas,
    rights: Vec<Right>,
    facts: &Facts,
    now: Timestamp,
) -> Proof {
    let (start, expiry) = (Timestamp::parse(&key.start), Timestamp::parse(&key.expiry));
    let is_live = start.is_some_and(|it| now >= it) && expiry.is_some_and(|it| now <= it);
    if !is_live {
        return deny(
            AuthFault::Expired,
            "the user delegation key is not valid now (`skt`, `ske`); get a new one",
        );
    }
    if key.service != "b" || !key.tenant.eq_ignore_ascii_case(&facts.tenant.to_string()) {
        return deny(
            AuthFault::Invalid,
            "the user delegation key is for another service or tenant",
        );
    }
    let principal = ObjectId::parse(&key.object_id).and_then(|it| facts.principals.get(&it));
    match principal {
        Some(it) if it.is_enabled => allow(
            Caller {
                kind: it.kind,
                object_id: Some(it.id),
                app_id: it.app_id,
                name: it.display_name.clone(),
                auth: AuthType::Sas,
                signed_in: format!(
                    "a signature by its user delegation key, valid until {}",
                    sas.expiry
                ),
                token_issued: None,
                via: None,
                rights,
            },
            "signature, time and place are right, and who asked for the key is there",
        ),
        Some(_) => {
            deny(AuthFault::Invalid, "who asked for the user delegation key is switched off")
        }
        None => deny(
            AuthFault::Invalid,
            "who asked for the user delegation key does not exist any more",
        ),
    }
}

/// Who shows nothing, where the account and the container let everybody in: to blobs, or to the list of them as well.
pub(super) fn anyone(door: &Door<'_>, facts: &Facts) -> Option<(Caller, Finding)> {
    let target = facts.target_around(door.scope).filter(|it| it.is_public)?;
    let entity = facts.entity(door.scope).filter(|it| target.scope.contains(&it.scope))?;
    let rights = match model::json::text(&entity.properties, &["publicAccess"]) {
        Some("Blob") if level(door.operation) == 'o' => vec![Right::ReadBlobs],
        Some("Container") => vec![Right::ReadBlobs, Right::ListBlobs],
        Some(_) | None => return None,
    };
    let opens = door.operation.sas.iter().any(|it| rights.contains(it));
    let says = "the account and the container let everybody read (`allowBlobPublicAccess`, `publicAccess`)";
    let found = finding(FindingKind::Sas, "", FindingResult::Allow, says);
    opens.then(|| (Caller { rights, ..Caller::anyone() }, found))
}

fn is_between(address: &str, first: IpAddr, last: IpAddr) -> bool {
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let is_of_one_kind =
        address.is_ipv4() == first.is_ipv4() && address.is_ipv4() == last.is_ipv4();
    is_of_one_kind && (first..=last).contains(&address)
}

fn key_caller(name: &str, rights: Vec<Right>, signed_in: String) -> Caller {
    Caller {
        kind: PrincipalKind::SasKey,
        object_id: None,
        app_id: None,
        name: name.to_owned(),
        auth: AuthType::Sas,
        signed_in,
        token_issued: None,
        via: None,
        rights,
    }
}

fn allow(caller: Caller, because: &str) -> Proof {
    let found = finding(FindingKind::Sas, &caller.name, FindingResult::Allow, because);
    Ok((caller, found))
}

fn deny(fault: AuthFault, message: &str) -> Proof {
    let found = finding(FindingKind::Sas, "", FindingResult::Deny, message);
    Err(no(fault, message.to_owned(), found))
}
