//! One entry of a bulk call: whom it is about, what it asks for, and the identity and twin that it leads to.

use crate::devices::identity::{Device, built};
use crate::devices::named::Named;
use crate::devices::twin::{Desired, Wanted};
use crate::env::Env;
use model::json::text;
use model::{DeviceId, Error};
use serde_json::Value;

/// What an entry asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Create,
    CreateOrUpdate,
    CreateOrUpdateIfMatch,
    Update,
    UpdateIfMatch,
    UpdateTwin,
    UpdateTwinIfMatch,
    Delete,
    DeleteIfMatch,
}

const MODES: [(&str, Mode); 9] = [
    ("create", Mode::Create),
    ("update", Mode::Update),
    ("updateIfMatchETag", Mode::UpdateIfMatch),
    ("createOrUpdate", Mode::CreateOrUpdate),
    ("createOrUpdateIfMatchETag", Mode::CreateOrUpdateIfMatch),
    ("updateTwin", Mode::UpdateTwin),
    ("updateTwinIfMatchETag", Mode::UpdateTwinIfMatch),
    ("delete", Mode::Delete),
    ("deleteIfMatchETag", Mode::DeleteIfMatch),
];

impl Mode {
    fn of(entry: &Value, index: usize) -> Result<Self, Error> {
        let word = text(entry, &["importMode"]).unwrap_or("createOrUpdate");
        let found = MODES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        found.map(|(_, mode)| *mode).ok_or_else(|| {
            let all: Vec<&str> = MODES.iter().map(|(name, _)| *name).collect();
            let word = word.escape_debug();
            Error::DeviceInvalid {
                at: format!("[{index}].importMode"),
                message: format!("`{word}` is not a mode; modes are {}", all.join(", ")),
            }
        })
    }

    pub(super) const fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::DeleteIfMatch)
    }

    /// True where the identity itself is written.
    pub(super) const fn writes_identity(self) -> bool {
        !self.deletes() && !matches!(self, Self::UpdateTwin | Self::UpdateTwinIfMatch)
    }

    const fn makes(self) -> bool {
        matches!(self, Self::Create | Self::CreateOrUpdate | Self::CreateOrUpdateIfMatch)
    }

    /// The member that must be the etag that is there, where one must: of the identity or of the twin.
    const fn matched(self) -> Option<&'static str> {
        match self {
            Self::UpdateIfMatch | Self::DeleteIfMatch | Self::CreateOrUpdateIfMatch => Some("eTag"),
            Self::UpdateTwinIfMatch => Some("twinETag"),
            Self::Create
            | Self::CreateOrUpdate
            | Self::Update
            | Self::UpdateTwin
            | Self::Delete => None,
        }
    }
}

/// An entry, read.
pub(super) struct Entry<'a> {
    index: usize,
    pub(super) named: Named,
    pub(super) mode: Mode,
    body: &'a Value,
    /// Tags and desired properties, where it names any.
    pub(super) twin: Option<Wanted>,
}

/// What an entry leads to.
pub(super) struct Written {
    pub(super) device: Device,
    /// What its session is to hear of its twin.
    pub(super) told: Option<Desired>,
}

impl<'a> Entry<'a> {
    /// # Errors
    /// [`Error::DeviceInvalid`] with the place in the call.
    pub(super) fn read(body: &'a Value, index: usize) -> Result<Self, Error> {
        let id = |at: &str, text: &str| {
            DeviceId::parse(text).map_err(|it| Error::DeviceInvalid {
                at: format!("[{index}].{at}"),
                message: it.to_string(),
            })
        };
        let device = text(body, &["id"]).or_else(|| text(body, &["deviceId"])).unwrap_or("");
        let module = text(body, &["moduleId"]).filter(|it| !it.is_empty());
        let named = Named {
            device: id("id", device)?,
            module: module.map(|it| id("moduleId", it)).transpose()?,
        };
        let mode = Mode::of(body, index)?;
        let twin = match mode.deletes() {
            true => None,
            false => Some(Wanted::read(body).map_err(|it| placed(it, index))?)
                .filter(|it| !it.is_empty()),
        };
        if twin.is_none() && !mode.deletes() && !mode.writes_identity() {
            return Err(Error::DeviceInvalid {
                at: format!("[{index}]"),
                message: "`tags` or `properties.desired` are required to update a twin".into(),
            });
        }
        Ok(Self { index, named, mode, body, twin })
    }

    /// Whether what is there is what the entry expects.
    ///
    /// # Errors
    /// What it finds instead.
    pub(super) fn check(&self, former: Option<&Device>) -> Result<(), Error> {
        let Some(device) = former else {
            return match self.mode.makes() {
                true => Ok(()),
                false => Err(self.named.not_found()),
            };
        };
        if self.mode == Mode::Create {
            return Err(self.named.exists_already());
        }
        let Some(member) = self.mode.matched() else { return Ok(()) };
        let etag = match member {
            "twinETag" => device.twin.etag(),
            _ => device.etag(),
        };
        let given = text(self.body, &[member]).map(|it| it.trim_matches('"'));
        match given == Some("*") || given == Some(etag.as_str()) {
            true => Ok(()),
            false => Err(self.named.is_stale()),
        }
    }

    /// The identity with its twin as the entry leaves them; `None` where there is none to change.
    ///
    /// # Errors
    /// [`Error::DeviceInvalid`] with the place in the call.
    pub(super) fn written(
        &self,
        former: Option<&Device>,
        env: &Env,
    ) -> Result<Option<Written>, Error> {
        let place = format!("[{}].", self.index);
        let mut device = match (self.mode.writes_identity(), former) {
            (true, former) => built(&self.named, self.body, former, env, &place)?,
            (false, Some(former)) => former.clone(),
            (false, None) => return Ok(None),
        };
        let told = match (&self.twin, former) {
            (None, _) => None,
            (Some(wanted), None) => {
                device.twin = crate::devices::twin::Twin::initial(wanted, env.now())
                    .map_err(|it| placed(it, self.index))?;
                None
            }
            (Some(wanted), Some(_)) => {
                device.twin.write(wanted, env.now()).map_err(|it| placed(it, self.index))?
            }
        };
        Ok(Some(Written { device, told }))
    }
}

fn placed(error: Error, index: usize) -> Error {
    let Error::DeviceInvalid { at, message } = error else { return error };
    Error::DeviceInvalid { at: format!("[{index}].{at}"), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn place(body: Value) -> String {
        match Entry::read(&body, 3) {
            Ok(_) => String::new(),
            Err(error) => {
                let Error::DeviceInvalid { at, .. } = error else { panic!("{error:?}") };
                at
            }
        }
    }

    #[test]
    fn an_entry_names_whom_and_how_or_the_place_that_is_wrong() {
        for (name, mode) in MODES {
            let body = json!({ "id": "d", "importMode": name.to_uppercase(), "tags": { "a": 1 } });
            assert_eq!(Entry::read(&body, 0).unwrap().mode, mode);
        }
        assert_eq!(place(json!({ "deviceId": "d", "moduleId": "m" })), "");
        assert_eq!(place(json!({})), "[3].id");
        assert_eq!(place(json!({ "id": "a/b" })), "[3].id");
        assert_eq!(place(json!({ "id": "d", "moduleId": "a/b" })), "[3].moduleId");
        assert_eq!(place(json!({ "id": "d", "importMode": "upsert" })), "[3].importMode");
        assert_eq!(place(json!({ "id": "d", "importMode": "updateTwin" })), "[3]");
        assert_eq!(place(json!({ "id": "d", "tags": [] })), "[3].tags");
        assert_eq!(place(json!(1)), "[3].id");
    }
}
