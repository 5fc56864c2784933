//! The body of an enrollment: what is taken, and with which defaults.
//!
//! It is read once into a [`Draft`]: policy judges that, and [`Draft::complete`] makes of it what is kept.
//! Nothing here reads the store. Source: Azure documentation, "Device Provisioning Service REST API".

use super::enrollment::{
    AllocationPolicy, Attestation, CustomAllocation, Device, Enrollment, Group, InitialTwin, Keys,
    Kind, ProvisioningStatus, ReprovisionPolicy, Source, Terms, head,
};
use super::tpm::Tpm;
use super::x509;
use crate::resources::fields::Fields;
use crate::shared_access::KEY_BYTES;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use egress::Target;
use model::{DeviceId, Error, Secret, Timestamp};
use serde_json::{Map, Value, json};

/// Longest id of an enrollment, a group or a registration, in bytes.
pub(crate) const ID_BYTES_MAX: usize = 128;
/// Largest `tags` of an initial twin, as compact JSON. Source: IoT Hub developer guide, "Device twins".
const TAGS_BYTES_MAX: usize = 8 << 10;
/// Largest desired properties of an initial twin, likewise.
const DESIRED_BYTES_MAX: usize = 32 << 10;
/// Largest `optionalDeviceInformation`, likewise.
const DEVICE_INFORMATION_BYTES_MAX: usize = 2 << 10;
/// Most hubs that an enrollment can name. Source: DPS limits, "Maximum number of linked IoT hubs".
const HUBS_MAX: usize = 50;
/// Longest host name. Source: RFC 1035, section 2.3.4.
const HOST_BYTES_MAX: usize = 255;

/// The forms in which webhooks are asked, which differ in nothing here. Source: DPS REST API, "apiVersion".
const WEBHOOK_VERSIONS: [&str; 2] = ["2019-03-31", WEBHOOK_VERSION];
const WEBHOOK_VERSION: &str = "2021-10-01";

/// The keys that a body gives. What it leaves out stays, or is made.
#[derive(Clone, Debug, Default)]
struct GivenKeys {
    primary: Option<Secret<String>>,
    secondary: Option<Secret<String>>,
}

/// What a body says of attestation.
#[derive(Clone, Debug)]
enum GivenAttestation {
    SymmetricKey(GivenKeys),
    X509(x509::Given),
    Tpm(Tpm),
}

/// A body, read and found good.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    kind: Kind,
    id: String,
    device: Device,
    /// `None` where the body does not speak of attestation.
    attestation: Option<GivenAttestation>,
    terms: Terms,
}

impl Draft {
    /// Reads a body for the enrollment that the path names. What is not known is passed over, as Azure
    /// does; what is only shown (`etag`, `registrationState`, the times) is, too.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the place of what is wrong. No key is repeated.
    pub(super) fn read(kind: Kind, id_in_path: &str, body: &Value) -> Result<Self, Error> {
        let id = checked_id(kind.id_member(), id_in_path)?;
        let fields = Fields::of(body)?;
        if let Some(named) = fields.text(kind.id_member())?
            && !named.eq_ignore_ascii_case(id)
        {
            let because = format!("the path names `{id}`, the body another one");
            return Err(fields.refuse(kind.id_member(), because));
        }
        let device = match kind {
            Kind::Individual => read_device(&fields)?,
            Kind::Group => Device::default(),
        };
        let attestation = read_attestation(kind, &fields)?;
        Ok(Self { kind, id: id.to_owned(), device, attestation, terms: read_terms(&fields)? })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// What policy judges: the body as it would be kept, without keys.
    pub(super) fn judged(&self) -> Value {
        let attestation = match &self.attestation {
            Some(GivenAttestation::X509(given)) => given.judged(),
            Some(GivenAttestation::Tpm(tpm)) => tpm.shown(),
            Some(GivenAttestation::SymmetricKey(_)) => json!({ "type": "symmetricKey" }),
            None => json!({}),
        };
        let mut judged = head(self.kind, &self.id, &self.device, attestation);
        self.terms.show(&mut judged);
        Value::Object(judged)
    }

    /// What is to be kept in place of `former`.
    ///
    /// # Errors
    /// [`Error::Invalid`] at `attestation`, where neither the body nor `former` has one.
    pub(super) fn complete(
        self,
        former: Option<&Source>,
        new_key: &dyn Fn() -> String,
        now: Timestamp,
    ) -> Result<Source, Error> {
        let before = former.map(Source::attestation);
        let attestation = match (self.attestation, before) {
            (Some(GivenAttestation::SymmetricKey(given)), before) => {
                given.complete(before, new_key)
            }
            (Some(GivenAttestation::X509(given)), before) => {
                let before = match before {
                    Some(Attestation::X509(it)) => Some(it),
                    Some(Attestation::SymmetricKey(_) | Attestation::Tpm(_)) | None => None,
                };
                Attestation::X509(given.complete(before, now)?)
            }
            (Some(GivenAttestation::Tpm(tpm)), _) => Attestation::Tpm(tpm),
            (None, Some(before)) => before.clone(),
            (None, None) => {
                return Err(Error::invalid(
                    "attestation",
                    "required: how the device proves itself, such as `{\"type\": \"symmetricKey\"}`",
                ));
            }
        };
        let last_updated_date_time_utc = now.rfc3339();
        let created_date_time_utc =
            former.map_or_else(|| last_updated_date_time_utc.clone(), |it| it.created().to_owned());
        let id = former.map_or(self.id, |it| it.id().to_owned());
        Ok(match self.kind {
            Kind::Individual => Source::Individual(Enrollment {
                registration_id: id,
                device: self.device,
                attestation,
                terms: self.terms,
                created_date_time_utc,
                last_updated_date_time_utc,
            }),
            Kind::Group => Source::Group(Group {
                enrollment_group_id: id,
                attestation,
                terms: self.terms,
                created_date_time_utc,
                last_updated_date_time_utc,
            }),
        })
    }
}

impl GivenKeys {
    fn complete(self, former: Option<&Attestation>, new_key: &dyn Fn() -> String) -> Attestation {
        let before = match former {
            Some(Attestation::SymmetricKey(keys)) => Some(keys),
            Some(Attestation::X509(_) | Attestation::Tpm(_)) | None => None,
        };
        let key = |given: Option<Secret<String>>, former: Option<&String>| match (given, former) {
            (Some(given), _) => given.reveal().clone(),
            (None, Some(former)) => former.clone(),
            (None, None) => new_key(),
        };
        Attestation::SymmetricKey(Keys {
            primary_key: key(self.primary, before.map(|it| &it.primary_key)),
            secondary_key: key(self.secondary, before.map(|it| &it.secondary_key)),
        })
    }
}

/// True for 1 to [`ID_BYTES_MAX`] ASCII letters, digits and `- . _ :`, of which the last is none of
/// `. _ :`. Source: Azure documentation, "DPS terminology", registration ID.
pub(crate) fn is_id(text: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-._:".contains(&it);
    (1..=ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.ends_with(['.', '_', ':'])
}

/// The id that a path names.
///
/// # Errors
/// [`Error::Invalid`] at `at`, where it is none.
pub(super) fn checked_id<'a>(at: &str, text: &'a str) -> Result<&'a str, Error> {
    match is_id(text) {
        true => Ok(text),
        false => Err(Error::invalid(
            at,
            format!(
                "expected 1 to {ID_BYTES_MAX} letters, digits and - . _ : with a letter, a digit or - at the end"
            ),
        )),
    }
}

fn read_device(fields: &Fields<'_>) -> Result<Device, Error> {
    let device_id = match fields.text("deviceId")?.filter(|it| !it.is_empty()) {
        Some(text) => {
            let id =
                DeviceId::parse(text).map_err(|it| fields.refuse("deviceId", it.to_string()))?;
            Some(id.as_str().to_owned())
        }
        None => None,
    };
    let name = "optionalDeviceInformation";
    let information = read_map(fields, name, DEVICE_INFORMATION_BYTES_MAX)?;
    let optional_device_information = information.map(|it| Value::Object(it.clone()));
    Ok(Device { device_id, optional_device_information })
}

fn read_attestation(kind: Kind, fields: &Fields<'_>) -> Result<Option<GivenAttestation>, Error> {
    let Some(given) = fields.object("attestation")? else { return Ok(None) };
    Ok(Some(match given.word("type", &["symmetricKey", "x509", "tpm"])? {
        Some("symmetricKey") => GivenAttestation::SymmetricKey(read_keys(&given)?),
        Some("x509") => GivenAttestation::X509(x509::Given::read(kind, &given)?),
        Some(_) if kind == Kind::Group => {
            let because = "a TPM is one device's: enroll it individually";
            return Err(given.refuse("type", because));
        }
        Some(_) => GivenAttestation::Tpm(Tpm::read(&given)?),
        None => return Err(given.refuse("type", "required: `symmetricKey`, `x509` or `tpm`")),
    }))
}

fn read_keys(given: &Fields<'_>) -> Result<GivenKeys, Error> {
    let Some(keys) = given.object("symmetricKey")? else { return Ok(GivenKeys::default()) };
    Ok(GivenKeys {
        primary: read_key(&keys, "primaryKey")?,
        secondary: read_key(&keys, "secondaryKey")?,
    })
}

fn read_key(keys: &Fields<'_>, name: &str) -> Result<Option<Secret<String>>, Error> {
    // Clients send "" for a key that they leave to the service.
    let Some(text) = keys.text(name)?.filter(|it| !it.is_empty()) else { return Ok(None) };
    match STANDARD.decode(text) {
        Ok(bytes) if KEY_BYTES.contains(&bytes.len()) => Ok(Some(Secret::new(text.to_owned()))),
        Ok(_) | Err(_) => {
            let (least, most) = (KEY_BYTES.start(), KEY_BYTES.end());
            Err(keys.refuse(name, format!("expected {least} to {most} bytes in base64")))
        }
    }
}

fn read_terms(fields: &Fields<'_>) -> Result<Terms, Error> {
    let provisioning_status = match fields.word("provisioningStatus", &["enabled", "disabled"])? {
        Some("disabled") => ProvisioningStatus::Disabled,
        Some(_) | None => ProvisioningStatus::Enabled,
    };
    let mut reprovision_policy =
        ReprovisionPolicy { update_hub_assignment: true, migrate_device_data: true };
    if let Some(given) = fields.object("reprovisionPolicy")? {
        if let Some(it) = given.bool("updateHubAssignment")? {
            reprovision_policy.update_hub_assignment = it;
        }
        if let Some(it) = given.bool("migrateDeviceData")? {
            reprovision_policy.migrate_device_data = it;
        }
    }
    let iot_edge = match fields.object("capabilities")? {
        Some(given) => given.bool("iotEdge")?.unwrap_or(false),
        None => false,
    };
    let mut iot_hubs: Vec<String> = Vec::new();
    for (index, item) in fields.array("iotHubs", HUBS_MAX)?.unwrap_or(&[]).iter().enumerate() {
        let Some(host) = item.as_str().filter(|it| is_host(it)) else {
            return Err(fields.refuse(&format!("iotHubs[{index}]"), "expected a host name"));
        };
        if !iot_hubs.iter().any(|it| it.eq_ignore_ascii_case(host)) {
            iot_hubs.push(host.to_owned());
        }
    }
    let iot_hub_host_name = match fields.text("iotHubHostName")?.filter(|it| !it.is_empty()) {
        Some(host) if is_host(host) => Some(host.to_owned()),
        Some(_) => return Err(fields.refuse("iotHubHostName", "expected a host name")),
        None => None,
    };
    let (allocation_policy, custom) = read_allocation(fields)?;
    Ok(Terms {
        provisioning_status,
        reprovision_policy,
        iot_edge,
        initial_twin: read_initial_twin(fields)?,
        allocation_policy,
        custom,
        iot_hub_host_name,
        iot_hubs,
    })
}

/// A name, with or without a port: on one machine, hubs differ in either.
fn is_host(text: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-._:".contains(&it);
    (1..=HOST_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

fn read_allocation(
    fields: &Fields<'_>,
) -> Result<(Option<AllocationPolicy>, Option<CustomAllocation>), Error> {
    let words = ["hashed", "geoLatency", "static", "custom"];
    let policy = match fields.word("allocationPolicy", &words)? {
        None => None,
        Some("hashed") => Some(AllocationPolicy::Hashed),
        Some("geoLatency") => Some(AllocationPolicy::GeoLatency),
        Some("static") => Some(AllocationPolicy::Static),
        Some(_) => Some(AllocationPolicy::Custom),
    };
    let name = "customAllocationDefinition";
    let custom = match (policy, fields.object(name)?) {
        (Some(AllocationPolicy::Custom), Some(given)) => Some(read_custom(&given)?),
        (Some(AllocationPolicy::Custom), None) => {
            let because = "required with the allocation policy custom: `{\"webhookUrl\": \"https://...\", \
                           \"apiVersion\": \"2021-10-01\"}`";
            return Err(fields.refuse(name, because));
        }
        (_, Some(_)) => {
            return Err(fields.refuse(name, "only taken with `\"allocationPolicy\": \"custom\"`"));
        }
        (_, None) => None,
    };
    Ok((policy, custom))
}

fn read_custom(given: &Fields<'_>) -> Result<CustomAllocation, Error> {
    let url = given.text("webhookUrl")?.ok_or_else(|| given.refuse("webhookUrl", "required"))?;
    Target::parse(url).map_err(|it| given.refuse("webhookUrl", it.to_string()))?;
    let version = given.text("apiVersion")?.unwrap_or(WEBHOOK_VERSION);
    if !WEBHOOK_VERSIONS.contains(&version) {
        let because = format!("expected one of {}", WEBHOOK_VERSIONS.join(", "));
        return Err(given.refuse("apiVersion", because));
    }
    Ok(CustomAllocation { webhook_url: url.to_owned(), api_version: version.to_owned() })
}

pub(super) fn read_initial_twin(fields: &Fields<'_>) -> Result<Option<InitialTwin>, Error> {
    let Some(given) = fields.object("initialTwin")? else { return Ok(None) };
    let tags = read_map(&given, "tags", TAGS_BYTES_MAX)?.cloned().unwrap_or_default();
    let desired = match given.object("properties")? {
        Some(given) => read_map(&given, "desired", DESIRED_BYTES_MAX)?.cloned().unwrap_or_default(),
        None => Map::new(),
    };
    // Clients send both empty where nobody asked for an initial twin.
    Ok((!tags.is_empty() || !desired.is_empty()).then_some(InitialTwin { tags, desired }))
}

fn read_map<'a>(
    fields: &Fields<'a>,
    name: &str,
    bytes_max: usize,
) -> Result<Option<&'a Map<String, Value>>, Error> {
    let Some(given) = fields.object(name)? else { return Ok(None) };
    match given.value().to_string().len() <= bytes_max {
        true => Ok(given.members()),
        false => Err(fields.refuse(name, format!("more than {bytes_max} bytes of JSON"))),
    }
}

#[cfg(test)]
#[path = "enrollment_body_tests.rs"]
mod tests;
