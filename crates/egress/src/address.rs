//! Which addresses may be called.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// A name that an operator lets be called wherever it leads: `functions.plant.example`, `127.0.0.1:7071`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allowed {
    host: String,
    /// Every port where there is none.
    port: Option<u16>,
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no host, as `functions.example` or `127.0.0.1:7071`");
        let (host, port) = match text.rsplit_once(':') {
            // An address of version 6 stands in brackets where a port follows.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| wrong())?))
            }
            Some(_) | None => (text, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let is_sound = !host.is_empty()
            && host.bytes().all(|it| it.is_ascii_alphanumeric() || b".-:_".contains(&it));
        if is_sound { Ok(Self { host, port }) } else { Err(wrong()) }
    }
}

/// How a host is called that the server itself serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Own {
    /// Where it is served.
    pub at: IpAddr,
    /// From where the server calls it.
    pub from: IpAddr,
}

/// Finds a host among those that the server itself serves.
pub type FindOwn = dyn Fn(&str) -> Option<Own> + Send + Sync;

/// Where outgoing connections may lead.
#[derive(Clone, Default)]
pub struct Rule {
    allowed: Vec<Allowed>,
    own: Option<Arc<FindOwn>>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

/// An address that is not called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAllowed {
    host: String,
    address: IpAddr,
    kind: &'static str,
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, address, kind } = self;
        write!(
            f,
            "`{host}` leads to {address}, {kind}, which the server does not call of itself; the operator can allow it \
             with `hubward up --allow-egress {host}`"
        )
    }
}

impl std::error::Error for NotAllowed {}

impl Rule {
    pub const fn new(allowed: Vec<Allowed>) -> Self {
        Self { allowed, own: None }
    }

    /// The same, and hosts of the server itself may be called where it serves them, though nobody else's may there.
    #[must_use]
    pub fn with_own(mut self, own: Arc<FindOwn>) -> Self {
        self.own = Some(own);
        self
    }

    /// How the server calls a host of its own.
    pub fn own(&self, host: &str) -> Option<Own> {
        self.own.as_ref().and_then(|own| own(host))
    }

    /// True where the operator has allowed the host by its name.
    pub fn names(&self, host: &str, port: u16) -> bool {
        self.allowed.iter().any(|it| {
            it.host.eq_ignore_ascii_case(host) && it.port.is_none_or(|allowed| allowed == port)
        })
    }

    /// Whether an address that a name was resolved to may be called.
    ///
    /// # Errors
    /// [`NotAllowed`] with what kind of address it is.
    pub fn check(&self, host: &str, port: u16, address: IpAddr) -> Result<(), NotAllowed> {
        match kind(address) {
            Some(kind)
                if self.own(host).map(|it| it.at) != Some(address) && !self.names(host, port) =>
            {
                Err(NotAllowed { host: host.to_owned(), address, kind })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// What is special about an address; nothing about one that anybody could have.
fn kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(it) => kind_of_4(it),
        IpAddr::V6(it) => match embedded(it) {
            Some(inner) => kind_of_4(inner).or(Some("an address of version 4 in disguise")),
            None => kind_of_6(it),
        },
    }
}

/// Sources: the IANA registries of special-purpose addresses, version 4 and 6.
fn kind_of_4(it: Ipv4Addr) -> Option<&'static str> {
    // The platform's own services of Azure: DNS, agents, load balancers' probes.
    const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    let [a, b, c, _] = it.octets();
    match (a, b, c) {
        (127, _, _) => Some("the server itself"),
        (0, _, _) => Some("no address of a host"),
        (169, 254, _) => Some("a link-local address, where clouds answer with secrets"),
        (10, _, _) | (172, 16..=31, _) | (192, 168, _) => Some("a private network"),
        (100, 64..=127, _) => Some("a carrier's own network"),
        (192, 0, 0 | 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => {
            Some("an address that is kept for protocols, tests and examples")
        }
        (224..=255, _, _) => Some("no address of one host"),
        _ if it == WIRE_SERVER => Some("a service of the platform"),
        _ => None,
    }
}

fn kind_of_6(it: Ipv6Addr) -> Option<&'static str> {
    let [first, second, ..] = it.segments();
    match first {
        _ if it == Ipv6Addr::LOCALHOST => Some("the server itself"),
        _ if it == Ipv6Addr::UNSPECIFIED => Some("no address of a host"),
        0xfe80..=0xfebf => Some("a link-local address"),
        0xfec0..=0xfeff | 0xfc00..=0xfdff => Some("a private network"),
        0xff00..=0xffff => Some("no address of one host"),
        0x2001 if second == 0x0db8 => Some("an address that is kept for examples"),
        // What has not been given to anybody may be given to somebody here.
        0x2000..=0x3fff => None,
        _ => Some("an address that is given to nobody"),
    }
}

/// The address of version 4 that one of version 6 stands for: mapped, translated, or tunnelled to.
fn embedded(it: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = it.segments();
    let of = |high: u16, low: u16| {
        let ([w, x], [y, z]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(w, x, y, z)
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(of(g, h)),
        (0, 0, 0, 0, 0, 0) if (g, h) != (0, 0) && (g, h) != (0, 1) => Some(of(g, h)),
        (0x2002, high, low, ..) => Some(of(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), NotAllowed> {
        Rule::default().check("name", 443, text.parse().unwrap())
    }

    /// Threat 58: whatever only the server reaches, in every spelling that an address has.
    #[test]
    fn only_addresses_that_anybody_could_have_are_called() {
        for open in
            ["1.1.1.1", "8.8.8.8", "20.50.2.1", "172.15.0.1", "172.32.0.1", "2606:4700::1111"]
        {
            assert_eq!(check(open), Ok(()), "{open}");
        }
        let closed = [
            "127.0.0.1",
            "127.71.3.2",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "168.63.129.16",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
            "4000::1",
        ];
        for closed in closed {
            assert!(check(closed).is_err(), "{closed}");
        }
    }

    /// Threat 58: what the server serves itself is called there, and whatever else lies at its addresses is not.
    #[test]
    fn a_host_of_our_own_is_called_where_it_is_served() {
        let own = |host: &str| {
            let [at, from] = ["127.71.3.9", "127.71.3.1"].map(|it| it.parse().unwrap());
            ["ns.servicebus.example", "127.71.3.9"].contains(&host).then_some(Own { at, from })
        };
        let rule = Rule::default().with_own(Arc::new(own));
        let check = |host: &str, address: &str| rule.check(host, 5671, address.parse().unwrap());
        assert_eq!(check("ns.servicebus.example", "127.71.3.9"), Ok(()));
        assert_eq!(check("127.71.3.9", "127.71.3.9"), Ok(()));
        assert!(check("ns.servicebus.example", "127.0.0.1").is_err());
        assert!(check("ns.servicebus.example.evil", "127.71.3.9").is_err());
        assert!(check("127.71.3.1", "127.71.3.1").is_err());
    }

    #[test]
    fn an_operator_allows_a_name_and_no_longer_one() {
        let allowed = ["Functions.example", "127.0.0.1:7071", "[::1]:80"];
        let rule = Rule::new(allowed.map(|it| it.parse().unwrap()).to_vec());
        let check = |host: &str, port: u16, address: &str| {
            rule.check(host, port, address.parse().unwrap()).is_ok()
        };
        assert!(check("functions.example", 443, "10.0.0.1"));
        assert!(!check("evil.functions.example", 443, "10.0.0.1"));
        assert!(!check("functions.example.evil", 443, "10.0.0.1"));
        assert!(check("127.0.0.1", 7071, "127.0.0.1"));
        assert!(!check("127.0.0.1", 7072, "127.0.0.1"));
        assert!(check("::1", 80, "::1"));
        for wrong in ["", ":80", "a b", "host:port", "https://host", "user@host"] {
            assert!(wrong.parse::<Allowed>().is_err(), "{wrong}");
        }
        let refused = rule.check("pump", 1, Ipv4Addr::LOCALHOST.into()).unwrap_err().to_string();
        assert!(refused.contains("--allow-egress pump"), "{refused}");
    }
}
