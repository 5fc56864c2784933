//! Certificates of clients: hubs and provisioning services ask for one and never insist.
//!
//! The handshake proves that a client holds the key of what it shows. Whether that counts for anything is for the
//! gates to say, which know the device and its hub: so every certificate passes here that is no burden.

use model::CertificateChain;
use model::security::TlsVersion;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ProtocolVersion,
    ServerConnection, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;

/// Most certificates that a client may show.
pub const CLIENT_CERTIFICATES_MAX: usize = 10;
/// Most bytes that they have together: sessions that can be resumed keep them.
pub const CLIENT_CERTIFICATES_BYTES_MAX: usize = 16 << 10;

/// Takes any certificate whose key the client holds.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client that is told of some may keep back a self-signed one.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes = issuers.iter().fold(leaf.len(), |sum, it| sum.saturating_add(it.len()));
        match issuers.len() < CLIENT_CERTIFICATES_MAX && bytes <= CLIENT_CERTIFICATES_BYTES_MAX {
            true => Ok(ClientCertVerified::assertion()),
            false => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let taken = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, taken)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let taken = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, taken)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What the client of a connection has shown.
pub(crate) fn shown(connection: &ServerConnection) -> Option<CertificateChain> {
    let certificates = connection.peer_certificates()?;
    CertificateChain::new(certificates.iter().map(|it| it.to_vec()).collect())
}

/// The version that a connection speaks, of those that the server takes.
pub(crate) fn spoken(connection: &ServerConnection) -> Option<TlsVersion> {
    let spoken = connection.protocol_version()?;
    let known = [
        (ProtocolVersion::TLSv1_2, TlsVersion::V1_2),
        (ProtocolVersion::TLSv1_3, TlsVersion::V1_3),
    ];
    known.into_iter().find(|(it, _)| *it == spoken).map(|(_, it)| it)
}
