//! One HTTP client for everything: requests to Azure Resource Manager, for tokens, and of the alert.
//!
//! It follows no redirect, uses no proxy, and reads no more of an answer than is named here.

use crate::IngestError;
use azure_core::error::{Error as AzureError, ErrorKind};
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Request as AzureRequest};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a request may take from its first byte to the answer's last.
const CALL_MAX: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Largest answer: a refusal with everything that was looked at.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Whom to believe, and the connections that are open.
#[derive(Clone)]
pub(crate) struct Http(Legacy<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Http {
    /// A client that believes the certificates in a file of PEM and nobody else.
    pub(crate) fn trusting(file: &Path) -> Result<Self, IngestError> {
        let refuse = |why: &dyn fmt::Display| {
            IngestError(format!(
                "cannot read certificates to believe from `{}`: {why}; name a file of PEM with `--ca-file`",
                file.display()
            ))
        };
        let mut roots = RootCertStore::empty();
        let all = CertificateDer::pem_file_iter(file).map_err(|it| refuse(&it))?;
        // A system's bundle may hold one that this library does not read.
        let (taken, _) = roots.add_parsable_certificates(all.filter_map(Result::ok));
        if taken == 0 {
            return Err(refuse(&"there is none in it"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|it| refuse(&it))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        tcp.set_nodelay(true);
        // An alert and the identity endpoint of this machine may be without TLS; what carries policies is not, see
        // `Target`.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let mut builder = Legacy::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new());
        Ok(Self(builder.build(connector)))
    }

    /// The whole answer to a request.
    ///
    /// # Errors
    /// In words, why there is none.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, String> {
        let answered = async {
            let answer = self.0.request(request).await.map_err(|it| all_of(&it))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            Ok(Response::from_parts(head, body.map_err(|it| it.to_string())?.to_bytes()))
        };
        let timely = tokio::time::timeout(CALL_MAX, answered).await;
        timely.unwrap_or_else(|_| Err(format!("no answer within {} s", CALL_MAX.as_secs())))
    }
}

/// An error with what caused it: what the client says alone is "client error".
fn all_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(it) = cause {
        text = format!("{text}: {it}");
        cause = it.source();
    }
    text
}

/// The same for the library that gets tokens.
#[async_trait::async_trait]
impl HttpClient for Http {
    async fn execute_request(&self, asked: &AzureRequest) -> azure_core::Result<AsyncRawResponse> {
        let body = match asked.body() {
            Body::Bytes(bytes) => bytes.clone(),
            _ => return Err(AzureError::with_message(ErrorKind::Io, "a body in parts")),
        };
        let mut request =
            Request::builder().method(asked.method().as_str()).uri(asked.url().as_str());
        for (name, value) in asked.headers().iter() {
            request = request.header(name.as_str(), value.as_str());
        }
        let request = request
            .body(Full::new(body))
            .map_err(|it| AzureError::with_message(ErrorKind::DataConversion, it.to_string()))?;
        let answered = self.send(request).await;
        let (head, body) =
            answered.map_err(|it| AzureError::with_message(ErrorKind::Io, it))?.into_parts();
        let mut headers = Headers::new();
        for (name, value) in &head.headers {
            if let Ok(value) = value.to_str() {
                let name = HeaderName::from(name.as_str().to_owned());
                headers.insert(name, HeaderValue::from(value.to_owned()));
            }
        }
        Ok(AsyncRawResponse::from_bytes(head.status.as_u16().into(), headers, body))
    }
}
