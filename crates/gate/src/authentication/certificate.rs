//! Certificates of devices: one whose thumbprint is registered, or one that a CA of the hub leads to.
//!
//! The handshake has shown that the client holds the key of what it showed. What the client is told is the same
//! for a certificate that does not fit and for a device that nobody knows; the trace says which.

use super::{Door, No, Proof, finding};
use crate::facts::{Authority, Counts, Facts, OwnCertificate, OwnProof};
use crate::x509::{Certificate, Lateness, Led, Thumbprints, lead};
use model::error::{AuthFault, DenialKind};
use model::principal::AuthType;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{CertificateChain, PrincipalKind, Timestamp};

const SAME_FOR_ALL: &str = "the certificate proves no device of this name";
/// Most characters of a name that a client made up in a trace.
const NAME_CHARS_MAX: usize = 128;

/// A device that proves itself by its own certificate, and until when that holds.
pub(super) fn own_certificate(
    chain: &CertificateChain,
    door: &Door<'_>,
    facts: &Facts,
    until: &mut Option<Timestamp>,
) -> Proof {
    let shown = Thumbprints::of(chain.leaf());
    let name = door.own.first().map_or("", OwnProof::name);
    let deny = |fault, told: &str, reason: &str| {
        let finding = finding(FindingKind::Certificate, name, FindingResult::Deny, reason);
        Err(Box::new(No {
            kind: DenialKind::Unauthenticated(fault),
            message: told.to_owned(),
            finding,
        }))
    };
    let Ok(leaf) = Certificate::read(chain.leaf()) else {
        let sentence = "the certificate cannot be read: it is not X.509, or too long";
        return deny(AuthFault::Malformed, sentence, sentence);
    };
    let own = match door.own.first() {
        Some(OwnProof::Certificate(own)) => own,
        Some(OwnProof::Keys(_)) => {
            let reason = "the device proves itself with keys (`sas`), and so with no certificate";
            return deny(AuthFault::Invalid, SAME_FOR_ALL, reason);
        }
        None => {
            let reason =
                "no device of this name proves itself with a certificate or with keys here";
            return deny(AuthFault::Invalid, SAME_FOR_ALL, reason);
        }
    };
    let authorities = facts.hub(door.scope).map_or(&[][..], |it| it.authorities.as_slice());
    let fits = match &own.counts {
        Counts::Thumbprints(registered) => registered_one(&shown, registered).map(|()| None),
        Counts::OfAuthority => {
            of_authority(chain, &leaf, own, authorities, door.head.time).map(Some)
        }
    };
    let led: Option<Led> = match fits {
        Ok(led) => led,
        Err(reason) => return deny(AuthFault::Invalid, SAME_FOR_ALL, &reason),
    };
    if let Some(lateness) = leaf.lateness(door.head.time) {
        let fault = match lateness {
            Lateness::NotYet { .. } => AuthFault::Invalid,
            Lateness::Ended { .. } => AuthFault::Expired,
        };
        let sentence = format!("the certificate {lateness}");
        return deny(fault, &sentence, &sentence);
    }
    if !own.is_enabled {
        let sentence = "the device is disabled";
        return deny(AuthFault::Invalid, sentence, sentence);
    }
    let ends = led.as_ref().map_or(leaf.ends, |it| it.until);
    *until = Some(ends);
    let (signed_in, reason) = match &led {
        Some(Led { by, .. }) => (
            format!("a certificate of the CA `{by}`, valid until {ends}"),
            format!("the CA `{by}` leads to it, and its name and time are right"),
        ),
        None => (
            format!("its own certificate, valid until {ends}"),
            format!("its thumbprint `{}` is registered, and its time is right", shown.sha1),
        ),
    };
    let caller = Caller {
        kind: PrincipalKind::Device,
        object_id: None,
        app_id: None,
        name: own.name.clone(),
        auth: AuthType::X509,
        signed_in,
        token_issued: None,
        via: None,
        rights: Vec::new(),
    };
    Ok((caller, finding(FindingKind::Certificate, &own.name, FindingResult::Allow, &reason)))
}

/// Whether the thumbprint is one of the device's. Hashes of certificates are no secrets: the trace lists them.
fn registered_one(shown: &Thumbprints, registered: &[String]) -> Result<(), String> {
    if registered.iter().any(|it| shown.has(it)) {
        return Ok(());
    }
    let known: Vec<String> = registered.iter().map(|it| format!("`{it}`")).collect();
    Err(format!(
        "the thumbprint does not match: the certificate shown has SHA-1 `{}` and SHA-256 `{}`; registered is {}",
        shown.sha1,
        shown.sha256,
        if known.is_empty() { "none".to_owned() } else { known.join(" and ") }
    ))
}

/// Whether the certificate has the device's name, and a CA of the hub leads to it.
fn of_authority(
    chain: &CertificateChain,
    leaf: &Certificate,
    own: &OwnCertificate,
    authorities: &[Authority],
    now: Timestamp,
) -> Result<Led, String> {
    match &leaf.common_name {
        Some(name) if *name == own.name => {}
        Some(other) => {
            let shown: String = other.chars().take(NAME_CHARS_MAX).collect();
            return Err(format!(
                "the certificate is for `{}` (its common name), and not for `{}`",
                shown.escape_debug(),
                own.name
            ));
        }
        None => return Err("the certificate has no common name, or more than one".to_owned()),
    }
    if let Some(lateness) = leaf.lateness(now) {
        return Err(format!("the certificate {lateness}"));
    }
    if !leaf.may_sign_in {
        return Err("the certificate's key may not sign a handshake (`keyUsage`)".to_owned());
    }
    lead(chain, authorities, now).map_err(|it| it.to_string())
}
