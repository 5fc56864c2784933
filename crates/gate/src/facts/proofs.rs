//! By what devices prove themselves, and the CAs that hubs take certificates of.

use model::Secret;

/// By what a device may prove itself. It has one way, and shows nothing by another.
#[derive(Clone, Debug)]
pub enum OwnProof {
    Keys(OwnKeys),
    Certificate(OwnCertificate),
}

impl OwnProof {
    /// Its registration or device id.
    pub fn name(&self) -> &str {
        match self {
            Self::Keys(it) => &it.name,
            Self::Certificate(it) => &it.name,
        }
    }

    /// False where the device, or its enrollment, was disabled.
    pub const fn is_enabled(&self) -> bool {
        match self {
            Self::Keys(it) => it.is_enabled,
            Self::Certificate(it) => it.is_enabled,
        }
    }
}

/// The keys by which a device proves itself. They are read for the call, from where the device or its
/// enrollment is kept, and are no part of the facts.
#[derive(Clone, Debug)]
pub struct OwnKeys {
    /// Its registration or device id.
    pub name: String,
    /// The enrollment or group that they come from.
    pub via: Option<String>,
    pub primary: Secret<Vec<u8>>,
    pub secondary: Secret<Vec<u8>>,
    pub is_enabled: bool,
}

/// Which certificate of a device counts. Read for the call, as [`OwnKeys`] are.
#[derive(Clone, Debug)]
pub struct OwnCertificate {
    /// Its registration or device id.
    pub name: String,
    /// The enrollment or group that says which one counts; `None` at a hub.
    pub via: Option<String>,
    pub counts: Counts,
    pub is_enabled: bool,
}

#[derive(Clone, Debug)]
pub enum Counts {
    /// One with one of these thumbprints: SHA-1 or SHA-256 of its DER, in upper-case hexadecimal. Nobody needs to
    /// have signed it.
    Thumbprints(Vec<String>),
    /// One that a verified CA of the hub leads to, and that has the device's name.
    OfAuthority,
    /// The same with the CAs that an enrollment holds or refers to.
    OfThese(Vec<Authority>),
}

/// A CA whose devices a hub or an enrollment takes, once somebody has shown that they hold its key.
#[derive(Clone, Debug)]
pub struct Authority {
    pub name: String,
    /// The certificate, DER. What it says of itself is read when it is needed.
    pub der: Vec<u8>,
    pub is_verified: bool,
}
