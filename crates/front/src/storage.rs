//! What callers of storage show to prove who they are: a signed request, a signed address, or a token.
//!
//! The text that must have been signed is made here, of the request as it came; the gates know the keys.

use crate::authorization::{self, malformed};
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::http::request::Parts;
use model::{
    Credential, DelegationKey, Secret, StorageKey, StorageSas, StorageSignature, StorageSigned,
    Timestamp,
};
use std::net::IpAddr;
use wire::storage::sas::{Kind, Place, Sas};
use wire::storage::shared_key::{Request, Scheme};
use wire::storage::signature_bytes;

/// What the caller shows. A header says more than an address.
pub(crate) fn credential(
    parts: &Parts,
    query: &[(String, String)],
    place: &Place<'_>,
) -> Credential {
    match signed_request(parts, query) {
        Some(credential) => credential,
        None if parts.headers.contains_key(AUTHORIZATION) => {
            authorization::credential(&parts.headers)
        }
        None => match Sas::read(query) {
            Ok(Some(sas)) => signed_address(&sas, place),
            Ok(None) => Credential::None,
            Err(because) => malformed("shared access signature", &because.to_string()),
        },
    }
}

fn signed_request(parts: &Parts, query: &[(String, String)]) -> Option<Credential> {
    let mut all = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let (scheme, rest) = value.to_str().ok()?.trim().split_once(' ')?;
    let scheme = Scheme::parse(scheme)?;
    let Some((account, signature)) = rest.trim().split_once(':') else {
        return Some(malformed(
            "`Authorization` header",
            "it has no `account:signature` behind its scheme",
        ));
    };
    let headers = texts(&parts.headers);
    let request =
        Request { method: parts.method.as_str(), path: parts.uri.path(), query, headers: &headers };
    Some(Credential::Storage(Box::new(StorageSignature {
        text: request.text(account, scheme),
        signature: Secret::new(signature_bytes(signature)),
        of: StorageSigned::Request { account: account.to_owned(), made: request.date() },
    })))
}

/// A value that is no text is signed by nobody.
fn texts(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect()
}

fn signed_address(sas: &Sas, place: &Place<'_>) -> Credential {
    let unreadable =
        |field| malformed("shared access signature", &format!("its `{field}` cannot be read"));
    let Some(expiry) = Timestamp::parse(sas.get("se")) else { return unreadable("se") };
    let start = match sas.get("st") {
        "" => None,
        text => match Timestamp::parse(text) {
            Some(start) => Some(start),
            None => return unreadable("st"),
        },
    };
    let addresses = match sas.get("sip") {
        "" => None,
        text => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            match (first.trim().parse::<IpAddr>(), last.trim().parse::<IpAddr>()) {
                (Ok(first), Ok(last)) => Some((first, last)),
                (_, _) => return unreadable("sip"),
            }
        }
    };
    // Everything here comes over HTTPS.
    if !["", "https", "https,http", "http,https"].contains(&sas.get("spr")) {
        return unreadable("spr");
    }
    let own = |field| sas.get(field).to_owned();
    let key = match sas.kind() {
        Kind::Account => StorageKey::Account { services: own("ss"), types: own("srt") },
        Kind::Service => StorageKey::Service,
        Kind::Delegation => StorageKey::Delegation(DelegationKey {
            object_id: own("skoid"),
            tenant: own("sktid"),
            start: own("skt"),
            expiry: own("ske"),
            service: own("sks"),
            version: own("skv"),
        }),
    };
    Credential::Storage(Box::new(StorageSignature {
        text: sas.text(place),
        signature: Secret::new(signature_bytes(sas.get("sig"))),
        of: StorageSigned::Address(StorageSas {
            key,
            permissions: own("sp"),
            start,
            expiry,
            addresses,
        }),
    }))
}
