//! Tests of certificates: a client that trusts the private CA connects where it should, and nowhere else.

use super::*;
use rustls::client::ClientConfig;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{ServerName, UnixTime};
use std::error::Error as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HUB: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 71, 3, 2));
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

static CA: LazyLock<(String, String)> = LazyLock::new(|| Certificates::make_ca(START).unwrap());

/// A clock that stands where it is put, for both ends.
#[derive(Clone, Debug)]
struct Fixed(Arc<AtomicI64>);

impl Fixed {
    fn at(time: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(time.seconds())))
    }

    fn set(&self, time: Timestamp) {
        self.0.store(time.seconds(), Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let own = Arc::clone(&self.0);
        Clock {
            now: Arc::new(move || Timestamp::from_seconds(own.load(Ordering::SeqCst))),
            monotonic_ns: Arc::new(|| 0),
        }
    }
}

impl TimeProvider for Fixed {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.load(Ordering::SeqCst)).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

struct World {
    time: Fixed,
    certificates: Certificates,
    client: ClientConfig,
}

impl World {
    fn new() -> Self {
        let time = Fixed::at(START);
        let certificates = Certificates::new(&CA.0, &CA.1, time.clock()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(CA.0.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.time_provider = Arc::new(time.clone());
        client.resumption = rustls::client::Resumption::disabled();
        Self { time, certificates, client }
    }

    /// Connects to `local`, asking for `name`; the protocol agreed on and the certificate shown.
    async fn connect(
        &self,
        local: IpAddr,
        name: &str,
    ) -> Result<(Option<Vec<u8>>, Vec<u8>), rustls::Error> {
        let (near, far) = tokio::io::duplex(16 << 10);
        let acceptor =
            TlsAcceptor::from(self.certificates.config(local, Protocol::Https, Side::Hubs));
        let connector = TlsConnector::from(Arc::new(self.client.clone()));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let (_, connected) = tokio::join!(acceptor.accept(far), connector.connect(name, near));
        let stream = connected.map_err(|it| {
            let inner = it.into_inner().expect("TLS says why");
            *inner.downcast::<rustls::Error>().expect("TLS says why")
        })?;
        let connection = stream.get_ref().1;
        let shown = connection.peer_certificates().unwrap()[0].to_vec();
        Ok((connection.alpn_protocol().map(<[u8]>::to_vec), shown))
    }

    async fn is_refused(&self, local: IpAddr, name: &str) -> bool {
        matches!(
            self.connect(local, name).await,
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            ))
        )
    }
}

#[tokio::test]
async fn the_loopback_names_share_one_leaf() {
    let world = World::new();
    let first = world.connect(HERE, "127.0.0.1").await.unwrap();
    assert_eq!(world.connect(HERE, "localhost").await.unwrap(), first);
    assert_eq!(world.connect(HERE, "LocalHost").await.unwrap(), first);
    assert_eq!(world.connect(IpAddr::V6(Ipv6Addr::LOCALHOST), "::1").await.unwrap(), first);
    assert_eq!(world.certificates.leaves(), 1);
}

#[tokio::test]
async fn a_hubs_address_has_a_leaf_of_its_own() {
    let world = World::new();
    world.connect(HUB, "127.71.3.2").await.unwrap();
    assert!(world.is_refused(HUB, "127.71.3.20").await);
    assert!(world.is_refused(HUB, "127.0.0.1").await);
    // `HostName=localhost` means the default hub, whatever its address.
    world.connect(HUB, "localhost").await.unwrap();
    world.connect("::ffff:127.71.3.2".parse().unwrap(), "127.71.3.2").await.unwrap();
    assert_eq!(world.certificates.leaves(), 2);
}

#[tokio::test]
async fn a_name_that_is_not_served_gets_the_addresss_certificate_and_mints_nothing() {
    let world = World::new();
    world.certificates.prepare(HERE).unwrap();
    for name in ["attacker.example", "localhost.example", "a.localhost", "hub.azure-devices.net"] {
        assert!(world.is_refused(HERE, name).await, "{name}");
    }
    assert_eq!(world.certificates.leaves(), 1);
}

#[tokio::test]
async fn served_names_can_change() {
    let world = World::new();
    assert!(world.is_refused(HUB, "hub.example").await);
    world.certificates.serve_names(["Hub.Example.".to_owned()]).unwrap();
    world.connect(HUB, "hub.example").await.unwrap();
    assert!(world.is_refused(HUB, "hub1.example").await);
    world.connect(HUB, "localhost").await.unwrap();
    world.certificates.serve_names([]).unwrap();
    assert!(world.is_refused(HUB, "hub.example").await);
    let many = (0..=NAMES_MAX).map(|it| format!("h{it}"));
    assert!(matches!(world.certificates.serve_names(many), Err(TlsError::TooManyNames { .. })));
    world.connect(HUB, "localhost").await.unwrap();
}

#[tokio::test]
async fn both_versions_of_tls_and_of_http_are_offered() {
    let mut world = World::new();
    world.client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    assert_eq!(world.connect(HERE, "localhost").await.unwrap().0.as_deref(), Some(&b"h2"[..]));
    world.client.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert_eq!(
        world.connect(HERE, "localhost").await.unwrap().0.as_deref(),
        Some(&b"http/1.1"[..])
    );
    world.client.alpn_protocols.clear();
    assert_eq!(world.connect(HERE, "localhost").await.unwrap().0, None);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(CA.0.as_bytes()).unwrap()).unwrap();
        world.client =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        world.client.time_provider = Arc::new(world.time.clone());
        world.connect(HERE, "localhost").await.unwrap();
    }
}

#[tokio::test]
async fn a_leaf_is_replaced_before_it_expires_and_when_the_clock_jumps_back() {
    let world = World::new();
    let first = world.connect(HERE, "localhost").await.unwrap();
    let renewal = START.plus_seconds((LEAF_DAYS - LEAF_RENEWAL_DAYS) * DAY_S);
    world.time.set(renewal.plus_seconds(-1));
    assert_eq!(world.connect(HERE, "localhost").await.unwrap(), first);
    world.time.set(renewal);
    let second = world.connect(HERE, "localhost").await.unwrap();
    assert_ne!(second, first);
    // A client whose clock is most of a day behind still takes the new leaf.
    world.time.set(renewal.plus_seconds(-EARLY_DAYS * DAY_S));
    assert_eq!(world.connect(HERE, "localhost").await.unwrap(), second);
    world.time.set(renewal.plus_seconds(-EARLY_DAYS * DAY_S - 1));
    assert_ne!(world.connect(HERE, "localhost").await.unwrap(), second);
    assert_eq!(world.certificates.leaves(), 1);
}

#[tokio::test]
async fn a_client_that_trusts_another_ca_refuses() {
    let mut world = World::new();
    let (other, key) = Certificates::make_ca(START).unwrap();
    world.certificates = Certificates::new(&other, &key, world.time.clock()).unwrap();
    assert!(matches!(
        world.connect(HERE, "localhost").await,
        Err(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature
        ))
    ));
}

#[test]
fn leaves_and_configurations_are_bounded() {
    let world = World::new();
    let address =
        |it: usize| IpAddr::V4(Ipv4Addr::from_bits(0x7f00_0000 + 2 + u32::try_from(it).unwrap()));
    for it in 0..CONFIGS_MAX + 2 {
        world.certificates.config(address(it), Protocol::Https, Side::Hubs);
    }
    assert!(lock(&world.certificates.configs).len() <= CONFIGS_MAX);
    let mut leaves = lock(&world.certificates.mint.leaves);
    let key = world.certificates.mint.make(&Subject::Loopback, START).unwrap().key;
    for it in 0..LEAVES_MAX {
        let until = START.plus_seconds(i64::try_from(it).unwrap());
        leaves.insert(
            Subject::Address(address(it)),
            Leaf { key: Arc::clone(&key), from: START, until },
        );
    }
    drop(leaves);
    world.certificates.prepare(HERE).unwrap();
    assert_eq!(world.certificates.leaves(), LEAVES_MAX);
    assert!(!lock(&world.certificates.mint.leaves).contains_key(&Subject::Address(address(0))));
}

#[test]
fn a_ca_that_cannot_be_read_is_refused_and_its_key_is_never_shown() {
    let other = Certificates::make_ca(START).unwrap();
    let clock = || Fixed::at(START).clock();
    let told = |cert: &str, key: &str| {
        let error = Certificates::new(cert, key, clock()).unwrap_err();
        format!("{error}: {error:?}: {:?}", error.source())
    };
    assert!(told("", &CA.1).contains("certificate"));
    assert!(told(&CA.1, &CA.1).contains("certificate"));
    assert!(told(&CA.0, &CA.0).contains("key"));
    assert!(told(&CA.0, &other.1).contains("does not belong"));
    let cut = CA.1.replace("\n-----END", "!\n-----END");
    let told = told(&CA.0, &cut);
    let secret = CA.1.lines().nth(1).unwrap();
    assert!(told.contains("key") && !told.contains(secret), "{told}");
}

#[test]
fn a_clock_out_of_range_makes_no_certificate() {
    for seconds in [i64::MIN / 2_000, -1, 0, START_S_MAX + 1, i64::MAX / 2_000] {
        let now = Timestamp::from_seconds(seconds);
        assert!(matches!(Certificates::make_ca(now), Err(TlsError::Time { .. })), "{seconds}");
        let certificates = Certificates::new(&CA.0, &CA.1, Fixed::at(now).clock()).unwrap();
        assert!(certificates.prepare(HERE).is_err(), "{seconds}");
    }
    assert!(Certificates::make_ca(Timestamp::from_seconds(START_S_MAX)).is_ok());
}
