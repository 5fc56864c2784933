//! What a call would write or delete, as policy looks at it and a trace keeps it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a call would do to an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    #[default]
    Write,
    Delete,
    /// Deleted along with the resource group that it lies in: the call names the group alone.
    DeleteWithGroup,
    /// Written at another place: the call names the group that it leaves, and the object where it would lie.
    Move,
}

impl Verb {
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::Move)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    const fn is_usual(&self) -> bool {
        matches!(self, Self::Write)
    }
}

/// What policy looks at: the resource that the call would write or delete.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    pub id: String,
    /// The body as it would be stored, or as it is stored of what would be deleted, without its secrets.
    pub body: Value,
    #[serde(default, skip_serializing_if = "Verb::is_usual")]
    pub verb: Verb,
}

/// How the text begins that stands in place of a body.
const LEFT_OUT: &str = "left out: larger than ";

impl Object {
    /// Puts a sentence in the place of a body of more bytes.
    pub fn shorten(&mut self, bytes_max: usize) {
        if self.body.to_string().len() > bytes_max {
            self.body = Value::String(format!("{LEFT_OUT}{bytes_max} bytes"));
        }
    }

    /// True where there is no body any more. What can be written is a JSON object, so no body reads like this.
    pub fn is_shortened(&self) -> bool {
        self.body.as_str().is_some_and(|it| it.starts_with(LEFT_OUT))
    }
}
