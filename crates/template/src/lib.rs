//! Templates: from a template, its parameters and what is known of the place to a plan of resources in their order.
//!
//! Start at [`Plan::new`]. Names, conditions and copies are settled there; the bodies of resources and the outputs
//! are evaluated one at a time while the plan is carried out ([`Plan::body`], [`Plan::outputs`]), as `reference()`
//! speaks of what is there by then. What an evaluation lacks it names ([`Need`]); who carries the plan out fetches
//! it and asks again. Pure: the time, ids and everything that is read are arguments.
//!
//! Source: Azure Resource Manager documentation, "Understand the structure and syntax of ARM templates" and
//! "Template functions".

mod evaluate;
mod functions;
mod ids;
mod nested;
mod order;
mod parameters;
mod plan;
mod read;
mod settle;

pub use nested::DEPLOYMENTS;
pub use plan::{Output, Plan, Planned};

use expression::Fault;
use model::{Scope, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Most resources of one template, each copy counted. Source of this and the next four: Azure Resource Manager
/// documentation, "Template best practices", template limits.
pub const RESOURCES_MAX: usize = 800;
/// Most parameters.
pub const PARAMETERS_MAX: usize = 256;
/// Most variables.
pub const VARIABLES_MAX: usize = 256;
/// Most outputs.
pub const OUTPUTS_MAX: usize = 64;
/// Longest expression, in characters with both brackets.
pub const EXPRESSION_CHARS_MAX: usize = 24_576;
/// Most iterations of one `copy`. Source: "Resource iteration in ARM templates".
pub const COPIES_MAX: i64 = 800;
/// Most bytes of the parameters that a deployment shows, and of its outputs.
pub const SHOWN_BYTES_MAX: usize = 4 << 20;
/// Most resources that evaluating one resource may ask about.
pub const NEEDS_MAX: usize = 64;

/// What stands around a template.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The resource group, subscription, management group or tenant that is deployed to.
    pub scope: Scope,
    pub resource_group: Option<Value>,
    pub subscription: Option<Value>,
    pub tenant: Value,
    pub environment: Value,
    pub deployment: Value,
    pub now: Timestamp,
}

/// Why a template or its parameters cannot be deployed: a sentence for whoever wrote them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotATemplate(pub String);

impl fmt::Display for NotATemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotATemplate {}

impl From<Fault> for NotATemplate {
    fn from(it: Fault) -> Self {
        Self(it.0)
    }
}

/// Something that is only known once the plan is carried out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Need {
    /// A resource as it is shown.
    Resource { id: String, api_version: Option<String> },
    /// What `POST {id}/{function}` answers.
    List { id: String, function: String, api_version: String },
}

/// What was fetched of it so far.
pub type Known = BTreeMap<Need, Value>;

/// Why something has no value, or not yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    Fault(String),
    Needs(Need),
}

impl Stop {
    /// # Errors
    /// Always: the fault itself.
    fn fault<T>(because: impl Into<String>) -> Result<T, Self> {
        Err(Self::Fault(because.into()))
    }

    /// The same where nothing can be fetched.
    fn before_it_runs(self) -> NotATemplate {
        NotATemplate(match self {
            Self::Fault(it) => it,
            Self::Needs(_) => {
                "`reference` and `list...` have no value before the deployment runs: names, conditions, copies, \
                 scopes and variables cannot use them"
                    .to_owned()
            }
        })
    }

    /// The same of a place in the template.
    fn at(self, place: &str) -> Self {
        match self {
            Self::Fault(it) => Self::Fault(format!("{place}: {it}")),
            Self::Needs(it) => Self::Needs(it),
        }
    }
}

impl From<Fault> for Stop {
    fn from(it: Fault) -> Self {
        Self::Fault(it.0)
    }
}

#[cfg(test)]
mod tests;
