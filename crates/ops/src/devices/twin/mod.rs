//! A twin: tags, desired and reported properties, and when each of them changed.
//!
//! Pure: a twin and a patch make a twin. What a patch may hold is in `limits.rs`, how a twin is read and
//! written in [`super::twins`].

mod limits;
mod since;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use limits::{check_desired, check_reported, check_tags};
use model::json::member;
use model::{Error, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The twin of a device or module, as it lies in its document.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Twin {
    tags: Map<String, Value>,
    desired: Section,
    reported: Section,
    /// Counts every change.
    version: u64,
    /// Counts changes of tags and desired properties: the etag.
    edition: u64,
}

/// Desired or reported properties.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Section {
    properties: Map<String, Value>,
    /// The tree of the properties, with times in place of values.
    metadata: Map<String, Value>,
    version: u64,
}

/// When a property changed, and by which version of its section where that is told.
#[derive(Clone)]
struct Stamp {
    time: String,
    version: Option<u64>,
}

impl Stamp {
    fn put(&self, metadata: &mut Map<String, Value>) {
        metadata.insert("$lastUpdated".to_owned(), json!(self.time));
        if let Some(version) = self.version {
            metadata.insert("$lastUpdatedVersion".to_owned(), json!(version));
        }
    }
}

/// Lays a patch over a part of a section: `null` deletes, objects merge, everything else replaces.
fn lay_over(
    properties: &mut Map<String, Value>,
    metadata: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    stamp: &Stamp,
) {
    stamp.put(metadata);
    for (name, value) in patch {
        match value {
            Value::Null => {
                properties.shift_remove(name);
                metadata.shift_remove(name);
            }
            Value::Object(patch) => {
                let below = properties.entry(name).or_insert_with(|| json!({}));
                let times = metadata.entry(name).or_insert_with(|| json!({}));
                if !below.is_object() {
                    (*below, *times) = (json!({}), json!({}));
                }
                if let (Some(below), Some(times)) = (below.as_object_mut(), times.as_object_mut()) {
                    lay_over(below, times, patch, stamp);
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                let mut times = Map::new();
                stamp.put(&mut times);
                properties.insert(name.clone(), value.clone());
                metadata.insert(name.clone(), Value::Object(times));
            }
        }
    }
}

impl Section {
    fn new(stamp: &Stamp) -> Self {
        let mut metadata = Map::new();
        stamp.put(&mut metadata);
        Self { properties: Map::new(), metadata, version: 1 }
    }

    fn lay_over(&mut self, patch: &Map<String, Value>, stamp: &Stamp) {
        lay_over(&mut self.properties, &mut self.metadata, patch, stamp);
    }

    /// As a device gets it.
    fn plain(&self) -> Value {
        let mut shown = self.properties.clone();
        shown.insert("$version".to_owned(), json!(self.version));
        Value::Object(shown)
    }

    /// As the service API shows it.
    fn shown(&self) -> Value {
        let mut shown = self.properties.clone();
        shown.insert("$metadata".to_owned(), Value::Object(self.metadata.clone()));
        shown.insert("$version".to_owned(), json!(self.version));
        Value::Object(shown)
    }
}

/// Desired properties that a device is told of: what was sent, and the version that it led to.
#[derive(Clone, PartialEq, Debug)]
pub struct Desired {
    pub version: u64,
    /// The change with its `$version`, or all properties where they were replaced.
    pub body: Value,
}

/// The parts of a twin with their times, for who shows them in a form of their own.
pub(crate) struct Shown<'a> {
    pub(crate) desired: &'a Map<String, Value>,
    pub(crate) desired_times: &'a Map<String, Value>,
    pub(crate) desired_version: u64,
    pub(crate) reported: &'a Map<String, Value>,
    pub(crate) reported_times: &'a Map<String, Value>,
}

/// What a service may write of a twin: a member that is `None` was not named.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Wanted {
    tags: Option<Map<String, Value>>,
    desired: Option<Map<String, Value>>,
}

impl Wanted {
    /// Reads `{"tags": {...}, "properties": {"desired": {...}}}`; other members are what a twin was read with.
    ///
    /// # Errors
    /// [`Error::DeviceInvalid`] with the place that a twin cannot take.
    pub(crate) fn read(body: &Value) -> Result<Self, Error> {
        let invalid = |at: &str| Error::DeviceInvalid {
            at: at.to_owned(),
            message: "a JSON object is required".into(),
        };
        if !body.is_object() {
            return Err(invalid("body"));
        }
        let object = |value: Option<&Value>, at: &str| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(it)) => Ok(Some(without_own(it))),
            Some(_) => Err(invalid(at)),
        };
        let tags = object(member(body, "tags"), "tags")?;
        let properties = object(member(body, "properties"), "properties")?.map(Value::Object);
        let desired = properties.as_ref().and_then(|it| member(it, "desired"));
        Ok(Self { tags, desired: object(desired, "properties.desired")? })
    }

    /// True where nothing is named.
    pub(crate) const fn is_empty(&self) -> bool {
        self.tags.is_none() && self.desired.is_none()
    }
}

/// The members that callers set: clients send `$version` and `$metadata` back as they read them.
fn without_own(properties: &Map<String, Value>) -> Map<String, Value> {
    let own = ["$version", "$metadata"];
    let theirs = properties.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    theirs.map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl Twin {
    /// The twin of what was just made.
    pub(crate) fn new(now: Timestamp) -> Self {
        let stamp = |version| Stamp { time: now.rfc3339(), version };
        Self {
            tags: Map::new(),
            desired: Section::new(&stamp(Some(1))),
            reported: Section::new(&stamp(None)),
            version: 1,
            edition: 1,
        }
    }

    /// A new twin with tags and desired properties from the start.
    pub(crate) fn initial(wanted: &Wanted, now: Timestamp) -> Result<Self, Error> {
        let mut twin = Self::new(now);
        twin.write(wanted, now)?;
        (twin.desired.version, twin.version, twin.edition) = (1, 1, 1);
        Ok(twin)
    }

    /// The etag, without quotes.
    pub(crate) fn etag(&self) -> String {
        STANDARD.encode(self.edition.to_be_bytes())
    }

    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) const fn tags(&self) -> &Map<String, Value> {
        &self.tags
    }

    /// Merges what a service sent. What the device is to hear of it, where it touches desired properties.
    ///
    /// # Errors
    /// [`Error::DeviceInvalid`] with the place that breaks a limit. The twin is to be thrown away then.
    pub(crate) fn write(
        &mut self,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<Option<Desired>, Error> {
        if let Some(tags) = &wanted.tags {
            // Tags have no times of their own.
            let stamp = Stamp { time: String::new(), version: None };
            lay_over(&mut self.tags, &mut Map::new(), tags, &stamp);
            check_tags(&self.tags)?;
        }
        let told = match &wanted.desired {
            None => None,
            Some(patch) => {
                self.desired.version += 1;
                let version = self.desired.version;
                let stamp = Stamp { time: now.rfc3339(), version: Some(version) };
                self.desired.lay_over(patch, &stamp);
                check_desired(&self.desired.properties)?;
                Some(Desired { version, body: versioned(patch, version) })
            }
        };
        self.count();
        Ok(told)
    }

    /// Replaces tags and desired properties.
    ///
    /// # Errors
    /// As [`Twin::write`].
    pub(crate) fn replace(
        &mut self,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<Option<Desired>, Error> {
        self.tags.clear();
        self.desired.properties.clear();
        self.desired.metadata.clear();
        let nothing = Map::new();
        let all = Wanted {
            tags: Some(wanted.tags.clone().unwrap_or_default()),
            desired: Some(wanted.desired.as_ref().unwrap_or(&nothing).clone()),
        };
        self.write(&all, now)?;
        let version = self.desired.version;
        Ok(Some(Desired { version, body: versioned(&self.desired.properties, version) }))
    }

    /// Merges what the device itself reports: the version that it leads to.
    ///
    /// # Errors
    /// As [`Twin::write`].
    pub(crate) fn report(&mut self, patch: &Value, now: Timestamp) -> Result<u64, Error> {
        let Value::Object(patch) = patch else {
            return Err(Error::DeviceInvalid {
                at: "reported".into(),
                message: "reported properties are a JSON object".into(),
            });
        };
        self.reported.lay_over(&without_own(patch), &Stamp { time: now.rfc3339(), version: None });
        check_reported(&self.reported.properties)?;
        self.reported.version += 1;
        self.version += 1;
        Ok(self.reported.version)
    }

    fn count(&mut self) {
        self.version += 1;
        self.edition += 1;
    }

    /// As its own device gets it: `{"desired": {...}, "reported": {...}}`.
    pub(crate) fn own(&self) -> Value {
        json!({ "desired": self.desired.plain(), "reported": self.reported.plain() })
    }

    /// `properties` of the service API.
    pub(crate) fn properties(&self) -> Value {
        json!({ "desired": self.desired.shown(), "reported": self.reported.shown() })
    }

    pub(crate) const fn shown_parts(&self) -> Shown<'_> {
        Shown {
            desired: &self.desired.properties,
            desired_times: &self.desired.metadata,
            desired_version: self.desired.version,
            reported: &self.reported.properties,
            reported_times: &self.reported.metadata,
        }
    }

    /// What policy sees: what a service can write.
    pub(crate) fn judged(&self) -> Value {
        json!({ "tags": self.tags, "properties": { "desired": self.desired.properties } })
    }
}

fn versioned(patch: &Map<String, Value>, version: u64) -> Value {
    let mut body = patch.clone();
    body.insert("$version".to_owned(), json!(version));
    Value::Object(body)
}

/// For documents that were written before twins were.
impl Default for Twin {
    fn default() -> Self {
        Self::new(Timestamp::from_seconds(0))
    }
}
