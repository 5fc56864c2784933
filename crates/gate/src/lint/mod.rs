//! What is likely not meant: policies that would stop provisioning or open too much, rules that nothing reaches, roles
//! that grant nothing or more than they say.
//!
//! Start at [`policy`]; [`live`] does the same for everything that is, and [`hits`] tells whom policies refuse. Nothing
//! is read off the rules here: calls are made up, laid before the very gates that serve, and what those say is told. So
//! a warning about a policy always has a call behind it; where no call was found, nothing is said, which proves
//! nothing. Nothing here permits or denies.

mod hits;
mod live;
mod planes;
mod provisioning;
mod reach;
mod rehearse;
mod stopped;
mod unknown;
mod wanted;

pub use hits::{Hit, Refused, Registration, hits};
pub use live::{Found, live};
pub use planes::role;
pub use rehearse::{Refusal, Rehearsed, rehearse};
pub use stopped::newly_stopped;

use crate::policy::{NotAPolicy, PolicyDefinition, Values, bind, parse};
use model::ObjectId;
use serde_json::Value;

/// What is wrong, as programs name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Code {
    /// A device that a provisioning service registers would be refused.
    StopsProvisioning,
    /// A rule that an earlier one leaves nothing of.
    NeverReached,
    /// An exception that lets everybody past a denial.
    OpensForEveryone,
    /// An exemption that has ended and lifts nothing.
    ExpiredExemption,
    /// A role assignment without which the same is granted.
    NeedlessAssignment,
    /// Somebody who reaches more than its roles say.
    Escalates,
    /// An action among data actions, or a data action among actions.
    WrongPlane,
    /// An action that nothing here and nothing of Azure's has.
    UnknownAction,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StopsProvisioning => "StopsProvisioning",
            Self::NeverReached => "NeverReached",
            Self::OpensForEveryone => "OpensForEveryone",
            Self::ExpiredExemption => "ExpiredExemption",
            Self::NeedlessAssignment => "NeedlessAssignment",
            Self::Escalates => "Escalates",
            Self::WrongPlane => "WrongPlane",
            Self::UnknownAction => "UnknownAction",
        }
    }
}

/// One thing that is likely not meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Warning {
    /// Where: `policyRule[1]`, `permissions[0].actions`.
    pub at: String,
    /// Which of the definition's rules, from 0.
    pub rule: Option<usize>,
    pub code: Code,
    /// One sentence without a full stop.
    pub because: String,
    /// What to do, likewise.
    pub advice: String,
}

/// Warnings about a definition's `properties`, in the order of its rules.
///
/// `parameters` are what an assignment would give, `{"effect": {"value": "Deny"}}`. `identities` are the object
/// ids of the provisioning services that must get through; where there are none, one that the rules name
/// somewhere is taken for it.
///
/// # Errors
/// Where the definition would be refused when it is written, with its place, or a parameter has no value.
pub fn policy(
    properties: &Value,
    parameters: Option<&Value>,
    identities: &[ObjectId],
) -> Result<Vec<Warning>, NotAPolicy> {
    let (definition, given) = defined(properties, parameters)?;
    let told =
        provisioning::Told { properties, definition: &definition, given: &given, identities };
    let mut found = provisioning::stopped(&told);
    found.extend(by_themselves(&told));
    found.sort();
    Ok(found)
}

/// A definition by itself, and what an assignment would give it.
fn defined(
    properties: &Value,
    parameters: Option<&Value>,
) -> Result<(PolicyDefinition, Values), NotAPolicy> {
    let parsed = parse(properties)?;
    let definition = PolicyDefinition {
        id: provisioning::definition_id(),
        name: provisioning::NAME.into(),
        display_name: String::new(),
        version: "1.0.0".into(),
        parameters: parsed.parameters,
        rules: parsed.rules,
    };
    let given = bind(&definition, parameters)?;
    Ok((definition, given))
}

/// Warnings that hold whoever the provisioning services are.
fn by_themselves(told: &provisioning::Told<'_>) -> Vec<Warning> {
    reach::unreached(told).into_iter().chain(reach::open_to_all(told)).collect()
}

/// Where a rule stands in its definition.
fn place(properties: &Value, rule: usize) -> String {
    for name in ["policyRule", "policyRules"] {
        match model::json::member(properties, name) {
            Some(Value::Array(_)) => return format!("{name}[{rule}]"),
            Some(_) => return name.to_owned(),
            None => {}
        }
    }
    String::new()
}

#[cfg(test)]
mod tests;
