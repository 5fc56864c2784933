//! Microsoft.Devices: hubs, their keys, and the devices registered in them.

pub(crate) mod addresses;
mod body;
pub(crate) mod bulk;
pub(crate) mod hubs;
pub mod keys;
pub(crate) mod names;
pub mod registry;
