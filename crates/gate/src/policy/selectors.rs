//! Which resources, and which members of an initiative, a part of an assignment or exemption is about.
//!
//! Read once, when it is written. A kind that is not known is refused: a selector that is skipped would
//! widen what it was meant to narrow. Source: Azure Policy documentation, "Azure Policy assignment
//! structure", resource selectors and overrides.

use super::{Effect, NotAPolicy};
use model::json::member;
use model::resource_types::normal_location;
use model::trace::Object;
use model::{Scope, json};
use serde_json::Value;

/// Most resource selectors, and most overrides, of one assignment.
pub const SELECTORS_MAX: usize = 10;
/// Most values of one selector.
pub const VALUES_MAX: usize = 50;
/// Longest value, and longest name of a resource selector.
const VALUE_BYTES_MAX: usize = 512;

/// The one value that `resourceWithoutLocation` takes.
const SUBSCRIPTION_LEVEL: &str = "subscriptionLevelResources";

/// What Azure selects by and these do not.
const KINDS_ELSEWHERE: &[(&str, &str)] = &[
    ("userPrincipalId", "policy selector userPrincipalId"),
    ("groupPrincipalId", "policy selector groupPrincipalId"),
    ("resourceRolloutPercentage", "policy selector resourceRolloutPercentage"),
];

/// Resources that an assignment or exemption is narrowed to: those that fit all of its selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceSelector {
    pub selectors: Vec<Selector>,
}

/// Another effect for some rules of an assignment, without a change of the definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub effect: Effect,
    /// All must fit; none of them fits everything.
    pub selectors: Vec<Selector>,
}

/// One property and the values that it may, or may not, have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub kind: SelectorKind,
    /// True for `in`, false for `notIn`.
    pub is_in: bool,
    pub values: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SelectorKind {
    /// Values are kept as locations compare: lower case, without spaces.
    ResourceLocation,
    ResourceType,
    ResourceWithoutLocation,
    ReferenceId,
}

impl SelectorKind {
    const OF_RESOURCES: &[Self] =
        &[Self::ResourceLocation, Self::ResourceType, Self::ResourceWithoutLocation];
    const OF_OVERRIDES: &[Self] = &[Self::ReferenceId, Self::ResourceLocation];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResourceLocation => "resourceLocation",
            Self::ResourceType => "resourceType",
            Self::ResourceWithoutLocation => "resourceWithoutLocation",
            Self::ReferenceId => "policyDefinitionReferenceId",
        }
    }
}

/// What selectors look at.
#[derive(Clone, Copy)]
pub(super) struct Selected<'a> {
    pub(super) object: &'a Object,
    /// Of the resource, or of the hub or provisioning service that an object of the data plane is in.
    pub(super) location: Option<&'a str>,
    /// The member whose rules are walked.
    pub(super) reference_id: Option<&'a str>,
}

impl Selector {
    fn fits(&self, it: Selected<'_>) -> bool {
        let has = |value: &str| self.values.iter().any(|mine| mine.eq_ignore_ascii_case(value));
        let is_among = match self.kind {
            SelectorKind::ResourceLocation => {
                it.location.is_some_and(|it| has(&normal_location(it)))
            }
            SelectorKind::ResourceType => has(&it.object.kind),
            SelectorKind::ResourceWithoutLocation => {
                let in_subscription =
                    |it: Scope| it.subscription_id().is_some() && it.resource_group().is_none();
                it.location.is_none() && Scope::parse(&it.object.id).is_ok_and(in_subscription)
            }
            SelectorKind::ReferenceId => it.reference_id.is_some_and(has),
        };
        is_among == self.is_in
    }
}

/// True where any one selects it, or nothing is selected by.
pub(super) fn select(all: &[ResourceSelector], it: Selected<'_>) -> bool {
    all.is_empty() || all.iter().any(|one| one.selectors.iter().all(|mine| mine.fits(it)))
}

/// The effect of the first override that is about it.
pub(super) fn overriding(all: &[Override], it: Selected<'_>) -> Option<Effect> {
    all.iter().find(|one| one.selectors.iter().all(|mine| mine.fits(it))).map(|it| it.effect)
}

/// Reads `resourceSelectors` of an assignment's or exemption's `properties`.
///
/// # Errors
/// The place that is not understood, below `properties`.
pub fn parse_resource_selectors(properties: &Value) -> Result<Vec<ResourceSelector>, NotAPolicy> {
    let mut names: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for (at, told) in items(properties, "resourceSelectors")? {
        known(&at, told, &["name", "selectors"])?;
        if let Some(name) = optional_text(&at, told, "name")? {
            if names.iter().any(|it| it.eq_ignore_ascii_case(name)) {
                return refuse(&format!("{at}.name"), "another resource selector has this name");
            }
            names.push(name.to_owned());
        }
        let selectors = selectors(&at, told, SelectorKind::OF_RESOURCES)?;
        if selectors.is_empty() {
            return refuse(&format!("{at}.selectors"), "at least one selector is required");
        }
        let has = |kind: SelectorKind| selectors.iter().any(|it| it.kind == kind);
        if has(SelectorKind::ResourceLocation) && has(SelectorKind::ResourceWithoutLocation) {
            return refuse(
                &format!("{at}.selectors"),
                "no resource has a location and has none: write two resource selectors",
            );
        }
        found.push(ResourceSelector { selectors });
    }
    Ok(found)
}

/// Reads `overrides` of an assignment's `properties`.
///
/// # Errors
/// The place that is not understood, below `properties`.
pub fn parse_overrides(properties: &Value) -> Result<Vec<Override>, NotAPolicy> {
    let mut found = Vec::new();
    for (at, told) in items(properties, "overrides")? {
        known(&at, told, &["kind", "value", "selectors"])?;
        let kind = json::text(told, &["kind"]).unwrap_or("");
        if ["definitionVersion", "policyVersion"].iter().any(|it| kind.eq_ignore_ascii_case(it)) {
            return lack(
                &format!("{at}.kind"),
                "policy override of versions",
                "a definition's latest content is all that is kept, so no version can be chosen",
            );
        }
        if !kind.eq_ignore_ascii_case("policyEffect") {
            return refuse(&format!("{at}.kind"), "the kind `policyEffect` is possible");
        }
        let word = json::text(told, &["value"]).unwrap_or("");
        let Some(effect) = Effect::of_override(word) else {
            return refuse(
                &format!("{at}.value"),
                "an effect that needs no details is expected: audit, deny or disabled",
            );
        };
        let selectors = selectors(&at, told, SelectorKind::OF_OVERRIDES)?;
        found.push(Override { effect, selectors });
    }
    Ok(found)
}

/// The members that overrides name, each with its place: for whoever knows which members there are.
pub fn references(all: &[Override]) -> impl Iterator<Item = (String, &str)> {
    all.iter().enumerate().flat_map(|(index, one)| {
        let of_members = one.selectors.iter().filter(|it| it.kind == SelectorKind::ReferenceId);
        let values = of_members.flat_map(|it| &it.values);
        values.map(move |it| (format!("overrides[{index}].selectors"), it.as_str()))
    })
}

fn selectors(
    at: &str,
    told: &Value,
    possible: &[SelectorKind],
) -> Result<Vec<Selector>, NotAPolicy> {
    let mut found = Vec::new();
    for (below, told) in items(told, "selectors")? {
        let at = format!("{at}.{below}");
        known(&at, told, &["kind", "in", "notIn"])?;
        let word = json::text(told, &["kind"]).unwrap_or("");
        let Some(kind) = possible.iter().find(|it| it.as_str().eq_ignore_ascii_case(word)) else {
            let names: Vec<&str> = possible.iter().map(|it| it.as_str()).collect();
            let elsewhere = KINDS_ELSEWHERE.iter().find(|(it, _)| it.eq_ignore_ascii_case(word));
            return Err(NotAPolicy {
                at: format!("{at}.kind"),
                because: format!("kinds that can be selected by here are {}", names.join(", ")),
                lacks: elsewhere.map(|(_, feature)| *feature),
            });
        };
        let given = |name: &str| member(told, name).filter(|it| !it.is_null());
        let (is_in, list) = match (given("in"), given("notIn")) {
            (Some(it), None) => (true, it),
            (None, Some(it)) => (false, it),
            (Some(_), Some(_)) | (None, None) => {
                return refuse(&at, "a selector has either `in` or `notIn`");
            }
        };
        let at = format!("{at}.{}", if is_in { "in" } else { "notIn" });
        let values = values(&at, *kind, list)?;
        found.push(Selector { kind: *kind, is_in, values });
    }
    Ok(found)
}

fn values(at: &str, kind: SelectorKind, list: &Value) -> Result<Vec<String>, NotAPolicy> {
    let all = list.as_array().filter(|it| (1..=VALUES_MAX).contains(&it.len()));
    let Some(all) = all else {
        return refuse(at, format!("this is a list of 1 to {VALUES_MAX} texts"));
    };
    let mut found = Vec::new();
    for it in all {
        let fits = |it: &&str| (1..=VALUE_BYTES_MAX).contains(&it.len());
        let Some(text) = it.as_str().filter(fits) else {
            return refuse(at, format!("a value is a text of 1 to {VALUE_BYTES_MAX} bytes"));
        };
        if kind == SelectorKind::ResourceWithoutLocation
            && !text.eq_ignore_ascii_case(SUBSCRIPTION_LEVEL)
        {
            return refuse(at, format!("`{SUBSCRIPTION_LEVEL}` is the one value of this kind"));
        }
        found.push(match kind {
            SelectorKind::ResourceLocation => normal_location(text),
            SelectorKind::ResourceType
            | SelectorKind::ResourceWithoutLocation
            | SelectorKind::ReferenceId => text.to_owned(),
        });
    }
    Ok(found)
}

/// The objects of a list that may be absent, each with its place.
fn items<'a>(value: &'a Value, name: &str) -> Result<Vec<(String, &'a Value)>, NotAPolicy> {
    let all = match member(value, name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(all)) if all.len() <= SELECTORS_MAX => all,
        Some(_) => return refuse(name, format!("this is a list of at most {SELECTORS_MAX}")),
    };
    let named = all.iter().enumerate().map(|(index, it)| (format!("{name}[{index}]"), it));
    Ok(named.collect())
}

/// Checks that a value is an object with no other members than these.
pub(super) fn known(at: &str, value: &Value, names: &[&str]) -> Result<(), NotAPolicy> {
    let Some(object) = value.as_object() else { return refuse(at, "an object is expected") };
    match object.keys().find(|key| !names.iter().any(|it| key.eq_ignore_ascii_case(it))) {
        Some(other) => {
            refuse(&format!("{at}.{other}"), format!("members are {}", names.join(", ")))
        }
        None => Ok(()),
    }
}

/// A text that may be absent.
pub(super) fn optional_text<'a>(
    at: &str,
    value: &'a Value,
    name: &str,
) -> Result<Option<&'a str>, NotAPolicy> {
    match member(value, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(it)) if (1..=VALUE_BYTES_MAX).contains(&it.len()) => Ok(Some(it)),
        Some(_) => refuse(
            &format!("{at}.{name}"),
            format!("a text of 1 to {VALUE_BYTES_MAX} bytes is expected"),
        ),
    }
}

pub(super) fn refuse<T>(at: &str, because: impl Into<String>) -> Result<T, NotAPolicy> {
    Err(NotAPolicy { at: at.to_owned(), because: because.into(), lacks: None })
}

/// Refuses what could be meant, but cannot be evaluated here.
fn lack<T>(at: &str, feature: &'static str, because: &str) -> Result<T, NotAPolicy> {
    Err(NotAPolicy { at: at.to_owned(), because: because.to_owned(), lacks: Some(feature) })
}

#[cfg(test)]
#[path = "selectors_tests.rs"]
mod tests;
