//! Addresses of links and audiences of tokens, to what they mean.
//!
//! Either may come as a bare path or with a scheme and a host before it, and names in it are percent-encoded.
//! Source: the public client libraries for devices, services and Event Hubs.

use crate::path;
use std::collections::BTreeMap;

/// Whose tokens are put, over a link of this address, and whose answers come back.
pub(super) const CBS: &str = "$cbs";
/// Where readers of events ask what there is to read.
pub(super) const MANAGEMENT: &str = "$management";

/// What of a queue or subscription was put aside.
const DEAD: &str = "$DeadLetterQueue";
const SUBSCRIPTIONS: &str = "Subscriptions";

/// A device or a module, as an address names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Peer {
    pub(super) device: String,
    pub(super) module: Option<String>,
}

impl Peer {
    pub(super) fn path(&self) -> String {
        match &self.module {
            None => format!("/devices/{}", self.device),
            Some(module) => format!("/devices/{}/modules/{module}", self.device),
        }
    }

    pub(super) fn params(&self) -> BTreeMap<&'static str, String> {
        let module = self.module.clone().map(|it| ("module", it));
        [("device", self.device.clone())].into_iter().chain(module).collect()
    }
}

/// A device that registers, as its user name and the addresses of its links name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Registrant {
    pub(super) id_scope: String,
    pub(super) registration: String,
}

impl Registrant {
    pub(super) fn path(&self) -> String {
        format!("/{}/registrations/{}", self.id_scope, self.registration)
    }

    pub(super) fn params(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("idScope", self.id_scope.clone()),
            ("registration", self.registration.clone()),
        ])
    }
}

/// What lies in a namespace of Service Bus, as an address names it: a queue, a topic, a subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BusPlace {
    pub(super) entity: String,
    pub(super) subscription: Option<String>,
    /// What was put aside there.
    pub(super) is_dead: bool,
    /// Where clients ask about it.
    pub(super) is_desk: bool,
}

impl BusPlace {
    fn parse(address: &str) -> Option<Self> {
        let segments = path::segments(split(address).1).ok()?;
        let mut rest: Vec<&str> = segments.iter().map(String::as_str).collect();
        let mut ends_with = |word: &str| {
            let is_it = rest.last().is_some_and(|it| it.eq_ignore_ascii_case(word));
            rest.truncate(rest.len() - usize::from(is_it));
            is_it
        };
        let is_desk = ends_with(MANAGEMENT);
        let is_dead = ends_with(DEAD);
        let (entity, subscription) = match rest.as_slice() {
            [entity] => (*entity, None),
            [topic, word, subscription] if word.eq_ignore_ascii_case(SUBSCRIPTIONS) => {
                (*topic, Some((*subscription).to_owned()))
            }
            _ => return None,
        };
        let is_name = |it: &str| !it.is_empty() && !it.starts_with('$');
        let are_names = is_name(entity) && subscription.as_deref().is_none_or(is_name);
        are_names.then(|| Self { entity: entity.to_owned(), subscription, is_dead, is_desk })
    }

    pub(super) fn params(&self) -> BTreeMap<&'static str, String> {
        let subscription = self.subscription.clone().map(|it| ("subscription", it));
        [("entity", self.entity.clone())].into_iter().chain(subscription).collect()
    }

    fn path(&self) -> String {
        let mut path = format!("/{}", self.entity);
        if let Some(subscription) = &self.subscription {
            path.extend(["/", SUBSCRIPTIONS, "/", subscription]);
        }
        for (is_it, word) in [(self.is_dead, DEAD), (self.is_desk, MANAGEMENT)] {
            if is_it {
                path.extend(["/", word]);
            }
        }
        path
    }
}

/// What a link leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Cbs,
    Management,
    /// What devices send.
    Telemetry(Peer),
    /// What is sent to a device.
    DeviceBound(Peer),
    Methods(Peer),
    Twin(Peer),
    /// Where services send to devices.
    ServiceSend,
    Feedback,
    FileNotifications,
    /// Events at the hub's own address: they are read elsewhere. What stands behind the event hub's name there.
    FindEvents(String),
    Events {
        event_hub: String,
        group: String,
        partition: String,
    },
    /// Where a device registers.
    Registration(Registrant),
    /// What lies in a namespace of Event Hubs.
    Entity(String),
    /// What lies in a namespace of Service Bus.
    Bus(BusPlace),
    /// One partition of an event hub, to send to.
    Partition {
        event_hub: String,
        partition: String,
    },
}

impl Place {
    /// Reads an address; `None` where nothing lies there.
    pub(super) fn parse(address: &str) -> Option<Self> {
        let (_, path) = split(address);
        let segments = path::segments(path).ok()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let is = |it: &str, word: &str| it.eq_ignore_ascii_case(word);
        match segments.as_slice() {
            [it] if is(it, CBS) => return Some(Self::Cbs),
            [it] | [_, it] if is(it, MANAGEMENT) => return Some(Self::Management),
            [devices, device, rest @ ..] if is(devices, "devices") => {
                return Self::of_peer((*device).to_owned(), rest);
            }
            [messages, rest @ ..] if is(messages, "messages") => match rest {
                [it] if is(it, "devicebound") => return Some(Self::ServiceSend),
                [bound, it] if is(bound, "servicebound") && is(it, "feedback") => {
                    return Some(Self::Feedback);
                }
                [bound, it] if is(bound, "servicebound") && is(it, "filenotifications") => {
                    return Some(Self::FileNotifications);
                }
                [events, rest @ ..] if is(events, "events") => {
                    let rest: String = rest.iter().map(|it| format!("/{it}")).collect();
                    return Some(Self::FindEvents(rest));
                }
                _ => {}
            },
            [id_scope, registrations, registration] if is(registrations, "registrations") => {
                return Some(Self::Registration(Registrant {
                    id_scope: (*id_scope).to_owned(),
                    registration: (*registration).to_owned(),
                }));
            }
            [event_hub, groups, group, partitions, partition]
                if is(groups, "consumergroups") && is(partitions, "partitions") =>
            {
                return Some(Self::Events {
                    event_hub: (*event_hub).to_owned(),
                    group: (*group).to_owned(),
                    partition: (*partition).to_owned(),
                });
            }
            [event_hub, partitions, partition] if is(partitions, "partitions") => {
                return Some(Self::Partition {
                    event_hub: (*event_hub).to_owned(),
                    partition: (*partition).to_owned(),
                });
            }
            [entity] => return Some(Self::Entity((*entity).to_owned())),
            _ => {}
        }
        None
    }

    /// The same at a namespace of Service Bus.
    pub(super) fn of_service_bus(address: &str) -> Option<Self> {
        match Self::parse(address) {
            Some(Self::Cbs) => Some(Self::Cbs),
            _ => BusPlace::parse(address).map(Self::Bus),
        }
    }

    /// What it names in an event hub.
    pub(super) fn params(&self) -> BTreeMap<&'static str, String> {
        match self {
            Self::Events { event_hub, group, partition } => BTreeMap::from([
                ("eventHub", event_hub.clone()),
                ("group", group.clone()),
                ("partition", partition.clone()),
            ]),
            Self::Partition { event_hub, partition } => {
                BTreeMap::from([("eventHub", event_hub.clone()), ("partition", partition.clone())])
            }
            Self::Entity(event_hub) => BTreeMap::from([("eventHub", event_hub.clone())]),
            _ => BTreeMap::new(),
        }
    }

    fn of_peer(device: String, rest: &[&str]) -> Option<Self> {
        let (module, rest) = match rest {
            [modules, module, rest @ ..] if modules.eq_ignore_ascii_case("modules") => {
                (Some((*module).to_owned()), rest)
            }
            rest => (None, rest),
        };
        let peer = Peer { device, module };
        let rest: Vec<String> = rest.iter().map(|it| it.to_ascii_lowercase()).collect();
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match rest.as_slice() {
            ["messages", "events"] => Some(Self::Telemetry(peer)),
            ["messages", "devicebound"] => Some(Self::DeviceBound(peer)),
            ["methods", "devicebound"] => Some(Self::Methods(peer)),
            ["twin"] => Some(Self::Twin(peer)),
            _ => None,
        }
    }

    /// The address again, as traces and gates have it.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Cbs => format!("/{CBS}"),
            Self::Management => format!("/{MANAGEMENT}"),
            Self::Telemetry(peer) => format!("{}/messages/events", peer.path()),
            Self::DeviceBound(peer) => format!("{}/messages/devicebound", peer.path()),
            Self::Methods(peer) => format!("{}/methods/devicebound", peer.path()),
            Self::Twin(peer) => format!("{}/twin", peer.path()),
            Self::ServiceSend => "/messages/devicebound".to_owned(),
            Self::Feedback => "/messages/serviceBound/feedback".to_owned(),
            Self::FileNotifications => "/messages/serviceBound/filenotifications".to_owned(),
            Self::FindEvents(rest) => format!("/messages/events{rest}"),
            Self::Events { event_hub, group, partition } => {
                format!("/{event_hub}/ConsumerGroups/{group}/Partitions/{partition}")
            }
            Self::Registration(registrant) => registrant.path(),
            Self::Entity(entity) => format!("/{entity}"),
            Self::Bus(place) => place.path(),
            Self::Partition { event_hub, partition } => {
                format!("/{event_hub}/Partitions/{partition}")
            }
        }
    }
}

/// Whom a token is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Audience {
    /// Empty where the token names no host.
    pub(super) host: String,
    /// Its segments, decoded, each behind a `/`; empty for the whole host.
    pub(super) path: String,
    pub(super) whose: Whose,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    Peer(Peer),
    Service,
    /// Who reads events: of the event hub of this name.
    Reader(String),
}

impl Audience {
    /// Reads the name under which a token is put, which some clients percent-encode as a whole; `None` where it
    /// is no address.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let decoded;
        let name = match name.contains('/') {
            true => name,
            false => {
                decoded = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
                decoded.as_ref()
            }
        };
        let (host, path) = match split(name) {
            ("", path) => path.split_once('/').map_or((path, ""), |(host, path)| (host, path)),
            both => both,
        };
        let segments = path::segments(path).ok()?;
        let texts: Vec<&str> = segments.iter().map(String::as_str).collect();
        let is = |it: &str, word: &str| it.eq_ignore_ascii_case(word);
        let peer = |device: &str, module: Option<&str>| {
            let module = module.map(str::to_owned);
            Whose::Peer(Peer { device: device.to_owned(), module })
        };
        let whose = match texts.as_slice() {
            // What Entra calls every hub. The connection says which.
            [] => Whose::Service,
            [".default"] => {
                return Some(Self {
                    host: String::new(),
                    path: String::new(),
                    whose: Whose::Service,
                });
            }
            [first, ..] if is(first, "messages") => Whose::Service,
            [devices, device, modules, module, ..]
                if is(devices, "devices") && is(modules, "modules") =>
            {
                peer(device, Some(module))
            }
            [devices, device, ..] if is(devices, "devices") => peer(device, None),
            [event_hub, ..] => Whose::Reader((*event_hub).to_owned()),
        };
        let path = segments.iter().map(|it| format!("/{it}")).collect();
        Some(Self { host: bare(host).to_owned(), path, whose })
    }

    /// True where a token for this covers an address: segment by segment, from the front.
    pub(super) fn covers(&self, path: &str) -> bool {
        let mut below = path.split('/');
        self.path
            .split('/')
            .all(|mine| below.next().is_some_and(|it| it.eq_ignore_ascii_case(mine)))
    }
}

/// Host and path; the host is empty where the address begins with its path.
fn split(address: &str) -> (&str, &str) {
    match address.split_once("://") {
        None => ("", address),
        Some((_, behind)) => behind.find('/').map_or((behind, ""), |it| behind.split_at(it)),
    }
}

/// A host without its port.
fn bare(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((bare, port))
            if port.bytes().all(|it| it.is_ascii_digit()) && !bare.ends_with(':') =>
        {
            bare
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::operations::{OPERATIONS, Protocol, Surface};

    fn peer(module: Option<&str>) -> Peer {
        Peer { device: "d 1".into(), module: module.map(str::to_owned) }
    }

    #[test]
    fn addresses_are_paths_or_urls_in_any_case() {
        let check = |address: &str, expected: Option<Place>| {
            assert_eq!(Place::parse(address), expected, "{address}");
        };
        check("$cbs", Some(Place::Cbs));
        check("amqps://h/$cbs", Some(Place::Cbs));
        check("$management", Some(Place::Management));
        check("/h/$management", Some(Place::Management));
        check("/devices/d%201/messages/events", Some(Place::Telemetry(peer(None))));
        check("amqps://h/Devices/d%201/Messages/deviceBound", Some(Place::DeviceBound(peer(None))));
        check(
            "/devices/d%201/modules/m/methods/devicebound",
            Some(Place::Methods(peer(Some("m")))),
        );
        check("/devices/d%201/twin/", Some(Place::Twin(peer(None))));
        check("/messages/deviceBound", Some(Place::ServiceSend));
        check("/messages/serviceBound/feedback", Some(Place::Feedback));
        check("/messages/servicebound/fileNotifications", Some(Place::FileNotifications));
        check("amqps://h/messages/events/", Some(Place::FindEvents(String::new())));
        let rest = "/ConsumerGroups/g/Partitions/0";
        check(&format!("/messages/events{rest}"), Some(Place::FindEvents(rest.to_owned())));
        let events = Place::Events {
            event_hub: "h".into(),
            group: "$Default".into(),
            partition: "1".into(),
        };
        check("amqps://h:5671/h/ConsumerGroups/$Default/Partitions/1", Some(events.clone()));
        check("h/consumergroups/$Default/partitions/1", Some(events));
        let registrant = Registrant { id_scope: "0ne1".into(), registration: "pump-1".into() };
        for it in ["0ne1/registrations/pump-1", "amqps://h/0ne1/Registrations/pump-1/"] {
            check(it, Some(Place::Registration(registrant.clone())));
        }
        check("amqps://h/e", Some(Place::Entity("e".into())));
        let one = Place::Partition { event_hub: "e".into(), partition: "1".into() };
        check("e/partitions/1", Some(one));
        for none in [
            "",
            "/",
            "/devices/d",
            "/devices/d/x",
            "/devices/a%2Fb/twin",
            "/messages",
            "0ne1/registrations",
            "/../$cbs",
        ] {
            check(none, None);
        }
    }

    #[test]
    fn addresses_of_service_bus_lead_to_queues_subscriptions_and_what_was_put_aside() {
        let check = |address: &str, expected: Option<(&str, Option<&str>, bool, bool)>| {
            let expected = expected.map(|(entity, subscription, is_dead, is_desk)| {
                let (entity, subscription) = (entity.into(), subscription.map(Into::into));
                Place::Bus(BusPlace { entity, subscription, is_dead, is_desk })
            });
            assert_eq!(Place::of_service_bus(address), expected, "{address}");
        };
        check("q", Some(("q", None, false, false)));
        check("sb://h/q", Some(("q", None, false, false)));
        check("amqps://h:5671/messages", Some(("messages", None, false, false)));
        check("q/$deadletterqueue", Some(("q", None, true, false)));
        check("q/$management", Some(("q", None, false, true)));
        check("t/subscriptions/s", Some(("t", Some("s"), false, false)));
        check("t/Subscriptions/s/$DeadLetterQueue", Some(("t", Some("s"), true, false)));
        let both = "t/Subscriptions/s/$DeadLetterQueue/$management";
        check(both, Some(("t", Some("s"), true, true)));
        for none in
            ["", "$management", "$DeadLetterQueue", "q/x", "t/Subscriptions", "t/Subscriptions/$x"]
        {
            check(none, None);
        }
        for none in
            ["q/$DeadLetterQueue/$DeadLetterQueue", "t/Subscriptions/s/x", "a%2Fb", "q/../$cbs"]
        {
            check(none, None);
        }
        assert_eq!(Place::of_service_bus("$cbs"), Some(Place::Cbs));
    }

    /// The table names every address that links have, and nothing else.
    #[test]
    fn every_address_of_the_table_is_one() {
        let rows = OPERATIONS.iter().flat_map(|row| row.routes);
        let links = rows.filter(|it| it.protocol == Protocol::Amqp && it.method != "PUT-TOKEN");
        let mut count = 0;
        for route in links {
            count += 1;
            let filled = route.path.replace(['{', '}'], "");
            let place = match route.surface {
                Surface::ServiceBus => Place::of_service_bus(&filled),
                _ => Place::parse(&filled),
            };
            let place = place.unwrap_or_else(|| panic!("{}", route.path));
            let is_asked = place == Place::Management;
            assert!(is_asked || place.path() == filled, "{filled}");
        }
        assert!(count > 15, "{count}");
    }

    #[test]
    fn audiences_name_devices_services_and_readers() {
        let check = |name: &str, host: &str, path: &str, whose: Whose| {
            let expected = Audience { host: host.into(), path: path.into(), whose };
            assert_eq!(Audience::parse(name), Some(expected), "{name}");
        };
        check("h", "h", "", Whose::Service);
        check("https://h:443/", "h", "", Whose::Service);
        check("https://iothubs.azure.net/.default", "", "", Whose::Service);
        check("h/messages/devicebound", "h", "/messages/devicebound", Whose::Service);
        check("h%2Fdevices%2Fd%201", "h", "/devices/d 1", Whose::Peer(peer(None)));
        check(
            "h/devices/d%201/modules/m",
            "h",
            "/devices/d 1/modules/m",
            Whose::Peer(peer(Some("m"))),
        );
        check("sb://h/e/$management", "h", "/e/$management", Whose::Reader("e".into()));
        check("amqps://h:5671/e", "h", "/e", Whose::Reader("e".into()));
        assert_eq!(Audience::parse("h/devices/a%2Fb"), None);
    }

    #[test]
    fn an_audience_covers_whole_segments() {
        let of = |name: &str| Audience::parse(name).unwrap();
        assert!(of("h").covers("/messages/devicebound"));
        assert!(of("sb://h/e").covers("/E/ConsumerGroups/g/Partitions/0"));
        assert!(!of("sb://h/e").covers("/e2/ConsumerGroups/g/Partitions/0"));
        assert!(!of("sb://h/e/$management").covers("/e/ConsumerGroups/g/Partitions/0"));
    }
}
