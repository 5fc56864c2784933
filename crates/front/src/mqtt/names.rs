//! Whom an MQTT user name means.
//!
//! `{host}/{device}/?api-version=...` is a device of a hub, `{host}/{device}/{module}/?...` one of its modules,
//! and `{idScope}/registrations/{registration}/api-version=...` a device that registers. The query is
//! percent-encoded, the names before it are not. Older clients leave out the `?`, or the whole query.
//! Source: IoT Hub developer guide, "Use MQTT protocol directly"; the public SDKs.

/// Longest part of a user name. Ids are shorter; what their characters may be is judged where they are used.
const PART_BYTES_MAX: usize = 256;
/// Most pairs in the query.
const QUERY_PAIRS_MAX: usize = 16;

/// A user name, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Named {
    pub(super) peer: Peer,
    pub(super) query: Vec<(String, String)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Peer {
    Device { host: String, device: String, module: Option<String> },
    Registration { id_scope: String, registration: String },
}

impl Named {
    /// `None` where it is neither a device or module nor a registration.
    pub(super) fn parse(user_name: &str) -> Option<Self> {
        let (first, rest) = user_name.split_once('/')?;
        let (second, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let (peer, query) = if second == "registrations" && !is_query(rest) && !rest.is_empty() {
            let (registration, query) = rest.split_once('/').unwrap_or((rest, ""));
            let (id_scope, registration) = (part(first)?, part(registration)?);
            (Peer::Registration { id_scope, registration }, query)
        } else {
            // A module stands between its device and the query.
            let (module, rest) = match rest.split_once('/') {
                _ if is_query(rest) => (None, rest),
                Some((module, query)) => (Some(part(module)?), query),
                None => (Some(part(rest)?), ""),
            };
            (Peer::Device { host: host(part(first)?), device: part(second)?, module }, rest)
        };
        if !(query.is_empty() || is_query(query)) {
            return None;
        }
        let pairs = ops::input::pairs(query.trim_start_matches('?'));
        let pairs: Vec<_> = pairs.take(QUERY_PAIRS_MAX + 1).collect();
        // The version and the model are ours to know; what else clients tell of themselves is theirs.
        let known = ["api-version", "model-id"];
        let is_known =
            |it: &(String, String)| known.iter().any(|known| it.0.eq_ignore_ascii_case(known));
        match pairs.len() {
            0..=QUERY_PAIRS_MAX => {
                Some(Self { peer, query: pairs.into_iter().filter(is_known).collect() })
            }
            _ => None,
        }
    }

    /// Whether the client id is the one that belongs to the name.
    pub(super) fn fits(&self, client_id: &str) -> bool {
        match &self.peer {
            Peer::Device { device, module: None, .. } => device == client_id,
            Peer::Device { device, module: Some(module), .. } => {
                client_id.split_once('/') == Some((device, module))
            }
            Peer::Registration { registration, .. } => registration == client_id,
        }
    }
}

fn is_query(text: &str) -> bool {
    let text = text.trim_start_matches('?');
    let first = text.split('&').next().and_then(|it| it.split_once('='));
    text.is_empty() || first.is_some_and(|(key, _)| !key.contains('/'))
}

fn part(text: &str) -> Option<String> {
    let is_fine = (1..=PART_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    is_fine.then(|| text.to_owned())
}

/// A host name without the port that some clients write behind it.
fn host(text: String) -> String {
    match text.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit()) => {
            name.to_owned()
        }
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(host: &str, device: &str) -> Option<Peer> {
        Some(Peer::Device { host: host.into(), device: device.into(), module: None })
    }

    fn module(host: &str, device: &str, module: &str) -> Option<Peer> {
        let module = Some(module.into());
        Some(Peer::Device { host: host.into(), device: device.into(), module })
    }

    fn check(user_name: &str, expected: Option<Peer>) {
        assert_eq!(Named::parse(user_name).map(|it| it.peer), expected, "{user_name}");
    }

    #[test]
    fn the_forms_of_the_clients_are_read() {
        let python =
            "127.70.1.2/pump-1/?api-version=2019-10-01&DeviceClientType=azure-iot-device%2F2.14";
        check(python, device("127.70.1.2", "pump-1"));
        assert_eq!(
            Named::parse(python).unwrap().query,
            [("api-version".to_owned(), "2019-10-01".to_owned())]
        );
        let with_model = "h/d/?api-version=2020-09-30&model-id=dtmi%3Acom%3Aexample%3APump%3B1";
        let query = Named::parse(with_model).unwrap().query;
        assert_eq!(query[1], ("model-id".to_owned(), "dtmi:com:example:Pump;1".to_owned()));
        check("h:8883/d/?api-version=2021-04-12", device("h", "d"));
        check("h/d/api-version=2016-11-14", device("h", "d"));
        check("h/d/", device("h", "d"));
        check("h/d", device("h", "d"));
        check("h/a%2Fb/?x=y", device("h", "a%2Fb"));
        check("h/d/m/?api-version=2021-04-12", module("h", "d", "m"));
        check("h/d/m/api-version=2021-04-12", module("h", "d", "m"));
        check("h/d/m", module("h", "d", "m"));
        let registration = Some(Peer::Registration {
            id_scope: "0ne00C0FFEE".into(),
            registration: "pump-1".into(),
        });
        let query = "api-version=2019-03-31&ClientVersion=azure%2F1";
        check(&format!("0ne00C0FFEE/registrations/pump-1/{query}"), registration.clone());
        check(&format!("0ne00C0FFEE/registrations/pump-1/?{query}"), registration);
        // A device may be called so.
        check("h/registrations/?api-version=2021-04-12", device("h", "registrations"));
    }

    #[test]
    fn what_is_neither_a_device_nor_a_registration_is_nobody() {
        for none in
            ["", "h", "/", "h/", "/d/", "h/d/m/x", "h/d/m/x/?a=b", "h/d//?a=b", "h/d\n/?a=b"]
        {
            check(none, None);
        }
        check(&format!("h/{}/", "d".repeat(PART_BYTES_MAX + 1)), None);
        check(&format!("h/d/?{}", "a=b&".repeat(QUERY_PAIRS_MAX + 1)), None);
    }

    #[test]
    fn a_client_id_is_the_name_itself() {
        let named = Named::parse("h/device1/?api-version=2021-04-12").unwrap();
        assert!(named.fits("device1"));
        for other in ["device10", "Device1", "device1/m", ""] {
            assert!(!named.fits(other), "{other}");
        }
        let module = Named::parse("h/device1/m/?api-version=2021-04-12").unwrap();
        assert!(module.fits("device1/m"));
        for other in ["device1", "m", "device1/m/", "device10/m", "device1/m1"] {
            assert!(!module.fits(other), "{other}");
        }
    }
}
