//! Microsoft.Devices: hubs, their keys, and the devices registered in them.

pub(crate) mod addresses;
mod body;
pub(crate) mod bulk;
pub(crate) mod certificates;
pub(crate) mod hubs;
pub(crate) mod identity;
pub mod keys;
pub mod logs;
pub mod message;
pub(crate) mod names;
pub mod presence;
pub mod registry;
pub mod telemetry;
