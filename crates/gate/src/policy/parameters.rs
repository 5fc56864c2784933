//! Parameters: what a definition declares, and the values that an assignment gives them.
//!
//! Values are checked when they are written; a decision looks them up, see [`Arguments`].

use super::evaluate::EvaluationError;
use super::{Effect, Kind, Parsed, PolicyDefinition, Rule, Then};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Most parameters of a definition.
pub const PARAMETERS_MAX: usize = 20;
/// Longest name of a parameter.
const NAME_CHARS_MAX: usize = 64;

/// One parameter of a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    pub name: String,
    pub kind: Kind,
    pub default: Option<Value>,
    /// The values that it may have; of a list, the members. Compared with regard to case.
    pub allowed: Option<Vec<Value>>,
}

impl Declaration {
    /// Why it cannot have this value.
    fn misfit(&self, value: &Value) -> Option<String> {
        if !self.kind.takes(value) {
            return Some(format!("`{}` takes a value of type {}", self.name, self.kind.as_str()));
        }
        let allowed = self.allowed.as_ref()?;
        let is_allowed = allowed.contains(value)
            || value.as_array().is_some_and(|all| all.iter().all(|it| allowed.contains(it)));
        (!is_allowed)
            .then(|| format!("`{}` takes one of {}", self.name, Value::Array(allowed.clone())))
    }
}

/// The parameters of a definition, by their names in lower case: names compare without regard to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared(Arc<BTreeMap<String, Declaration>>);

/// What an assignment gives to the parameters of its definition, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values(Arc<BTreeMap<String, (String, Value)>>);

/// The values by which rules are evaluated: what was given, and behind it the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    pub declared: &'a Declared,
    pub given: &'a Values,
}

impl Values {
    /// Values that are checked elsewhere, or by whoever asks for them.
    pub(super) fn unchecked(values: impl IntoIterator<Item = (String, Value)>) -> Self {
        let entries = values.into_iter().map(|(name, it)| (name.to_ascii_lowercase(), (name, it)));
        Self(Arc::new(entries.collect()))
    }
}

impl<'a> Arguments<'a> {
    /// The value of a parameter by its name in lower case. None where the definition was changed after the
    /// assignment had given its values, to ask for one more.
    pub(super) fn get(self, key: &str) -> Option<&'a Value> {
        let declared = self.declared.0.get(key)?;
        self.given.0.get(key).map(|(_, it)| it).or(declared.default.as_ref())
    }
}

/// Parameters that cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParameterFault {
    /// The code that Azure Resource Manager answers with.
    pub code: &'static str,
    pub at: String,
    pub because: String,
    /// What Azure's policies have and these do not, where that is the reason.
    pub lacks: Option<&'static str>,
}

impl fmt::Display for ParameterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.because)
    }
}

impl std::error::Error for ParameterFault {}

impl ParameterFault {
    pub(super) fn new(
        code: &'static str,
        at: impl Into<String>,
        because: impl Into<String>,
    ) -> Self {
        Self { code, at: at.into(), because: because.into(), lacks: None }
    }
}

/// A value or a declaration does not fit.
pub(super) const INVALID: &str = "InvalidPolicyParameters";
/// A value is missing that has no default.
const MISSING: &str = "MissingPolicyParameter";
/// A value is given to what is not declared.
const UNDEFINED: &str = "UndefinedPolicyParameter";
/// A change that the assignments of the definition could not follow.
const UPDATE: &str = "InvalidPolicyParameterUpdate";

impl Declared {
    /// Reads a definition's `parameters`.
    pub fn parse(value: Option<&Value>) -> Result<Self, ParameterFault> {
        let invalid = |at: String, because: String| ParameterFault::new(INVALID, at, because);
        let given = match value {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Object(it)) => it,
            Some(_) => return Err(invalid("parameters".into(), "this is an object".into())),
        };
        if given.len() > PARAMETERS_MAX {
            return Err(invalid(
                "parameters".into(),
                format!("more than {PARAMETERS_MAX} parameters"),
            ));
        }
        let mut found = BTreeMap::new();
        for (name, told) in given {
            let at = format!("parameters.{name}");
            let it = declaration(&at, name, told).map_err(|(at, because)| invalid(at, because))?;
            if found.insert(name.to_ascii_lowercase(), it).is_some() {
                return Err(invalid(at, "two names differ by case alone".into()));
            }
        }
        Ok(Self(Arc::new(found)))
    }

    pub fn get(&self, name: &str) -> Option<&Declaration> {
        self.0.get(&name.to_ascii_lowercase())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Declaration> {
        self.0.values()
    }

    /// Checks what an assignment gives, `{"name": {"value": ...}}`: each is declared, fits, and none is
    /// missing.
    pub fn bind(&self, value: Option<&Value>) -> Result<Values, ParameterFault> {
        let empty = Map::new();
        let given = match value {
            None | Some(Value::Null) => &empty,
            Some(Value::Object(it)) => it,
            Some(_) => return Err(ParameterFault::new(INVALID, "parameters", "this is an object")),
        };
        let mut found = BTreeMap::new();
        for (name, told) in given {
            let at = format!("parameters.{name}");
            let Some(value) = model::json::member(told, "value") else {
                let because = "a parameter is given as {\"value\": ...}";
                return Err(ParameterFault::new(INVALID, at, because));
            };
            let Some(declared) = self.get(name) else {
                let because = "the definition declares no such parameter";
                return Err(ParameterFault::new(UNDEFINED, at, because));
            };
            if let Some(because) = declared.misfit(value) {
                return Err(ParameterFault::new(INVALID, format!("{at}.value"), because));
            }
            let entry = (declared.name.clone(), value.clone());
            if found.insert(name.to_ascii_lowercase(), entry).is_some() {
                return Err(ParameterFault::new(INVALID, at, "two names differ by case alone"));
            }
        }
        self.check_missing(|key| found.contains_key(key))?;
        Ok(Values(Arc::new(found)))
    }

    /// Checks the names that are given, whatever their values will be.
    pub(super) fn check_names<'a>(
        &self,
        given: impl Iterator<Item = &'a str>,
    ) -> Result<(), ParameterFault> {
        let mut found = BTreeSet::new();
        for name in given {
            if self.get(name).is_none() {
                let because = "the definition declares no such parameter";
                return Err(ParameterFault::new(UNDEFINED, format!("parameters.{name}"), because));
            }
            found.insert(name.to_ascii_lowercase());
        }
        self.check_missing(|key| found.contains(key))
    }

    fn check_missing(&self, is_given: impl Fn(&str) -> bool) -> Result<(), ParameterFault> {
        let missing: Vec<&str> = self
            .0
            .iter()
            .filter(|(key, it)| it.default.is_none() && !is_given(key))
            .map(|(_, it)| it.name.as_str())
            .collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(ParameterFault::new(
                MISSING,
                "parameters",
                format!("`{}` must be given a value", missing.join("`, `")),
            )),
        }
    }

    /// Checks a change of a definition that may be assigned: types stay, and what is new has a default.
    pub fn check_change_from(&self, former: &Self) -> Result<(), ParameterFault> {
        for (key, new) in &*self.0 {
            let at = format!("parameters.{}", new.name);
            match former.0.get(key) {
                Some(old) if old.kind != new.kind => {
                    let because = format!(
                        "the type of a parameter cannot change; this one is {}",
                        old.kind.as_str()
                    );
                    return Err(ParameterFault::new(UPDATE, format!("{at}.type"), because));
                }
                None if new.default.is_none() => {
                    let because = "a parameter that is added later needs a default value";
                    return Err(ParameterFault::new(UPDATE, at, because));
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }
}

/// Binds what an assignment gives to its definition, and checks that every rule has an effect then.
pub fn bind(
    definition: &PolicyDefinition,
    given: Option<&Value>,
) -> Result<Values, ParameterFault> {
    let values = definition.parameters.bind(given)?;
    check_effects(&definition.rules, &definition.parameters, &values)?;
    Ok(values)
}

fn check_effects(
    rules: &[Rule],
    declared: &Declared,
    given: &Values,
) -> Result<(), ParameterFault> {
    for rule in rules {
        let effect: Result<Effect, EvaluationError> = rule.effect(Arguments { declared, given });
        if let Err(error) = effect {
            return Err(ParameterFault {
                lacks: rule.lacking_effect(Arguments { declared, given }),
                ..ParameterFault::new(INVALID, error.at, error.because)
            });
        }
    }
    Ok(())
}

impl Parsed {
    /// Checks the effects that the defaults give, of each rule whose parameters have them.
    pub fn check_defaults(&self) -> Result<(), ParameterFault> {
        let (declared, given) = (&self.parameters, &Values::default());
        let has_defaults = |rule: &Rule| match &rule.then {
            Then::Is(_) => false,
            Then::Computed { template, .. } => match template.parameter() {
                Some(name) => declared.get(name).is_some_and(|it| it.default.is_some()),
                None => declared.iter().all(|it| it.default.is_some()),
            },
        };
        let rules = self.rules.iter().filter(|it| has_defaults(it));
        rules.map(std::slice::from_ref).try_for_each(|it| check_effects(it, declared, given))
    }
}

fn declaration(at: &str, name: &str, told: &Value) -> Result<Declaration, (String, String)> {
    let refuse = |at: String, because: &str| Err((at, because.to_owned()));
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return refuse("parameters".into(), "a name has 1 to 64 characters");
    }
    let Some(members) = told.as_object() else {
        return refuse(at.to_owned(), "a parameter is an object with a `type`");
    };
    const KNOWN: [&str; 5] = ["type", "defaultValue", "allowedValues", "metadata", "schema"];
    for key in members.keys() {
        if !KNOWN.iter().any(|it| it.eq_ignore_ascii_case(key)) {
            return refuse(
                format!("{at}.{key}"),
                "a parameter has type, defaultValue, allowedValues, metadata and schema",
            );
        }
    }
    let member = |name: &str| model::json::member(told, name).filter(|it| !it.is_null());
    let Some(kind) = member("type").and_then(Value::as_str).and_then(Kind::parse) else {
        let possible: Vec<&str> = Kind::ALL.iter().map(|(_, it)| *it).collect();
        return Err((format!("{at}.type"), format!("types are {}", possible.join(", "))));
    };
    if member("schema").is_some() {
        return refuse(format!("{at}.schema"), "schemas of objects are not checked here");
    }
    let allowed = match member("allowedValues") {
        None => None,
        Some(Value::Array(it)) if !it.is_empty() => Some(it.clone()),
        Some(_) => {
            return refuse(format!("{at}.allowedValues"), "this is a list that is not empty");
        }
    };
    let of_members = kind == Kind::Array;
    if let Some(all) = &allowed
        && !of_members
        && !all.iter().all(|it| kind.takes(it))
    {
        let because = format!("every value is of type {}", kind.as_str());
        return Err((format!("{at}.allowedValues"), because));
    }
    let declared = Declaration {
        name: name.to_owned(),
        kind,
        default: member("defaultValue").cloned(),
        allowed,
    };
    match declared.default.as_ref().and_then(|it| declared.misfit(it)) {
        Some(because) => Err((format!("{at}.defaultValue"), because)),
        None => Ok(declared),
    }
}

impl Values {
    /// As they are kept in an assignment's document: they were checked when it was written.
    pub fn kept(value: Option<&Value>) -> Self {
        let all = value.and_then(Value::as_object).into_iter().flatten();
        let entries = all.filter_map(|(name, told)| {
            let value = model::json::member(told, "value")?.clone();
            Some((name.to_ascii_lowercase(), (name.clone(), value)))
        });
        Self(Arc::new(entries.collect()))
    }

    /// As an assignment gives them: `{"name": {"value": ...}}`.
    pub fn shown(&self) -> Value {
        let all = self.0.values().map(|(name, it)| (name.clone(), json!({ "value": it })));
        Value::Object(all.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(value: Value) -> Result<Declared, ParameterFault> {
        Declared::parse(Some(&value))
    }

    #[test]
    fn a_parameter_takes_what_is_of_its_type() {
        let check = |kind: &str, value: Value, is_taken: bool| {
            let all = declared(json!({ "p": { "type": kind } })).unwrap();
            let bound = all.bind(Some(&json!({ "P": { "value": value } })));
            assert_eq!(bound.is_ok(), is_taken, "{kind} {value}");
        };
        check("string", json!("x"), true);
        check("String", json!(1), false);
        check("Array", json!(["x"]), true);
        check("Array", json!("x"), false);
        check("Object", json!({}), true);
        check("Object", json!([]), false);
        check("Boolean", json!(true), true);
        check("Boolean", json!("true"), false);
        check("Integer", json!(5), true);
        check("Integer", json!(5.5), false);
        check("Float", json!(5.5), true);
        check("Float", json!("5.5"), false);
        check("DateTime", json!("2026-11-22T08:00:00Z"), true);
        check("DateTime", json!("soon"), false);
        check("String", Value::Null, false);
    }

    #[test]
    fn a_fault_has_the_code_that_clients_know() {
        let all =
            declared(json!({ "effect": { "type": "String", "allowedValues": ["Audit", "Deny"] },
            "places": { "type": "Array", "defaultValue": [], "allowedValues": ["a", "b"] } }))
            .unwrap();
        let check = |given: Value, code: &str, at: &str| {
            let fault = all.bind(Some(&given)).unwrap_err();
            assert_eq!((fault.code, fault.at.as_str()), (code, at), "{fault}");
        };
        check(json!({}), MISSING, "parameters");
        check(json!({ "x": { "value": 1 } }), UNDEFINED, "parameters.x");
        check(json!({ "effect": "Deny" }), INVALID, "parameters.effect");
        check(json!({ "effect": { "value": "deny" } }), INVALID, "parameters.effect.value");
        check(
            json!({ "effect": { "value": "Deny" }, "places": { "value": ["a", "c"] } }),
            INVALID,
            "parameters.places.value",
        );
        check(json!([]), INVALID, "parameters");
        let values =
            all.bind(Some(&json!({ "EFFECT": { "value": "Deny" }, "places": { "value": ["b"] } })));
        let values = values.unwrap();
        assert_eq!(values.shown()["effect"]["value"], json!("Deny"));
        let arguments = Arguments { declared: &all, given: &values };
        assert_eq!(arguments.get("places"), Some(&json!(["b"])));
        assert_eq!(arguments.get("nobody"), None);
    }

    #[test]
    fn a_default_stands_in_for_what_is_not_given() {
        let all = declared(json!({ "p": { "type": "Integer", "defaultValue": 7 } })).unwrap();
        let values = all.bind(None).unwrap();
        assert_eq!(Arguments { declared: &all, given: &values }.get("p"), Some(&json!(7)));
        assert_eq!(values.shown(), json!({}));
    }

    #[test]
    fn a_declaration_that_makes_no_sense_is_refused_with_its_place() {
        let check = |told: Value, at: &str| {
            assert_eq!(declared(json!({ "p": told })).unwrap_err().at, at);
        };
        check(json!({}), "parameters.p.type");
        check(json!({ "type": "Text" }), "parameters.p.type");
        check(json!({ "type": "String", "default": 1 }), "parameters.p.default");
        check(json!({ "type": "String", "defaultValue": 1 }), "parameters.p.defaultValue");
        check(json!({ "type": "String", "allowedValues": [] }), "parameters.p.allowedValues");
        check(json!({ "type": "String", "allowedValues": [1] }), "parameters.p.allowedValues");
        check(
            json!({ "type": "String", "allowedValues": ["a"], "defaultValue": "b" }),
            "parameters.p.defaultValue",
        );
        assert!(declared(json!({ "p": { "type": "String" }, "P": { "type": "String" } })).is_err());
        let many = |count: usize| {
            let all = (0..count).map(|it| (format!("p{it}"), json!({ "type": "String" })));
            declared(Value::Object(all.collect()))
        };
        assert!(many(PARAMETERS_MAX).is_ok());
        assert!(many(PARAMETERS_MAX + 1).is_err());
    }

    #[test]
    fn a_type_stays_and_what_is_new_has_a_default() {
        let old = declared(json!({ "p": { "type": "String" } })).unwrap();
        let change =
            |new: Value| declared(new).unwrap().check_change_from(&old).map_err(|it| it.code);
        assert_eq!(change(json!({ "p": { "type": "string", "defaultValue": "x" } })), Ok(()));
        assert_eq!(change(json!({})), Ok(()));
        assert_eq!(change(json!({ "p": { "type": "Array" } })), Err(UPDATE));
        let with = |more: Value| json!({ "p": { "type": "String" }, "q": more });
        assert_eq!(change(with(json!({ "type": "String" }))), Err(UPDATE));
        assert_eq!(change(with(json!({ "type": "String", "defaultValue": "" }))), Ok(()));
    }
}
