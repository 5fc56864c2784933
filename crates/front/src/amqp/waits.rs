//! What a connection waits for besides bytes: its devices, readers and queues.

use super::address::Peer;
use super::device::Device;
use super::driver::Link;
use ::amqp::{Connection, LinkId};
use ops::devices::presence::Told;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// What the connection is woken for.
pub(super) enum Woken {
    Device(Peer, Told),
    Link(LinkId),
}

pub(super) type Waits<'a> = Pin<Box<dyn Future<Output = Woken> + Send + 'a>>;

/// What there is to wait for: devices that are told something, links that have more to send.
pub(super) fn waits<'a>(
    devices: &'a mut BTreeMap<Peer, Device>,
    links: &'a mut BTreeMap<LinkId, Link>,
    engine: &Connection,
) -> Vec<Waits<'a>> {
    let mut all: Vec<Waits<'a>> = Vec::with_capacity(devices.len());
    for (peer, device) in devices {
        all.push(Box::pin(async { Woken::Device(peer.clone(), device.session.told().await) }));
    }
    for (id, link) in links {
        let id = *id;
        match link {
            Link::Events(events) => {
                let wants = engine.can_send(id) && !events.waits();
                let bell = events.reader.bell(wants);
                all.push(Box::pin(async move {
                    // Where the log is closed, looking tells.
                    if let Ok(bell) = bell {
                        bell.await;
                    }
                    Woken::Link(id)
                }));
            }
            Link::Queue(queue) if engine.can_send(id) && queue.has_room() => {
                let bell = queue.rings();
                all.push(Box::pin(async move {
                    bell.await;
                    Woken::Link(id)
                }));
            }
            Link::BusQueue(queue) if engine.can_send(id) && !queue.waits() => {
                let bell = queue.rings();
                all.push(Box::pin(async move {
                    bell.await;
                    Woken::Link(id)
                }));
            }
            _ => {}
        }
    }
    all
}

/// Waits for the first of them. Dropping the future loses nothing: a notice is taken by who returns it.
pub(super) async fn first(mut all: Vec<Waits<'_>>) -> Woken {
    poll_fn(|context| {
        let ready = all.iter_mut().find_map(|it| match it.as_mut().poll(context) {
            Poll::Ready(woken) => Some(woken),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
