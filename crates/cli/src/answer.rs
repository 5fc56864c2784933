//! What the decisions API answers, as the client reads it.

use model::Trace;
use serde::Deserialize;

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
