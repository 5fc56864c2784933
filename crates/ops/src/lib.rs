//! What a permit lets you do, one folder per resource provider, and the road that every call takes.
//!
//! Start at [`call::run`]. A front hands over a [`call::Call`] and gets an [`call::Answer`]; in between
//! the caller is authenticated, the body read within its limits, the gates asked once, and the operation
//! run with the [`gate::Permit`] that only they can make.

pub mod access;
pub mod advice;
mod advise;
pub mod authorization;
pub mod blobs;
pub mod call;
mod certificate_text;
mod certificates;
mod control;
pub mod decisions;
mod deletions;
pub mod devices;
mod diagnose;
mod dispatch;
pub mod entra;
pub mod env;
pub mod facts;
mod going_out;
pub mod input;
pub mod insights;
pub mod limits;
pub mod link;
mod lint;
pub mod local_auth;
pub mod managed_identity;
mod management;
pub mod metrics;
mod network;
mod objects;
pub mod observed;
mod owner;
mod policy_insights;
mod private_endpoints;
pub mod propagation;
mod proving;
pub mod provisioning;
mod questions;
pub mod replay;
pub mod resources;
pub mod session;
mod shared_access;
mod standing;
pub mod targets;
mod what_if;
mod who_can;
mod who_is_hit;

#[cfg(test)]
mod test_env;

pub use call::{Answer, Call};
pub use env::Env;
pub use input::{Input, Reply};
pub use session::Session;
