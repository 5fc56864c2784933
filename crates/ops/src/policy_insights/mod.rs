//! Microsoft.PolicyInsights: whether what exists complies with the policies that are assigned to it.
//!
//! Nothing is kept: each question is answered by walking the rules over the resources as they are stored, so an
//! answer is never older than its question. Resource groups, hubs and provisioning services are looked at.
//! Devices and enrollments are not: a hub may hold a million, and a call has an end.

mod query;
pub(crate) mod states;
mod summary;
