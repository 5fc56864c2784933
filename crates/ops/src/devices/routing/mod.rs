//! Where the messages of a hub go: which of its endpoints each is for, and what the hub adds to it.
//!
//! What a body may say of it is in `body.rs`. It is compiled once for each version of the hub, see `compiled.rs`; a
//! message is judged when it is taken, in `judge.rs`, and what comes out is written into its record. A hub that says
//! nothing of it has no [`Routing`], and its messages cost nothing more.

pub(crate) mod body;
mod compiled;
pub mod connection;
pub mod delivery;
pub(crate) mod events;
mod judge;
pub(crate) mod numbers;
pub(crate) mod saving;
pub(crate) mod trial;

pub(crate) use compiled::is_any;
pub use compiled::{Routing, Routings};
pub(crate) use judge::route;

use model::json::at;
use serde_json::Value;

/// What an endpoint is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    ServiceBusQueues,
    ServiceBusTopics,
    EventHubs,
    StorageContainers,
}

impl Kind {
    pub const ALL: [Self; 4] =
        [Self::ServiceBusQueues, Self::ServiceBusTopics, Self::EventHubs, Self::StorageContainers];

    /// As the body of a hub calls the list of them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ServiceBusQueues => "serviceBusQueues",
            Self::ServiceBusTopics => "serviceBusTopics",
            Self::EventHubs => "eventHubs",
            Self::StorageContainers => "storageContainers",
        }
    }
}

/// The endpoints of a hub's own, of the hub's properties, each with its place in the list of its kind.
pub(crate) fn endpoints_of(properties: &Value) -> impl Iterator<Item = (Kind, usize, &Value)> {
    Kind::ALL.into_iter().flat_map(move |kind| {
        let list = at(properties, &["routing", "endpoints", kind.as_str()]);
        let all = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        all.iter().enumerate().map(move |(index, it)| (kind, index, it))
    })
}
