//! Microsoft.Devices: hubs, their keys, and the devices registered in them.

pub(crate) mod addresses;
mod body;
pub(crate) mod bulk;
pub(crate) mod by_https;
pub mod chores;
pub(crate) mod configurations;
pub(crate) mod digital_twins;
pub(crate) mod endpoints;
pub mod events;
pub(crate) mod hubs;
pub(crate) mod identity;
pub(crate) mod jobs;
pub(crate) mod journal;
pub mod keys;
pub mod logs;
pub mod message;
pub mod messages;
pub(crate) mod messaging;
pub mod methods;
pub(crate) mod model_id;
pub(crate) mod named;
pub(crate) mod names;
pub mod presence;
pub mod queries;
pub mod query;
pub mod readers;
pub(crate) mod regenerate;
pub mod registry;
pub mod routing;
mod secrets;
pub mod security;
pub(crate) mod sending;
pub mod service_queues;
pub(crate) mod story;
pub mod telemetry;
pub(crate) mod transfers;
pub mod twin;
pub(crate) mod twins;
pub mod uploads;
pub(crate) mod watching;

use crate::env::Env;
use model::Error;
use service_queues::Queue;

/// Takes out what nobody received in time, at every hub.
///
/// # Errors
/// The first hub whose store fails; those behind it wait for the next round.
pub async fn sweep(env: &Env) -> Result<(), Error> {
    let facts = env.facts.load();
    for hub in facts.hubs.values() {
        messages::sweep(env, hub).await?;
        for queue in [Queue::Feedback, Queue::FileNotifications] {
            service_queues::trim(env, hub, queue).await?;
        }
        uploads::forget_late(env, hub).await?;
    }
    Ok(())
}
