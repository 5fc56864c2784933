//! Connections to others: to an address that was looked at, and with TLS to whom a trusted CA vouches for.

use crate::address::{NotAllowed, Own, Rule};
use crate::target::Target;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longest body of an answer that is handed back as a whole.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest piece of what others say that is kept.
pub(crate) const SAID_BYTES_MAX: usize = 1_024;
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Calls others. A copy is the same client.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    rule: Rule,
    /// The certificates by which others are believed: a PEM file, read with the first call.
    trusted: PathBuf,
    tls: OnceCell<TlsConnector>,
}

/// Why nothing came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EgressError {
    NotAllowed(NotAllowed),
    /// Without TLS only what the operator has allowed by name is called.
    NotEncrypted,
    /// What the name service, the network, TLS or the protocol says.
    Failed(String),
    TimedOut,
    TooLong,
}

impl fmt::Display for EgressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed(it) => it.fmt(f),
            Self::NotEncrypted => f.write_str(
                "it has to begin with `https://`; without, the operator has to allow its host with `hubward up \
                 --allow-egress HOST`",
            ),
            Self::Failed(why) => f.write_str(why),
            Self::TimedOut => f.write_str("it did not answer in time"),
            Self::TooLong => write!(f, "its answer is longer than {ANSWER_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for EgressError {}

impl Client {
    pub fn new(rule: Rule, trusted: PathBuf) -> Self {
        Self(Arc::new(Inner { rule, trusted, tls: OnceCell::const_new() }))
    }

    /// What can be told of a target before its name is resolved: whether it is encrypted, and where an address leads
    /// that stands in place of a name.
    ///
    /// # Errors
    /// [`EgressError::NotEncrypted`] and [`EgressError::NotAllowed`].
    pub fn check(&self, target: &Target) -> Result<(), EgressError> {
        let Target { host, port, .. } = target;
        if !target.is_tls && !self.0.rule.names(host, *port) {
            return Err(EgressError::NotEncrypted);
        }
        match host.parse::<IpAddr>() {
            Ok(it) => self.0.rule.check(host, *port, it).map_err(EgressError::NotAllowed),
            Err(_) => Ok(()),
        }
    }

    /// Connects to an address that was looked at: none is resolved again behind the look. A host of the server's own
    /// is not resolved at all.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, EgressError> {
        let rule = &self.0.rule;
        if let Some(Own { at, from }) = rule.own(host) {
            let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
            let socket = socket.map_err(|it| failed(&it))?;
            socket.bind(SocketAddr::new(from, 0)).map_err(|it| failed(&it))?;
            return socket.connect(SocketAddr::new(at, port)).await.map_err(|it| failed(&it));
        }
        let found = tokio::net::lookup_host((host, port)).await;
        let found: Vec<SocketAddr> = found.map_err(|it| failed(&it))?.take(ADDRESSES_MAX).collect();
        let mut last = EgressError::Failed(format!("`{host}` has no address"));
        for address in found {
            // One address that leads inside is reason enough to believe none of them.
            rule.check(host, port, address.ip()).map_err(EgressError::NotAllowed)?;
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = failed(&error),
            }
        }
        Err(last)
    }

    /// TLS over a connection to a host, which has to prove that it is that.
    pub(crate) async fn secure(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, EgressError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|it| failed(&it))?;
        self.tls().await?.connect(name, stream).await.map_err(|it| failed(&it))
    }

    async fn tls(&self) -> Result<&TlsConnector, EgressError> {
        let read = || async {
            let path = self.0.trusted.clone();
            let read = tokio::task::spawn_blocking(move || trusting(&path)).await;
            read.unwrap_or_else(|it| Err(failed(&it)))
        };
        self.0.tls.get_or_try_init(read).await
    }
}

fn trusting(path: &Path) -> Result<TlsConnector, EgressError> {
    let mut roots = RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(path).map_err(|it| failed(&it))?;
    // A system's bundle may hold one that this library does not read.
    roots.add_parsable_certificates(all.filter_map(Result::ok));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config =
        config.map_err(|it| failed(&it))?.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

pub(crate) fn failed(error: &dyn std::error::Error) -> EgressError {
    let cause = error.source().map(|it| format!(": {it}")).unwrap_or_default();
    EgressError::Failed(format!("{error}{cause}"))
}

/// What others say is shown to operators: a piece of it is enough, and no more is kept.
pub(crate) fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(SAID_BYTES_MAX);
    text.get(..end).unwrap_or_default().chars().filter(|it| !it.is_control()).collect()
}

/// A no of others, with the id by which they know their decision: one of this server is explained by it.
pub(crate) fn with_id(no: &dyn fmt::Display, id: Option<&str>) -> String {
    let id = id.map(|it| format!(" (its tracking id: {it})"));
    format!("{no}{}", id.unwrap_or_default())
}
