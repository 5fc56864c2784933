//! Networks of IP addresses, as rules name them.

// Addresses as numbers: `core` knows no sockets.
use core::net::{IpAddr, Ipv6Addr};
use std::fmt;

/// Bits in front of an IPv4 address that is written as IPv6, `::ffff:10.0.0.1`. Source: RFC 4291, 2.5.5.2.
const MAPPED_BITS: u8 = 96;

/// The addresses that share so many first bits: `10.1.0.0/16`, `fd00::/8`, or one alone.
///
/// IPv4 written as IPv6 is IPv4, in networks and in addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotANetwork;

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an address or a network, as `10.1.2.3`, `10.1.0.0/16` or `fd00::/8`")
    }
}

impl std::error::Error for NotANetwork {}

impl Network {
    /// Reads an address, which is a network of one, or an address and a number of bits with `/` between. Bits
    /// behind those that count may be anything.
    ///
    /// # Errors
    /// [`NotANetwork`].
    pub fn parse(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) if !bits.is_empty() && bits.bytes().all(|it| it.is_ascii_digit()) => {
                bits.parse().ok().filter(|it| *it <= most).ok_or(NotANetwork)?
            }
            Some(_) => return Err(NotANetwork),
        };
        Ok(match address.to_canonical() {
            mapped @ IpAddr::V4(_) if address.is_ipv6() && bits >= MAPPED_BITS => {
                Self { address: mapped, bits: bits - MAPPED_BITS }
            }
            IpAddr::V4(_) | IpAddr::V6(_) => Self { address, bits },
        })
    }

    /// True where the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(it)) => {
                (own.to_bits() ^ it.to_bits()).leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(it)) => self.shares_bits(own, it),
            // `::/0` is everybody, and `::ffff:0:0/90` holds all of IPv4.
            (IpAddr::V6(own), IpAddr::V4(it)) => self.shares_bits(own, it.to_ipv6_mapped()),
            (IpAddr::V4(_), IpAddr::V6(_)) => false,
        }
    }

    fn shares_bits(&self, own: Ipv6Addr, it: Ipv6Addr) -> bool {
        (own.to_bits() ^ it.to_bits()).leading_zeros() >= u32::from(self.bits)
    }

    /// How many first bits its addresses share: of two networks that hold an address, the larger number is the
    /// smaller network.
    pub const fn bits(&self) -> u8 {
        self.bits
    }
}

impl std::str::FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(network: &str, address: &str, expected: bool) {
        let read = Network::parse(network).unwrap();
        assert_eq!(read.contains(address.parse().unwrap()), expected, "{address} in {network}");
    }

    #[test]
    fn a_network_holds_the_addresses_that_share_its_first_bits() {
        check("10.1.0.0/16", "10.1.255.255", true);
        check("10.1.0.0/16", "10.2.0.0", false);
        check("10.1.2.3/16", "10.1.9.9", true);
        check("10.1.2.3", "10.1.2.3", true);
        check("10.1.2.3/32", "10.1.2.2", false);
        check("0.0.0.0/0", "255.255.255.255", true);
        check("10.0.0.0/31", "10.0.0.1", true);
        check("10.0.0.0/31", "10.0.0.2", false);
        check("fd00::/8", "fd12::1", true);
        check("fd00::/8", "fe80::1", false);
        check("2001:db8::1", "2001:db8::1", true);
        check("2001:db8::/127", "2001:db8::2", false);
        check("::/0", "2001:db8::1", true);
    }

    #[test]
    fn ipv4_written_as_ipv6_is_ipv4() {
        check("10.1.0.0/16", "::ffff:10.1.2.3", true);
        check("10.1.0.0/16", "::ffff:10.2.2.3", false);
        check("::ffff:10.1.0.0/112", "10.1.2.3", true);
        check("::ffff:10.1.0.0/112", "10.2.2.3", false);
        check("::ffff:0:0/90", "10.2.2.3", true);
        check("::/0", "10.2.2.3", true);
        check("fd00::/8", "10.2.2.3", false);
        check("0.0.0.0/0", "fd00::1", false);
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0",
            "10.0.0.256",
            "010.0.0.1",
            " 10.0.0.1",
            "fd00::/129",
            "fd00::%eth0/64",
            "[::1]",
            "localhost",
            "10.0.0.0-10.0.0.9",
            "10.0.0.0/0x8",
            "10.0.0.0/999999999999",
        ] {
            assert_eq!(Network::parse(text), Err(NotANetwork), "{text}");
        }
    }
}
