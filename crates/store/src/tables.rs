//! What is kept, under which key.
//!
//! A table is a name inside each shard. No table needs creating, and a table is in the shard that
//! its comment names.

use std::fmt;

/// A set of documents with keys of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(&'static str);

impl Table {
    pub(crate) const fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Control: what an operator set for the whole hub, under the setting's name.
pub const SETTINGS: Table = Table("settings");

/// Every shard: changes that are still to reach a second shard, under their idempotency key. See
/// [`crate::intents`].
pub const INTENTS: Table = Table("intents");

/// Control: subscriptions, resource groups and resources, under their resource id in lower case.
pub const RESOURCES: Table = Table("resources");

/// Hub: how far its log was sent to each endpoint of its own, under the endpoint's number.
pub const DELIVERIES: Table = Table("deliveries");

/// Hub: device identities with their twins, under the device id.
pub const DEVICES: Table = Table("devices");

/// Hub: module identities with their twins, under the device id, `/` and the module id.
pub const MODULES: Table = Table("modules");

/// Hub: security policies of devices, under the device id.
pub const SECURITY_POLICIES: Table = Table("security_policies");

/// Hub: how many messages wait for a device, under the device id.
pub const MESSAGE_QUEUES: Table = Table("message_queues");

/// Hub: messages that wait for a device, under the device id, `/` and the sequence number.
pub const MESSAGES: Table = Table("messages");

/// Target: how much queues and subscriptions of a namespace hold, under their uid.
pub const BUS_QUEUES: Table = Table("bus_queues");

/// Target: what is known of each message of a queue or subscription, under its uid, `/`, the part of the queue, `/`
/// and the sequence number.
pub const BUS_MESSAGES: Table = Table("bus_messages");

/// Target: such messages as they came, in bytes, under the uid, `/` and the sequence number.
pub const BUS_PAYLOADS: Table = Table("bus_payloads");

/// Hub: scheduled jobs, under their id.
pub const JOBS: Table = Table("jobs");

/// Hub: imports and exports of identities, under their id.
pub const TRANSFERS: Table = Table("transfers");

/// Hub: what became of each device of a job, under the job's id, `/` and the key of the device or module.
pub const DEVICE_JOBS: Table = Table("device_jobs");

/// Hub: configurations, under their id.
pub const CONFIGURATIONS: Table = Table("configurations");

/// Hub: how many devices a configuration reaches, under its id.
pub const CONFIGURATION_COUNTS: Table = Table("configuration_counts");

/// Hub: what became of messages to devices, under the time and the message's key.
pub const FEEDBACK: Table = Table("feedback");

/// Hub: which files devices have uploaded, likewise.
pub const FILE_NOTIFICATIONS: Table = Table("file_notifications");

/// Hub: uploads of files that have begun, under `device/upload`.
pub const FILE_UPLOADS: Table = Table("file_uploads");

/// DPS: individual enrollments, under the registration id.
pub const ENROLLMENTS: Table = Table("enrollments");

/// DPS: enrollment groups, under the group's id.
pub const ENROLLMENT_GROUPS: Table = Table("enrollment_groups");

/// DPS: what became of each registration, under the registration id.
pub const REGISTRATIONS: Table = Table("registrations");

/// Container: blobs with their properties and metadata, under their name.
pub const BLOBS: Table = Table("blobs");

/// Container: of which blocks the content of a blob is made, under the content's id.
pub const BLOB_CONTENTS: Table = Table("blob_contents");

/// Container: under which generation the blocks of a blob are kept that wait to be committed, under a hash of its name.
pub const BLOB_STAGES: Table = Table("blob_stages");

/// Container: blocks that wait to be committed, under their generation, `/` and their id.
pub const BLOB_BLOCKS: Table = Table("blob_blocks");

/// Decisions and control: traces of calls that are kept, under their tracking id.
pub const DECISIONS: Table = Table("decisions");

/// Decisions: who used what, how and where, under the way, who, the operation and the place; and since when that is
/// observed.
pub const OBSERVED: Table = Table("observed");

/// Control: former states of resources, under the resource id in lower case and the revision.
pub const REVISIONS: Table = Table("revisions");

/// Decisions and control: which traces are kept, under their time and under principal and time, so that
/// the oldest is first.
pub const ACTIVITY: Table = Table("activity");

/// Control: long-running operations, under the operation id.
pub const OPERATIONS: Table = Table("operations");

/// Control: template deployments, under their id in lower case.
pub const DEPLOYMENTS: Table = Table("deployments");

/// Control: custom role definitions, under their GUID.
pub const ROLE_DEFINITIONS: Table = Table("role_definitions");

/// Control: role assignments, under their id in lower case.
pub const ROLE_ASSIGNMENTS: Table = Table("role_assignments");

/// Control: policy definitions, under their id in lower case.
pub const POLICY_DEFINITIONS: Table = Table("policy_definitions");

/// Control: initiatives, which are policy set definitions, under their id in lower case.
pub const POLICY_SET_DEFINITIONS: Table = Table("policy_set_definitions");

/// Control: policy assignments, under their id in lower case.
pub const POLICY_ASSIGNMENTS: Table = Table("policy_assignments");

/// Control: policy exemptions, under their id in lower case.
pub const POLICY_EXEMPTIONS: Table = Table("policy_exemptions");

/// Control: management locks, under their id in lower case.
pub const LOCKS: Table = Table("locks");

/// Control: deny assignments, under their id in lower case.
pub const DENY_ASSIGNMENTS: Table = Table("deny_assignments");

/// Control: what stood in the documents that gates decide by before each change of them, where that is kept,
/// under the revision before, so that the oldest is first.
pub const FORMER_FACTS: Table = Table("former_facts");

/// Control: management groups, under their name in lower case.
pub const MANAGEMENT_GROUPS: Table = Table("management_groups");

/// Control: in which management group a subscription is, under the subscription's id.
pub const SUBSCRIPTION_PLACES: Table = Table("subscription_places");

/// Control: diagnostic settings, under their id in lower case.
pub const DIAGNOSTIC_SETTINGS: Table = Table("diagnostic_settings");

/// Control: applications registered for sign-in, under object id and application id.
pub const APPLICATIONS: Table = Table("applications");

/// Control: service principals, under their object id.
pub const SERVICE_PRINCIPALS: Table = Table("service_principals");

/// Control: groups of the directory with whom they list, under their object id.
pub const GROUPS: Table = Table("groups");

/// Control: users of the directory, under their object id.
pub const USERS: Table = Table("users");

/// Control: where users have signed in, under the user's object id and the sign-in's own.
pub const SIGN_INS: Table = Table("sign_ins");

/// Control: authorization codes, under their hash.
pub const SIGN_IN_CODES: Table = Table("sign_in_codes");

/// Control: device codes, under what the person is told.
pub const DEVICE_CODES: Table = Table("device_codes");

/// Control: conditional access policies, under their id.
pub const CONDITIONAL_ACCESS: Table = Table("conditional_access");

/// Control: named locations, under their id.
pub const NAMED_LOCATIONS: Table = Table("named_locations");
