//! What a caller shows to prove who it is, still unproven. `gate` proves it.

use crate::Timestamp;
use crate::ids::ObjectId;
use crate::trace::Caller;
// An address as a number: `core` knows no sockets.
use core::net::IpAddr;
use std::fmt;
use std::sync::Arc;

/// Text that must never be printed: its `Debug` shows stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Whoever calls this answers for where it goes.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What came with a call.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nothing.
    None,
    /// `Authorization: Bearer`: a JSON Web Token.
    Bearer(Secret<String>),
    /// `Authorization: SharedAccessSignature`.
    Sas(SasToken),
    /// A signature of storage: of a request, or of an address.
    Storage(Box<StorageSignature>),
    /// An application's id and secret at the token endpoint.
    ClientSecret { tenant: String, client_id: String, secret: Secret<String> },
    /// An application's id and the JSON Web Token that stands in for its secret, at the token endpoint.
    ClientAssertion {
        tenant: String,
        client_id: String,
        /// `client_assertion_type`, as it was sent.
        kind: String,
        assertion: Secret<String>,
    },
    /// What the client showed in the TLS handshake.
    Certificate(CertificateChain),
    /// A person's name and password, as a client sends them in the person's place, at the token endpoint.
    Password { tenant: String, client_id: String, username: String, password: Secret<String> },
    /// What a client got when a person signed in, to get further tokens with, at the token endpoint.
    RefreshToken { tenant: String, client: ShownClient, token: Secret<String> },
    /// What leads a person to tokens on the pages of sign-in, and a client to them afterwards.
    SignIn(Box<SignInStep>),
    /// What an application of this machine shows where it asks for the token of a managed identity.
    Local(Box<LocalCaller>),
    /// A deployment calls for whoever has deployed it. No front makes one, and nothing of it is a secret: it is
    /// worth what the gates find of its principal at each call.
    Deployment(Deployer),
    /// A job of a hub calls for whoever has made it, likewise.
    Job(Box<JobMaker>),
    /// Something that could not be read; the sentence says what.
    Malformed { kind: &'static str, because: String },
}

/// The client that asks for a person's tokens: who it says it is, and what it proves that by, where it can.
#[derive(Clone, Debug)]
pub struct ShownClient {
    pub id: String,
    /// A secret or an assertion; none of a client that holds neither, such as a program on somebody's computer.
    pub proof: Option<Box<Credential>>,
}

/// One step on a person's way to tokens.
#[derive(Clone, Debug)]
pub enum SignInStep {
    /// A client says which it is, and asks for something to come of it once a person has signed in.
    Client { tenant: String, client_id: String, asks: Asking },
    /// A browser that a person has signed in with, on its own account or for a client.
    Session { tenant: String, token: Secret<String>, asks: Asking },
    /// A client has got an authorization code.
    Code {
        tenant: String,
        client: ShownClient,
        code: Secret<String>,
        redirect_uri: String,
        /// `code_verifier`; empty where none came.
        verifier: Secret<String>,
    },
    /// A client asks what became of its device code.
    DeviceCode { tenant: String, client: ShownClient, code: Secret<String> },
}

/// What a person or a client is on the way to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asking {
    /// Nothing beyond the session.
    Nothing,
    /// An authorization code for a client, at an address of it.
    Code { client_id: String, redirect_uri: String, challenge: String, challenge_method: String },
    /// A device code; where a person answers it, with the code that the person was told.
    Device { user_code: String },
}

/// An application that asks at the port of a managed identity. Nothing of it is verified.
#[derive(Clone, Debug)]
pub struct LocalCaller {
    pub port: u16,
    /// `Host`, without the port: a page that rebinds its name to this machine still names itself there.
    pub host: String,
    /// True for the form of app services, which takes a secret header; machines take `Metadata`.
    pub is_app_service: bool,
    pub metadata: Option<String>,
    pub header: Option<Secret<String>>,
    /// A header by which a proxy tells of itself, where there is one.
    pub forwarded: Option<&'static str>,
    /// Which identity is meant, by name of the parameter: `client_id`, `object_id`, `mi_res_id`, `msi_res_id`.
    pub meant: Vec<(&'static str, String)>,
}

/// For whom a deployment calls: who was proven when it was accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deployer {
    pub principal: ObjectId,
    pub app_id: Option<ObjectId>,
    /// When the token was issued by which it was accepted.
    pub token_issued: Option<Timestamp>,
    /// The deployment's id.
    pub deployment: String,
    /// The deployment ends by then, and nobody is called for it any more.
    pub until: Timestamp,
}

/// For whom a job of a hub calls: who was proven when it was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobMaker {
    pub caller: Caller,
    pub job: String,
    /// The job ends by then, and nobody is called for it any more.
    pub until: Timestamp,
}

/// A shared access signature, taken apart but not verified.
#[derive(Clone, Debug)]
pub struct SasToken {
    /// `sr` exactly as it stands in the token: the signature covers this text.
    pub resource_text: String,
    /// `sr`, percent-decoded once: what the token is for.
    pub resource: String,
    /// `sig`, decoded to bytes. Empty where it was not base64: such a token never verifies.
    pub signature: Secret<Vec<u8>>,
    /// `se` exactly as it stands in the token.
    pub expiry_text: String,
    /// `se` as a time.
    pub expiry: Timestamp,
    /// `skn`: the shared access policy; absent for a device's own key.
    pub key_name: Option<String>,
}

/// A signature of storage, taken apart but not verified: the text that it must be of was made of the request.
#[derive(Clone, Debug)]
pub struct StorageSignature {
    pub text: String,
    /// Decoded from base64. Empty where it was none: such a signature never verifies.
    pub signature: Secret<Vec<u8>>,
    pub of: StorageSigned,
}

/// What was signed.
#[derive(Clone, Debug)]
pub enum StorageSigned {
    /// The request itself, made then, by a key of the account of this name.
    Request { account: String, made: Option<Timestamp> },
    /// An address, for whoever has it.
    Address(StorageSas),
}

/// What a shared access signature of storage opens, and for how long.
#[derive(Clone, Debug)]
pub struct StorageSas {
    pub key: StorageKey,
    /// `sp`: a letter for each permission.
    pub permissions: String,
    pub start: Option<Timestamp>,
    pub expiry: Timestamp,
    /// `sip`: the first and the last address that may use it.
    pub addresses: Option<(IpAddr, IpAddr)>,
}

/// Whose key has signed an address.
#[derive(Clone, Debug)]
pub enum StorageKey {
    /// The account's, for what of the account these letters name.
    Account { services: String, types: String },
    /// The account's, for one container or blob.
    Service,
    /// A user delegation key, likewise.
    Delegation(DelegationKey),
}

/// A user delegation key by its fields, exactly as they stand in the signature.
#[derive(Clone, Debug)]
pub struct DelegationKey {
    pub object_id: String,
    pub tenant: String,
    pub start: String,
    pub expiry: String,
    pub service: String,
    pub version: String,
}

/// A client's certificate and those that it sent along, in its order, each as DER. The handshake has shown that
/// the client holds the key of the first, and nothing else: none of them is trusted, or even read.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateChain(Arc<[Vec<u8>]>);

impl CertificateChain {
    /// `None` where there is no certificate.
    pub fn new(certificates: Vec<Vec<u8>>) -> Option<Self> {
        (!certificates.is_empty()).then(|| Self(certificates.into()))
    }

    /// The client's own.
    pub fn leaf(&self) -> &[u8] {
        // INVARIANT: there is one, or [`Self::new`] had made nothing.
        self.0.first().map_or(&[], Vec::as_slice)
    }

    /// What is to lead from it to a certificate that is trusted.
    pub fn issuers(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().skip(1).map(Vec::as_slice)
    }
}

impl Credential {
    /// The certificates that it is, where it is some.
    pub const fn certificates(&self) -> Option<&CertificateChain> {
        match self {
            Self::Certificate(chain) => Some(chain),
            Self::None
            | Self::Bearer(_)
            | Self::Sas(_)
            | Self::Storage(_)
            | Self::ClientSecret { .. }
            | Self::ClientAssertion { .. }
            | Self::Password { .. }
            | Self::RefreshToken { .. }
            | Self::SignIn(_)
            | Self::Local(_)
            | Self::Deployment(_)
            | Self::Job(_)
            | Self::Malformed { .. } => None,
        }
    }
}

impl fmt::Debug for CertificateChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateChain({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars() {
        let credential = Credential::ClientSecret {
            tenant: "t".into(),
            client_id: "c".into(),
            secret: Secret::new("open sesame".to_owned()),
        };
        let printed = format!("{credential:?}");
        assert!(printed.contains("***") && !printed.contains("sesame"), "{printed}");
    }

    #[test]
    fn a_chain_prints_how_long_it_is_and_nothing_of_it() {
        let chain = CertificateChain::new(vec![b"leaf".to_vec(), b"ca".to_vec()]).unwrap();
        assert_eq!(chain.leaf(), b"leaf");
        assert_eq!(chain.issuers().collect::<Vec<_>>(), [b"ca"]);
        assert_eq!(
            format!("{:?}", Credential::Certificate(chain)),
            "Certificate(CertificateChain(2))"
        );
        assert_eq!(CertificateChain::new(Vec::new()), None);
    }
}
