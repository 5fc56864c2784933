//! Enrollments, individual and of groups, as they are kept and as they are shown.
//!
//! Keys are in what is kept and in the answer about attestation, and nowhere else. Bodies from outside are
//! read in `enrollment_body.rs`.

use super::tpm::Tpm;
use super::x509::X509;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use egress::Target;
use model::trace::EnrollmentKind;
use model::{Error, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;
use store::{Table, tables};

/// Which of the two kinds of enrollment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Individual,
    Group,
}

impl Kind {
    pub(super) const fn table(self) -> Table {
        match self {
            Self::Individual => tables::ENROLLMENTS,
            Self::Group => tables::ENROLLMENT_GROUPS,
        }
    }

    /// In paths and in queries.
    pub(super) const fn collection(self) -> &'static str {
        match self {
            Self::Individual => "enrollments",
            Self::Group => "enrollmentGroups",
        }
    }

    /// In `x-ms-item-type`.
    pub(super) const fn item_type(self) -> &'static str {
        match self {
            Self::Individual => "enrollment",
            Self::Group => "enrollmentGroup",
        }
    }

    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Individual => "individual enrollment",
            Self::Group => "enrollment group",
        }
    }

    pub(super) const fn id_member(self) -> &'static str {
        match self {
            Self::Individual => "registrationId",
            Self::Group => "enrollmentGroupId",
        }
    }
}

/// Two symmetric keys, as base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Keys {
    pub(super) primary_key: String,
    pub(super) secondary_key: String,
}

impl Keys {
    /// Both decoded, the primary first; `None` where one is not base64, which no writer keeps.
    pub(crate) fn decoded(&self) -> Option<[Secret<Vec<u8>>; 2]> {
        let decode = |it: &str| STANDARD.decode(it).ok().map(Secret::new);
        Some([decode(&self.primary_key)?, decode(&self.secondary_key)?])
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How devices prove that an enrollment is theirs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Attestation {
    SymmetricKey(Keys),
    X509(X509),
    Tpm(Tpm),
}

impl Attestation {
    /// The name of the type, as the API has it.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::SymmetricKey(_) => "symmetricKey",
            Self::X509(_) => "x509",
            Self::Tpm(_) => "tpm",
        }
    }

    /// With its keys: the answer of one operation alone.
    pub(super) fn revealed(&self) -> Value {
        match self {
            Self::SymmetricKey(keys) => json!({
                "type": "symmetricKey",
                "symmetricKey": { "primaryKey": keys.primary_key, "secondaryKey": keys.secondary_key },
            }),
            Self::X509(it) => it.shown(true),
            Self::Tpm(it) => it.shown(),
        }
    }

    fn shown(&self) -> Value {
        match self {
            Self::SymmetricKey(_) => json!({ "type": "symmetricKey", "symmetricKey": {} }),
            Self::X509(it) => it.shown(false),
            Self::Tpm(it) => it.shown(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ProvisioningStatus {
    Enabled,
    Disabled,
}

impl ProvisioningStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }
}

/// Which of the linked hubs gets a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AllocationPolicy {
    Hashed,
    GeoLatency,
    Static,
    /// The enrollment's webhook chooses.
    Custom,
}

/// A webhook that chooses the hub of each device.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustomAllocation {
    /// What stands behind its `?` is secret.
    pub(crate) webhook_url: String,
    pub(crate) api_version: String,
}

impl fmt::Debug for CustomAllocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomAllocation").finish_non_exhaustive()
    }
}

impl AllocationPolicy {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hashed => "hashed",
            Self::GeoLatency => "geoLatency",
            Self::Static => "static",
            Self::Custom => "custom",
        }
    }
}

/// What happens to a device that registers again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReprovisionPolicy {
    /// Whether its hub is chosen anew.
    pub(crate) update_hub_assignment: bool,
    /// Whether its twin moves along; otherwise it starts from the initial twin.
    pub(crate) migrate_device_data: bool,
}

/// The twin that a device starts with. Kept only where one of the two holds something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct InitialTwin {
    pub(crate) tags: Map<String, Value>,
    pub(crate) desired: Map<String, Value>,
}

/// What both kinds of enrollment settle for their devices.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Terms {
    pub(crate) provisioning_status: ProvisioningStatus,
    pub(crate) reprovision_policy: ReprovisionPolicy,
    /// Whether the devices are IoT Edge devices.
    pub(crate) iot_edge: bool,
    pub(crate) initial_twin: Option<InitialTwin>,
    /// The provisioning service's own where none is here.
    pub(crate) allocation_policy: Option<AllocationPolicy>,
    /// Of an enrollment whose policy is custom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) custom: Option<CustomAllocation>,
    pub(crate) iot_hub_host_name: Option<String>,
    /// Host names; empty for all linked hubs.
    pub(crate) iot_hubs: Vec<String>,
}

impl InitialTwin {
    /// As a hub takes it.
    pub(crate) fn body(&self) -> Value {
        json!({ "tags": self.tags, "properties": { "desired": self.desired } })
    }
}

impl CustomAllocation {
    /// The address alone, without what is secret in it.
    fn told(&self) -> Value {
        let told = Target::parse(&self.webhook_url).ok().map(|it| it.to_string());
        json!({ "webhookUrl": told })
    }
}

impl Terms {
    /// Without secrets: policies see it, and traces keep it.
    pub(super) fn show(&self, shown: &mut Map<String, Value>) {
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("capabilities", json!({ "iotEdge": self.iot_edge }));
        if let Some(host) = &self.iot_hub_host_name {
            put("iotHubHostName", json!(host));
        }
        if let Some(twin) = &self.initial_twin {
            put("initialTwin", twin.body());
        }
        put("provisioningStatus", json!(self.provisioning_status.as_str()));
        put("reprovisionPolicy", json!(self.reprovision_policy));
        if let Some(policy) = self.allocation_policy {
            put("allocationPolicy", json!(policy.as_str()));
        }
        if let Some(custom) = &self.custom {
            put("customAllocationDefinition", custom.told());
        }
        if !self.iot_hubs.is_empty() {
            put("iotHubs", json!(self.iot_hubs));
        }
    }
}

/// What an individual enrollment alone says about its device.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    /// The id that it gets in its hub; its registration id where none is given.
    pub(crate) device_id: Option<String>,
    pub(crate) optional_device_information: Option<Value>,
}

/// An individual enrollment as it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Enrollment {
    /// In the casing in which it was first written; compares without regard to case.
    pub(crate) registration_id: String,
    pub(crate) device: Device,
    pub(crate) attestation: Attestation,
    pub(crate) terms: Terms,
    pub(crate) created_date_time_utc: String,
    pub(crate) last_updated_date_time_utc: String,
}

/// An enrollment group as it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Group {
    /// As [`Enrollment::registration_id`].
    pub(crate) enrollment_group_id: String,
    pub(crate) attestation: Attestation,
    pub(crate) terms: Terms,
    pub(crate) created_date_time_utc: String,
    pub(crate) last_updated_date_time_utc: String,
}

/// Either kind of enrollment: where a device's right to register comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Individual(Enrollment),
    Group(Group),
}

impl Source {
    /// Reads what is kept.
    pub(super) fn parse(kind: Kind, key: &str, body: &[u8]) -> Result<Self, Error> {
        let read = match kind {
            Kind::Individual => serde_json::from_slice(body).map(Self::Individual),
            Kind::Group => serde_json::from_slice(body).map(Self::Group),
        };
        read.map_err(|it| Error::Internal {
            message: format!("the {} `{key}` cannot be read: {it}", kind.noun()),
        })
    }

    pub(crate) const fn kind(&self) -> EnrollmentKind {
        match self {
            Self::Individual(_) => EnrollmentKind::Individual,
            Self::Group(_) => EnrollmentKind::Group,
        }
    }

    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Individual(it) => &it.registration_id,
            Self::Group(it) => &it.enrollment_group_id,
        }
    }

    pub(crate) const fn attestation(&self) -> &Attestation {
        match self {
            Self::Individual(it) => &it.attestation,
            Self::Group(it) => &it.attestation,
        }
    }

    pub(crate) const fn terms(&self) -> &Terms {
        match self {
            Self::Individual(it) => &it.terms,
            Self::Group(it) => &it.terms,
        }
    }

    pub(super) fn created(&self) -> &str {
        match self {
            Self::Individual(it) => &it.created_date_time_utc,
            Self::Group(it) => &it.created_date_time_utc,
        }
    }

    /// As the service API shows it: without its keys, and with the whole address of its webhook, which comes back with
    /// the next write.
    pub(super) fn shown(&self, etag: &str) -> Value {
        let mut shown = self.members(Some(etag));
        if let Some(custom) = &self.terms().custom {
            shown.insert("customAllocationDefinition".into(), json!(custom));
        }
        Value::Object(shown)
    }

    /// As policies see it where it is to be deleted, and as its webhook learns of it: nothing that is secret.
    pub(super) fn judged(&self) -> Value {
        Value::Object(self.members(None))
    }

    fn members(&self, etag: Option<&str>) -> Map<String, Value> {
        let attestation = self.attestation().shown();
        let mut shown = match self {
            Self::Individual(it) => head(Kind::Individual, self.id(), &it.device, attestation),
            Self::Group(_) => head(Kind::Group, self.id(), &Device::default(), attestation),
        };
        self.terms().show(&mut shown);
        let updated = match self {
            Self::Individual(it) => &it.last_updated_date_time_utc,
            Self::Group(it) => &it.last_updated_date_time_utc,
        };
        if let Some(etag) = etag {
            shown.insert("etag".into(), json!(etag));
        }
        shown.insert("createdDateTimeUtc".into(), json!(self.created()));
        shown.insert("lastUpdatedDateTimeUtc".into(), json!(updated));
        shown
    }
}

/// What stands first in an enrollment as it is shown.
pub(super) fn head(
    kind: Kind,
    id: &str,
    device: &Device,
    attestation: Value,
) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert(kind.id_member().into(), json!(id));
    if let Some(device_id) = &device.device_id {
        shown.insert("deviceId".into(), json!(device_id));
    }
    if let Some(information) = &device.optional_device_information {
        shown.insert("optionalDeviceInformation".into(), information.clone());
    }
    shown.insert("attestation".into(), attestation);
    shown
}
