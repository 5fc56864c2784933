//! How a row is written: its addresses, and what most rows of a kind have in common.

use super::{Body, Effect, Op, Operation, Plane, Protocol, Right, Route, Surface};
use crate::action::ActionName;

pub(crate) const fn act(name: &'static str) -> ActionName {
    ActionName::new(name)
}

pub(super) const fn arm(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Arm, protocol: Protocol::Https, method, path }
}

pub(super) const fn entra(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Entra, protocol: Protocol::Https, method, path }
}

pub(super) const fn graph(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Graph, protocol: Protocol::Https, method, path }
}

pub(super) const fn local(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Identity, protocol: Protocol::Https, method, path }
}

pub(super) const fn hub(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Hub, protocol: Protocol::Https, method, path }
}

pub(super) const fn dps(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Dps, protocol: Protocol::Https, method, path }
}

pub(super) const fn mqtt(surface: Surface, method: &'static str, path: &'static str) -> Route {
    Route { surface, protocol: Protocol::Mqtt, method, path }
}

pub(super) const fn amqp(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Hub, protocol: Protocol::Amqp, method, path }
}

/// At a namespace of Event Hubs.
pub(super) const fn amqp_event_hubs(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::EventHubs, protocol: Protocol::Amqp, method, path }
}

/// At a storage account.
pub(super) const fn blob(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::Blob, protocol: Protocol::Https, method, path }
}

/// At a namespace of Service Bus.
pub(super) const fn amqp_service_bus(method: &'static str, path: &'static str) -> Route {
    Route { surface: Surface::ServiceBus, protocol: Protocol::Amqp, method, path }
}

/// Of a device that registers: over a link at this address.
pub(super) const fn amqp_dps(method: &'static str) -> Route {
    let path = "/{idScope}/registrations/{registration}";
    Route { surface: Surface::Dps, protocol: Protocol::Amqp, method, path }
}

/// A row of the endpoint from which services read what devices have sent: keys alone open it.
pub(super) const fn events(op: Op, routes: &'static [Route], says: &'static str) -> Operation {
    Operation {
        plane: Plane::Service,
        sas: &[Right::ServiceConnect],
        ..control(op, &[], Effect::Reads, routes, says)
    }
}

/// A row of the control plane.
pub(super) const fn control(
    op: Op,
    actions: &'static [ActionName],
    effect: Effect,
    routes: &'static [Route],
    says: &'static str,
) -> Operation {
    let body = match effect {
        Effect::Reads => Body::None,
        Effect::Writes | Effect::Calls | Effect::Appends | Effect::ChangesFacts => Body::Json,
    };
    Operation {
        op,
        plane: Plane::Control,
        actions,
        sas: &[],
        object: None,
        effect,
        body,
        routes,
        says,
    }
}

/// A row of the directory.
pub(super) const fn directory(
    op: Op,
    actions: &'static [ActionName],
    effect: Effect,
    routes: &'static [Route],
    says: &'static str,
) -> Operation {
    Operation { plane: Plane::Directory, ..control(op, actions, effect, routes, says) }
}

/// A row that is served before anybody signs in.
pub(super) const fn open(op: Op, routes: &'static [Route], says: &'static str) -> Operation {
    Operation { plane: Plane::Open, ..control(op, &[], Effect::Reads, routes, says) }
}

/// A row that only devices reach, and only for themselves.
pub(super) const fn device(
    op: Op,
    effect: Effect,
    routes: &'static [Route],
    says: &'static str,
) -> Operation {
    Operation { plane: Plane::Device, body: Body::None, ..control(op, &[], effect, routes, says) }
}

/// The same at a hub, where who holds a key with `DeviceConnect` may act for any device.
pub(super) const fn at_hub(
    op: Op,
    effect: Effect,
    routes: &'static [Route],
    says: &'static str,
) -> Operation {
    Operation { sas: &[Right::DeviceConnect], ..device(op, effect, routes, says) }
}

/// A row of a hub's service API that one action or right opens.
pub(super) const fn service(
    op: Op,
    actions: &'static [ActionName],
    sas: &'static [Right],
    effect: Effect,
    routes: &'static [Route],
    says: &'static str,
) -> Operation {
    Operation { plane: Plane::Service, sas, ..control(op, actions, effect, routes, says) }
}

/// The same where policy judges what it writes or deletes.
pub(super) const fn judged(row: Operation, object: &'static str) -> Operation {
    Operation { object: Some(object), ..row }
}

/// The same without a body, though it writes.
pub(super) const fn bare(row: Operation) -> Operation {
    Operation { body: Body::None, ..row }
}

pub(super) const DEVICES: Option<&str> = Some("Microsoft.Devices/IotHubs/devices");

pub(super) const TWINS: &str = "Microsoft.Devices/IotHubs/twins";
