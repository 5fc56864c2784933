//! A device or module identity: what it is made of, how it is made from a body, how it is shown and judged.
//!
//! An identity and its twin are one document in its hub's shard, each with an etag of its own: what a device
//! reports leaves the etag of its identity alone.

use super::named::Named;
use super::registry::{read, shard};
use super::security;
use super::twin::{Twin, Wanted};
use crate::env::Env;
use crate::shared_access::{self, KEY_BYTES};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::{Counts, Hub, OwnCertificate, OwnKeys, OwnProof};
use model::json::{at, member, set, text};
use model::security::Secured;
use model::{Credential, Error, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Longest `statusReason`, in characters.
const REASON_CHARS_MAX: usize = 128;
/// The time of what never happened, as clients expect it.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A device, or a module, as it is kept. It holds keys: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    pub(crate) device_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module_id: Option<String>,
    /// Who looks after a module: a word of the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    managed_by: Option<String>,
    /// Tells this device from an earlier one of the same id.
    pub(crate) generation_id: String,
    pub(crate) status: String,
    pub(crate) status_reason: Option<String>,
    pub(crate) status_updated_time: String,
    /// `type`, `symmetricKey` and `x509Thumbprint`, as the service API writes them.
    pub(crate) authentication: Value,
    /// Since when it proves itself by what stands there.
    #[serde(default)]
    pub(super) key_times: KeyTimes,
    pub(crate) capabilities: Value,
    /// The provisioning service and the enrollment that it came by; `null` for one made by hand.
    #[serde(default)]
    pub(crate) provisioned_by: Option<String>,
    /// Another number after each change of the identity: its etag.
    #[serde(default)]
    edition: u32,
    #[serde(default)]
    pub(crate) twin: Twin,
    /// What it asked to be told of, kept for when it comes back; bits of [`super::presence::Interests`].
    #[serde(default)]
    pub(crate) hears: u8,
    /// The model that it follows, as it said itself; empty where it never did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) model_id: String,
    /// How far each configuration that is for it has come, by the configuration's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) configurations: BTreeMap<String, String>,
}

/// When each of a device's two keys or thumbprints was written; absent where that was before anybody noted it.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct KeyTimes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    primary: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secondary: Option<Timestamp>,
}

impl KeyTimes {
    /// Of a device whose authentication becomes another one: what stays as it was keeps its time.
    pub(super) fn after(former: Option<&Device>, authentication: &Value, now: Timestamp) -> Self {
        let time = |which: &str, kept: fn(Self) -> Option<Timestamp>| match former {
            Some(it)
                if proof_texts(&it.authentication, which) == proof_texts(authentication, which) =>
            {
                kept(it.key_times)
            }
            Some(_) | None => Some(now),
        };
        Self {
            primary: time("primary", |it| it.primary),
            secondary: time("secondary", |it| it.secondary),
        }
    }

    /// The older of the two that the device has: an old key opens the hub as long as it is there. `None` where one of
    /// them is of an unknown age, or the device has none.
    fn oldest(self, authentication: &Value) -> Option<Timestamp> {
        let has = |which: &str| proof_texts(authentication, which).iter().any(Option::is_some);
        let all = [("primary", self.primary), ("secondary", self.secondary)];
        let its: Option<Vec<Timestamp>> =
            all.into_iter().filter(|(which, _)| has(which)).map(|(_, it)| it).collect();
        its?.into_iter().min()
    }
}

/// A key and a thumbprint, of which a device has one.
fn proof_texts<'a>(authentication: &'a Value, which: &str) -> [Option<&'a str>; 2] {
    [
        text(authentication, &["symmetricKey", &format!("{which}Key")]),
        text(authentication, &["x509Thumbprint", &format!("{which}Thumbprint")]),
    ]
}

impl Device {
    /// The key of its document: a module's begins with its device's.
    pub(super) fn key(&self) -> String {
        match &self.module_id {
            None => self.device_id.clone(),
            Some(module) => format!("{}/{module}", self.device_id),
        }
    }

    /// The identity as the service API shows it.
    pub(super) fn shown(&self, now: &Live) -> Value {
        let (state, since) = now.connection();
        let mut all = json!({
            "deviceId": self.device_id,
            "generationId": self.generation_id,
            "etag": self.etag(),
            "connectionState": state,
            "connectionStateUpdatedTime": since,
            "lastActivityTime": NEVER,
            "cloudToDeviceMessageCount": now.messages,
            "authentication": self.authentication,
        });
        let own = match &self.module_id {
            Some(module) => {
                vec![("moduleId", json!(module)), ("managedBy", json!(self.managed_by))]
            }
            None => vec![
                ("status", json!(self.status)),
                ("statusReason", json!(self.status_reason)),
                ("statusUpdatedTime", json!(self.status_updated_time)),
                ("capabilities", self.capabilities.clone()),
                ("deviceScope", Value::Null),
                ("parentScopes", json!([])),
            ],
        };
        own.into_iter().for_each(|(name, value)| set(&mut all, name, value));
        all
    }

    /// The twin as the service API shows it, with what of the identity stands in it.
    pub(crate) fn shown_twin(&self, now: &Live) -> Value {
        let (state, _) = now.connection();
        let mut all = json!({ "deviceId": self.device_id });
        if let Some(module) = &self.module_id {
            set(&mut all, "moduleId", json!(module));
        }
        let rest = json!({
            "etag": self.twin.etag(),
            "deviceEtag": self.etag(),
            "status": self.status,
            "statusUpdateTime": self.status_updated_time,
            "connectionState": state,
            "lastActivityTime": NEVER,
            "cloudToDeviceMessageCount": now.messages,
            "authenticationType": self.authentication.get("type"),
            "x509Thumbprint": self.authentication.get("x509Thumbprint"),
            "modelId": self.model_id,
            "version": self.twin.version(),
            "tags": self.twin.tags(),
            "properties": self.twin.properties(),
            "capabilities": self.capabilities,
        });
        rest.as_object()
            .into_iter()
            .flatten()
            .for_each(|(name, value)| set(&mut all, name, value.clone()));
        if let Some(reason) = &self.status_reason {
            set(&mut all, "statusReason", json!(reason));
        }
        if !self.configurations.is_empty() {
            let status =
                |(id, status): (&String, &String)| (id.clone(), json!({ "status": status }));
            let all_of_them: Map<String, Value> = self.configurations.iter().map(status).collect();
            set(&mut all, "configurations", Value::Object(all_of_them));
        }
        all
    }

    /// Who looks after it, where it is a module.
    pub(super) fn managed_by(&self) -> Option<&str> {
        self.managed_by.as_deref()
    }

    /// The twin as events tell it whole.
    pub(super) fn told_twin(&self) -> Value {
        let mut all = json!({ "deviceId": self.device_id });
        if let Some(module) = &self.module_id {
            set(&mut all, "moduleId", json!(module));
        }
        set(&mut all, "etag", json!(self.twin.etag()));
        set(&mut all, "version", json!(self.twin.version()));
        set(&mut all, "tags", json!(self.twin.tags()));
        set(&mut all, "properties", self.twin.properties());
        all
    }

    /// True for a device that runs modules of deployments.
    pub(super) fn is_edge(&self) -> bool {
        self.capabilities.get("iotEdge").and_then(Value::as_bool).unwrap_or(false)
    }

    /// The etag of the identity, without quotes. Clients send it back as it is, with or without quotes.
    pub(super) fn etag(&self) -> String {
        STANDARD.encode(self.edition.to_string())
    }

    /// The identity was changed: it has another etag.
    pub(super) fn count(&mut self, env: &Env) {
        self.edition = next_edition(Some(self), env);
    }

    /// The device as policy sees it.
    pub(super) fn judged(&self) -> Value {
        json!({
            "deviceId": self.device_id,
            "moduleId": self.module_id,
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

/// What is true of an identity now and is no part of its document.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Live {
    pub(crate) connected_since: Option<Timestamp>,
    /// How many messages wait for it.
    pub(crate) messages: u32,
}

impl Live {
    fn connection(&self) -> (&'static str, String) {
        match self.connected_since {
            Some(since) => ("Connected", since.rfc3339()),
            None => ("Disconnected", NEVER.to_owned()),
        }
    }
}

/// The device that a body describes, checked, with keys made where none are given.
pub(super) fn built(
    named: &Named,
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
        device_id: named.device.as_str().to_owned(),
        module_id: named.module.as_ref().map(|it| it.as_str().to_owned()),
        managed_by: text(body, &["managedBy"]).map(str::to_owned),
        generation_id: former
            .map_or_else(|| env.now().millis().to_string(), |it| it.generation_id.clone()),
        status_updated_time: match former {
            Some(it) if it.status == status => it.status_updated_time.clone(),
            Some(_) => now,
            None => NEVER.to_owned(),
        },
        status,
        status_reason,
        key_times: KeyTimes::after(former, &authentication, env.now()),
        authentication,
        capabilities,
        provisioned_by: former.and_then(|it| it.provisioned_by.clone()),
        edition: next_edition(former, env),
        twin: former.map_or_else(|| Twin::new(env.now()), |it| it.twin.clone()),
        hears: former.map_or(0, |it| it.hears),
        model_id: former.map(|it| it.model_id.clone()).unwrap_or_default(),
        configurations: former.map(|it| it.configurations.clone()).unwrap_or_default(),
    })
}

/// Any number but the one before: a device that is made anew under its name has no etag of the old one's.
fn next_edition(former: Option<&Device>, env: &Env) -> u32 {
    let drawn = u32::from_be_bytes(env.random());
    match former {
        Some(it) if it.edition == drawn => drawn.wrapping_add(1),
        Some(_) | None => drawn,
    }
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
    named: &Named,
    body: &Value,
    former: Option<&Device>,
    env: &Env,
) -> Result<Device, Error> {
    let new = built(named, body, None, env, "")?;
    let mut device = match former {
        Some(former) => Device {
            key_times: KeyTimes::after(Some(former), &new.authentication, env.now()),
            authentication: new.authentication,
            edition: next_edition(Some(former), env),
            ..former.clone()
        },
        None => new,
    };
    device.provisioned_by = text(body, &["provisionedBy"]).map(str::to_owned);
    if let Some(twin) = member(body, "initialTwin") {
        device.twin = Twin::initial(&Wanted::read(twin)?, env.now())?;
        // Of a device that moves here with its data.
        if let Some(reported) = at(twin, &["properties", "reported"]) {
            device.twin.report(reported, env.now())?;
        }
    }
    Ok(device)
}

/// By what a device may prove itself at its hub.
pub(crate) struct Credentials {
    pub(crate) proof: OwnProof,
    /// Tells the device from an earlier one of the same id.
    pub(crate) generation: String,
    /// What it asked to be told of when it was connected before.
    pub(crate) hears: u8,
    /// The security policy that it is held to, where one is.
    pub(crate) security: Option<Box<Secured>>,
}

/// By what a device or module proves itself, as its type says; `None` where there is none of the name, or one that has
/// nothing. A module of a disabled device is disabled with it.
pub(crate) async fn credentials(
    env: &Env,
    hub: &Hub,
    named: &Named,
    shown: &Credential,
) -> Result<Option<Credentials>, Error> {
    let shard = shard(hub)?;
    let Some((device, _)) = read(env, &shard, named).await? else { return Ok(None) };
    let is_enabled = match &named.module {
        None => device.status == "enabled",
        Some(_) => {
            let parent = read(env, &shard, &Named::device(named.device.clone())).await?;
            parent.is_some_and(|(it, _)| it.status == "enabled")
        }
    };
    let Some(proof) = proof(&device, named.key(), is_enabled) else { return Ok(None) };
    let began = || security::certificate_began(&proof, shown);
    let key_changed = device.key_times.oldest(&device.authentication).or_else(began);
    let security = security::applied(env, hub, named, key_changed).await?;
    let (generation, hears) = (device.generation_id, device.hears);
    Ok(Some(Credentials { proof, generation, hears, security }))
}

/// What is kept of another type does not count: whoever makes a device of keys one of certificates ends its keys.
fn proof(device: &Device, name: String, is_enabled: bool) -> Option<OwnProof> {
    let given = &device.authentication;
    let counts = match text(given, &["type"]).unwrap_or("sas") {
        "sas" => {
            let key = |name: &str| {
                let text = text(given, &["symmetricKey", name])?;
                STANDARD.decode(text).ok().map(Secret::new)
            };
            let (primary, secondary) = (key("primaryKey")?, key("secondaryKey")?);
            return Some(OwnProof::Keys(OwnKeys {
                name,
                via: None,
                primary,
                secondary,
                is_enabled,
            }));
        }
        "selfSigned" => {
            let known = ["primaryThumbprint", "secondaryThumbprint"];
            let known = known.iter().filter_map(|it| text(given, &["x509Thumbprint", it]));
            Counts::Thumbprints(known.map(str::to_owned).collect())
        }
        "certificateAuthority" => Counts::OfAuthority,
        _ => return None,
    };
    Some(OwnProof::Certificate(OwnCertificate { name, via: None, counts, is_enabled }))
}
