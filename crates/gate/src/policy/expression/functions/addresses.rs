//! Ranges of IP addresses.

use super::Fault;
use ::expression::Given;
// An address as a number: `core` knows no sockets.
use core::net::IpAddr;
use serde_json::Value;

/// True where all of the second range lies in the first. A range is one address, `10.0.0.0/8` or
/// `10.0.0.1-10.0.0.9`; ranges of both families do not compare, which is an error.
pub(super) fn ip_range_contains(given: &Given<'_>) -> Result<Value, Fault> {
    const WANTED: &str = "an address, a CIDR range or two addresses with `-` between";
    let Some(outer) = Range::parse(given.text(0)?) else { return given.misfit(0, WANTED) };
    let Some(inner) = Range::parse(given.text(1)?) else { return given.misfit(1, WANTED) };
    if outer.is_v4 != inner.is_v4 {
        return Fault::new("one is a range of IPv4 and the other of IPv6");
    }
    Ok((outer.first <= inner.first && inner.last <= outer.last).into())
}

/// From the first address to the last, both in it, as numbers.
struct Range {
    is_v4: bool,
    first: u128,
    last: u128,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        if let Some((first, last)) = text.split_once('-') {
            let (is_v4, first) = number(first)?;
            let (is_same, last) = number(last)?;
            return (is_v4 == is_same && first <= last).then_some(Self { is_v4, first, last });
        }
        let Some((address, prefix)) = text.split_once('/') else {
            let (is_v4, first) = number(text)?;
            return Some(Self { is_v4, first, last: first });
        };
        let (is_v4, address) = number(address)?;
        let is_digits = !prefix.is_empty() && prefix.bytes().all(|it| it.is_ascii_digit());
        let bits: u32 = if is_v4 { 32 } else { 128 };
        let prefix = prefix.parse::<u32>().ok().filter(|it| is_digits && *it <= bits)?;
        // Ones in the place of the host; a shift by the whole width is none.
        let host = u128::MAX.checked_shr(128 - (bits - prefix)).unwrap_or(0);
        Some(Self { is_v4, first: address & !host, last: address | host })
    }
}

fn number(text: &str) -> Option<(bool, u128)> {
    match text.trim().parse().ok()? {
        IpAddr::V4(it) => Some((true, u128::from(it.to_bits()))),
        IpAddr::V6(it) => Some((false, it.to_bits())),
    }
}
