//! The real Azure CLI against the real binary, over real HTTPS. `./check` installs the CLI and names it
//! in `HUBWARD_AZ`.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "steps that tests share are tests, too: they stop at the first thing that is not as told"
)]

mod compat {
    pub mod access;
    pub mod amqp;
    pub mod attestation;
    pub mod authorities;
    pub mod az;
    pub mod blobs;
    pub mod browser;
    pub mod bus;
    pub mod certificates;
    pub mod clients;
    pub mod conversations;
    pub mod deployments;
    pub mod device_commands;
    pub mod diagnosis;
    pub mod entra_services;
    pub mod file_uploads;
    pub mod first_walk;
    pub mod fleet;
    pub mod groups;
    pub mod ingestion;
    pub mod managed_identities;
    pub mod moves;
    pub mod onboarding;
    pub mod policy_compliance;
    pub mod policy_refuses;
    pub mod policy_sets;
    pub mod provisioning;
    pub mod queries;
    pub mod registration;
    pub mod routing;
    pub mod service_api;
    pub mod sign_ins;
    pub mod surface;
    pub mod targets;
    pub mod transfers;
    pub mod users;
    pub mod x509_registration;
}
