//! A device identity: what it is made of, how it is made from a body, how it is shown and judged.
//!
//! A device and its twin are one document in its hub's shard; its etag derives from the revision.

use super::registry::{read, shard};
use crate::env::Env;
use crate::shared_access::{self, KEY_BYTES};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::{Counts, Hub, OwnCertificate, OwnKeys, OwnProof};
use model::json::{at, member, text};
use model::{DeviceId, Error, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Longest `statusReason`, in characters.
const REASON_CHARS_MAX: usize = 128;
/// The time of what never happened, as clients expect it.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A device as it is kept. It holds keys: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    pub(crate) device_id: String,
    /// Tells this device from an earlier one of the same id.
    pub(crate) generation_id: String,
    pub(crate) status: String,
    pub(crate) status_reason: Option<String>,
    pub(crate) status_updated_time: String,
    /// `type`, `symmetricKey` and `x509Thumbprint`, as the service API writes them.
    pub(crate) authentication: Value,
    pub(crate) capabilities: Value,
    /// The provisioning service and the enrollment that it came by; `null` for one made by hand.
    #[serde(default)]
    pub(crate) provisioned_by: Option<String>,
    /// Tags and desired properties that it started with.
    #[serde(default)]
    pub(crate) initial_twin: Option<Value>,
}

impl Device {
    /// The identity as the service API shows it.
    pub(super) fn shown(&self, revision: u64, connected_since: Option<Timestamp>) -> Value {
        let (state, since) = match connected_since {
            Some(since) => ("Connected", since.rfc3339()),
            None => ("Disconnected", NEVER.to_owned()),
        };
        json!({
            "deviceId": self.device_id,
            "generationId": self.generation_id,
            "etag": etag(revision),
            "connectionState": state,
            "status": self.status,
            "statusReason": self.status_reason,
            "connectionStateUpdatedTime": since,
            "statusUpdatedTime": self.status_updated_time,
            "lastActivityTime": NEVER,
            "cloudToDeviceMessageCount": 0,
            "authentication": self.authentication,
            "capabilities": self.capabilities,
            "deviceScope": null,
            "parentScopes": [],
        })
    }
}

impl Device {
    /// The device as policy sees it.
    pub(super) fn judged(&self) -> Value {
        json!({
            "deviceId": self.device_id,
            "status": self.status,
            "statusReason": self.status_reason,
            "authentication": {
                "type": self.authentication.get("type"),
                "x509Thumbprint": self.authentication.get("x509Thumbprint"),
            },
            "capabilities": self.capabilities,
        })
    }
}

/// The base64 text of a revision. Clients send it back as it is, with or without quotes.
pub(super) fn etag(revision: u64) -> String {
    STANDARD.encode(revision.to_string())
}

/// The device that a body describes, checked, with keys made where none are given.
pub(super) fn built(
    id: &DeviceId,
    body: &Value,
    former: Option<&Device>,
    env: &Env,
    place: &str,
) -> Result<Device, Error> {
    if !body.is_object() {
        return Err(Error::DeviceInvalid {
            at: format!("{place}body"),
            message: "a JSON object is required".into(),
        });
    }
    let invalid =
        |at: &str, message: String| Error::DeviceInvalid { at: format!("{place}{at}"), message };
    let now = env.now().rfc3339();
    let status = text(body, &["status"]).unwrap_or("enabled").to_ascii_lowercase();
    if !["enabled", "disabled"].contains(&status.as_str()) {
        return Err(invalid("status", "a device is enabled or disabled".into()));
    }
    let status_reason = text(body, &["statusReason"]).map(str::to_owned);
    if status_reason.as_ref().is_some_and(|it| it.chars().count() > REASON_CHARS_MAX) {
        return Err(invalid("statusReason", format!("at most {REASON_CHARS_MAX} characters")));
    }
    let authentication =
        authentication(body, former, env).map_err(|(at, message)| invalid(&at, message))?;
    let capabilities = match member(body, "capabilities") {
        None | Some(Value::Null) => json!({ "iotEdge": false }),
        Some(Value::Object(it)) if it.values().all(Value::is_boolean) => Value::Object(it.clone()),
        Some(_) => {
            return Err(invalid("capabilities", "an object of true and false is expected".into()));
        }
    };
    Ok(Device {
        device_id: id.as_str().to_owned(),
        generation_id: former
            .map_or_else(|| env.now().millis().to_string(), |it| it.generation_id.clone()),
        status_updated_time: match former {
            Some(it) if it.status == status => it.status_updated_time.clone(),
            Some(_) => now,
            None => NEVER.to_owned(),
        },
        status,
        status_reason,
        authentication,
        capabilities,
        provisioned_by: former.and_then(|it| it.provisioned_by.clone()),
        initial_twin: former.and_then(|it| it.initial_twin.clone()),
    })
}

fn authentication(
    body: &Value,
    former: Option<&Device>,
    env: &Env,
) -> Result<Value, (String, String)> {
    let given = member(body, "authentication").filter(|it| !it.is_null());
    if let (None, Some(former)) = (given, former) {
        return Ok(former.authentication.clone());
    }
    let nothing = Value::Object(Map::new());
    let given = given.unwrap_or(&nothing);
    let kind = match (
        text(given, &["type"]),
        at(given, &["x509Thumbprint", "primaryThumbprint"]).is_some_and(Value::is_string),
    ) {
        (Some(word), _) => ["sas", "selfSigned", "certificateAuthority", "none"]
            .into_iter()
            .find(|it| it.eq_ignore_ascii_case(word))
            .ok_or_else(|| {
                (
                    "authentication.type".to_owned(),
                    "types are sas, selfSigned, certificateAuthority and none".to_owned(),
                )
            })?,
        (None, true) => "selfSigned",
        (None, false) => "sas",
    };
    let key = |name: &str| -> Result<Value, (String, String)> {
        let place = format!("authentication.symmetricKey.{name}");
        if kind != "sas" {
            return Ok(Value::Null);
        }
        match text(given, &["symmetricKey", name]).filter(|it| !it.is_empty()) {
            Some(it) => match STANDARD.decode(it) {
                Ok(bytes) if KEY_BYTES.contains(&bytes.len()) => Ok(json!(it)),
                Ok(_) | Err(_) => Err((place, "a key is base64 of 16 to 64 bytes".to_owned())),
            },
            None => match former
                .and_then(|it| text(&it.authentication, &["symmetricKey", name]).map(str::to_owned))
            {
                Some(kept) => Ok(json!(kept)),
                None => Ok(json!(shared_access::new_key(env))),
            },
        }
    };
    let thumbprint = |name: &str| -> Result<Value, (String, String)> {
        let place = format!("authentication.x509Thumbprint.{name}");
        match text(given, &["x509Thumbprint", name]).filter(|it| !it.is_empty()) {
            None => Ok(Value::Null),
            Some(it) => {
                let hex: String = it.chars().filter(|it| *it != ':').collect();
                let fits =
                    matches!(hex.len(), 40 | 64) && hex.bytes().all(|it| it.is_ascii_hexdigit());
                match fits {
                    true => Ok(json!(hex.to_ascii_uppercase())),
                    false => {
                        Err((place, "a thumbprint is SHA-1 or SHA-256 in hexadecimal".to_owned()))
                    }
                }
            }
        }
    };
    let primary = thumbprint("primaryThumbprint")?;
    if kind == "selfSigned" && primary.is_null() {
        return Err((
            "authentication.x509Thumbprint.primaryThumbprint".to_owned(),
            "a self-signed device needs a thumbprint".to_owned(),
        ));
    }
    Ok(json!({
        "symmetricKey": { "primaryKey": key("primaryKey")?, "secondaryKey": key("secondaryKey")? },
        "x509Thumbprint": { "primaryThumbprint": primary, "secondaryThumbprint": thumbprint("secondaryThumbprint")? },
        "type": kind,
    }))
}

/// A device as a registration leaves it. One that is there stays as the hub's people made it since, so that
/// a disabled device does not enable itself by registering again. Only the keys are those that it has just
/// proven: an enrollment whose keys were changed reaches its devices this way.
pub(super) fn provisioned(
    id: &DeviceId,
    body: &Value,
    former: Option<&Device>,
    env: &Env,
) -> Result<Device, Error> {
    let new = built(id, body, None, env, "")?;
    let mut device = match former {
        Some(former) => Device { authentication: new.authentication, ..former.clone() },
        None => new,
    };
    device.provisioned_by = text(body, &["provisionedBy"]).map(str::to_owned);
    if let Some(twin) = member(body, "initialTwin") {
        device.initial_twin = Some(twin.clone());
    }
    Ok(device)
}

/// By what a device may prove itself at its hub.
pub(crate) struct Credentials {
    pub(crate) proof: OwnProof,
    /// Tells the device from an earlier one of the same id.
    pub(crate) generation: String,
}

/// By what a device proves itself, as its type says; `None` where there is no such device, or one that has nothing.
pub(crate) async fn credentials(
    env: &Env,
    hub: &Hub,
    id: &str,
) -> Result<Option<Credentials>, Error> {
    let Ok(id) = DeviceId::parse(id) else { return Ok(None) };
    let shard = shard(hub)?;
    let Some((device, _)) = read(env, &shard, &id).await? else { return Ok(None) };
    let generation = device.generation_id.clone();
    Ok(proof(device).map(|proof| Credentials { proof, generation }))
}

/// What is kept of another type does not count: whoever makes a device of keys one of certificates ends its keys.
fn proof(device: Device) -> Option<OwnProof> {
    let is_enabled = device.status == "enabled";
    let certificate = |name, counts| OwnCertificate { name, counts, is_enabled };
    match text(&device.authentication, &["type"]).unwrap_or("sas") {
        "sas" => {
            let key = |name: &str| {
                let text = text(&device.authentication, &["symmetricKey", name])?;
                STANDARD.decode(text).ok().map(Secret::new)
            };
            let (primary, secondary) = (key("primaryKey")?, key("secondaryKey")?);
            let name = device.device_id;
            Some(OwnProof::Keys(OwnKeys { name, via: None, primary, secondary, is_enabled }))
        }
        "selfSigned" => {
            let known = ["primaryThumbprint", "secondaryThumbprint"];
            let known = known.iter().filter_map(|name| {
                text(&device.authentication, &["x509Thumbprint", name]).map(str::to_owned)
            });
            let counts = Counts::Thumbprints(known.collect());
            Some(OwnProof::Certificate(certificate(device.device_id, counts)))
        }
        "certificateAuthority" => {
            Some(OwnProof::Certificate(certificate(device.device_id, Counts::OfAuthority)))
        }
        _ => None,
    }
}
