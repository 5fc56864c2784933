//! How the server calls targets that it serves itself: by their addresses, though nothing else there is called.

use crate::env::Settings;
use crate::facts::FactsCell;
use egress::{FindOwn, Own};
use gate::facts::Instance;
use std::net::IpAddr;
use std::sync::Arc;

/// Finds the targets that this server serves: they are called, from an address by which they know the server, though
/// nothing else there is.
pub fn own(facts: Arc<FactsCell>, settings: &Settings) -> Arc<FindOwn> {
    let from: Option<IpAddr> = settings.own_address().parse().ok();
    let listens_at = settings.listens_at;
    Arc::new(move |host| {
        let facts = facts.load();
        match facts.instance_at(host)? {
            Instance::Target(_) => {
                Some(Own { at: listens_at.or_else(|| host.parse().ok())?, from: from? })
            }
            Instance::Hub(_) | Instance::Dps(_) => None,
        }
    })
}
