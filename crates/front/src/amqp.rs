//! The AMQP listeners: devices and services of hubs, whoever reads what devices have sent, and devices that register
//! at a provisioning service.
//!
//! A connection is counted, shakes hands and proves somebody within a deadline: with SASL PLAIN, or with a token
//! put over the link `$cbs`. What its links lead to is read from their addresses in [`address`]; whatever comes
//! over one is a call like any other, decided on the road and nowhere here. One connection may serve many
//! devices and many readers, and what ends one of them leaves the others.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "links are of a dozen kinds and values of two: whoever serves some names those"
)]

mod address;
mod asking;
mod attach;
mod claims;
mod condition;
mod desk;
mod device;
mod driver;
mod events;
mod messages;
mod registration;
mod service;
mod talk;
mod timers;
mod waits;

use crate::connections::{Slot, accept, stopped};
use crate::handshake::{HANDSHAKE_DEADLINE, shake_hands};
use crate::https::Side;
use crate::mqtt::{Client, Room, Waiting};
use crate::tls::{self, Certificates};
use driver::Driver;
use model::Credential;
use model::operations::Protocol;
use ops::Env;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// What the connections of a listener share.
struct Shared {
    env: Arc<Env>,
    certificates: Arc<Certificates>,
    room: Room,
}

/// Serves a listener until `stop` turns true; what was taken from a device until then is still settled.
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
        env.metrics.log_fault(env.new_tracking_id(), "an AMQP connection ended in a panic");
    };
    accept(listener, slots, stop, connection, panicked, async {}).await;
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
        it = timeout(HANDSHAKE_DEADLINE, shake_hands(env, certificates, Protocol::Amqp, Side::Hubs, stream)) => it,
    };
    let Ok(Some(stream)) = begun else { return };
    let certificate = tls::shown(stream.get_ref().1);
    let client = Client { peer: peer.ip(), local, certificate };
    speak(env, stream, client, waiting, stop).await;
}

/// Speaks AMQP over any stream of bytes, to its end.
pub(crate) async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    env: &Arc<Env>,
    stream: S,
    client: Client,
    waiting: Waiting,
    stop: watch::Receiver<bool>,
) {
    let Client { peer, local, certificate } = client;
    // A device whose handshake has shown a certificate need put no token.
    let own = certificate.map_or(Credential::None, Credential::Certificate);
    Driver::new(env, peer, local, own, waiting).run(stream, stop).await;
}
