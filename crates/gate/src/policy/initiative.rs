//! Initiatives: several definitions under one name, assigned together.
//!
//! An initiative is the rules of its members one after another: their order decides, as the order of rules
//! in one definition does. Each write finds the members' latest content, so nothing is copied here.
//! Source: Azure Policy documentation, "Azure Policy initiative definition structure".

use super::selectors::{known, optional_text, refuse};
use super::{NotAPolicy, PolicyAssignment, PolicyDefinition};
use crate::facts::Facts;
use model::json::{member, text};
use serde_json::Value;
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
    /// In the order in which their rules are walked.
    pub members: Vec<Member>,
}

/// A definition as an initiative holds it: which one, and under which name. What binds the definition's
/// parameters stands here, too, once there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Unique in its initiative, without regard to case.
    pub reference_id: String,
    pub definition_id: String,
    /// The same in lower case, by which the definition is found.
    pub definition_key: String,
    /// The version that is asked for, `1.*.*` for one; the latest content must be of it.
    pub version: Option<String>,
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
pub(super) enum Brought<'a> {
    Definition(&'a PolicyDefinition),
    Initiative(&'a Initiative),
    /// What it names does not exist any more.
    Nothing,
}

/// One definition that an assignment brings, alone or as a member.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    /// `None` where it does not exist any more.
    pub(super) definition: Option<&'a PolicyDefinition>,
    pub(super) member: Option<&'a Member>,
}

impl<'a> Brought<'a> {
    pub(super) fn of(assignment: &PolicyAssignment, facts: &'a Facts) -> Self {
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

    /// In the order in which their rules are walked.
    pub(super) fn parts(self, facts: &'a Facts) -> impl Iterator<Item = Part<'a>> {
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
pub fn parse_members(properties: &Value) -> Result<Vec<Member>, NotAPolicy> {
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
        });
    }
    Ok(found)
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
        Arc::make_mut(&mut self.initiatives)
            .insert(initiative.id.to_ascii_lowercase(), Arc::new(initiative));
    }

    pub fn remove_initiative(&mut self, id: &str) {
        Arc::make_mut(&mut self.initiatives).remove(&id.to_ascii_lowercase());
    }
}

#[cfg(test)]
#[path = "initiative_tests.rs"]
mod tests;
