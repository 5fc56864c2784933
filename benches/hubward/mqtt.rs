//! Load over MQTT: devices that send as fast as they are acknowledged.
//!
//! Where `mosquitto` is installed, it gets the same load in turns, so that the two can be compared whatever
//! else the machine is doing. It keeps nothing on disk; the hub syncs every message before it acknowledges.

use super::{median, now};
use bytes::BytesMut;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use testkit::{Device, Process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wire::mqtt::{ByteString, Connect, Packet, Publish, Qos, encode};

/// Bytes of a message's body.
pub const PAYLOAD_BYTES: usize = 256;
/// One round of one load.
const ROUND: Duration = Duration::from_secs(4);
/// Rounds of which the median counts.
const ROUNDS: usize = 5;
/// Connections, and messages that each has under way.
const LOADS: [(usize, usize); 3] = [(50, 16), (1_000, 16), (1_000, 1)];
/// Messages that a client has under way where a hub is filled.
const FILLED_AT_ONCE: usize = 100;

/// Who answers.
#[derive(Clone)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    pub tls: Arc<ClientConfig>,
    pub pid: u32,
}

/// A client of a broker: what it says first, and where it publishes.
pub struct Client {
    pub connect: Connect,
    pub topic: String,
}

/// One round's outcome.
struct Round {
    per_second: f64,
    cpu_s_per_million: f64,
}

/// Telemetry at QoS 1: Hubward, and Mosquitto in turns with it.
pub fn telemetry(process: &Process, broker: &Broker, devices: &[Device], home: &Path) {
    let clients = clients(devices);
    let mosquitto = Mosquitto::start(home);
    for (connections, in_flight) in LOADS {
        let clients = &clients[..connections];
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(round(broker, clients, in_flight));
            if let Some(mosquitto) = &mosquitto {
                theirs.push(round(&mosquitto.broker, clients, in_flight));
            }
        }
        say("telemetry, QoS 1, synced", connections, in_flight, &ours);
        if !theirs.is_empty() {
            say("  mosquitto, not kept", connections, in_flight, &theirs);
        }
    }
    println!("  resident after 1,000 connections: {} MiB", process.resident_bytes() >> 20);
}

/// Clients of the hub, one for each device.
pub fn clients(devices: &[Device]) -> Vec<Client> {
    let until = model::Timestamp::from_seconds(4_000_000_000);
    let client = |it: &Device| {
        // Mosquitto would keep a session for each.
        let connect = Connect { clean_session: true, ..it.greeting(&it.signature(until)) };
        Client { connect, topic: it.events() }
    };
    devices.iter().map(client).collect()
}

/// All connect at once: a broker that is idle, or busy, lets each of them wait.
pub async fn all_connected(
    broker: &Broker,
    clients: &[Client],
) -> Vec<(TlsStream<TcpStream>, BytesMut)> {
    let mut connecting = tokio::task::JoinSet::new();
    for client in clients {
        let (broker, connect, topic) =
            (broker.clone(), client.connect.clone(), client.topic.clone());
        connecting.spawn(async move { (connected(&broker, &connect).await, publish(&topic)) });
    }
    connecting.join_all().await
}

fn say(what: &str, connections: usize, in_flight: usize, rounds: &[Round]) {
    println!(
        "{what}, {connections} x {in_flight}: {:.0} per second, {:.1} CPU s per million",
        median(rounds.iter().map(|it| it.per_second).collect()),
        median(rounds.iter().map(|it| it.cpu_s_per_million).collect()),
    );
}

fn round(broker: &Broker, clients: &[Client], in_flight: usize) -> Round {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    runtime.block_on(async {
        // All connect before one sends: under load each handshake would wait its turn.
        let connected = all_connected(broker, clients).await;
        let mut running = tokio::task::JoinSet::new();
        for (stream, packet) in connected {
            running.spawn(send(
                stream,
                packet,
                in_flight,
                Arc::clone(&acknowledged),
                Arc::clone(&stop),
            ));
        }
        // The first messages warm up what there is to warm up.
        tokio::time::sleep(ROUND / 8).await;
        let (began, cpu_before) = (now(), testkit::cpu_seconds(broker.pid));
        let before = acknowledged.load(Ordering::Relaxed);
        tokio::time::sleep(ROUND).await;
        let count = (acknowledged.load(Ordering::Relaxed) - before) as f64;
        let (took, cpu) = (began.elapsed(), testkit::cpu_seconds(broker.pid) - cpu_before);
        stop.store(true, Ordering::Relaxed);
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
        Round { per_second: count / took.as_secs_f64(), cpu_s_per_million: cpu / count * 1e6 }
    })
}

/// From so many addresses clients come in turn: one alone does not get all the room that a server has.
const SOURCES: usize = 4;
static CONNECTED: AtomicUsize = AtomicUsize::new(0);

pub async fn connected(broker: &Broker, connect: &Connect) -> TlsStream<TcpStream> {
    let source = CONNECTED.fetch_add(1, Ordering::Relaxed) % SOURCES + 1;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("127.0.0.{source}:0").parse().unwrap()).unwrap();
    let server = format!("{}:{}", broker.host, broker.port).parse().unwrap();
    let socket = socket.connect(server).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from(broker.host.clone()).unwrap();
    let connector = TlsConnector::from(Arc::clone(&broker.tls));
    let mut stream = connector.connect(name, socket).await.unwrap();
    let mut bytes = BytesMut::new();
    encode(&Packet::Connect(connect.clone()), &mut bytes).unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, [0x20, 2, 0, 0], "the client was let in");
    stream
}

pub fn publish(topic: &str) -> BytesMut {
    let mut packet = BytesMut::new();
    let publish = Publish {
        dup: false,
        qos: Qos::AtLeastOnce,
        retain: false,
        topic: ByteString::from(topic),
        id: Some(1),
        payload: vec![b'x'; PAYLOAD_BYTES].into(),
    };
    encode(&Packet::Publish(publish), &mut packet).unwrap();
    packet
}

/// Keeps `in_flight` messages under way. Ids repeat, as they may once they are acknowledged.
async fn send(
    mut stream: TlsStream<TcpStream>,
    packet: BytesMut,
    in_flight: usize,
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    let id_at = packet.len() - PAYLOAD_BYTES - 2;
    let mut window = BytesMut::new();
    for id in 1..=u16::try_from(in_flight).unwrap() {
        let at = window.len();
        window.extend_from_slice(&packet);
        window[at + id_at..at + id_at + 2].copy_from_slice(&id.to_be_bytes());
    }
    stream.write_all(&window).await.unwrap();
    let mut read = [0; 1024];
    let mut half = 0;
    while !stop.load(Ordering::Relaxed) {
        let bytes = stream.read(&mut read).await.unwrap();
        assert!(bytes > 0, "the server goes on");
        // A PUBACK is four bytes; all ids of a window are equal in size, so any of them may go again.
        let whole = (half + bytes) / 4;
        half = (half + bytes) % 4;
        acknowledged.fetch_add(whole as u64, Ordering::Relaxed);
        stream.write_all(&window[..whole * packet.len()]).await.unwrap();
    }
}

/// Has the clients send so many messages, together and each as many, and waits until all are kept.
pub fn fill(broker: &Broker, clients: &[Client], count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut running = tokio::task::JoinSet::new();
        for (mut stream, packet) in all_connected(broker, clients).await {
            let windows = count / clients.len() / FILLED_AT_ONCE;
            running.spawn(async move {
                let window = packet.repeat(FILLED_AT_ONCE);
                let mut acks = [0; 4 * FILLED_AT_ONCE];
                for _ in 0..windows {
                    stream.write_all(&window).await.unwrap();
                    stream.read_exact(&mut acks).await.unwrap();
                }
            });
        }
        running.join_all().await;
    });
}

/// Mosquitto with TLS and nothing else, where it is installed.
pub struct Mosquitto {
    child: Child,
    pub broker: Broker,
}

impl Mosquitto {
    pub fn start(home: &Path) -> Option<Self> {
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
        let program = program.map(PathBuf::from).into_iter().find(|it| it.exists())?;
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let write = |name: &str, text: &str| {
            let path = home.join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let certificate = write("mosquitto.pem", &made.cert.pem());
        let key = write("mosquitto.key", &made.signing_key.serialize_pem());
        let config = write(
            "mosquitto.conf",
            &format!(
                "listener 21983 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\nallow_anonymous true\n\
                 persistence false\nmax_inflight_messages 0\nlog_type none\nuser root\n"
            ),
        );
        let child =
            Command::new(program).args(["-c", &config]).stderr(Stdio::null()).spawn().ok()?;
        while std::net::TcpStream::connect("127.0.0.1:21983").is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let tls =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        let broker =
            Broker { host: "127.0.0.1".into(), port: 21983, tls: Arc::new(tls), pid: child.id() };
        Some(Self { child, broker })
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
