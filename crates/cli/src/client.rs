//! Signs in to a server as its administrator and asks it things, over HTTPS.
//!
//! Trusts the server's own CA and nothing else, follows no redirect and uses no proxy: the secret and the
//! token go to one place only.

use crate::Failure;
use crate::target::Connection;
use model::Secret;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

/// How long a call may take from name to last byte.
const CALL_S_MAX: u64 = 30;
const CONNECT_S_MAX: u64 = 5;
/// Largest answer: a trace of a call whose body is as large as the server takes.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// What tokens for the management origin are asked for, as Azure's clients do.
const OAUTH_SCOPE: &str = "https://management.azure.com/.default";

/// A signed-in client of one server.
pub(crate) struct Client<'a> {
    connection: &'a Connection,
    agent: Agent,
    token: Secret<String>,
}

/// What a server answered, yes or no.
pub(crate) struct Answered {
    status: u16,
    tracking: Option<String>,
    body: Value,
}

impl<'a> Client<'a> {
    pub(crate) fn sign_in(connection: &'a Connection) -> Result<Self, Failure> {
        let agent = agent(connection)?;
        let url =
            format!("{}/{}/oauth2/v2.0/token", connection.authority(), connection.tenant_id());
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", connection.admin_app_id()),
            ("client_secret", connection.admin_secret().reveal()),
            ("scope", OAUTH_SCOPE),
        ];
        let answered = taken(connection, connection.authority(), agent.post(&url).send_form(form))?;
        match answered.body.get("access_token").and_then(Value::as_str) {
            Some(token) if answered.status == 200 => {
                Ok(Self { connection, agent, token: Secret::new(token.to_owned()) })
            }
            Some(_) | None => Err(Failure::Failed(format!(
                "`{}` does not sign in application `{}`: {}; is the connection file older than the \
                 server's data?",
                connection.authority(),
                connection.admin_app_id(),
                answered.sentence()
            ))),
        }
    }

    /// The answer to `GET {arm}{path}`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.connection.arm());
        let sent = self.agent.get(&url).header("Authorization", self.bearer()).call();
        taken(self.connection, self.connection.arm(), sent)?.allowed()
    }

    /// The answer to `POST {arm}{path}`.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.connection.arm());
        let sent = self.agent.post(&url).header("Authorization", self.bearer()).send_json(body);
        taken(self.connection, self.connection.arm(), sent)?.allowed()
    }

    /// The answer to `PATCH {arm}{path}`.
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.connection.arm());
        let sent = self.agent.patch(&url).header("Authorization", self.bearer()).send_json(body);
        taken(self.connection, self.connection.arm(), sent)?.allowed()
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token.reveal())
    }
}

impl Answered {
    pub(crate) fn allowed(self) -> Result<Value, Failure> {
        match self.status {
            200..=299 => Ok(self.body),
            404 => Err(Failure::Failed(self.sentence())),
            _ => {
                let next = match &self.tracking {
                    Some(id) => format!("; `hubward explain {id}` says why"),
                    None => String::new(),
                };
                Err(Failure::Failed(format!("the server refused: {}{next}", self.sentence())))
            }
        }
    }

    /// The server's own words, in any of the shapes that its error bodies have.
    fn sentence(&self) -> String {
        let text = |path: &str| self.body.pointer(path).and_then(Value::as_str);
        // A hub has both in one line.
        let hub = text("/Message").and_then(|it| it.strip_prefix("ErrorCode:")?.split_once(';'));
        let message = text("/error/message")
            .or_else(|| text("/error_description"))
            .or_else(|| text("/message"))
            .or(hub.map(|it| it.1))
            .or_else(|| text("/Message"));
        let code = text("/error/code").or_else(|| text("/error")).or(hub.map(|it| it.0));
        match (message, code) {
            (Some(message), Some(code)) => format!("{message} (`{code}`, {})", self.status),
            (Some(text), None) | (None, Some(text)) => format!("{text} ({})", self.status),
            (None, None) => format!("status {} without a message", self.status),
        }
    }
}

/// The certificates of the server's CA.
pub(crate) fn authorities(
    connection: &Connection,
) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let file = connection.ca_file();
    let cannot = |why: String| {
        Failure::Failed(format!(
            "cannot read the server's CA certificate in `{}`: {why}; `hubward up` writes it into the data \
             directory",
            file.display()
        ))
    };
    let authorities: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .map_err(|it| cannot(it.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|it| cannot(it.to_string()))?;
    match authorities.is_empty() {
        true => Err(cannot("there is none in it".into())),
        false => Ok(authorities),
    }
}

pub(crate) fn agent(connection: &Connection) -> Result<Agent, Failure> {
    let authorities: Vec<Certificate<'static>> =
        authorities(connection)?.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&authorities))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(concat!("hubward/", env!("CARGO_PKG_VERSION")))
        .accept("application/json")
        .timeout_connect(Some(Duration::from_secs(CONNECT_S_MAX)))
        .timeout_global(Some(Duration::from_secs(CALL_S_MAX)))
        .build();
    Ok(config.new_agent())
}

/// Reads an answer of `origin` whole, or says why there is none.
pub(crate) fn taken(
    connection: &Connection,
    origin: &str,
    sent: Result<Response<Body>, ureq::Error>,
) -> Result<Answered, Failure> {
    let mut response = sent.map_err(|it| unanswered(connection, origin, &it))?;
    let status = response.status().as_u16();
    let tracking = response
        .headers()
        .get("x-ms-request-id")
        .and_then(|it| it.to_str().ok())
        .map(str::to_owned);
    let text = response
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_string()
        .map_err(|it| unanswered(connection, origin, &it))?;
    if status == 204 {
        return Ok(Answered { status, tracking, body: Value::Null });
    }
    match serde_json::from_str(&text) {
        Ok(body) => Ok(Answered { status, tracking, body }),
        Err(error) => Err(Failure::Failed(format!(
            "`{origin}` answered {status} with something that is not JSON ({error}); does a Hubward server listen \
             there?"
        ))),
    }
}

fn unanswered(connection: &Connection, origin: &str, error: &ureq::Error) -> Failure {
    Failure::Failed(match fault(error) {
        Fault::Nobody => {
            let up = match connection.data() {
                Some(data) => format!("hubward up --data {}", data.display()),
                None => "hubward up".to_owned(),
            };
            format!("no server answers at `{origin}`; start it with `{up}`")
        }
        Fault::Slow => {
            format!("`{origin}` does not answer in time; its log and `/healthz` say how it is")
        }
        Fault::Stranger => format!(
            "the server at `{origin}` has no certificate from the CA in `{}`, so it is another server than the one \
             meant ({error}); `--data DIR` names the directory of the right one",
            connection.ca_file().display()
        ),
        Fault::Other => format!("the call to `{origin}` failed: {error}"),
    })
}

/// The kinds of silence that have different next steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Nobody,
    Slow,
    /// Not proven to be the server that is meant.
    Stranger,
    Other,
}

fn fault(error: &ureq::Error) -> Fault {
    use io::ErrorKind as Kind;
    use ureq::Error as E;
    const NOBODY: [Kind; 4] = [
        Kind::ConnectionRefused,
        Kind::HostUnreachable,
        Kind::NetworkUnreachable,
        Kind::AddrNotAvailable,
    ];
    if let E::Io(error) = error {
        let is_tls = error.get_ref().is_some_and(|it| it.is::<rustls::Error>());
        return if is_tls {
            Fault::Stranger
        } else if NOBODY.contains(&error.kind()) {
            Fault::Nobody
        } else if error.kind() == Kind::TimedOut {
            Fault::Slow
        } else {
            Fault::Other
        };
    }
    if matches!(error, E::ConnectionFailed | E::HostNotFound) {
        Fault::Nobody
    } else if matches!(error, E::Timeout(_)) {
        Fault::Slow
    } else if matches!(error, E::Rustls(_) | E::Tls(_)) {
        Fault::Stranger
    } else {
        Fault::Other
    }
}

#[cfg(test)]
mod tests;
