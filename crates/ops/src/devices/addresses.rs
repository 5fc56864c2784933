//! Which loopback address a new hub gets.
//!
//! Each hub has an address of its own, because clients insist on fixed ports. Addresses of deleted hubs
//! are used again.

use model::Error;
use std::ops::RangeInclusive;

/// The last numbers that hubs get. 1 is the management origin's; 0 and 255 are not hosts.
const LAST_NUMBERS: RangeInclusive<u8> = 2..=254;

/// The lowest address of `net` (`127.71.3`) that no hub has.
///
/// # Errors
/// `IotHubQuotaExceeded` where all are taken.
pub(super) fn lowest_free(net: &str, is_taken: impl Fn(&str) -> bool) -> Result<String, Error> {
    LAST_NUMBERS.map(|it| format!("{net}.{it}")).find(|it| !is_taken(it)).ok_or_else(|| {
        Error::Conflict {
            code: "IotHubQuotaExceeded",
            message: format!(
                "all {} hub addresses of `{net}.0/24` are taken; delete a hub first",
                LAST_NUMBERS.len()
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_hub_gets_the_lowest_free_address() {
        let check = |taken: &[&str], expected: &str| {
            assert_eq!(lowest_free("127.71.3", |it| taken.contains(&it)).unwrap(), expected);
        };
        check(&[], "127.71.3.2");
        check(&["127.71.3.2"], "127.71.3.3");
        check(&["127.71.3.3", "127.71.3.4"], "127.71.3.2");
        check(&["127.71.3.2", "127.71.3.4"], "127.71.3.3");
        // Another network's hub takes nothing away.
        check(&["127.71.30.2"], "127.71.3.2");
    }

    #[test]
    fn when_every_address_is_taken_the_next_hub_is_refused() {
        let mut taken = BTreeSet::new();
        for _ in LAST_NUMBERS {
            let address = lowest_free("127.71.3", |it| taken.contains(it)).unwrap();
            assert!(taken.insert(address));
        }
        assert_eq!(taken.len(), 253);
        assert!(!taken.contains("127.71.3.1") && !taken.contains("127.71.3.255"));
        let refusal = lowest_free("127.71.3", |it| taken.contains(it)).unwrap_err();
        assert!(
            matches!(refusal, Error::Conflict { code: "IotHubQuotaExceeded", .. }),
            "{refusal:?}"
        );
    }
}
