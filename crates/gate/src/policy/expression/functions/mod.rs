//! The functions that policies have besides the common ones: one row each. They look at the call that is judged.
//!
//! Source of what each does: Azure Policy definition structure, "Policy functions".

mod addresses;
mod surroundings;

use super::Fault;
use crate::policy::evaluate::Env;
use ::expression::Given;
use serde_json::Value;
use std::fmt;

/// A function, as every call of it shares it.
#[derive(Clone, Copy)]
pub enum Function {
    /// From its arguments alone.
    Common(&'static ::expression::Function),
    Own(&'static Own),
}

/// A function that only policies have, or have in a way of their own.
pub struct Own {
    name: &'static str,
    least: usize,
    most: usize,
    pub(super) run: Run,
}

/// How it comes to its value.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// From its arguments alone.
    Alone(fn(&Given<'_>) -> Result<Value, Fault>),
    /// From the call that is judged, too.
    Around(fn(&Given<'_>, Env<'_>) -> Result<Value, Fault>),
    If,
    Field,
    Current,
    Parameters,
}

impl Function {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Common(it) => it.name,
            Self::Own(it) => it.name,
        }
    }

    /// True where it has the same value whatever is judged.
    pub(super) const fn is_static(&self) -> bool {
        match self {
            Self::Common(_) => true,
            Self::Own(it) => matches!(it.run, Run::Alone(_) | Run::If | Run::Parameters),
        }
    }

    /// Why it cannot have so many arguments, where it cannot.
    pub(super) fn misfit(&self, given: usize) -> Option<String> {
        match self {
            Self::Common(it) => it.misfit(given),
            Self::Own(it) => {
                let fits = (it.least..=it.most).contains(&given);
                (!fits).then(|| ::expression::arity_fault(it.name, it.least, it.most, given))
            }
        }
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const fn row(name: &'static str, least: usize, most: usize, run: Run) -> Own {
    Own { name, least, most, run }
}

static OWN: &[Own] = &[
    row("addDays", 2, 2, Run::Alone(surroundings::add_days)),
    row("current", 0, 1, Run::Current),
    row("field", 1, 1, Run::Field),
    row("if", 3, 3, Run::If),
    row("ipRangeContains", 2, 2, Run::Alone(addresses::ip_range_contains)),
    row("parameters", 1, 1, Run::Parameters),
    row("policy", 0, 0, Run::Around(surroundings::policy)),
    row("requestContext", 0, 0, Run::Around(surroundings::request_context)),
    row("resourceGroup", 0, 0, Run::Around(surroundings::resource_group)),
    row("subscription", 0, 0, Run::Around(surroundings::subscription)),
    row("utcNow", 0, 0, Run::Around(surroundings::utc_now)),
];

/// The names of all functions, in their order.
pub fn functions() -> Vec<&'static str> {
    let common = ::expression::FUNCTIONS.iter().map(|it| it.name);
    let mut all: Vec<&str> = common.chain(OWN.iter().map(|it| it.name)).collect();
    all.sort_by_key(|it| it.to_ascii_lowercase());
    all
}

pub(super) fn find(name: &str) -> Option<Function> {
    let own = OWN.iter().find(|it| it.name.eq_ignore_ascii_case(name)).map(Function::Own);
    own.or_else(|| ::expression::find(name).map(Function::Common))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::lacking;

    #[test]
    fn every_function_stands_once_and_is_not_said_to_be_lacking() {
        let names = functions();
        let mut folded: Vec<String> = names.iter().map(|it| it.to_ascii_lowercase()).collect();
        folded.dedup();
        assert_eq!(folded.len(), names.len());
        for it in names {
            assert!(!lacking::NEVER.contains(&it), "{it}");
            assert_eq!(lacking::lacking(lacking::FUNCTIONS, it), None, "{it}");
        }
    }
}
