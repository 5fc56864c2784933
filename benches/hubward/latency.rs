//! How long devices wait for an acknowledgement while so many messages a second are sent, whatever the answers.
//!
//! A message's time begins when it was due, not when the generator came to it: what holds the generator up
//! counts as well, so that a server that stalls cannot hide it.

use super::mqtt::{Broker, Client, Mosquitto, PAYLOAD_BYTES, all_connected};
use super::{median, now};
use bytes::{Buf as _, BytesMut};
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Messages a second, over all connections.
const RATES: [u32; 2] = [5_000, 20_000];
const CONNECTIONS: [usize; 2] = [50, 1_000];
const ROUND: Duration = Duration::from_secs(6);
/// What is sent in this time at first warms up what there is to warm up.
const WARMING: Duration = Duration::from_secs(1);
const ROUNDS: usize = 3;

/// Hubward, and Mosquitto in turns with it.
pub fn latency(broker: &Broker, clients: &[Client], home: &Path) {
    let mosquitto = Mosquitto::start(home);
    for connections in CONNECTIONS {
        for rate in RATES {
            let clients = &clients[..connections];
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                ours.push(round(broker, clients, rate));
                if let Some(mosquitto) = &mosquitto {
                    theirs.push(round(&mosquitto.broker, clients, rate));
                }
            }
            println!("PUBACK, {rate} messages per second over {connections} connections");
            say("synced", &ours);
            if !theirs.is_empty() {
                say("mosquitto, not kept", &theirs);
            }
        }
    }
}

fn say(who: &str, rounds: &[Vec<u32>]) {
    let at = |part: f64| {
        let of = |it: &Vec<u32>| f64::from(it[(it.len() as f64 * part) as usize]) / 1e3;
        median(rounds.iter().map(of).collect())
    };
    let (middle, late, latest) = (at(0.5), at(0.99), at(0.999));
    println!("  {who}: p50 {middle:.2} ms, p99 {late:.2} ms, p99.9 {latest:.2} ms");
}

/// How long each message waited, in microseconds, in order.
fn round(broker: &Broker, clients: &[Client], rate: u32) -> Vec<u32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connected = all_connected(broker, clients).await;
        let each = u32::try_from(connected.len()).unwrap();
        let pause = Duration::from_secs(1) * each / rate;
        // They take turns.
        let begin = now() + Duration::from_millis(100);
        let mut running = tokio::task::JoinSet::new();
        for (turn, (stream, packet)) in (0..).zip(connected) {
            running.spawn(send(stream, packet, begin + pause * turn / each, begin, pause));
        }
        let mut waited: Vec<u32> = running.join_all().await.concat();
        waited.sort_unstable();
        waited
    })
}

async fn send(
    mut stream: TlsStream<TcpStream>,
    mut packet: BytesMut,
    mut due: Instant,
    begin: Instant,
    pause: Duration,
) -> Vec<u32> {
    let id_at = packet.len() - PAYLOAD_BYTES - 2;
    let end = begin + WARMING + ROUND;
    let (mut under_way, mut waited) = (VecDeque::new(), Vec::new());
    let mut id = 0_u16;
    let mut acks = BytesMut::new();
    while !under_way.is_empty() || due < end {
        tokio::select! {
            () = tokio::time::sleep_until(due.into()), if due < end => {
                while due <= now() && due < end {
                    id = id.checked_add(1).unwrap_or(1);
                    packet[id_at..id_at + 2].copy_from_slice(&id.to_be_bytes());
                    under_way.push_back((id, due));
                    stream.write_all(&packet).await.unwrap();
                    due += pause;
                }
            }
            read = stream.read_buf(&mut acks) => assert!(read.unwrap() > 0, "the server goes on"),
        }
        while acks.len() >= 4 {
            let ack = acks.split_to(4);
            assert_eq!(ack[..2], [0x40, 2], "nothing but acknowledgements comes");
            let (id, due) = under_way.pop_front().expect("it was sent");
            assert_eq!((&ack[2..]).get_u16(), id, "acknowledgements come in order");
            if due >= begin + WARMING {
                waited.push(u32::try_from(due.elapsed().as_micros()).unwrap());
            }
        }
    }
    waited
}
