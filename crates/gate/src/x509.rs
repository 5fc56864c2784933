//! Certificates: what one says of itself, and whether a CA leads to it.
//!
//! Whether a CA leads to a certificate is for `rustls-webpki` to say, which bounds what it does; it looks neither
//! at a CA's own validity nor at its path length, nor at key usages, so these are looked at here. A self-signed
//! certificate is only ever told by its thumbprint.

mod lead;

pub use lead::{Led, NotLed, lead};

use model::Timestamp;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_PKCS1_SHA1WITHRSA;
use x509_parser::prelude::FromDer as _;

/// Longest certificate, in bytes of DER: many times what a device's or a CA's takes.
pub const CERTIFICATE_BYTES_MAX: usize = 16 << 10;
/// Most certificates that a client may show.
pub const CHAIN_CERTIFICATES_MAX: usize = 10;

/// What a certificate says of itself. None of it is proven.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The subject as people write it: `CN=pump-1, O=Plant`.
    pub subject: String,
    /// The subject's common name, where it has one, and only one.
    pub common_name: Option<String>,
    /// Who says to have signed it, as [`Self::subject`].
    pub issuer: String,
    /// In upper-case hexadecimal.
    pub serial: String,
    /// 1 to 3.
    pub version: u32,
    pub starts: Timestamp,
    pub ends: Timestamp,
    /// It says that it is a CA, and its key may sign certificates.
    pub is_authority: bool,
    /// How many CAs may stand between it and a leaf; `None` for any number.
    pub path_length: Option<u32>,
    /// Its key may sign a handshake.
    pub may_sign_in: bool,
}

/// The bytes are no certificate, or more than one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotACertificate;

impl Certificate {
    /// # Errors
    /// [`NotACertificate`], also where it is longer than [`CERTIFICATE_BYTES_MAX`].
    pub fn read(der: &[u8]) -> Result<Self, NotACertificate> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(NotACertificate);
        }
        let Ok(([], read)) = X509Certificate::from_der(der) else { return Err(NotACertificate) };
        let constraints = read.basic_constraints().map_err(|_| NotACertificate)?;
        let usage = read.key_usage().map_err(|_| NotACertificate)?;
        let mut names = read.subject().iter_common_name();
        let common_name = match (names.next(), names.next()) {
            (Some(one), None) => one.as_str().ok().map(str::to_owned),
            (_, _) => None,
        };
        let at = |it: x509_parser::time::ASN1Time| Timestamp::from_seconds(it.timestamp());
        Ok(Self {
            subject: read.subject().to_string(),
            common_name,
            issuer: read.issuer().to_string(),
            serial: hexadecimal(read.raw_serial()),
            version: read.version().0.saturating_add(1),
            starts: at(read.validity().not_before),
            ends: at(read.validity().not_after),
            is_authority: constraints.as_ref().is_some_and(|it| it.value.ca)
                && usage.as_ref().is_none_or(|it| it.value.key_cert_sign()),
            path_length: constraints.and_then(|it| it.value.path_len_constraint),
            may_sign_in: usage.is_none_or(|it| it.value.digital_signature()),
        })
    }

    /// Whether the key of `issuer` signed it, whose name it bears. This asks for no more than that: who shows to
    /// hold a CA's key may do so with a certificate that nothing else would take, such as one of version 1.
    pub fn is_signed_by(der: &[u8], issuer: &[u8]) -> bool {
        let (Ok(([], own)), Ok(([], issuer))) =
            (X509Certificate::from_der(der), X509Certificate::from_der(issuer))
        else {
            return false;
        };
        // SHA-1 can be made to fit what its signer never saw.
        let is_weak = own.signature_algorithm.algorithm == OID_PKCS1_SHA1WITHRSA;
        !is_weak
            && own.issuer().as_raw() == issuer.subject().as_raw()
            && own.verify_signature(Some(issuer.public_key())).is_ok()
    }

    /// What is wrong with its time, if anything.
    pub fn lateness(&self, now: Timestamp) -> Option<Lateness> {
        if now < self.starts {
            return Some(Lateness::NotYet { starts: self.starts });
        }
        // It holds to the end of its last second.
        (now.seconds() > self.ends.seconds()).then_some(Lateness::Ended { ended: self.ends })
    }
}

/// Why a certificate does not hold now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lateness {
    NotYet { starts: Timestamp },
    Ended { ended: Timestamp },
}

impl std::fmt::Display for Lateness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotYet { starts } => write!(f, "is not valid before {starts}"),
            Self::Ended { ended } => write!(f, "ended at {ended}"),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02X}")).collect()
}

/// The two names by which people point at a certificate, in upper-case hexadecimal. SHA-1 is no proof of
/// anything, but a certificate that is known by it has to be found by it: a second one with the same hash and a key
/// of one's own is out of reach still.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thumbprints {
    pub sha1: String,
    pub sha256: String,
}

impl Thumbprints {
    pub fn of(der: &[u8]) -> Self {
        Self {
            sha1: hexadecimal(digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref()),
            sha256: hexadecimal(digest(&SHA256, der).as_ref()),
        }
    }

    /// Whether a registered thumbprint is one of the two.
    pub fn has(&self, registered: &str) -> bool {
        registered.eq_ignore_ascii_case(&self.sha1) || registered.eq_ignore_ascii_case(&self.sha256)
    }
}
