//! Who we are on the wire: leaf certificates of the private CA, minted when a connection needs one.
//!
//! A certificate is chosen by the name that the client asks for only where we serve that name; every other
//! name gets the certificate of the address that the connection came to. So a peer cannot make us mint
//! certificates by making up names. Nothing here reads or writes files, and nothing prints a key.
//!
//! Clients of hubs and provisioning services are asked for certificates, see `clients.rs`; those of the management
//! origin are not, for some ask their user for one as soon as a server wants it.

mod clients;

pub use clients::{CLIENT_CERTIFICATES_BYTES_MAX, CLIENT_CERTIFICATES_MAX};
pub(crate) use clients::{shown, spoken};

use crate::https::Side;
use clients::AnyCertificate;
use model::Timestamp;
use model::operations::Protocol;
use ops::env::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use time::OffsetDateTime;

/// How long the private CA lives.
pub const CA_DAYS: i64 = 3_650;
/// How long a leaf lives: below the 398 days that browsers accept.
pub const LEAF_DAYS: i64 = 365;
/// A leaf is replaced when it has fewer days than this left.
pub const LEAF_RENEWAL_DAYS: i64 = 30;
/// Certificates start a day early, because clocks differ.
pub const EARLY_DAYS: i64 = 1;
/// Most leaves kept: one per served name and per local address.
pub const LEAVES_MAX: usize = 1_024;
/// Most names served.
pub const NAMES_MAX: usize = 4_096;
/// Most TLS configurations kept: one per local address.
pub const CONFIGS_MAX: usize = 1_024;
/// TLS sessions that can be resumed, per local address.
pub const SESSIONS_MAX: usize = 1_024;

const DAY_S: i64 = 86_400;
/// The latest start of a certificate, in seconds: its end must stay before the year 10000.
const START_S_MAX: i64 = 250_000_000_000;
/// The most that a common name may hold. Source: RFC 5280, appendix A.1, `ub-common-name`.
const COMMON_NAME_CHARS_MAX: usize = 64;
const CA_NAME: &str = "Hubward private CA";
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Why there is no certificate.
#[derive(Debug)]
pub enum TlsError {
    /// The CA's certificate or key is not readable PEM of the right kind; says which.
    UnreadableCa {
        what: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The CA's key belongs to another certificate.
    ForeignKey,
    /// A certificate could not be made.
    Mint {
        name: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The clock shows a time that no certificate can carry.
    Time {
        now: Timestamp,
    },
    /// The TLS library cannot be set up.
    Setup {
        source: rustls::Error,
    },
    TooManyNames {
        limit: usize,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnreadableCa { what, .. } => write!(
                f,
                "cannot read the private CA's {what}; put back the file, or remove both files of the CA to get a new one"
            ),
            Self::ForeignKey => f.write_str(
                "the private CA's key does not belong to its certificate; put back the file that was changed",
            ),
            Self::Mint { name, .. } => write!(f, "cannot make a certificate for `{name}`"),
            Self::Time { now } => write!(f, "no certificate can start at `{now}`; set the machine's clock"),
            Self::Setup { .. } => f.write_str("cannot set up TLS"),
            Self::TooManyNames { limit } => write!(f, "more than {limit} names to serve"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UnreadableCa { source, .. } | Self::Mint { source, .. } => Some(&**source),
            Self::Setup { source } => Some(source),
            Self::ForeignKey | Self::Time { .. } | Self::TooManyNames { .. } => None,
        }
    }
}

/// The private CA, the names it answers for, and the leaves it has made.
pub struct Certificates {
    mint: Arc<Mint>,
    /// What the configurations of the management origin have in common.
    base: ServerConfig,
    /// The same of those that ask for certificates.
    asking: ServerConfig,
    configs: Mutex<BTreeMap<Place, Arc<ServerConfig>>>,
}

/// A listener: its address, the word of its protocol, and for whom it answers.
type Place = (IpAddr, &'static str, Side);

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

impl Certificates {
    /// Takes over a CA made by [`Certificates::make_ca`], or by an operator. Serves `localhost` from the start.
    ///
    /// # Errors
    /// [`TlsError::UnreadableCa`] and [`TlsError::ForeignKey`], where the files are not a CA's.
    pub fn new(ca_cert_pem: &str, ca_key_pem: &str, clock: Clock) -> Result<Self, TlsError> {
        let key = KeyPair::from_pem(ca_key_pem).map_err(|it| unreadable("key", it))?;
        let certificate = CertificateDer::from_pem_slice(ca_cert_pem.as_bytes())
            .map_err(|it| unreadable("certificate", it))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let signing_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let pair = CertifiedKey::from_der(vec![certificate.clone()], signing_key, &provider);
        if let Err(rustls::Error::InconsistentKeys(_)) = pair {
            return Err(TlsError::ForeignKey);
        }
        pair.map_err(|it| unreadable("certificate", it))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|it| unreadable("certificate", it))?;
        let mint = Arc::new(Mint {
            issuer,
            clock,
            provider: Arc::clone(&provider),
            served: Mutex::new(BTreeSet::from(["localhost".to_owned()])),
            leaves: Mutex::default(),
        });
        let resolver = Arc::new(ByName { mint: Arc::clone(&mint), local: LOCALHOST });
        let clients = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|source| TlsError::Setup { source })?;
        let resolve: Arc<dyn ResolvesServerCert> = resolver;
        let asking = builder
            .clone()
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(&resolve));
        let base = builder.with_no_client_auth().with_cert_resolver(resolve);
        Ok(Self { mint, base, asking, configs: Mutex::default() })
    }

    /// Makes a new CA: its certificate and its key, both PEM. The key opens every certificate: keep it 0600.
    ///
    /// # Errors
    /// [`TlsError::Mint`] where the system has no randomness, [`TlsError::Time`] where `now` is out of range.
    pub fn make_ca(now: Timestamp) -> Result<(String, String), TlsError> {
        let mint = |source| TlsError::Mint { name: CA_NAME.to_owned(), source: Box::new(source) };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(mint)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(CA_NAME);
        (params.not_before, params.not_after) = lifetime(now, CA_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(mint)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Replaces the names that clients may ask for; `localhost` is always one of them.
    ///
    /// # Errors
    /// [`TlsError::TooManyNames`] past [`NAMES_MAX`]; the names then stay as they were.
    pub fn serve_names(&self, names: impl IntoIterator<Item = String>) -> Result<(), TlsError> {
        let mut served = BTreeSet::from(["localhost".to_owned()]);
        for name in names {
            served.insert(canonical(&name));
            if served.len() > NAMES_MAX {
                return Err(TlsError::TooManyNames { limit: NAMES_MAX });
            }
        }
        *lock(&self.mint.served) = served;
        Ok(())
    }

    /// The TLS configuration for connections that come to `local` and speak a protocol with a side there.
    pub fn config(&self, local: IpAddr, protocol: Protocol, side: Side) -> Arc<ServerConfig> {
        let local = local.to_canonical();
        let key = (local, protocol.as_str(), side);
        let mut configs = lock(&self.configs);
        if let Some(config) = configs.get(&key) {
            return Arc::clone(config);
        }
        if configs.len() >= CONFIGS_MAX {
            // Costs the sessions that could have been resumed, nothing else.
            configs.clear();
        }
        let mut config = match side {
            Side::Management | Side::Identity(_) => self.base.clone(),
            Side::Hubs => self.asking.clone(),
        };
        config.cert_resolver = Arc::new(ByName { mint: Arc::clone(&self.mint), local });
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        config.alpn_protocols = match protocol {
            Protocol::Https => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Protocol::Mqtt => vec![b"mqtt".to_vec()],
            // No client of Azure names it, and what some name instead is nothing to refuse them for.
            Protocol::Amqp => Vec::new(),
        };
        let config = Arc::new(config);
        configs.insert(key, Arc::clone(&config));
        config
    }

    /// Makes sure that there is a certificate for connections that come to `local`. Cheap once there is.
    ///
    /// # Errors
    /// [`TlsError::Mint`] and [`TlsError::Time`]: without a certificate no handshake can succeed.
    pub fn prepare(&self, local: IpAddr) -> Result<(), TlsError> {
        self.mint.leaf(Subject::of_address(local.to_canonical())).map(drop)
    }

    /// Leaves made so far and still kept.
    pub fn leaves(&self) -> usize {
        lock(&self.mint.leaves).len()
    }
}

/// What a leaf is for. The three loopback names share one leaf.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Subject {
    Loopback,
    Address(IpAddr),
    Name(String),
}

impl Subject {
    fn of_address(address: IpAddr) -> Self {
        match [LOCALHOST, LOCALHOST_V6].contains(&address) {
            true => Self::Loopback,
            false => Self::Address(address),
        }
    }

    fn of_name(name: String) -> Self {
        match name.as_str() {
            "localhost" => Self::Loopback,
            _ => Self::Name(name),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("localhost"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

struct Leaf {
    key: Arc<CertifiedKey>,
    from: Timestamp,
    until: Timestamp,
}

impl Leaf {
    /// True where it holds at `now` and for a while: also not before its start, should the clock jump back.
    fn holds_at(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until.plus_seconds(-LEAF_RENEWAL_DAYS * DAY_S)
    }
}

struct Mint {
    issuer: Issuer<'static, KeyPair>,
    clock: Clock,
    provider: Arc<CryptoProvider>,
    /// Lower case, without a trailing dot.
    served: Mutex<BTreeSet<String>>,
    leaves: Mutex<BTreeMap<Subject, Leaf>>,
}

impl Mint {
    fn choose(&self, asked: Option<&str>, local: IpAddr) -> Subject {
        match asked.map(canonical) {
            Some(name) if lock(&self.served).contains(&name) => Subject::of_name(name),
            _ => Subject::of_address(local),
        }
    }

    fn leaf(&self, subject: Subject) -> Result<Arc<CertifiedKey>, TlsError> {
        let now = (self.clock.now)();
        let mut leaves = lock(&self.leaves);
        if let Some(leaf) = leaves.get(&subject)
            && leaf.holds_at(now)
        {
            return Ok(Arc::clone(&leaf.key));
        }
        let leaf = self.make(&subject, now)?;
        let key = Arc::clone(&leaf.key);
        leaves.insert(subject, leaf);
        if leaves.len() > LEAVES_MAX
            && let Some(oldest) =
                leaves.iter().min_by_key(|(_, it)| it.until).map(|(it, _)| it.clone())
        {
            leaves.remove(&oldest);
        }
        Ok(key)
    }

    fn make(&self, subject: &Subject, now: Timestamp) -> Result<Leaf, TlsError> {
        let name = subject.to_string();
        let mint =
            |source: rcgen::Error| TlsError::Mint { name: name.clone(), source: Box::new(source) };
        let mut params = CertificateParams::default();
        params.subject_alt_names = alternatives(subject).map_err(mint)?;
        params.distinguished_name = match name.len() {
            0..=COMMON_NAME_CHARS_MAX => named(&name),
            _ => named("Hubward"),
        };
        (params.not_before, params.not_after) = lifetime(now, LEAF_DAYS)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Strict verifiers, Python's among them, want to see which key of the CA signed.
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(mint)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(mint)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = CertifiedKey::from_der(vec![certificate.der().clone()], private, &self.provider)
            .map_err(|it| TlsError::Mint { name: name.clone(), source: Box::new(it) })?;
        Ok(Leaf {
            key: Arc::new(key),
            from: now.plus_seconds(-EARLY_DAYS * DAY_S),
            until: now.plus_seconds(LEAF_DAYS * DAY_S),
        })
    }
}

/// Chooses the leaf of one connection: by the name asked for, else by the address it came to.
struct ByName {
    mint: Arc<Mint>,
    local: IpAddr,
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByName({})", self.local)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let subject = self.mint.choose(hello.server_name(), self.local);
        // Without a certificate the handshake fails with an alert: that is all that TLS can say.
        self.mint.leaf(subject).ok()
    }
}

fn alternatives(subject: &Subject) -> Result<Vec<SanType>, rcgen::Error> {
    Ok(match subject {
        Subject::Loopback => vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(LOCALHOST),
            SanType::IpAddress(LOCALHOST_V6),
        ],
        Subject::Address(address) => vec![SanType::IpAddress(*address)],
        Subject::Name(name) => vec![SanType::DnsName(name.as_str().try_into()?)],
    })
}

fn lifetime(now: Timestamp, days: i64) -> Result<(OffsetDateTime, OffsetDateTime), TlsError> {
    if !(DAY_S..=START_S_MAX).contains(&now.seconds()) {
        return Err(TlsError::Time { now });
    }
    let at = |days: i64| {
        OffsetDateTime::from_unix_timestamp(now.plus_seconds(days * DAY_S).seconds())
            .map_err(|_| TlsError::Time { now })
    };
    Ok((at(-EARLY_DAYS)?, at(days)?))
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn unreadable(
    what: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> TlsError {
    TlsError::UnreadableCa { what, source: Box::new(source) }
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// A panic elsewhere while a lock was held leaves maps whole: each change is one insertion.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
