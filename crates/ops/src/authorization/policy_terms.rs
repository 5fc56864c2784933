//! What an assignment says: its definition, what it leaves out, overrides, resource selectors and messages. Read
//! strictly when it is written, and again from what was written.

use super::policies::{invalid_parameter, invalid_rule};
use super::policy_sets;
use gate::Facts;
use gate::policy::{
    Initiative, Message, NotAPolicy, Override, ResourceSelector, bind, bind_initiative,
    check_given_roles, parse_overrides, parse_resource_selectors, references,
};
use model::json::{member, text};
use model::{Error, Scope};
use serde_json::Value;

/// Most excluded scopes of an assignment.
const NOT_SCOPES_MAX: usize = 400;
/// Most messages of an assignment: one for each member of the largest initiative, and one for all.
const MESSAGES_MAX: usize = gate::policy::MEMBERS_MAX + 1;
/// Most names that a refusal lists of those that would have been right.
const NAMES_SHOWN_MAX: usize = 20;

/// What an assignment says beside its parameters, found to be right.
pub(crate) struct Terms {
    /// The id of the policy or initiative, as it is written there.
    pub(crate) definition: String,
    pub(super) not_scopes: Vec<Scope>,
    pub(super) mode: String,
}

/// Checks what an assignment at a place says.
///
/// # Errors
/// The place in the body that breaks a rule.
pub(crate) fn terms(given: &Value, place: &Scope, facts: &Facts) -> Result<Terms, Error> {
    let definition = text(given, &["policyDefinitionId"]).ok_or_else(|| {
        Error::invalid("properties.policyDefinitionId", "the id of a policy definition is required")
    })?;
    let (known, initiative) = policy_sets::assigned(definition, place, facts)?;
    let parameters = member(given, "parameters");
    match (initiative, facts.policy_definitions.get(&known.to_ascii_lowercase())) {
        (Some(it), _) => {
            drop(bind_initiative(it, parameters, facts).map_err(|it| invalid_parameter(&it))?)
        }
        (None, Some(it)) => {
            let values = bind(it, parameters).map_err(|it| invalid_parameter(&it))?;
            check_given_roles(it, &values, facts)
                .map_err(|it| invalid_rule(&it.at, &it.because))?;
        }
        (None, None) => {}
    }
    check(given, initiative)?;
    let not_scopes = not_scopes(given)?;
    if let Some(outside) =
        not_scopes.iter().find(|it| !facts.contains(place, it) || place.same_place(it))
    {
        return Err(Error::invalid(
            "properties.notScopes",
            format!("`{outside}` does not lie below the assignment's scope `{place}`"),
        ));
    }
    let mode = text(given, &["enforcementMode"]).unwrap_or("Default");
    if !["Default", "DoNotEnforce"].iter().any(|it| it.eq_ignore_ascii_case(mode)) {
        return Err(Error::invalid(
            "properties.enforcementMode",
            "modes are Default and DoNotEnforce",
        ));
    }
    let (definition, mode) = (known.to_owned(), mode.to_owned());
    Ok(Terms { definition, not_scopes, mode })
}

pub(super) fn not_scopes(properties: &Value) -> Result<Vec<Scope>, Error> {
    let at = "properties.notScopes";
    let given = match member(properties, "notScopes") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(it) => it.as_array().ok_or_else(|| Error::invalid(at, "this is a list of scopes"))?,
    };
    if given.len() > NOT_SCOPES_MAX {
        return Err(Error::invalid(at, format!("more than {NOT_SCOPES_MAX} scopes")));
    }
    given
        .iter()
        .map(|it| {
            Scope::parse(it.as_str().unwrap_or("")).map_err(|it| Error::invalid(at, it.to_string()))
        })
        .collect()
}

/// Checks what an assignment of a definition, or of an initiative, says.
///
/// # Errors
/// The place that is not understood, or that names a member which the initiative does not have.
pub(super) fn check(properties: &Value, initiative: Option<&Initiative>) -> Result<(), Error> {
    resource_selectors(properties)?;
    let overrides = overrides(properties)?;
    for (at, name) in references(&overrides) {
        check_reference(&at, name, initiative)?;
    }
    check_messages(properties, initiative)
}

pub(super) fn overrides(properties: &Value) -> Result<Vec<Override>, Error> {
    parse_overrides(properties).map_err(|it| invalid(&it))
}

pub(super) fn resource_selectors(properties: &Value) -> Result<Vec<ResourceSelector>, Error> {
    parse_resource_selectors(properties).map_err(|it| invalid(&it))
}

/// The messages of a document that is kept: what is no message tells nothing.
pub(super) fn messages(properties: &Value) -> Vec<Message> {
    let all = member(properties, "nonComplianceMessages").and_then(Value::as_array);
    let read = |it: &Value| {
        Some(Message {
            text: text(it, &["message"])?.to_owned(),
            reference_id: text(it, &["policyDefinitionReferenceId"]).map(str::to_owned),
        })
    };
    all.into_iter().flatten().filter_map(read).collect()
}

fn check_messages(properties: &Value, initiative: Option<&Initiative>) -> Result<(), Error> {
    let at = "nonComplianceMessages";
    let all = match member(properties, at) {
        None | Some(Value::Null) => return Ok(()),
        Some(it) => it.as_array().filter(|it| it.len() <= MESSAGES_MAX),
    };
    let all = all.ok_or_else(|| {
        Error::invalid(
            format!("properties.{at}"),
            format!("this is a list of at most {MESSAGES_MAX} messages"),
        )
    })?;
    for (index, told) in all.iter().enumerate() {
        let place = format!("{at}[{index}]");
        if text(told, &["message"]).is_none_or(str::is_empty) {
            return Err(Error::invalid(
                format!("properties.{place}.message"),
                "a text is required",
            ));
        }
        match member(told, "policyDefinitionReferenceId") {
            None | Some(Value::Null) => {}
            Some(name) => {
                let at = format!("{place}.policyDefinitionReferenceId");
                check_reference(&at, name.as_str().unwrap_or(""), initiative)?;
            }
        }
    }
    Ok(())
}

/// Checks that a name is one of the initiative's members.
///
/// # Errors
/// Says which there are.
pub(super) fn check_reference(
    at: &str,
    name: &str,
    initiative: Option<&Initiative>,
) -> Result<(), Error> {
    let at = format!("properties.{at}");
    let Some(initiative) = initiative else {
        return Err(Error::invalid(
            at,
            "a single definition is assigned, and only an initiative has members",
        ));
    };
    if initiative.has(name) {
        return Ok(());
    }
    let known = initiative.members.iter().map(|it| it.reference_id.as_str());
    let known: Vec<&str> = known.take(NAMES_SHOWN_MAX).collect();
    let more = match initiative.members.len().saturating_sub(known.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Error::invalid(
        at,
        format!(
            "the initiative `{}` has no member `{}`; it has {}{more}",
            initiative.name,
            name.escape_debug(),
            known.join(", ")
        ),
    ))
}

fn invalid(fault: &NotAPolicy) -> Error {
    Error::invalid(format!("properties.{}", fault.at), fault.because.clone())
}
