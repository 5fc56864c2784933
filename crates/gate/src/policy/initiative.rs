//! Initiatives: several definitions under one name, assigned together.
//!
//! An initiative is the rules of its members one after another: their order decides, as the order of rules
//! in one definition does. Each write finds the members' latest content, so nothing is copied here.
//! Source: Azure Policy documentation, "Azure Policy initiative definition structure".

use super::evaluate::constant;
use super::expression::Scope;
use super::parameters::INVALID;
use super::selectors::{known, optional_text, refuse};
use super::{
    Arguments, Declared, EvaluationError, Names, NotAPolicy, PARAMETERS_MAX, ParameterFault,
    PolicyAssignment, PolicyDefinition, Template, Values, bind,
};
use crate::facts::Facts;
use model::json::{member, text};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most members of an initiative, and most groups that they are sorted into.
pub const MEMBERS_MAX: usize = 1_000;

/// A policy set definition.
#[derive(Clone, Debug)]
pub struct Initiative {
    /// Its full id.
    pub id: String,
    pub name: String,
    pub display_name: String,
    pub version: String,
    pub parameters: Declared,
    /// In the order in which their rules are walked.
    pub members: Vec<Member>,
}

/// A definition as an initiative holds it: which one, under which name, and what it gives to the
/// definition's parameters.
#[derive(Clone, Debug)]
pub struct Member {
    /// Unique in its initiative, without regard to case.
    pub reference_id: String,
    pub definition_id: String,
    /// The same in lower case, by which the definition is found.
    pub definition_key: String,
    /// The version that is asked for, `1.*.*` for one; the latest content must be of it.
    pub version: Option<String>,
    given: Given,
}

/// What a member gives to the parameters of its definition.
#[derive(Clone, Debug)]
enum Given {
    /// The same for every assignment.
    Fixed(Values),
    /// Parameters of the initiative say. By name, each with where it stands.
    Computed(Vec<(String, String, Template)>),
}

impl Member {
    /// The values for its definition, under those of the initiative.
    fn given(&self, arguments: Arguments<'_>) -> Result<Cow<'_, Values>, EvaluationError> {
        let templates = match &self.given {
            Given::Fixed(it) => return Ok(Cow::Borrowed(it)),
            Given::Computed(it) => it,
        };
        let mut values = Vec::with_capacity(templates.len());
        for (name, at, template) in templates {
            let value = constant(template, arguments)
                .map_err(|it| EvaluationError { at: at.clone(), because: it.0 })?;
            values.push((name.clone(), value));
        }
        Ok(Cow::Owned(Values::unchecked(values)))
    }
}

impl Initiative {
    /// True where a member has this name.
    pub fn has(&self, reference_id: &str) -> bool {
        self.members.iter().any(|it| it.reference_id.eq_ignore_ascii_case(reference_id))
    }
}

/// True where a version fits what is asked for: `1.*.*`, `1.2.*` and `1.2.3` fit `1.2.3`.
pub fn version_fits(asked: &str, version: &str) -> bool {
    let (mut mine, mut its) = (asked.split('.'), version.split('.'));
    let fits = mine.by_ref().zip(its.by_ref()).all(|(a, b)| a == "*" || a == b);
    fits && asked.split('.').count() == version.split('.').count()
}

/// What an assignment brings to its scope.
#[derive(Clone, Copy)]
pub(crate) enum Brought<'a> {
    Definition(&'a PolicyDefinition),
    Initiative(&'a Initiative),
    /// What it names does not exist any more.
    Nothing,
}

/// One definition that an assignment brings, alone or as a member.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// `None` where it does not exist any more.
    pub(crate) definition: Option<&'a PolicyDefinition>,
    pub(super) member: Option<&'a Member>,
}

impl<'a> Brought<'a> {
    pub(crate) fn of(assignment: &PolicyAssignment, facts: &'a Facts) -> Self {
        let key = &assignment.definition_key;
        match facts.policy_definitions.get(key) {
            Some(it) => Self::Definition(it),
            None => facts.initiatives.get(key).map_or(Self::Nothing, |it| Self::Initiative(it)),
        }
    }

    pub(super) const fn initiative(self) -> Option<&'a Initiative> {
        match self {
            Self::Initiative(it) => Some(it),
            Self::Definition(_) | Self::Nothing => None,
        }
    }

    /// The values by which a part's rules are evaluated.
    pub(crate) fn given<'p>(
        self,
        assignment: &'p PolicyAssignment,
        part: Part<'p>,
    ) -> Result<Cow<'p, Values>, EvaluationError>
    where
        'a: 'p,
    {
        match (self, part.member) {
            (Self::Initiative(it), Some(member)) => {
                member.given(Arguments { declared: &it.parameters, given: &assignment.parameters })
            }
            (_, _) => Ok(Cow::Borrowed(&assignment.parameters)),
        }
    }

    /// By which policy is judged, for rules that ask.
    pub(super) fn names<'p>(
        self,
        assignment: &'p PolicyAssignment,
        definition: &'p PolicyDefinition,
        part: Part<'p>,
    ) -> Names<'p>
    where
        'a: 'p,
    {
        Names {
            assignment_id: &assignment.id,
            definition_id: &definition.id,
            set_definition_id: self.initiative().map(|it| it.id.as_str()),
            definition_reference_id: part.member.map(|it| it.reference_id.as_str()),
        }
    }

    /// In the order in which their rules are walked.
    pub(crate) fn parts(self, facts: &'a Facts) -> impl Iterator<Item = Part<'a>> {
        let (alone, members) = match self {
            Self::Definition(it) => (Some(Some(it)), &[][..]),
            Self::Nothing => (Some(None), &[][..]),
            Self::Initiative(it) => (None, it.members.as_slice()),
        };
        let alone = alone.map(|definition| Part { definition, member: None });
        alone.into_iter().chain(members.iter().map(|member| Part {
            definition: facts.policy_definitions.get(&member.definition_key).map(|it| &**it),
            member: Some(member),
        }))
    }
}

/// Reads `policyDefinitions` of an initiative's `properties`. A member without a reference id is named
/// after its definition, with a number behind the name where it is taken.
///
/// # Errors
/// The place that is not understood, below `properties`.
pub fn parse_members(properties: &Value, declared: &Declared) -> Result<Vec<Member>, NotAPolicy> {
    const MEMBERS: &[&str] = &[
        "policyDefinitionId",
        "policyDefinitionReferenceId",
        "parameters",
        "groupNames",
        "definitionVersion",
        // What a server says of versions, which clients send back as they read it.
        "latestDefinitionVersion",
        "effectiveDefinitionVersion",
    ];
    let at = "policyDefinitions";
    let all = member(properties, at).and_then(Value::as_array);
    let Some(all) = all.filter(|it| (1..=MEMBERS_MAX).contains(&it.len())) else {
        return refuse(at, format!("this is a list of 1 to {MEMBERS_MAX} definitions"));
    };
    let groups = groups(properties)?;
    let mut names = BTreeSet::new();
    for (index, told) in all.iter().enumerate() {
        let place = format!("{at}[{index}]");
        known(&place, told, MEMBERS)?;
        if let Some(name) = optional_text(&place, told, "policyDefinitionReferenceId")?
            && !names.insert(name.to_lowercase())
        {
            return refuse(
                &format!("{place}.policyDefinitionReferenceId"),
                format!("another member is called `{}`, too", name.escape_debug()),
            );
        }
    }
    let mut found = Vec::with_capacity(all.len());
    for (index, told) in all.iter().enumerate() {
        let place = format!("{at}[{index}]");
        let Some(id) = optional_text(&place, told, "policyDefinitionId")? else {
            return refuse(
                &format!("{place}.policyDefinitionId"),
                "the id of a policy definition is required",
            );
        };
        check_groups(&place, told, &groups)?;
        let reference_id = match text(told, &["policyDefinitionReferenceId"]) {
            Some(it) => it.to_owned(),
            None => named_after(id, &mut names),
        };
        found.push(Member {
            reference_id,
            definition_id: id.to_owned(),
            definition_key: id.to_ascii_lowercase(),
            version: optional_text(&place, told, "definitionVersion")?.map(str::to_owned),
            given: given(&format!("{place}.parameters"), told, declared)?,
        });
    }
    Ok(found)
}

/// Reads what a member gives: `{"name": {"value": ...}}`, where a value may be an expression over the
/// initiative's parameters.
fn given(at: &str, told: &Value, declared: &Declared) -> Result<Given, NotAPolicy> {
    let all = match member(told, "parameters") {
        None | Some(Value::Null) => return Ok(Given::Fixed(Values::default())),
        Some(Value::Object(it)) => it,
        Some(_) => return refuse(at, "this is an object"),
    };
    if all.len() > PARAMETERS_MAX {
        return refuse(at, format!("more than {PARAMETERS_MAX} parameters"));
    }
    let (mut templates, mut names) = (Vec::new(), BTreeSet::new());
    for (name, told) in all {
        let place = format!("{at}.{name}.value");
        let Some(value) = member(told, "value") else {
            return refuse(&format!("{at}.{name}"), "a parameter is given as {\"value\": ...}");
        };
        if !names.insert(name.to_lowercase()) {
            return refuse(&format!("{at}.{name}"), "two names differ by case alone");
        }
        let mut scope = Scope::new(declared);
        scope.is_static = true;
        let template = Template::parse(value, &mut scope).map_err(|it| NotAPolicy {
            at: place.clone(),
            because: it.because,
            lacks: it.lacks,
        })?;
        templates.push((name.clone(), place, template));
    }
    let literals = templates.iter().map(|(name, _, it)| match it {
        Template::Literal(value) => Some((name.clone(), value.clone())),
        Template::Expression(_) | Template::List(_) | Template::Object(_) => None,
    });
    Ok(match literals.collect::<Option<Vec<_>>>() {
        Some(values) => Given::Fixed(Values::unchecked(values)),
        None => Given::Computed(templates),
    })
}

/// Checks that an initiative's members give what their definitions declare: each name is known, what has
/// no default is given, and what is the same for every assignment fits.
///
/// # Errors
/// The place in the initiative.
pub fn check_members(members: &[Member], facts: &Facts) -> Result<(), ParameterFault> {
    for (index, member) in members.iter().enumerate() {
        let Some(definition) = facts.policy_definitions.get(&member.definition_key) else {
            continue;
        };
        let at = |fault: ParameterFault| ParameterFault {
            at: format!("policyDefinitions[{index}].{}", fault.at),
            ..fault
        };
        match &member.given {
            Given::Fixed(values) => {
                bind(definition, Some(&values.shown())).map_err(at)?;
            }
            Given::Computed(templates) => {
                let names = templates.iter().map(|(name, _, _)| name.as_str());
                definition.parameters.check_names(names).map_err(at)?;
            }
        }
    }
    Ok(())
}

/// Binds what an assignment gives to an initiative, and checks that it fits every member.
///
/// # Errors
/// The parameter, or the member that cannot be given what it asks for.
pub fn bind_initiative(
    initiative: &Initiative,
    given: Option<&Value>,
    facts: &Facts,
) -> Result<Values, ParameterFault> {
    let values = initiative.parameters.bind(given)?;
    let arguments = Arguments { declared: &initiative.parameters, given: &values };
    for member in &initiative.members {
        let Some(definition) = facts.policy_definitions.get(&member.definition_key) else {
            continue;
        };
        let name = &member.reference_id;
        let passed = member.given(arguments).map_err(|it| {
            ParameterFault::new(INVALID, it.at, format!("for the member `{name}`: {}", it.because))
        })?;
        bind(definition, Some(&passed.shown())).map_err(|it| ParameterFault {
            because: format!("for the member `{name}`: {}", it.because),
            ..it
        })?;
    }
    Ok(values)
}

fn named_after(definition_id: &str, taken: &mut BTreeSet<String>) -> String {
    let name = definition_id.rsplit('/').next().unwrap_or(definition_id);
    let mut free = name.to_owned();
    let mut number = 1;
    while !taken.insert(free.to_lowercase()) {
        number += 1;
        free = format!("{name}_{number}");
    }
    free
}

/// The names of `policyDefinitionGroups`, in lower case.
fn groups(properties: &Value) -> Result<BTreeSet<String>, NotAPolicy> {
    let at = "policyDefinitionGroups";
    let mut found = BTreeSet::new();
    let all = match member(properties, at) {
        None | Some(Value::Null) => return Ok(found),
        Some(it) => it.as_array().filter(|it| it.len() <= MEMBERS_MAX),
    };
    let Some(all) = all else {
        return refuse(at, format!("this is a list of at most {MEMBERS_MAX} groups"));
    };
    for (index, told) in all.iter().enumerate() {
        let place = format!("{at}[{index}]");
        known(
            &place,
            told,
            &["name", "displayName", "category", "description", "additionalMetadataId"],
        )?;
        match optional_text(&place, told, "name")? {
            Some(name) if found.insert(name.to_lowercase()) => {}
            Some(_) => return refuse(&format!("{place}.name"), "another group has this name"),
            None => return refuse(&format!("{place}.name"), "a group has a name"),
        }
    }
    Ok(found)
}

fn check_groups(place: &str, told: &Value, groups: &BTreeSet<String>) -> Result<(), NotAPolicy> {
    let at = format!("{place}.groupNames");
    let names = match member(told, "groupNames") {
        None | Some(Value::Null) => return Ok(()),
        Some(it) => it.as_array(),
    };
    let is_known =
        |it: &Value| it.as_str().is_some_and(|name| groups.contains(&name.to_lowercase()));
    match names {
        Some(names) if names.iter().all(is_known) => Ok(()),
        Some(_) => refuse(&at, "each name is one of `policyDefinitionGroups`"),
        None => refuse(&at, "this is a list of names"),
    }
}

impl Facts {
    pub fn put_initiative(&mut self, initiative: Initiative) {
        self.unbind_policies();
        Arc::make_mut(&mut self.initiatives)
            .insert(initiative.id.to_ascii_lowercase(), Arc::new(initiative));
    }

    pub fn remove_initiative(&mut self, id: &str) {
        self.unbind_policies();
        Arc::make_mut(&mut self.initiatives).remove(&id.to_ascii_lowercase());
    }
}

#[cfg(test)]
#[path = "initiative_tests.rs"]
mod tests;
