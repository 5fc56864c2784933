//! What a body may say of an import or export.

use super::Kind;
use crate::env::Env;
use crate::managed_identity::attached::user_assigned_id;
use egress::blob::Container;
use model::Error;
use model::json::{member, set, text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest name of a blob, in characters. Source: "Naming and referencing containers, blobs, and metadata".
const NAME_CHARS_MAX: usize = 1_024;
const DEVICES: &str = "devices.txt";
const ERRORS: &str = "importErrors.log";
const CONFIGURATIONS: &str = "configurations.txt";

/// A blob of a container.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    /// As it was given, with its signature until the job has ended.
    pub(super) container: String,
    pub(super) blob: String,
}

/// How the hub shows itself to storage.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Shows {
    /// The signatures in the addresses.
    KeyBased,
    /// A user-assigned identity by its id; none is the hub's own.
    IdentityBased(Option<String>),
}

/// What is asked for, checked.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    /// Of an import: where its lines are.
    pub(super) input: Option<Place>,
    /// Where an export goes, or what becomes of the lines of an import.
    pub(super) output: Place,
    pub(super) excludes_keys: bool,
    pub(super) shows: Shows,
    /// The blob of the configurations, where they come along.
    pub(super) configurations: Option<String>,
}

/// The names of the members, which the two planes call differently.
struct Names {
    input: &'static str,
    output: &'static str,
    output_blob: &'static str,
    excludes_keys: &'static str,
    shows: &'static str,
}

const OF_SERVICE: Names = Names {
    input: "inputBlobContainerUri",
    output: "outputBlobContainerUri",
    output_blob: "outputBlobName",
    excludes_keys: "excludeKeysInExport",
    shows: "storageAuthenticationType",
};
const OF_EXPORT: Names = Names {
    output: "exportBlobContainerUri",
    output_blob: "exportBlobName",
    excludes_keys: "excludeKeys",
    shows: "authenticationType",
    ..OF_SERVICE
};
const OF_IMPORT: Names = Names { shows: "authenticationType", ..OF_SERVICE };

/// What a member is that is there, and not `null`.
fn given<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    member(body, name).filter(|it| !it.is_null())
}

struct Reader<'a> {
    body: &'a Value,
    refuse: fn(&str, String) -> Error,
}

impl Reader<'_> {
    fn no<T>(&self, at: &str, message: impl Into<String>) -> Result<T, Error> {
        Err((self.refuse)(at, message.into()))
    }

    fn flag(&self, name: &str) -> Result<bool, Error> {
        match given(self.body, name) {
            None => Ok(false),
            Some(Value::Bool(it)) => Ok(*it),
            Some(_) => self.no(name, "`true` or `false` is expected"),
        }
    }

    fn blob(&self, name: &str, default: &str) -> Result<String, Error> {
        let Some(value) = given(self.body, name) else { return Ok(default.to_owned()) };
        let is_name = |it: &&str| {
            (1..=NAME_CHARS_MAX).contains(&it.chars().count()) && !it.chars().any(char::is_control)
        };
        match value.as_str().filter(is_name) {
            Some(it) => Ok(it.to_owned()),
            None => {
                self.no(name, format!("a name of 1 to {NAME_CHARS_MAX} characters is expected"))
            }
        }
    }

    fn container(&self, name: &str, shows: &Shows, env: &Env) -> Result<String, Error> {
        let Some(uri) = given(self.body, name).and_then(Value::as_str) else {
            return self.no(name, "the address of a container is required");
        };
        let container = match Container::parse(uri) {
            Ok(it) => it,
            Err(because) => return self.no(name, because.to_string()),
        };
        if let Err(because) = container.check(&env.egress) {
            return self.no(name, because.to_string());
        }
        match (shows, container.has_signature()) {
            (Shows::KeyBased, false) => self.no(
                name,
                "the address has no shared access signature; add one, or ask for `identityBased`",
            ),
            (Shows::IdentityBased(_), true) => self.no(
                name,
                "a shared access signature is not used with `identityBased`: leave it out",
            ),
            (Shows::KeyBased, true) | (Shows::IdentityBased(_), false) => Ok(uri.to_owned()),
        }
    }

    fn shows(&self, name: &str) -> Result<Shows, Error> {
        let word = given(self.body, name).map(|it| it.as_str().unwrap_or_default());
        let named = given(self.body, "identity")
            .and_then(|it| given(it, "userAssignedIdentity"))
            .map(|it| it.as_str().unwrap_or_default());
        match word.map(str::to_ascii_lowercase).as_deref() {
            None | Some("keybased") => match given(self.body, "identity").is_some() {
                true => self.no("identity", "an identity is used with `identityBased` only"),
                false => Ok(Shows::KeyBased),
            },
            Some("identitybased") => match named {
                None => Ok(Shows::IdentityBased(None)),
                Some(id) => match user_assigned_id(id) {
                    Some(scope) => Ok(Shows::IdentityBased(Some(scope.as_str().to_owned()))),
                    None => {
                        let what = "the id of a user-assigned identity is expected; for the hub's own leave it out";
                        self.no("identity.userAssignedIdentity", what)
                    }
                },
            },
            Some(_) => self.no(name, "expected `keyBased` or `identityBased`"),
        }
    }

    fn wanted(&self, kind: Kind, names: &Names, env: &Env) -> Result<Wanted, Error> {
        let shows = self.shows(names.shows)?;
        let output = self.container(names.output, &shows, env)?;
        let input = match kind {
            Kind::Import => {
                let container = self.container(names.input, &shows, env)?;
                Some(Place { container, blob: self.blob("inputBlobName", DEVICES)? })
            }
            Kind::Export => {
                let of_import = [names.input, "inputBlobName"];
                if let Some(name) = of_import.into_iter().find(|it| given(self.body, it).is_some())
                {
                    return self.no(name, "only an import reads");
                }
                None
            }
        };
        let default = if kind == Kind::Import { ERRORS } else { DEVICES };
        let blob = self.blob(names.output_blob, default)?;
        let configurations = self.blob("configurationsBlobName", CONFIGURATIONS)?;
        let excludes_keys = self.flag(names.excludes_keys)?;
        let configurations = self.flag("includeConfigurations")?.then_some(configurations);
        let output = Place { container: output, blob };
        Ok(Wanted { kind, input, output, excludes_keys, shows, configurations })
    }
}

impl Wanted {
    /// Reads the body of the service API.
    ///
    /// # Errors
    /// [`Error::DeviceInvalid`] with the member that is wrong.
    pub(super) fn read(body: &Value, env: &Env) -> Result<Self, Error> {
        let refuse = |at: &str, message| Error::DeviceInvalid { at: at.to_owned(), message };
        let reader = Reader { body, refuse };
        let kind = match text(body, &["type"]).unwrap_or("").to_ascii_lowercase().as_str() {
            "import" => Kind::Import,
            "export" => Kind::Export,
            _ => return reader.no("type", "expected `import` or `export`"),
        };
        reader.wanted(kind, &OF_SERVICE, env)
    }

    /// Reads a body of the control plane.
    ///
    /// # Errors
    /// [`Error::Invalid`], likewise.
    pub(super) fn read_of_hub(kind: Kind, body: &Value, env: &Env) -> Result<Self, Error> {
        let reader = Reader { body, refuse: |at, message| Error::invalid(at.to_owned(), message) };
        let names = if kind == Kind::Import { &OF_IMPORT } else { &OF_EXPORT };
        reader.wanted(kind, names, env)
    }

    /// Adds it to what is shown, in the words of the service API and without signatures.
    pub(super) fn show(&self, all: &mut Value) {
        let (input, output) = (self.input.as_ref(), &self.output);
        let plain = |it: &Place| it.container.split('?').next().unwrap_or_default().to_owned();
        let (shows, identity) = match &self.shows {
            Shows::KeyBased => ("keyBased", None),
            Shows::IdentityBased(None) => ("identityBased", None),
            Shows::IdentityBased(Some(id)) => ("identityBased", Some(id)),
        };
        let members = [
            ("inputBlobContainerUri", json!(input.map(plain))),
            ("inputBlobName", json!(input.map(|it| &it.blob))),
            ("outputBlobContainerUri", json!(plain(output))),
            ("outputBlobName", json!(output.blob)),
            ("excludeKeysInExport", json!(self.excludes_keys)),
            ("storageAuthenticationType", json!(shows)),
            ("identity", json!(identity.map(|it| json!({ "userAssignedIdentity": it })))),
            ("includeConfigurations", json!(self.configurations.is_some())),
            ("configurationsBlobName", json!(self.configurations)),
        ];
        members.into_iter().for_each(|(name, value)| set(all, name, value));
    }

    pub(super) fn forget_signatures(&mut self) {
        for place in self.input.iter_mut().chain([&mut self.output]) {
            let end = place.container.find('?').unwrap_or(place.container.len());
            place.container.truncate(end);
        }
    }
}
