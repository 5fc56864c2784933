//! Addresses in a namespace of Service Bus, to what they mean.
//!
//! Source: the public client libraries for Service Bus.

use super::address::{MANAGEMENT, split};
use crate::path;
use std::collections::BTreeMap;

/// What of a queue or subscription was put aside.
const DEAD: &str = "$DeadLetterQueue";
const SUBSCRIPTIONS: &str = "Subscriptions";

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
    pub(super) fn parse(address: &str) -> Option<Self> {
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

    pub(super) fn path(&self) -> String {
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

#[cfg(test)]
mod tests {
    use super::super::address::Place;
    use super::*;

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
}
