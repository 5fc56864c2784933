//! What hubs and provisioning services are called: the names that callers give them, and the host names
//! that clients reach them by.

use gate::Facts;
use model::Error;
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// How one kind of resource is named. A name is part of a host name, so it is unique over all
/// subscriptions.
pub(crate) struct Naming {
    /// With its article, for sentences.
    what: &'static str,
    characters: RangeInclusive<usize>,
    is_taken: fn(&Facts, &str) -> bool,
}

/// Source: Azure resource naming rules, Microsoft.Devices.
pub(crate) const HUBS: Naming = Naming {
    what: "a hub",
    characters: 3..=50,
    is_taken: |facts, name| {
        facts.hubs.values().any(|it| it.scope.name().eq_ignore_ascii_case(name))
    },
};

/// Source: as [`HUBS`].
pub(crate) const PROVISIONING_SERVICES: Naming = Naming {
    what: "a provisioning service",
    characters: 3..=64,
    is_taken: |facts, name| {
        facts.provisioning.values().any(|it| it.scope.name().eq_ignore_ascii_case(name))
    },
};

impl Naming {
    /// Letters, digits and hyphens, no hyphen at either end, and not digits alone.
    ///
    /// # Errors
    /// The rule, as a sentence.
    pub(crate) fn check_rules(&self, name: &str) -> Result<(), String> {
        let allowed = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
        match self.characters.contains(&name.len())
            && name.bytes().all(allowed)
            && !name.starts_with('-')
            && !name.ends_with('-')
            && !name.bytes().all(|it| it.is_ascii_digit())
        {
            true => Ok(()),
            false => Err(format!(
                "{}'s name has {} to {} letters, digits and hyphens, no hyphen at either end, and is \
                 not a number",
                self.what,
                self.characters.start(),
                self.characters.end()
            )),
        }
    }

    /// # Errors
    /// `NameNotAvailable` where there is one of this name.
    pub(crate) fn check_free(&self, facts: &Facts, name: &str) -> Result<(), Error> {
        match (self.is_taken)(facts, name) {
            false => Ok(()),
            true => Err(Error::Conflict {
                code: "NameNotAvailable",
                message: format!("{}; choose another name", self.exists_already(name)),
            }),
        }
    }

    /// What a check of a name answers: clients also ask it whether there is one of this name.
    pub(crate) fn availability(&self, facts: &Facts, name: &str) -> Value {
        match (self.check_rules(name), (self.is_taken)(facts, name)) {
            (Err(rule), _) => {
                json!({ "nameAvailable": false, "reason": "Invalid", "message": rule })
            }
            (Ok(()), true) => json!({
                "nameAvailable": false,
                "reason": "AlreadyExists",
                "message": self.exists_already(name),
            }),
            (Ok(()), false) => json!({ "nameAvailable": true, "reason": null, "message": null }),
        }
    }

    fn exists_already(&self, name: &str) -> String {
        format!("{} named `{name}` exists already", self.what)
    }
}

/// The host name that clients see: with the port where it is not the usual one.
pub(crate) fn host_name(address: &str, port: u16) -> String {
    match port {
        443 => address.to_owned(),
        other => format!("{address}:{other}"),
    }
}

/// A host name without its port.
pub(crate) fn without_port(host: &str) -> &str {
    host.split_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for (naming, most) in [(HUBS, 50), (PROVISIONING_SERVICES, 64)] {
            for good in ["abc", "a-b", "Plant7", "7a7", &"a".repeat(most)] {
                assert!(naming.check_rules(good).is_ok(), "{good}");
            }
            let long = "a".repeat(most + 1);
            for bad in ["", "ab", "-ab", "ab-", "a b", "a_b", "a.b", "äöü", "123", &long] {
                assert!(naming.check_rules(bad).is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn a_port_is_named_where_it_is_not_the_usual_one() {
        assert_eq!(host_name("127.71.3.2", 443), "127.71.3.2");
        assert_eq!(host_name("127.71.3.2", 8443), "127.71.3.2:8443");
        assert_eq!(without_port("127.71.3.2:8443"), "127.71.3.2");
        assert_eq!(without_port("127.71.3.2"), "127.71.3.2");
    }
}
