//! The Device Provisioning Service: the resource, its enrollments, and the registrations that come of them.

mod allocation;
pub(crate) mod attestation;
pub(crate) mod enrollment;
mod enrollment_body;
pub mod enrollments;
mod links;
pub mod register;
pub mod registrations;
pub mod services;
mod services_body;
