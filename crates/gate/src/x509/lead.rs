//! Whether a CA of a hub or of an enrollment leads to the certificate that a client showed, and why not.

use super::{Certificate, Lateness};
use crate::facts::Authority;
use model::{CertificateChain, Timestamp};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::cell::RefCell;
use std::time::Duration;
use webpki::{
    ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, VerifiedPath, anchor_from_trusted_cert,
};

/// A CA leads to a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Led {
    /// The name of the CA at its owner.
    pub by: String,
    /// How many CAs stand between it and the certificate.
    pub between: usize,
    /// When the first certificate on the way ends.
    pub until: Timestamp,
}

/// None does; why, for those who may know which CAs there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotLed {
    /// One does that is not to be trusted: its name, and why.
    By { authority: String, because: Distrust },
    /// There is no CA that signed the leaf or anything that came with it.
    Unknown,
    /// The way there is broken; says where.
    Broken(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Distrust {
    /// Nobody has shown that they hold its key.
    Unverified,
    Late(Lateness),
    /// It does not say that it is a CA, or its key may not sign certificates.
    NoAuthority,
}

impl NotLed {
    /// In a sentence; `whose` CAs were asked.
    pub fn told(&self, whose: &str) -> String {
        match self {
            Self::By { authority, because: Distrust::Unverified } => format!(
                "the CA `{authority}` of {whose} signed it, but is not verified: prove that you hold its key"
            ),
            Self::By { authority, because: Distrust::Late(lateness) } => {
                format!("the CA `{authority}` of {whose} signed it, and {lateness}")
            }
            Self::By { authority, because: Distrust::NoAuthority } => format!(
                "the certificate `{authority}` of {whose} signed it, and is no CA's (`basicConstraints`, `keyUsage`)"
            ),
            Self::Unknown => format!("no CA of {whose} signed it"),
            Self::Broken(because) => because.clone(),
        }
    }
}

/// Looks for a way from a verified CA to the leaf, at a time.
///
/// # Errors
/// Why there is none. Which CA is meant where one cannot be trusted is asked only then.
pub fn lead(
    chain: &CertificateChain,
    authorities: &[Authority],
    now: Timestamp,
) -> Result<Led, NotLed> {
    let (trusted, others): (Vec<Anchor<'_>>, Vec<Anchor<'_>>) = authorities
        .iter()
        .filter_map(|it| Anchor::of(it, now))
        .partition(|it| it.distrust.is_none());
    let because = match path(chain, &trusted, now) {
        Ok((anchor, between, until)) => {
            return Ok(Led { by: anchor.name.to_owned(), between, until });
        }
        Err(because) => because,
    };
    Err(match (path(chain, &others, now), because) {
        (Ok((Anchor { name, distrust: Some(because), .. }, ..)), _) => {
            NotLed::By { authority: (*name).to_owned(), because: *because }
        }
        // Of two ways that lead nowhere, the one that led further says more.
        (Err(because), NotLed::Unknown) => because,
        (Ok(_) | Err(_), because) => because,
    })
}

struct Anchor<'a> {
    name: &'a str,
    der: CertificateDer<'a>,
    path_length: Option<u32>,
    ends: Timestamp,
    distrust: Option<Distrust>,
}

impl<'a> Anchor<'a> {
    /// `None` for what is no certificate: nothing could lead from there.
    fn of(authority: &'a Authority, now: Timestamp) -> Option<Self> {
        let read = Certificate::read(&authority.der).ok()?;
        let distrust = match read.lateness(now) {
            _ if !read.is_authority => Some(Distrust::NoAuthority),
            _ if !authority.is_verified => Some(Distrust::Unverified),
            lateness => lateness.map(Distrust::Late),
        };
        Some(Self {
            name: &authority.name,
            der: CertificateDer::from(authority.der.as_slice()),
            path_length: read.path_length,
            ends: read.ends,
            distrust,
        })
    }
}

/// A way from one of the anchors to the leaf, how many certificates stand between them, and when the first on it ends.
fn path<'a, 'b>(
    chain: &CertificateChain,
    anchors: &'b [Anchor<'a>],
    now: Timestamp,
) -> Result<(&'b Anchor<'a>, usize, Timestamp), NotLed> {
    let leaf_der = CertificateDer::from(chain.leaf());
    let leaf = EndEntityCert::try_from(&leaf_der).map_err(|it| broken(&it))?;
    let between: Vec<CertificateDer<'_>> = chain.issuers().map(CertificateDer::from).collect();
    // One that is an anchor for nobody leads nowhere; its place is kept, so that places tell anchors.
    let trusted: Vec<(usize, TrustAnchor<'_>)> = anchors
        .iter()
        .enumerate()
        .filter_map(|(at, it)| Some((at, anchor_from_trusted_cert(&it.der).ok()?)))
        .collect();
    let roots: Vec<TrustAnchor<'_>> = trusted.iter().map(|(_, it)| it.clone()).collect();
    let meant = |path: &VerifiedPath<'_>| {
        let found = trusted.iter().find(|(_, it)| it == path.anchor());
        found.and_then(|(at, _)| anchors.get(*at))
    };
    let because = RefCell::new(None);
    let check = |path: &VerifiedPath<'_>| {
        let found = meant(path).ok_or(Error::UnknownIssuer)?;
        check_path(path, found).map_err(|it| {
            because.replace(Some(it));
            Error::PathLenConstraintViolated
        })
    };
    let seconds = Duration::from_secs(u64::try_from(now.seconds()).unwrap_or(0));
    let found = leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        &roots,
        &between,
        UnixTime::since_unix_epoch(seconds),
        KeyUsage::client_auth(),
        None,
        Some(&check),
    );
    let found = found.map_err(|it| because.take().map_or_else(|| broken(&it), NotLed::Broken))?;
    let anchor = meant(&found).ok_or(NotLed::Unknown)?;
    let own = Certificate::read(chain.leaf()).ok();
    let ends = found.intermediate_certificates().filter_map(|it| Certificate::read(&it.der()).ok());
    let until = own.into_iter().chain(ends).map(|it| it.ends).min();
    let between = found.intermediate_certificates().count();
    Ok((anchor, between, until.map_or(anchor.ends, |it| it.min(anchor.ends))))
}

/// What the library does not look at: the anchor's path length, and who may sign certificates.
fn check_path(path: &VerifiedPath<'_>, anchor: &Anchor<'_>) -> Result<(), String> {
    let mut between: u32 = 0;
    for issuer in path.intermediate_certificates() {
        between = between.saturating_add(1);
        if !Certificate::read(&issuer.der()).is_ok_and(|it| it.is_authority) {
            return Err(
                "a certificate on the way to the CA may not sign others (`keyUsage`)".into()
            );
        }
    }
    match anchor.path_length {
        Some(most) if between > most => Err(format!(
            "{between} CAs stand between `{}` and the certificate, and its path length is {most}",
            anchor.name
        )),
        _ => Ok(()),
    }
}

/// The library's no, in a sentence.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library adds to its errors as it likes")]
fn broken(error: &Error) -> NotLed {
    let because = match error {
        Error::UnknownIssuer => return NotLed::Unknown,
        Error::CertExpired { .. } => "a certificate on the way to the CA has ended",
        Error::CertNotValidYet { .. } => "a certificate on the way to the CA is not valid yet",
        Error::CaUsedAsEndEntity => "it is a CA's own certificate",
        Error::EndEntityUsedAsCa => {
            "a certificate on the way to the CA is no CA's itself (`basicConstraints`)"
        }
        Error::PathLenConstraintViolated | Error::MaximumPathDepthExceeded => {
            "more CAs stand on the way than its path length allows"
        }
        Error::InvalidSignatureForPublicKey => "a signature on the way to the CA is wrong",
        Error::NameConstraintViolation => "a CA on the way may not sign for its names",
        Error::RequiredEkuNotFoundContext(_) => {
            "it is not for clients (`extendedKeyUsage` without clientAuth)"
        }
        Error::UnsupportedCertVersion => "a certificate on the way is not of version 3",
        Error::UnsupportedSignatureAlgorithmContext(_) => {
            "a certificate on the way is signed in a way that is not taken, such as SHA-1"
        }
        Error::MaximumSignatureChecksExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => {
            "too many ways lead through the certificates that were sent"
        }
        other => return NotLed::Broken(format!("the chain cannot be followed ({other:?})")),
    };
    NotLed::Broken(because.to_owned())
}
