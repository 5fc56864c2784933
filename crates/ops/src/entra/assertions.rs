//! Which client assertions were used, so that one that was seen on its way opens nothing.
//!
//! An assertion counts once for each resource. Not once at all: the MSAL libraries of Python and Node keep
//! the assertion that they signed and show it again for the next resource, and keep the token that they got
//! for it. What is remembered is forgotten at the assertion's end, and at the server's.

use gate::Once;
use model::{Credential, Secret, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// True where a form shows a client assertion: then that is what the client proves itself with.
pub(crate) fn is_shown(form: &Value) -> bool {
    ["client_assertion", "client_assertion_type"]
        .iter()
        .any(|it| model::json::text(form, &[it]).is_some_and(|it| !it.is_empty()))
}

/// The credential of a form that shows an assertion. `shown` came in the header.
pub(crate) fn credential(shown: &Credential, tenant: String, form: &Value) -> Credential {
    let field = |name: &str| model::json::text(form, &[name]).unwrap_or("").to_owned();
    // Source: RFC 6749, section 2.3: one method for each request.
    if !field("client_secret").is_empty() || !matches!(shown, Credential::None) {
        return Credential::Malformed {
            kind: "form",
            because:
                "it shows a client assertion and another credential; send the one that is meant"
                    .into(),
        };
    }
    Credential::ClientAssertion {
        tenant,
        client_id: field("client_id"),
        kind: field("client_assertion_type"),
        assertion: Secret::new(field("client_assertion")),
    }
}

/// Most assertions that are remembered. Only a registered certificate makes one, and each is forgotten an
/// hour later at the latest.
const REMEMBERED_MAX: usize = 100_000;

/// What is remembered of an assertion.
struct Used {
    content: [u8; 32],
    until: Timestamp,
    /// As many as there are resources, at most.
    resources: Vec<String>,
}

/// The assertions that were used and have not ended, by their names.
#[derive(Default)]
pub struct Assertions(Mutex<BTreeMap<[u8; 32], Used>>);

impl Assertions {
    /// Uses an assertion for a resource.
    ///
    /// # Errors
    /// [`gate::Unusable`] where it was used before, or cannot be remembered.
    pub(crate) fn take(
        &self,
        once: &Once,
        resource: &str,
        now: Timestamp,
    ) -> Result<(), gate::Unusable> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = all.get_mut(&once.name).filter(|it| now < it.until) {
            let is_known = used.resources.iter().any(|it| it == resource);
            if used.content != once.content || is_known {
                return Err(gate::Unusable::Before);
            }
            used.resources.push(resource.to_owned());
            return Ok(());
        }
        if all.len() >= REMEMBERED_MAX {
            all.retain(|_, it| now < it.until);
        }
        // INVARIANT: what is taken is remembered. Better to turn somebody away than to be open to a copy.
        if all.len() >= REMEMBERED_MAX {
            return Err(gate::Unusable::Untold);
        }
        let resources = vec![resource.to_owned()];
        all.insert(once.name, Used { content: once.content, until: once.until, resources });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate::Unusable::{Before, Untold};

    fn once(name: u8, content: u8) -> Once {
        Once { name: [name; 32], content: [content; 32], until: Timestamp::from_seconds(1_000) }
    }

    #[test]
    fn an_assertion_counts_once_for_each_resource_until_it_ends() {
        let all = Assertions::default();
        let take = |it: &Once, resource: &str, at: i64| {
            all.take(it, resource, Timestamp::from_seconds(at))
        };
        assert_eq!(take(&once(1, 1), "arm", 0), Ok(()));
        assert_eq!(take(&once(1, 1), "arm", 1), Err(Before));
        assert_eq!(take(&once(1, 1), "graph", 2), Ok(()));
        assert_eq!(take(&once(1, 1), "graph", 3), Err(Before));
        assert_eq!(take(&once(1, 1), "arm", 999), Err(Before));
        // Another that goes by the same name, and one of another name.
        assert_eq!(take(&once(1, 2), "hub", 4), Err(Before));
        assert_eq!(take(&once(2, 1), "arm", 5), Ok(()));
        // Ended: `gate` would not have let it come here.
        assert_eq!(take(&once(1, 1), "arm", 1_000), Ok(()));
    }

    #[test]
    fn nobody_is_let_in_unremembered_and_what_has_ended_makes_room() {
        let all = Assertions::default();
        for number in 0..REMEMBERED_MAX {
            let mut one = once(0, 0);
            one.name[..8].copy_from_slice(&number.to_be_bytes());
            assert_eq!(all.take(&one, "arm", Timestamp::from_seconds(0)), Ok(()));
        }
        assert_eq!(all.take(&once(9, 9), "arm", Timestamp::from_seconds(999)), Err(Untold));
        assert_eq!(all.take(&once(9, 9), "arm", Timestamp::from_seconds(1_000)), Ok(()));
    }
}
