//! Links come and go.

use super::address::{Peer, Place};
use super::asking::Asking;
use super::condition;
use super::driver::{CREDIT, Driver, Link, Outbox};
use super::events::{self, EventSend, Events};
use super::service::Queue;
use ::amqp::performative::Role;
use ::amqp::{Attach, Condition, LinkId, Value};
use model::operations::Surface;
use model::{Credential, Op};
use ops::devices::presence::{Interest, Interests};
use std::collections::BTreeMap;
use uuid::Uuid;

/// By which the two links of a twin, and those of methods, know each other.
const PAIR: &str = "com.microsoft:channel-correlation-id";
/// Settled by the sender: the mode of a link.
const SETTLED: u8 = 1;

impl Driver<'_> {
    /// Lets a link be, or says why not.
    pub(super) async fn attached(&mut self, id: LinkId, attach: Attach) {
        let is_sender = attach.role == Role::Sender;
        let terminus = if is_sender { &attach.target } else { &attach.source };
        let address = terminus.address.clone().unwrap_or_default();
        let place = match self.surface("") {
            Surface::ServiceBus => Place::of_service_bus(&address),
            _ => Place::parse(&address),
        };
        let Some(place) = place else {
            return self.engine.refuse(id, condition::no_such_address(&address));
        };
        let made = match is_sender {
            true => self.sender(place, &address, &attach).await,
            false => self.receiver(place, &address, &attach).await,
        };
        match made {
            Ok(link) => {
                let peer = link.peer().cloned();
                let hears = match &link {
                    Link::DeviceBound { .. } => Some(Interest::Messages),
                    Link::MethodCalls { .. } => Some(Interest::Methods),
                    _ => None,
                };
                if matches!(link, Link::BusQueue(_)) {
                    self.engine.concludes(id);
                }
                self.links.insert(id, link);
                self.engine.accept(id, if is_sender { CREDIT } else { 0 });
                if let (Some(peer), Some(interest)) = (peer, hears) {
                    self.hears(&peer, |it| it.with(interest)).await;
                }
            }
            Err(why) => self.engine.refuse(id, why),
        }
    }

    /// A link over which the client sends.
    async fn sender(
        &mut self,
        place: Place,
        address: &str,
        attach: &Attach,
    ) -> Result<Link, Condition> {
        if let Place::Telemetry(peer) | Place::Methods(peer) | Place::Twin(peer) = &place {
            self.expect(peer).await?;
        }
        match place {
            Place::Cbs | Place::Management => Ok(Link::Requests(place)),
            Place::Telemetry(peer) => Ok(Link::Telemetry(peer)),
            Place::Methods(peer) => Ok(Link::MethodAnswers(peer)),
            Place::Twin(peer) => Ok(Link::TwinRequests { peer, pair: pair(attach) }),
            Place::ServiceSend => {
                let held = self.held(Op::SendMessage, "SEND", &place).await?;
                Ok(Link::ServiceSend(Box::new(held)))
            }
            Place::Registration(registrant) => Ok(Link::RegistrationRequests(registrant)),
            Place::Entity(_) | Place::Partition { .. }
                if self.surface_of(&place) == Surface::EventHubs =>
            {
                let asking = self.at(Op::SendEvents, "SEND", place.path(), place.params());
                let opened = ops::call::open_sender(self.env, self.call(asking));
                let sender =
                    Box::pin(opened).await.map_err(|answer| condition::of_answer(&answer))?;
                Ok(Link::EventSend(Box::new(EventSend { sender, path: place.path() })))
            }
            Place::Bus(place) if place.is_desk => Ok(Link::Requests(Place::Bus(place))),
            Place::Bus(place) if !place.is_dead => self.bus_sender(place).await,
            Place::Entity(_)
            | Place::Partition { .. }
            | Place::Bus(_)
            | Place::DeviceBound(_)
            | Place::Feedback
            | Place::FileNotifications
            | Place::FindEvents(_)
            | Place::Events { .. } => Err(condition::no_such_address(address)),
        }
    }

    /// A link on which the client receives.
    async fn receiver(
        &mut self,
        place: Place,
        address: &str,
        attach: &Attach,
    ) -> Result<Link, Condition> {
        if let Place::DeviceBound(peer) | Place::Methods(peer) | Place::Twin(peer) = &place {
            self.expect(peer).await?;
        }
        let is_settled = attach.sender_settles == SETTLED;
        match place {
            Place::Cbs | Place::Management => {
                let to = attach.target.address.clone().unwrap_or_default();
                Ok(Link::Replies { desk: place, to, out: Outbox::new() })
            }
            Place::Bus(ref bus) if bus.is_desk => {
                let to = attach.target.address.clone().unwrap_or_default();
                Ok(Link::Replies { desk: place, to, out: Outbox::new() })
            }
            Place::Bus(place) => self.bus_receiver(place, is_settled).await,
            // A module has no queue of its own.
            Place::DeviceBound(peer) if peer.module.is_none() => {
                Ok(Link::DeviceBound { peer, is_settled })
            }
            Place::Methods(peer) => Ok(Link::MethodCalls { peer, out: Outbox::new() }),
            Place::Twin(peer) => {
                Ok(Link::TwinAnswers { peer, pair: pair(attach), out: Outbox::new() })
            }
            Place::Feedback => {
                let held = self.held(Op::ReceiveFeedback, "RECEIVE", &place).await?;
                Ok(Link::Queue(Box::new(Queue::new(held, &place, self.env))))
            }
            Place::FileNotifications => {
                let held = self.held(Op::ReceiveFileNotification, "RECEIVE", &place).await?;
                Ok(Link::Queue(Box::new(Queue::new(held, &place, self.env))))
            }
            Place::Registration(registrant) => {
                Ok(Link::RegistrationAnswers { registrant, out: Outbox::new() })
            }
            Place::FindEvents(rest) => Err(self.redirect(&rest).await),
            Place::Events { .. } => {
                let wish = events::wish(attach)?;
                let (path, params) = (place.path(), place.params());
                let op = match self.surface_of(&place) {
                    Surface::EventHubs => Op::ReceiveEvents,
                    _ => Op::ReadEvents,
                };
                let asking = self.at(op, "RECEIVE", path.clone(), params);
                let call = self.call(asking);
                let opened = Box::pin(ops::call::open_reader(self.env, call, wish)).await;
                let reader = opened.map_err(|answer| condition::of_answer(&answer))?;
                Ok(Link::Events(Box::new(Events::new(reader, path, attach))))
            }
            Place::Telemetry(_)
            | Place::DeviceBound(_)
            | Place::ServiceSend
            | Place::Entity(_)
            | Place::Partition { .. } => Err(condition::no_such_address(address)),
        }
    }

    /// A service's link, which it may have as long as the gates let it do what the link is for.
    async fn held(
        &mut self,
        op: Op,
        verb: &'static str,
        place: &Place,
    ) -> Result<ops::link::Link, Condition> {
        let asking = self.at(op, verb, place.path(), BTreeMap::new());
        let opened = Box::pin(ops::call::open_link(self.env, self.call(asking))).await;
        opened.map_err(|answer| condition::of_answer(&answer))
    }

    /// A call at an address, with what the connection has shown for it.
    pub(super) fn at(
        &self,
        op: Op,
        verb: &'static str,
        path: String,
        params: BTreeMap<&'static str, String>,
    ) -> Asking {
        let (host, credential) = self.claims.shown(&path);
        Asking { op, host, verb, path, params, credential }
    }

    /// Where a device's link may be: who has shown nothing is told what the gates say to that.
    async fn expect(&mut self, peer: &Peer) -> Result<(), Condition> {
        match self.devices.contains_key(peer) {
            true => Ok(()),
            false => {
                // A policy's token counts for every device; without one, what the handshake has shown counts.
                let credential = match self.claims.shown(&peer.path()) {
                    (_, it @ Credential::Sas(_)) => it,
                    (_, _) => self.own.clone(),
                };
                self.connect(peer.clone(), "", credential).await.map_err(|it| it.1)
            }
        }
    }

    /// Says where events are read: at the same place, under the event hub's name. Source: the public client
    /// libraries; the CLI's extension takes the name from the second part of `address`.
    async fn redirect(&mut self, rest: &str) -> Condition {
        let path = format!("/messages/events{rest}");
        let asking = self.at(Op::FindEvents, "RECEIVE", path, BTreeMap::new());
        let call = self.call(asking);
        let host = call.host.clone();
        let answer = Box::pin(ops::call::run(self.env, call)).await;
        let name = answer.body.as_ref().and_then(|it| it.get("path")).and_then(|it| it.as_str());
        let Some(name) = name.filter(|_| answer.status == 200) else {
            return condition::of_answer(&answer);
        };
        let port = self.local.port();
        Condition::new("amqp:link:redirect", "events are read at another address")
            .with("hostname", Value::string(host.clone()))
            .with("network-host", Value::string(host.clone()))
            .with("port", Value::Int(port.into()))
            .with("address", Value::string(format!("amqps://{host}:{port}/{name}{rest}")))
    }

    /// A link is gone.
    pub(super) async fn detached(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(&id) else { return };
        if let Link::BusQueue(queue) = link {
            return queue.give_back(self.env).await;
        }
        let Some(peer) = link.peer().cloned() else { return };
        if let Some(device) = self.devices.get_mut(&peer) {
            let of_link = |key: &(LinkId, u32)| key.0 == id;
            let its: Vec<_> = device.handed.keys().copied().filter(|it| of_link(it)).collect();
            let locks: Vec<Uuid> =
                its.iter().filter_map(|it| device.handed.remove(it)).map(|it| it.0).collect();
            device.session.release(self.env, locks).await;
        }
        let remains = |is: fn(&Link) -> bool| {
            self.links.values().any(|it| it.peer() == Some(&peer) && is(it))
        };
        let (interest, remains) = match link {
            Link::DeviceBound { .. } => {
                (Interest::Messages, remains(|it| matches!(it, Link::DeviceBound { .. })))
            }
            Link::MethodCalls { .. } => {
                (Interest::Methods, remains(|it| matches!(it, Link::MethodCalls { .. })))
            }
            Link::TwinAnswers { .. } => {
                (Interest::Desired, remains(|it| matches!(it, Link::TwinAnswers { .. })))
            }
            _ => return,
        };
        if !remains {
            self.hears(&peer, |it| it.without(interest)).await;
        }
    }

    /// Has a device told of more, or of less.
    pub(super) async fn hears(&mut self, peer: &Peer, change: impl Fn(Interests) -> Interests) {
        let Some(device) = self.devices.get_mut(peer) else { return };
        let all = change(Interests(device.session.hears()));
        if let Err(ended) = device.session.listen(self.env, all.0, false).await {
            self.end_device(peer, ended, true).await;
        }
    }
}

/// What the client calls the pair of links that this is one of.
fn pair(attach: &Attach) -> String {
    attach.properties.get(PAIR).and_then(Value::text).unwrap_or("").to_owned()
}
