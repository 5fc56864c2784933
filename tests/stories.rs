//! Stories over the wire: a whole server on real sockets, told as a person would tell them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "steps that tests share are tests, too: they stop at the first thing that is not as told"
)]

mod stories {
    pub mod allocation;
    pub mod amqp_devices;
    pub mod amqp_hostile;
    pub mod amqp_limits;
    pub mod amqp_registration;
    pub mod amqp_services;
    pub mod authorities;
    pub mod bad_input;
    pub mod blobs;
    pub mod bulk_enrollments;
    pub mod certificates;
    pub mod client_certificates;
    pub mod conditions;
    pub mod configurations;
    pub mod connections;
    pub mod console;
    pub mod control_plane;
    pub mod conversations;
    pub mod deny_assignments;
    pub mod deployments;
    pub mod device_https;
    pub mod device_story;
    pub mod devices;
    pub mod diagnosis;
    pub mod diagnosis_sections;
    pub mod diagnostics;
    pub mod egress_amqp;
    pub mod egress_event_hubs;
    pub mod egress_identities;
    pub mod egress_matrix;
    pub mod enrollment_rights;
    pub mod enrollments;
    pub mod event_hubs;
    pub mod exceptions;
    pub mod extension;
    pub mod file_uploads;
    pub mod groups;
    pub mod identity_endpoints;
    pub mod ingestion;
    pub mod ingestion_cycles;
    pub mod ingestion_mended;
    pub mod initiative_parameters;
    pub mod jobs;
    pub mod kills;
    pub mod limits;
    pub mod linked_by_identity;
    pub mod linked_by_key;
    pub mod lint;
    pub mod locks;
    pub mod log_verify;
    pub mod managed_identities;
    pub mod management_groups;
    pub mod moves;
    pub mod mqtt_devices;
    pub mod mqtt_registration;
    pub mod named_grants;
    pub mod namesakes;
    pub mod network_rules;
    pub mod no_way_round;
    pub mod overreach;
    pub mod paced_registration;
    pub mod policy_changes;
    pub mod policy_compliance;
    pub mod policy_language;
    pub mod policy_refuses;
    pub mod policy_sets;
    pub mod propagation;
    pub mod provisioning_policies;
    pub mod queries;
    pub mod registration;
    pub mod replay;
    pub mod role_matrix;
    pub mod roles;
    pub mod routing;
    pub mod routing_blobs;
    pub mod routing_delivery;
    pub mod routing_targets;
    pub mod security_enforcement;
    pub mod security_policies;
    pub mod service_api;
    pub mod service_bus;
    pub mod service_bus_access;
    pub mod service_bus_bounds;
    pub mod sign_in;
    pub mod targets;
    pub mod test_cases;
    pub mod threats_connections;
    pub mod threats_credentials;
    pub mod threats_messages;
    pub mod threats_requests;
    pub mod throttling;
    pub mod tpm_registration;
    pub mod transfers;
    pub mod users;
    pub mod watching;
    pub mod web_sockets;
    pub mod x509_registration;
}
