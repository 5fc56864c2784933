//! An HTTPS client for tests: sends what it is told and shows what came back.

use crate::x509::Certified;
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::runtime::Builder;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

/// How long a test waits for what must come. Nothing depends on how long it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A connection over TLS, for whoever speaks something else than HTTPS over it.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The body as JSON; `null` where it was empty, a text where it was not JSON.
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, it)| it.as_str())
    }

    /// The id under which the decision can be asked for.
    pub fn tracking(&self) -> String {
        self.header("x-ms-request-id").unwrap_or("").to_owned()
    }

    /// ARM's or the hub's word for what went wrong.
    pub fn code(&self) -> String {
        let arm = self.body.pointer("/error/code").and_then(Value::as_str);
        let hub = self.header("iothub-errorcode");
        hub.or(arm)
            .or_else(|| self.body.get("error").and_then(Value::as_str))
            .unwrap_or("")
            .to_owned()
    }

    /// The whole body as text, to look for words in.
    pub fn text(&self) -> String {
        self.body.to_string()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

fn trusting(roots: &RootCertStore) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots.clone())
}

/// A client of one server.
#[derive(Clone)]
pub struct Wire {
    agent: Agent,
    /// The same trust, for requests that are written by hand.
    tls: Arc<ClientConfig>,
    roots: RootCertStore,
    authorities: Vec<Certificate<'static>>,
    /// From where it connects, but for requests of [`Wire::send`]; from wherever the system says where there is none.
    source: Option<IpAddr>,
}

fn agent(authorities: &[Certificate<'static>], shown: Option<ClientCert>) -> Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(authorities))
        .client_cert(shown)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        // Tests send heads that no honest client would.
        .output_buffer_size(4 << 20)
        .timeout_global(Some(Duration::from_secs(60)))
        .build();
    config.into()
}

impl Wire {
    /// Trusts the CA in a PEM file.
    pub fn new(ca_file: &Path) -> Self {
        let authorities: Vec<Certificate<'static>> = CertificateDer::pem_file_iter(ca_file)
            .expect("the server has written its CA")
            .map(|it| Certificate::from_der(&it.expect("the CA is PEM")).to_owned())
            .collect();
        let agent = agent(&authorities, None);
        let mut roots = RootCertStore::empty();
        for it in CertificateDer::pem_file_iter(ca_file).expect("the server has written its CA") {
            roots.add(it.expect("the CA is PEM")).expect("the CA is a certificate");
        }
        let by_hand = trusting(&roots).with_no_client_auth();
        Self { agent, tls: Arc::new(by_hand), roots, authorities, source: None }
    }

    /// The same client, which shows a certificate.
    #[must_use]
    pub fn showing(&self, certified: &Certified) -> Self {
        let by_hand = trusting(&self.roots)
            .with_client_auth_cert(certified.chain(), certified.key())
            .expect("a certificate has its key");
        let chain: Vec<Certificate<'static>> =
            certified.chain().iter().map(|it| Certificate::from_der(it).to_owned()).collect();
        let key = PrivateKey::from_pem(certified.pem().1.as_bytes()).expect("the key is PEM");
        let shown = ClientCert::new_with_certs(&chain, key);
        let agent = agent(&self.authorities, Some(shown));
        Self { agent, tls: Arc::new(by_hand), ..self.clone() }
    }

    /// The same client, which speaks TLS 1.2 and nothing newer where it writes by hand.
    #[must_use]
    pub fn in_tls_1_2(&self) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let by_hand = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("the provider knows TLS 1.2")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        Self { tls: Arc::new(by_hand), ..self.clone() }
    }

    /// The same client at another address of this machine, for connections that are opened by hand.
    #[must_use]
    pub fn from(&self, address: &str) -> Self {
        let source = address.parse().expect("an address of this machine");
        Self { source: Some(source), ..self.clone() }
    }

    fn socket(&self, to: &str) -> io::Result<TcpStream> {
        let Some(source) = self.source else { return TcpStream::connect(to) };
        let to = to.parse().map_err(io::Error::other)?;
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let socket = runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(source, 0))?;
            socket.connect(to).await?.into_std()
        })?;
        socket.set_nonblocking(false)?;
        Ok(socket)
    }

    /// The trust of this client, for others.
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }

    /// Connects to `{host}:{port}` and says nothing yet.
    ///
    /// # Errors
    /// Where nobody listens.
    pub(crate) fn connects(&self, address: &str) -> io::Result<Tls> {
        let host = address.split(':').next().unwrap_or(address).to_owned();
        let name = host.try_into().map_err(io::Error::other)?;
        let client = ClientConnection::new(self.tls(), name).map_err(io::Error::other)?;
        let socket = self.socket(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(StreamOwned::new(client, socket))
    }

    /// Sends one request. `body` is sent as it is.
    pub fn send(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, url, headers, body)
            .unwrap_or_else(|it| panic!("{method} {url}: {it}"))
    }

    /// The same where the server may end the connection instead of answering.
    pub fn try_send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, String> {
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_vec()).expect("the test's request is well-formed");
        let mut answer = self.agent.run(request).map_err(|it| it.to_string())?;
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()))
            .collect();
        let text =
            answer.body_mut().with_config().limit(64 << 20).read_to_string().unwrap_or_default();
        let body = match text.is_empty() {
            true => Value::Null,
            false => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        };
        Ok(Answer { status: answer.status().as_u16(), headers, body })
    }

    /// A connection on which the test writes a request by hand, and the head to write first.
    pub fn trickle(
        &self,
        method: &str,
        url: &str,
        authorization: &str,
        body_bytes: usize,
    ) -> (Tls, String) {
        let address = url.trim_start_matches("https://");
        let (host, path) = address.split_once('/').expect("the URL has a path");
        let name = host.split(':').next().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).expect("the host is a name or an address");
        let client =
            ClientConnection::new(Arc::clone(&self.tls), name).expect("the configuration is whole");
        let socket = self.socket(host).expect("the server listens");
        let head = format!(
            "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/json\r\nContent-Length: {body_bytes}\r\n\r\n"
        );
        (StreamOwned::new(client, socket), head)
    }

    /// Sends JSON with an `Authorization` header.
    pub fn json(&self, method: &str, url: &str, authorization: &str, body: &Value) -> Answer {
        self.json_with(method, url, &[("Authorization", authorization)], body)
    }

    /// The same with any headers.
    pub fn json_with(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut headers = headers.to_vec();
        if !body.is_null() {
            headers.push(("Content-Type", "application/json"));
        }
        self.send(method, url, &headers, text.as_bytes())
    }
}
