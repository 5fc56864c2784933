//! The numbers of a hub's endpoints, by which records name them.
//!
//! An endpoint keeps its number as long as there is one of its kind and name, whatever else of it changes. A number is
//! drawn once and never again: what waits for an endpoint that was deleted never goes to another of its name.

use super::{Kind, endpoints_of};
use model::json::{at, set, text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The numbers of a hub, as they lie in its document.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Numbers {
    /// The last that was drawn; 0 is the built-in endpoint.
    last: u32,
    /// By kind and lower-case name.
    of: BTreeMap<String, Numbered>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Numbered {
    number: u32,
    /// As ARM shows it.
    id: Uuid,
}

impl Numbers {
    /// Gives each endpoint of a hub a number and an id, forgets those of endpoints that are gone, and writes the ids
    /// into the hub.
    pub(crate) fn draw(&mut self, resource: &mut Value, new_id: impl Fn() -> Uuid) {
        let Some(properties) = resource.get_mut("properties") else { return };
        let mut next = BTreeMap::new();
        let mut ids = Vec::new();
        for (kind, index, endpoint) in endpoints_of(properties) {
            let key = key(kind, text(endpoint, &["name"]).unwrap_or_default());
            let numbered = self.of.get(&key).copied().unwrap_or_else(|| {
                self.last = self.last.saturating_add(1);
                Numbered { number: self.last, id: new_id() }
            });
            next.insert(key, numbered);
            ids.push((kind, index, numbered.id));
        }
        self.of = next;
        for (kind, index, id) in ids {
            let path = format!("/routing/endpoints/{}/{index}", kind.as_str());
            if let Some(endpoint) = properties.pointer_mut(&path) {
                set(endpoint, "id", json!(id));
            }
        }
    }

    /// The number of an endpoint.
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<u32> {
        self.of.get(&key(kind, name)).map(|it| it.number)
    }

    /// The number of the endpoint of a name, of whichever kind; none where the hub has none.
    pub(crate) fn named(&self, resource: &Value, name: &str) -> Option<u32> {
        let properties = at(resource, &["properties"])?;
        let found = endpoints_of(properties).find(|(_, _, it)| {
            text(it, &["name"]).is_some_and(|its| its.eq_ignore_ascii_case(name))
        });
        self.get(found?.0, name)
    }
}

fn key(kind: Kind, name: &str) -> String {
    format!("{}/{}", kind.as_str(), name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(queues: &[&str], hubs: &[&str]) -> Value {
        let list =
            |names: &[&str]| names.iter().map(|it| json!({ "name": it })).collect::<Vec<_>>();
        json!({ "properties": { "routing": { "endpoints": {
            "serviceBusQueues": list(queues), "eventHubs": list(hubs) } } } })
    }

    #[test]
    fn a_number_is_an_endpoint_s_own_and_drawn_once() {
        let mut numbers = Numbers::default();
        let mut drawn = |queues: &[&str], hubs: &[&str]| {
            let mut hub = hub(queues, hubs);
            numbers.draw(&mut hub, || Uuid::from_u128(7));
            assert!(!hub.to_string().contains("\"id\":null"));
            let all = queues.iter().chain(hubs).map(|it| numbers.named(&hub, it).unwrap());
            all.collect::<Vec<_>>()
        };
        assert_eq!(drawn(&["a"], &["b", "b1"]), [1, 2, 3]);
        assert_eq!(drawn(&["c", "A"], &["b1"]), [4, 1, 3]);
        // Who comes again is another, and so is a namesake of another kind.
        assert_eq!(drawn(&["b1"], &["b"]), [5, 6]);
        assert_eq!(drawn(&[], &[]), [0_u32; 0]);
        assert_eq!(drawn(&["b1"], &[]), [7]);
    }
}
