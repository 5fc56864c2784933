//! Connections of a listener: how many there may be, and how they end when the server stops.
//!
//! Past a limit a connection is closed at once and costs nothing more. One address can never hold so many
//! that no room is left for others.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Most connections of one listener.
pub(crate) const CONNECTIONS_MAX: usize = 4_096;
/// Most connections of one listener from one IPv4 address or one IPv6 network.
pub(crate) const CONNECTIONS_PER_PEER_MAX: usize = 512;
/// How long calls may go on after the server was asked to stop.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// How long to wait where the system refuses a connection, out of file descriptors above all.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Room for connections.
#[derive(Debug)]
pub(crate) struct Slots {
    in_total: usize,
    per_peer: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    in_total: usize,
    by_peer: BTreeMap<IpAddr, usize>,
}

/// Room for one connection, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    peer: IpAddr,
}

impl Slots {
    pub(crate) fn new(in_total: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Self { in_total, per_peer, held: Mutex::default() })
    }

    /// Room for a connection from `peer`, where there is any.
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Slot> {
        let peer = network_of(peer);
        let mut held = self.lock();
        let from_peer = held.by_peer.get(&peer).copied().unwrap_or(0);
        if held.in_total >= self.in_total || from_peer >= self.per_peer {
            return None;
        }
        held.in_total += 1;
        held.by_peer.insert(peer, from_peer + 1);
        Some(Slot { slots: Arc::clone(self), peer })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.slots.lock();
        held.in_total = held.in_total.saturating_sub(1);
        match held.by_peer.get(&self.peer).copied() {
            Some(2..) => {
                held.by_peer.entry(self.peer).and_modify(|it| *it -= 1);
            }
            Some(_) | None => {
                held.by_peer.remove(&self.peer);
            }
        }
    }
}

/// One subscriber of IPv6 has a whole /64 and may change its address at will.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

/// Resolves once the server is to stop: also where whoever could say so is gone.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|it| *it).await;
}

/// Accepts connections until `stop`, then gives them [`DRAIN`] to end.
///
/// `serve` makes the task of one connection; `panicked` is told of each that ended in a panic; `last` is
/// awaited after the connections, within the same time.
pub(crate) async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    slots: Arc<Slots>,
    mut stop: watch::Receiver<bool>,
    serve: impl Fn(TcpStream, SocketAddr, Slot) -> F,
    panicked: impl Fn(),
    last: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(ended) = connections.join_next() => {
                if ended.is_err_and(|it| it.is_panic()) {
                    panicked();
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(slot) = slots.take(peer.ip()) {
                        connections.spawn(serve(stream, peer, slot));
                    }
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    let ending = async {
        while connections.join_next().await.is_some() {}
        last.await;
    };
    // Whatever still runs after this is aborted by dropping it.
    let _ = timeout(DRAIN, ending).await;
    connections.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Threat 38.
    #[test]
    fn room_is_bounded_per_peer_and_in_total_and_comes_back() {
        let slots = Slots::new(3, 2);
        let first = slots.take(address("10.0.0.1")).unwrap();
        let _second = slots.take(address("::ffff:10.0.0.1")).unwrap();
        assert!(slots.take(address("10.0.0.1")).is_none());
        let _third = slots.take(address("10.0.0.10")).unwrap();
        assert!(slots.take(address("10.0.0.11")).is_none());
        drop(first);
        let _fourth = slots.take(address("10.0.0.1")).unwrap();
        assert!(slots.take(address("10.0.0.1")).is_none());
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_their_room() {
        let slots = Slots::new(9, 1);
        let held = slots.take(address("2001:db8:0:1::1")).unwrap();
        assert!(slots.take(address("2001:db8:0:1:ffff::2")).is_none());
        let other = slots.take(address("2001:db8:0:2::1")).unwrap();
        drop((held, other));
        assert!(slots.lock().by_peer.is_empty());
        assert_eq!(slots.lock().in_total, 0);
    }

    /// Threat 38.
    #[tokio::test]
    async fn past_the_limit_a_connection_is_closed_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let serve = |mut stream: TcpStream, _, slot: Slot| async move {
            let _slot = slot;
            let _ = stream.write_all(b"!").await;
            let _ = stream.read_u8().await;
        };
        let running = tokio::spawn(async move {
            accept(listener, Slots::new(9, 1), stopping, serve, || (), async {}).await;
        });
        let mut first = TcpStream::connect(at).await.unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'!');
        let mut second = TcpStream::connect(at).await.unwrap();
        assert!(second.read_u8().await.is_err());
        first.write_all(b"x").await.unwrap();
        assert!(first.read_u8().await.is_err());
        stop.send(true).unwrap();
        running.await.unwrap();
        assert!(TcpStream::connect(at).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_end_is_aborted_after_the_drain() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let serve = |mut stream: TcpStream, _, _| async move {
            let _ = stream.write_all(b"!").await;
            std::future::pending::<()>().await;
        };
        let running = tokio::spawn(async move {
            accept(listener, Slots::new(9, 9), stopping, serve, || (), async {}).await;
        });
        let mut client = TcpStream::connect(at).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'!');
        drop(stop);
        let started = tokio::time::Instant::now();
        running.await.unwrap();
        assert_eq!(started.elapsed(), DRAIN);
        assert!(client.read_u8().await.is_err());
    }
}
