//! Certificates of devices: one whose thumbprint is registered, or one that a CA leads to, of the hub or of an
//! enrollment. Of several groups whose CAs lead to it, the one whose CA stands nearest decides.
//!
//! The handshake has shown that the client holds the key of what it showed. What the client is told is the same
//! for a certificate that does not fit and for a device that nobody knows; the trace says which.

use super::{Door, No, Proof, finding};
use crate::facts::{Authority, Counts, Facts, OwnCertificate, OwnProof};
use crate::x509::{Certificate, Lateness, Led, NotLed, Thumbprints, lead};
use model::error::{AuthFault, DenialKind};
use model::principal::AuthType;
use model::trace::{Caller, FindingKind, FindingResult};
use model::{CertificateChain, PrincipalKind, Timestamp};

const SAME_FOR_ALL: &str = "the certificate proves no device of this name";
/// Most characters of a name that a client made up in a trace.
const NAME_CHARS_MAX: usize = 128;
/// Most reasons of enrollment groups in a trace.
const REASONS_MAX: usize = 3;

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
    let own = certificates(door.own);
    if own.is_empty() {
        let reason = match door.own.is_empty() {
            false => "the device proves itself with keys (`sas`), and so with no certificate",
            true => "no device of this name proves itself with a certificate or with keys here",
        };
        return deny(AuthFault::Invalid, SAME_FOR_ALL, reason);
    }
    let authorities = facts.hub(door.scope).map_or(&[][..], |it| it.authorities.as_slice());
    let seen = Seen { chain, leaf: &leaf, shown: &shown, authorities, now: door.head.time };
    let (own, led) = match seen.nearest(&own) {
        Ok(found) => found,
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
        let sentence = match own.via {
            None => "the device is disabled",
            Some(_) => "the device or its enrollment is disabled",
        };
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
        via: own.via.clone(),
        rights: Vec::new(),
    };
    Ok((caller, finding(FindingKind::Certificate, &own.name, FindingResult::Allow, &reason)))
}

fn certificates(own: &[OwnProof]) -> Vec<&OwnCertificate> {
    let mut all = Vec::new();
    for it in own {
        match it {
            OwnProof::Certificate(one) => all.push(one),
            OwnProof::Keys(_) => {}
        }
    }
    all
}

/// What a client has shown, and by what it is judged.
struct Seen<'a> {
    chain: &'a CertificateChain,
    leaf: &'a Certificate,
    shown: &'a Thumbprints,
    /// Those of the hub.
    authorities: &'a [Authority],
    now: Timestamp,
}

/// Why a certificate is not what counts.
enum Unfit {
    /// The CAs that were asked have nothing to do with it.
    Strange(String),
    Told(String),
}

impl Seen<'_> {
    /// What the certificate fits and, where CAs count, what led to it. Of several the one whose CA stands nearest;
    /// of two that are as near, one that is disabled: who shuts a CA out means it.
    fn nearest<'o>(
        &self,
        own: &[&'o OwnCertificate],
    ) -> Result<(&'o OwnCertificate, Option<Led>), String> {
        let mut nearest: Option<(&OwnCertificate, Option<Led>)> = None;
        let (mut strange, mut told) = (Vec::new(), Vec::new());
        let far = |own: &OwnCertificate, led: &Option<Led>| {
            (led.as_ref().map_or(0, |it| it.between), own.is_enabled)
        };
        for it in own {
            match self.fits(it) {
                Ok(led) if nearest.as_ref().is_none_or(|(a, b)| far(it, &led) < far(a, b)) => {
                    nearest = Some((it, led));
                }
                Ok(_) => {}
                Err(Unfit::Strange(because)) => strange.push(because),
                Err(Unfit::Told(because)) => told.push(because),
            }
        }
        nearest.ok_or_else(|| match (told.is_empty(), strange.as_slice()) {
            (false, _) => {
                told.dedup();
                told.truncate(REASONS_MAX);
                told.join("; ")
            }
            (true, [one]) => one.clone(),
            (true, _) => format!("no CA of any of the {} enrollment groups signed it", own.len()),
        })
    }

    fn fits(&self, own: &OwnCertificate) -> Result<Option<Led>, Unfit> {
        match &own.counts {
            Counts::Thumbprints(registered) => {
                if own.via.is_some() {
                    self.has_name_of(own)?;
                }
                registered_one(self.shown, registered).map_err(Unfit::Told).map(|()| None)
            }
            Counts::OfAuthority => self.of_authority(own, self.authorities, "this hub").map(Some),
            Counts::OfThese(authorities) => {
                let via = own.via.as_deref().unwrap_or("");
                self.of_authority(own, authorities, &format!("the enrollment `{via}`")).map(Some)
            }
        }
    }

    /// Whether the certificate has the device's name, and one of the CAs leads to it.
    fn of_authority(
        &self,
        own: &OwnCertificate,
        authorities: &[Authority],
        whose: &str,
    ) -> Result<Led, Unfit> {
        self.has_name_of(own)?;
        if let Some(lateness) = self.leaf.lateness(self.now) {
            return Err(Unfit::Told(format!("the certificate {lateness}")));
        }
        if !self.leaf.may_sign_in {
            let because = "the certificate's key may not sign a handshake (`keyUsage`)";
            return Err(Unfit::Told(because.to_owned()));
        }
        lead(self.chain, authorities, self.now).map_err(|it| match it {
            NotLed::Unknown => Unfit::Strange(it.told(whose)),
            NotLed::By { .. } | NotLed::Broken(_) => Unfit::Told(it.told(whose)),
        })
    }

    /// Device ids compare exactly, and registration ids without regard to case.
    fn has_name_of(&self, own: &OwnCertificate) -> Result<(), Unfit> {
        let is_same = |name: &str| match own.via {
            None => name == own.name,
            Some(_) => name.eq_ignore_ascii_case(&own.name),
        };
        let because = match &self.leaf.common_name {
            Some(name) if is_same(name) => return Ok(()),
            Some(other) => {
                let shown: String = other.chars().take(NAME_CHARS_MAX).collect();
                format!(
                    "the certificate is for `{}` (its common name), and not for `{}`",
                    shown.escape_debug(),
                    own.name
                )
            }
            None => "the certificate has no common name, or more than one".to_owned(),
        };
        Err(Unfit::Told(because))
    }
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
