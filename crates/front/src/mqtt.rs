//! MQTT: devices of hubs, and devices that register at a provisioning service, at a port of its own and in
//! WebSockets.
//!
//! A connection is counted, shakes hands and sends a CONNECT within a deadline. Its user name says whom it
//! means; proving it is a call like any other. What it may do then is decided on the road, for each of its
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
use crate::connections::{Slot, Slots, accept, stopped};
use crate::handshake::{HANDSHAKE_DEADLINE, shake_hands};
use crate::https::Side;
use crate::tls::{self, Certificates};
use crate::websocket::Allowance;
use model::operations::{Protocol, Surface, operation};
use model::trace::Channel;
use model::{CertificateChain, Credential, Op, Operation};
use names::{Named, Peer};
use ops::call::{Answer, BodyReader};
use ops::input::Headers;
use ops::{Call, Env};
use pipe::Pipe;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use wire::mqtt::{Connect, ConnectCode, NotMqtt, Packet};

/// Most connections of all listeners together, where the system has files for so many.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Most of these from one IPv4 address or one IPv6 network: a plant behind one address.
pub const CONNECTIONS_PER_PEER_MAX: usize = 16_384;
/// Files that connections leave to the store, the logs and the HTTPS listeners.
pub const FILES_RESERVED: u64 = 6_144;
/// Most connections at a time that have not proven themselves yet, and most of them from one address: each
/// may cost as much as a CONNECT is long.
pub const UNPROVEN_MAX: usize = 4_096;
pub const UNPROVEN_PER_PEER_MAX: usize = 2_048;
/// Longest time from the handshake to the CONNECT.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Largest CONNECT, its will included.
pub const CONNECT_BYTES_MAX: usize = 32 << 10;
/// A client that is silent for one and a half times its keep alive is gone; a longer time than this counts as
/// this. Source: IoT Hub developer guide, "MQTT keep-alive".
pub const SILENCE_S_MAX: u64 = 1_767;

/// Room for all connections that speak MQTT or AMQP, whatever the listener. Clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    pub(crate) all: Arc<Slots>,
    pub(crate) unproven: Arc<Slots>,
}

impl Room {
    /// As much as a process that may open so many `files` can give without losing its logs.
    pub fn new(files: u64) -> Self {
        let left = usize::try_from(files.saturating_sub(FILES_RESERVED)).unwrap_or(CONNECTIONS_MAX);
        // A system that gives few files still serves some devices.
        let all = left.clamp(256, CONNECTIONS_MAX);
        // However few there are, neither one address nor those who prove nothing take all of them.
        let unproven = UNPROVEN_MAX.min(all / 2);
        Self {
            all: Slots::new(all, CONNECTIONS_PER_PEER_MAX.min(all - all / 4)),
            unproven: Slots::new(unproven, UNPROVEN_PER_PEER_MAX.min(unproven / 2)),
        }
    }

    /// Room for a connection, where there is any.
    pub(crate) fn take(&self, peer: IpAddr) -> Option<Slot> {
        self.all.take(peer)
    }

    /// Room for one that has not proven itself.
    pub fn wait(&self, peer: IpAddr) -> Option<Waiting> {
        self.unproven.take(peer).map(|slot| Waiting { _slot: slot, allowance: None })
    }
}

/// What the connections of a listener share.
struct Shared {
    env: Arc<Env>,
    certificates: Arc<Certificates>,
    room: Room,
}

/// Serves a listener until `stop` turns true; what was taken from a device until then is still acknowledged.
pub async fn serve(
    listener: TcpListener,
    env: Arc<Env>,
    certificates: Arc<Certificates>,
    room: Room,
    stop: watch::Receiver<bool>,
) {
    let slots = Arc::clone(&room.all);
    let shared = Arc::new(Shared { env, certificates, room });
    let stopping = stop.clone();
    let connection =
        |stream, peer, slot| connection(Arc::clone(&shared), stream, peer, slot, stopping.clone());
    let panicked = || {
        let env = &shared.env;
        env.metrics.log_fault(env.new_tracking_id(), "an MQTT connection ended in a panic");
    };
    let mut stopping = stop.clone();
    let sessions = async {
        stopped(&mut stopping).await;
        shared.env.presence.stop();
    };
    tokio::join!(accept(listener, slots, stop, connection, panicked, async {}), sessions);
}

async fn connection(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    _slot: Slot,
    mut stop: watch::Receiver<bool>,
) {
    let Ok(local) = stream.local_addr() else { return };
    let Some(waiting) = shared.room.wait(peer.ip()) else { return };
    let (env, certificates) = (&shared.env, &shared.certificates);
    let begun = tokio::select! {
        () = stopped(&mut stop) => return,
        it = timeout(HANDSHAKE_DEADLINE, shake_hands(env, certificates, Protocol::Mqtt, Side::Hubs, stream)) => it,
    };
    let Ok(Some(stream)) = begun else { return };
    let certificate = tls::shown(stream.get_ref().1);
    let client = Client { peer: peer.ip(), local, certificate };
    speak(env, stream, client, waiting, stop).await;
}

/// Who is at the other end of a connection, as far as its handshake has told.
pub struct Client {
    pub peer: IpAddr,
    /// The address of ours that it came to.
    pub local: SocketAddr,
    pub certificate: Option<CertificateChain>,
}

/// A place among those who have not proven themselves, until this is dropped.
pub struct Waiting {
    _slot: Slot,
    /// What it may send until then, where that is bounded beneath its protocol.
    allowance: Option<Allowance>,
}

impl Waiting {
    /// Gives the client so much to send until it has proven itself.
    pub(crate) fn with(self, allowance: Allowance) -> Self {
        Self { allowance: Some(allowance), ..self }
    }

    /// The client has proven itself, and makes room for another.
    pub(crate) fn over(self) {
        if let Some(allowance) = &self.allowance {
            allowance.lift();
        }
    }
}

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
    let Client { peer, local, certificate } = client;
    let credential = credential_of(&connect, certificate);
    let greeting = Greeting { env, peer, local: local.ip(), connect, credential };
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
                on_behalf_of: None,
                enrollment: None,
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

/// A body that is there already.
pub(crate) fn body_of(bytes: bytes::Bytes) -> BodyReader {
    Box::new(move |limit| {
        let fault = ops::call::BodyFault::TooLarge;
        Box::pin(async move { if bytes.len() <= limit { Ok(bytes) } else { Err(fault) } })
    })
}

/// The code that says most of a refused CONNECT: clients take 5 for a reason to sign anew.
const fn code_of(answer: &Answer) -> ConnectCode {
    match answer.status {
        400 => ConnectCode::IdentifierRejected,
        429 | 500..=599 => ConnectCode::ServerUnavailable,
        _ => ConnectCode::NotAuthorized,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threat 38: whatever the system gives, one address leaves room for others, proven or not.
    #[test]
    fn one_address_leaves_room_for_others_however_few_files_there_are() {
        let (one, other) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for files in [0, 1_024, 20_000, 1 << 20] {
            let room = Room::new(files);
            let proven: Vec<Slot> = std::iter::from_fn(|| room.take(one)).collect();
            let unproven: Vec<Waiting> = std::iter::from_fn(|| room.wait(one)).collect();
            assert!(proven.len() <= CONNECTIONS_PER_PEER_MAX && unproven.len() <= proven.len());
            assert!(room.take(other).is_some() && room.wait(other).is_some(), "{files} files");
            assert!(room.take(one).is_none() && room.wait(one).is_none());
        }
    }
}
