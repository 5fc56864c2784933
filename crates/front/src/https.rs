//! The HTTPS listeners: Azure Resource Manager, sign-in and Graph on one side, the hubs on the other.
//!
//! A connection is counted, shakes hands within a deadline and then exchanges requests and answers. Each
//! request becomes a [`ops::Call`]; who may do what is decided on the road that it takes, and nowhere here. At hubs a
//! connection may become a WebSocket, see `websocket.rs`.

use crate::answer::{Reply, response};
use crate::body::Unread;
use crate::connections::{CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX, Slot, Slots, accept, stopped};
use crate::exchange::{self, converse};
use crate::handshake::{HANDSHAKE_DEADLINE, shake_hands};
use crate::headers;
use crate::mqtt;
use crate::request;
use crate::router::Missed;
use crate::sessions::{self, Room, Spoken};
use crate::tasks::Tasks;
use crate::tls::{self, Certificates};
use crate::websocket::{self, Allowance, Messages};
use console::Console;
use hyper::body::Incoming;
use hyper::header::EXPECT;
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Version};
use hyper_util::rt::TokioIo;
use model::operations::{Protocol, Surface};
use model::security::TlsVersion;
use model::{CertificateChain, Error};
use ops::{Call, Env};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

mod pages;

/// Whom a listener answers for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    /// The management origin: Azure Resource Manager, sign-in and Graph.
    Management,
    /// Every hub; the `Host` of a request says which.
    Hubs,
    /// The user-assigned identity that this port belongs to. Plain HTTP, see `identity_endpoint.rs`.
    Identity(u16),
}

impl Side {
    /// The first is the one in whose shape an address is refused that looks like none of them.
    pub(crate) const fn surfaces(self) -> &'static [Surface] {
        match self {
            Self::Management => &[Surface::Arm, Surface::Entra, Surface::Graph],
            Self::Hubs => &[Surface::Hub, Surface::Dps],
            Self::Identity(_) => &[Surface::Identity],
        }
    }
}

/// Most bytes that come in a WebSocket before a sign-in: the sign-in itself, in frames of any size.
const UNPROVEN_BYTES_MAX: usize = mqtt::CONNECT_BYTES_MAX + (16 << 10);

/// What the connections of a listener share.
struct Shared {
    side: Side,
    env: Arc<Env>,
    certificates: Arc<Certificates>,
    /// The pages that are shown here, where any are.
    console: Option<Arc<Console>>,
    /// For those who speak another protocol in WebSockets.
    room: Room,
    /// Calls run in tasks of their own: one that has begun to write goes on to its end, and lets the gates
    /// see what it wrote, though its client is gone.
    calls: Tasks,
}

/// Serves a listener until `stop` turns true, then gives running calls
/// [`DRAIN`](crate::connections::DRAIN) to be answered.
pub async fn serve(
    listener: TcpListener,
    side: Side,
    env: Arc<Env>,
    certificates: Arc<Certificates>,
    console: Option<Arc<Console>>,
    room: Room,
    stop: watch::Receiver<bool>,
) {
    let calls = Tasks::default();
    let shared = Arc::new(Shared { side, env, certificates, console, room, calls });
    let slots = Slots::new(CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX);
    let stopping = stop.clone();
    let connection = |stream, peer, slot| {
        connection(Arc::clone(&shared), stream, peer, Arc::new(slot), stopping.clone())
    };
    let panicked = || shared.log("a connection ended in a panic");
    accept(listener, slots, stop, connection, panicked, shared.calls.finish()).await;
}

async fn connection(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    slot: Arc<Slot>,
    mut stop: watch::Receiver<bool>,
) {
    let (side, certificates) = (shared.side, &shared.certificates);
    let Ok(local) = stream.local_addr() else { return };
    let handshake = shake_hands(&shared.env, certificates, Protocol::Https, side, stream);
    let shaken = tokio::select! {
        () = stopped(&mut stop) => return,
        it = timeout(HANDSHAKE_DEADLINE, handshake) => it,
    };
    let Ok(Some(stream)) = shaken else { return };
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => exchange::Protocol::Http2,
        Some(_) | None => exchange::Protocol::Http1,
    };
    let certificate = tls::shown(stream.get_ref().1);
    let tls = tls::spoken(stream.get_ref().1);
    let client = Client { address: peer.ip(), certificate, tls, granted: Arc::default() };
    let granted = Arc::clone(&client.granted);
    let answering = Arc::clone(&shared);
    let respond =
        move |request| respond(Arc::clone(&answering), client.clone(), Arc::clone(&slot), request);
    converse(stream, protocol, stop.clone(), respond).await;
    let granted = granted.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(granted) = granted {
        // Apart, so that who only calls does not take the memory for it.
        Box::pin(speak(&shared, granted, peer.ip(), local, stop)).await;
    }
}

/// Serves a WebSocket: in the room of those who speak its protocol anywhere, for the one of this listener was given
/// back with its last answer.
async fn speak(
    shared: &Shared,
    granted: Granted,
    peer: IpAddr,
    local: SocketAddr,
    stop: watch::Receiver<bool>,
) {
    let Granted { socket, spoken, certificate, tls } = granted;
    let Some(_slot) = shared.room.take(peer) else { return };
    let Some(waiting) = shared.room.wait(peer) else { return };
    let Ok(socket) = socket.await else { return };
    let allowance = Allowance::of(UNPROVEN_BYTES_MAX);
    let messages = Messages::new(TokioIo::new(socket), allowance.clone()).await;
    let client = sessions::Client { peer, local, certificate, tls };
    let waiting = waiting.with(allowance);
    sessions::speak(spoken, &shared.env, messages, client, waiting, stop).await;
}

/// Who is at the other end of a connection.
#[derive(Clone)]
struct Client {
    address: IpAddr,
    certificate: Option<CertificateChain>,
    tls: Option<TlsVersion>,
    /// What the connection is to become.
    granted: Arc<Mutex<Option<Granted>>>,
}

/// A WebSocket that was promised.
struct Granted {
    socket: OnUpgrade,
    spoken: Spoken,
    certificate: Option<CertificateChain>,
    tls: Option<TlsVersion>,
}

/// Answers a request for a WebSocket. The connection goes over to it once the answer is written.
fn grant(client: &Client, mut request: Request<Incoming>) -> Reply {
    let socket = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let (reply, spoken) = websocket::answer(&parts);
    if let Some(spoken) = spoken {
        // Nobody asked whoever sits at a browser whether a page may be them.
        let is_own = !websocket::is_from_elsewhere(&parts);
        let certificate = client.certificate.clone().filter(|_| is_own);
        let mut granted = client.granted.lock().unwrap_or_else(PoisonError::into_inner);
        *granted = Some(Granted { socket, spoken, certificate, tls: client.tls });
    }
    reply
}

async fn respond(
    shared: Arc<Shared>,
    client: Client,
    slot: Arc<Slot>,
    request: Request<Incoming>,
) -> Reply {
    if let Some(console) = shared.console.as_ref().filter(|_| Console::is_at(request.uri().path()))
    {
        return pages::answer(&shared, console, client, slot, request).await;
    }
    let (parts, body) = request.into_parts();
    let own = shared.surface_at(&parts);
    if shared.side == Side::Hubs && own != Some(Surface::Blob) && websocket::is_asked_for(&parts) {
        return grant(&client, Request::from_parts(parts, body));
    }
    let body = Unread::new(body);
    let certificate = client.certificate.as_ref();
    let read = request::read(shared.side, own, &parts, client.address, certificate, body.reader());
    let reply = match read {
        Ok((mut call, wanted_back)) => {
            call.channel.tls = client.tls;
            run(&shared, call, wanted_back, &parts.method, slot).await
        }
        Err(Missed { surface, error }) => shared.refuse(surface, &error, &parts.method),
    };
    // HTTP/2 can end one request without its connection; and who asks before it sends need not send.
    if parts.version < Version::HTTP_2 && !parts.headers.contains_key(EXPECT) {
        body.swallow().await;
    }
    reply
}

async fn run(
    shared: &Shared,
    call: Call,
    wanted_back: Vec<(&'static str, String)>,
    method: &Method,
    slot: Arc<Slot>,
) -> Reply {
    let (operation, surface) = (call.operation, call.surface);
    let env = Arc::clone(&shared.env);
    let answer = shared.calls.run(async move {
        // A call counts as its connection until it ends: leaving early makes no room for more.
        let _slot = slot;
        ops::call::run(&env, call).await
    });
    match answer.await {
        Some(answer) => response(answer, method, wanted_back),
        None => {
            let message = format!("the operation `{}` ended in a panic", operation.name());
            shared.refuse(surface, &Error::Internal { message }, method)
        }
    }
}

impl Shared {
    fn refuse(&self, surface: Surface, error: &Error, method: &Method) -> Reply {
        response(ops::call::refuse_early(&self.env, surface, error), method, Vec::new())
    }

    /// Of whoever answers at the host that a client named, where that is not the management origin.
    fn surface_at(&self, parts: &Parts) -> Option<Surface> {
        let host = headers::host(&parts.uri, &parts.headers).ok()?;
        (self.side == Side::Hubs).then(|| ops::call::surface_at(&self.env, &host)).flatten()
    }

    fn log(&self, message: &str) {
        self.env.metrics.log_fault(self.env.new_tracking_id(), message);
    }
}
