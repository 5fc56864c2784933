//! Certificates for tests: devices' and CAs', as anybody could make them.

use gate::x509::Thumbprints;
use model::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

const DAY_S: i64 = 86_400;

/// A certificate with its key and those above it.
#[derive(Clone)]
pub struct Certified {
    params: CertificateParams,
    der: CertificateDer<'static>,
    key: Vec<u8>,
    above: Vec<CertificateDer<'static>>,
}

impl Certified {
    /// Signs a certificate by its own key.
    pub fn by_itself(params: CertificateParams) -> Self {
        let key = new_key();
        let made = params.self_signed(&key).expect("the test describes a certificate");
        Self { der: made.der().clone(), key: key.serialize_der(), params, above: Vec::new() }
    }

    /// Signs a certificate by the key of another one, whatever that may be.
    pub fn by(params: CertificateParams, issuer: &Self) -> Self {
        let key = new_key();
        let signer = issuer.key_pair();
        let above = Issuer::from_params(&issuer.params, &signer);
        let made = params.signed_by(&key, &above).expect("the test describes a certificate");
        let mut chain = vec![issuer.der.clone()];
        chain.extend(issuer.above.iter().cloned());
        Self { der: made.der().clone(), key: key.serialize_der(), params, above: chain }
    }

    /// The certificate and all above it.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        let mut chain = vec![self.der.clone()];
        chain.extend(self.above.iter().cloned());
        chain
    }

    /// The certificate without those above it.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self { above: Vec::new(), ..self.clone() }
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }

    pub fn thumbprints(&self) -> Thumbprints {
        Thumbprints::of(&self.der)
    }

    /// The certificate as PEM, and its key.
    pub fn pem(&self) -> (String, String) {
        let key = self.key_pair();
        (pem(&self.der), key.serialize_pem())
    }

    /// The certificate and all above it as PEM, one behind the other.
    pub fn chain_pem(&self) -> String {
        self.chain().iter().map(|it| pem(it)).collect()
    }

    fn key_pair(&self) -> KeyPair {
        KeyPair::try_from(self.key.as_slice()).expect("it was made here")
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("the system has randomness")
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|it| std::str::from_utf8(it).expect("base64 is ASCII"))
        .collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// A device's certificate: valid from yesterday, for thirty days.
pub fn leaf(name: &str, now: Timestamp) -> CertificateParams {
    let mut params = between(name, now.plus_seconds(-DAY_S), now.plus_seconds(30 * DAY_S));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// A CA's certificate: valid from yesterday, for a year.
pub fn authority(name: &str, now: Timestamp) -> CertificateParams {
    let mut params = between(name, now.plus_seconds(-DAY_S), now.plus_seconds(365 * DAY_S));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A certificate that says nothing but its name and its time.
pub fn between(name: &str, from: Timestamp, until: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (at(from), at(until));
    params.is_ca = IsCa::NoCa;
    params
}

fn at(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(time.seconds()).expect("tests live in our time")
}
