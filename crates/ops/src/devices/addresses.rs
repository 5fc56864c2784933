//! Which loopback address a new hub or provisioning service gets.
//!
//! Each has an address of its own, because clients insist on fixed ports. Addresses of what was deleted
//! are used again, except while a provisioning service still links to one: the link must not come to
//! mean another hub.

use gate::Facts;
use model::Error;
use std::ops::RangeInclusive;

/// The last numbers that are given. 1 is the management origin's; 0 and 255 are not hosts.
const LAST_NUMBERS: RangeInclusive<u8> = 2..=254;

/// The lowest address of `net` (`127.71.3`) that nobody has.
///
/// # Errors
/// A conflict of this code where all are taken.
pub(crate) fn lowest_free(facts: &Facts, net: &str, code: &'static str) -> Result<String, Error> {
    free(net, |it| is_taken(facts, it)).ok_or_else(|| Error::Conflict {
        code,
        message: format!(
            "all {} addresses of `{net}.0/24` are taken; delete a hub or a provisioning service first",
            LAST_NUMBERS.len()
        ),
    })
}

fn is_taken(facts: &Facts, address: &str) -> bool {
    let mut links = facts.provisioning.values().flat_map(|it| &it.links);
    facts.hosts.contains_key(address) || links.any(|it| it.hub == address)
}

fn free(net: &str, is_taken: impl Fn(&str) -> bool) -> Option<String> {
    LAST_NUMBERS.map(|it| format!("{net}.{it}")).find(|it| !is_taken(it))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate::facts::{Dps, DpsLink, LinkAuthentication, SharedAccess};
    use gate::network::NetworkRules;
    use model::{ObjectId, Scope};

    #[test]
    fn the_lowest_free_address_is_given() {
        let check = |taken: &[&str], expected: &str| {
            let given = free("127.71.3", |it| taken.contains(&it));
            assert_eq!(given.as_deref(), Some(expected));
        };
        check(&[], "127.71.3.2");
        check(&["127.71.3.2"], "127.71.3.3");
        check(&["127.71.3.3", "127.71.3.4"], "127.71.3.2");
        check(&["127.71.3.2", "127.71.3.4"], "127.71.3.3");
        // Another network's hub takes nothing away.
        check(&["127.71.30.2"], "127.71.3.2");
    }

    fn facts(hosts: &[String], links: &[String]) -> Facts {
        let mut facts = Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost");
        let links = links.iter().map(|it| DpsLink {
            hub: it.clone(),
            authentication: LinkAuthentication::SystemAssigned,
            weight: 1,
            applies_allocation_policy: true,
        });
        let links: Vec<DpsLink> = links.collect();
        for (number, host) in hosts.iter().enumerate() {
            facts.put_dps(Dps {
                scope: Scope::parse(&format!("/subscriptions/s/{number}")).unwrap(),
                uid: number.to_string(),
                host: host.clone(),
                id_scope: String::new(),
                location: String::new(),
                access: SharedAccess::default(),
                identity: None,
                user_assigned: std::collections::BTreeMap::new(),
                links: links.clone(),
                authorities: Vec::new(),
                network: NetworkRules::default(),
                allocation: gate::facts::Allocation::default(),
            });
        }
        facts
    }

    #[test]
    fn when_every_address_is_taken_the_next_is_refused() {
        let all: Vec<String> = LAST_NUMBERS.map(|it| format!("127.71.3.{it}")).collect();
        assert_eq!(all.len(), 253);
        let given = lowest_free(&facts(&all[..252], &[]), "127.71.3", "Full");
        assert_eq!(given.unwrap(), "127.71.3.254");
        let refusal = lowest_free(&facts(&all, &[]), "127.71.3", "Full").unwrap_err();
        assert!(matches!(refusal, Error::Conflict { code: "Full", .. }), "{refusal:?}");
    }

    #[test]
    fn an_address_that_a_link_still_names_is_not_given_again() {
        let facts = facts(&["127.71.3.2".into()], &["127.71.3.3".into()]);
        assert_eq!(lowest_free(&facts, "127.71.3", "Full").unwrap(), "127.71.3.4");
    }
}
