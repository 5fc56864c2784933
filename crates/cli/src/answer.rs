//! What the decisions API answers, as the client reads it.

use crate::explain::pretty;
use crate::page::Page;
use crate::{Failure, Format, show};
use model::Trace;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Prints an answer as it came, or laid out for a person.
pub(crate) fn print<A: DeserializeOwned>(
    output: Format,
    body: &Value,
    render: impl FnOnce(&A, Page) -> String,
) -> Result<(), Failure> {
    match output {
        // Unchanged, even where a newer server says more than is known here.
        Format::Json => show(&pretty(body)),
        Format::Table => show(&render(&read(body)?, Page::for_stdout())),
    }
}

/// What a body says, in the shape that is known here.
pub(crate) fn read<A: DeserializeOwned>(body: &Value) -> Result<A, Failure> {
    A::deserialize(body).map_err(|it| {
        Failure::Failed(format!(
            "the server's answer cannot be read ({it}); is one of the two older than the other?"
        ))
    })
}

/// A decision with what would change it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) decision: Trace,
    /// True where conditions, rules and role assignments are left out, because the asker may not read them.
    #[serde(default)]
    pub(crate) redacted: bool,
    /// The smallest first.
    #[serde(default)]
    pub(crate) fixes: Vec<Fix>,
}

/// One change that would turn a refusal into a yes, or bring it nearer to one.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Fix {
    /// One sentence.
    pub(crate) says: String,
    /// One line for a shell.
    #[serde(default)]
    pub(crate) command: Option<String>,
    /// What the same call would meet next.
    #[serde(default)]
    pub(crate) then: Option<String>,
    /// What else the change would allow.
    #[serde(default)]
    pub(crate) warning: Option<String>,
}
