//! The Device Provisioning Service: the resource, its enrollments, and the registrations that come of them.

pub(crate) mod allocation;
pub(crate) mod assignment;
pub(crate) mod attestation;
pub(crate) mod bulk;
pub mod challenges;
pub(crate) mod enrollment;
mod enrollment_body;
pub mod enrollments;
pub(crate) mod guarded;
pub mod latency;
pub(crate) mod links;
mod moving;
pub mod pace;
pub(crate) mod progress;
pub(crate) mod proven;
pub mod register;
pub mod registrations;
pub mod services;
mod services_body;
mod tpm;
mod webhook;
mod x509;

use crate::env::Env;

/// The address of the service with an id scope, by which devices name it wherever they connect.
pub fn host_of(env: &Env, id_scope: &str) -> Option<String> {
    let facts = env.facts.load();
    let named = facts.provisioning.values().find(|it| it.id_scope.eq_ignore_ascii_case(id_scope));
    named.map(|it| it.host.clone())
}
