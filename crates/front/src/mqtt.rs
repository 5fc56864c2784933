//! MQTT: devices of hubs, and devices that register at a provisioning service, at a port of its own and in
//! WebSockets.
//!
//! A connection that was taken, see [`sessions`](crate::sessions), sends a CONNECT within a deadline. Its user name
//! says whom it means; proving it is a call like any other. What it may do then is decided on the road, for each of its
//! packets, and nowhere here. Whatever a hub refuses (QoS 2, a foreign topic, a packet that is none) closes the
//! connection, for MQTT 3.1.1 has no way to say why.

mod device;
mod names;
mod pipe;
mod properties;
mod registration;
mod topics;
mod under_way;

use crate::authorization;
use crate::connections::stopped;
use crate::sessions::{Client, Waiting};
use model::operations::{Protocol, Surface, operation};
use model::security::TlsVersion;
use model::trace::Channel;
use model::{CertificateChain, Credential, Op, Operation};
use names::{Named, Peer};
use ops::call::{Answer, BodyReader};
use ops::input::Headers;
use ops::{Call, Env};
use pipe::Pipe;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use wire::mqtt::{Connect, ConnectCode, NotMqtt, Packet};

/// Longest time from the handshake to the CONNECT.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Largest CONNECT, its will included.
pub const CONNECT_BYTES_MAX: usize = 32 << 10;
/// A client that is silent for one and a half times its keep alive is gone; a longer time than this counts as
/// this. Source: IoT Hub developer guide, "MQTT keep-alive".
pub const SILENCE_S_MAX: u64 = 1_767;

/// Speaks MQTT over any stream of bytes, to its end. Who hands it a stream has seen to its encryption.
pub async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    env: &Arc<Env>,
    stream: S,
    client: Client,
    waiting: Waiting,
    mut stop: watch::Receiver<bool>,
) {
    let mut pipe = Pipe::new(stream);
    let first = tokio::select! {
        () = stopped(&mut stop) => return,
        it = timeout(CONNECT_DEADLINE, pipe.read(CONNECT_BYTES_MAX)) => it,
    };
    let connect = match first {
        Ok(Ok(Packet::Connect(connect))) => connect,
        Ok(Err(pipe::Fault::NotMqtt(NotMqtt::ProtocolLevel(_)))) => {
            return pipe.refuse(ConnectCode::UnacceptableProtocol).await;
        }
        // Nobody to answer, or nothing that an answer could be read after.
        Ok(Ok(_) | Err(_)) | Err(_) => return,
    };
    if connect.protocol_level != 4 {
        return pipe.refuse(ConnectCode::UnacceptableProtocol).await;
    }
    let Client { peer, local, certificate, tls } = client;
    let credential = credential_of(&connect, certificate);
    let greeting = Greeting { env, peer, tls, local: local.ip(), connect, credential };
    match greeting.named() {
        Some(named @ Named { peer: Peer::Device { .. }, .. }) => {
            device::serve(&greeting, &named, pipe, waiting).await;
        }
        Some(named @ Named { peer: Peer::Registration { .. }, .. }) => {
            registration::serve(&greeting, &named, pipe, waiting, stop).await;
        }
        None => {
            env.metrics.count_early_refusal(400);
            pipe.refuse(ConnectCode::IdentifierRejected).await;
        }
    }
}

/// A client that has said who it is, still unproven.
struct Greeting<'a> {
    env: &'a Arc<Env>,
    peer: IpAddr,
    tls: Option<TlsVersion>,
    local: IpAddr,
    connect: Connect,
    /// What its password says, or its handshake has shown; each of its calls brings it.
    credential: Credential,
}

impl Greeting<'_> {
    /// Whom the user name means, where the client id fits it.
    fn named(&self) -> Option<Named> {
        let named = Named::parse(self.connect.user_name.as_deref()?)?;
        named.fits(&self.connect.client_id).then_some(named)
    }

    /// How long the client may be silent.
    fn silence(&self) -> Duration {
        let half_seconds = u64::from(self.connect.keep_alive_s) * 3;
        let longest = Duration::from_secs(SILENCE_S_MAX);
        match half_seconds {
            0 => longest,
            some => Duration::from_millis(some * 500).min(longest),
        }
    }

    /// How long to wait for the next packet: to the end of the client's signature at most.
    fn patience(&self) -> Duration {
        let Credential::Sas(token) = &self.credential else { return self.silence() };
        let left_ms = token.expiry.millis().saturating_sub(self.env.now().millis());
        self.silence().min(Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)))
    }

    /// A call over this connection.
    fn call(&self, op: Op, named: &Named, request: String, about: About, body: BodyReader) -> Call {
        let row: &'static Operation = operation(op);
        Call {
            operation: row,
            surface: row.surface(),
            host: self.host(named, row.surface()),
            path: about.path,
            params: about.params,
            query: named.query.clone(),
            headers: Headers {
                content_type: Some("application/json".into()),
                ..Headers::default()
            },
            credential: self.credential.clone(),
            channel: Channel {
                protocol: Protocol::Mqtt.as_str().to_owned(),
                request: crate::path::shown(&request),
                address: self.peer.to_canonical().to_string(),
                tls: self.tls,
                ..Channel::default()
            },
            body,
        }
    }

    /// Whom the client means: its words first, then the address that it came to.
    fn host(&self, named: &Named, surface: Surface) -> String {
        let meant = match &named.peer {
            Peer::Device { host, .. } => Some(host.clone()),
            Peer::Registration { id_scope, .. } if surface == Surface::Dps => {
                ops::provisioning::host_of(self.env, id_scope)
            }
            Peer::Registration { .. } => None,
        };
        meant.unwrap_or_else(|| self.local.to_canonical().to_string())
    }
}

/// A password counts where there is one: some clients show a certificate whatever they sign in with.
fn credential_of(connect: &Connect, certificate: Option<CertificateChain>) -> Credential {
    let password = connect.password.as_ref().filter(|it| !it.reveal().is_empty());
    match password {
        None => certificate.map_or(Credential::None, Credential::Certificate),
        Some(password) => match std::str::from_utf8(password.reveal()) {
            Ok(text) => authorization::signature(text),
            Err(_) => authorization::malformed("password", "it is not UTF-8"),
        },
    }
}

/// What a call is about.
struct About {
    path: String,
    params: BTreeMap<&'static str, String>,
}

/// The code that says most of a refused CONNECT: clients take 5 for a reason to sign anew.
const fn code_of(answer: &Answer) -> ConnectCode {
    match answer.status {
        400 => ConnectCode::IdentifierRejected,
        429 | 500..=599 => ConnectCode::ServerUnavailable,
        _ => ConnectCode::NotAuthorized,
    }
}
