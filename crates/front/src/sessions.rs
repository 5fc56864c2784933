//! The listeners of MQTT and AMQP, whose clients stay.
//!
//! A connection is counted and shakes hands within a deadline; then it is a stream of bytes for the front of its
//! protocol, [`mqtt`] or [`amqp`], which proves who speaks. All of them share one [`Room`], those in WebSockets
//! too, and whoever has not proven itself yet has a smaller one.

use crate::connections::{Slot, Slots, accept, stopped};
use crate::handshake::{HANDSHAKE_DEADLINE, shake_hands};
use crate::https::Side;
use crate::tls::{self, Certificates};
use crate::websocket::Allowance;
use crate::{amqp, mqtt};
use model::CertificateChain;
use model::operations::Protocol;
use model::security::TlsVersion;
use ops::Env;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

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

/// What is spoken over a connection that stays, at a port of its own or in a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spoken {
    Mqtt,
    Amqp,
}

impl Spoken {
    const fn protocol(self) -> Protocol {
        match self {
            Self::Mqtt => Protocol::Mqtt,
            Self::Amqp => Protocol::Amqp,
        }
    }

    const fn panicked(self) -> &'static str {
        match self {
            Self::Mqtt => "an MQTT connection ended in a panic",
            Self::Amqp => "an AMQP connection ended in a panic",
        }
    }
}

/// Room for all connections that speak MQTT or AMQP, whatever the listener. Clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    all: Arc<Slots>,
    unproven: Arc<Slots>,
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

/// Who is at the other end of a connection, as far as its handshake has told.
pub struct Client {
    pub peer: IpAddr,
    /// The address of ours that it came to.
    pub local: SocketAddr,
    pub certificate: Option<CertificateChain>,
    pub tls: Option<TlsVersion>,
}

/// What the connections of a listener share.
struct Shared {
    spoken: Spoken,
    env: Arc<Env>,
    certificates: Arc<Certificates>,
    room: Room,
}

/// Serves a listener until `stop` turns true; what was taken from a client until then is still acknowledged.
pub async fn serve(
    listener: TcpListener,
    spoken: Spoken,
    env: Arc<Env>,
    certificates: Arc<Certificates>,
    room: Room,
    stop: watch::Receiver<bool>,
) {
    let slots = Arc::clone(&room.all);
    let shared = Arc::new(Shared { spoken, env, certificates, room });
    let stopping = stop.clone();
    let connection =
        |stream, peer, slot| connection(Arc::clone(&shared), stream, peer, slot, stopping.clone());
    let panicked = || {
        let env = &shared.env;
        env.metrics.log_fault(env.new_tracking_id(), spoken.panicked());
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
    let (env, protocol) = (&shared.env, shared.spoken.protocol());
    // Apart, and over after a moment: the connection may last for days.
    let handshake = Box::pin(shake_hands(env, &shared.certificates, protocol, Side::Hubs, stream));
    let shaken = tokio::select! {
        () = stopped(&mut stop) => return,
        it = timeout(HANDSHAKE_DEADLINE, handshake) => it,
    };
    let Ok(Some(stream)) = shaken else { return };
    let certificate = tls::shown(stream.get_ref().1);
    let tls = tls::spoken(stream.get_ref().1);
    let client = Client { peer: peer.ip(), local, certificate, tls };
    speak(shared.spoken, env, stream, client, waiting, stop).await;
}

/// Speaks over any stream of bytes, to its end. Who hands it a stream has seen to its encryption.
pub(crate) async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    spoken: Spoken,
    env: &Arc<Env>,
    stream: S,
    client: Client,
    waiting: Waiting,
    stop: watch::Receiver<bool>,
) {
    // Each on the heap by itself: a connection that is idle for days has room for what it speaks, and not for the other.
    match spoken {
        Spoken::Mqtt => Box::pin(mqtt::speak(env, stream, client, waiting, stop)).await,
        Spoken::Amqp => Box::pin(amqp::speak(env, stream, client, waiting, stop)).await,
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
