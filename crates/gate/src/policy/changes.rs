//! What an `append` or a `modify` changes: read when it is written, with the places that can be changed.
//!
//! A place can be changed where one value in the request is the one value that is judged and stored: tags,
//! and the settings of [`CHANGEABLE`]. Everything else is refused by name when the rule is written, or fails
//! the rule where an expression gives the name. Who has which turn is in `walk/changing.rs`. Source: Azure
//! Policy documentation, "modify effect" and "append effect".

use super::expression::{Scope, Template};
use super::fields::{self, Field, Place, Step};
use super::parse::at;
use super::selectors::{known, refuse};
use super::{Effect, FieldName, Kind, NotAPolicy};
use model::json::{member, text};
use serde_json::{Map, Value, json};

/// Most operations of one rule.
pub const OPERATIONS_MAX: usize = 100;

/// What a rule changes, and what where another says otherwise.
#[derive(Clone, Debug)]
pub struct Changes {
    /// [`Effect::Append`] or [`Effect::Modify`]: the effect that these are the details of.
    pub effect: Effect,
    pub on_conflict: Conflict,
    pub steps: Vec<ChangeStep>,
}

/// What becomes of a rule whose value is not the only one for its field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// It changes nothing, and that is put on record.
    Audit,
    /// The write is denied.
    Deny,
    /// It changes nothing.
    Disabled,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct ChangeStep {
    /// Where it stands: `policyRule.then.details.operations[0]`.
    pub at: String,
    pub doing: Doing,
    pub field: FieldName,
    /// None of a removal.
    pub value: Option<Template>,
    pub condition: Option<Template>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// Where the field has another value already, that is a conflict.
    Add,
    AddOrReplace,
    Remove,
}

impl Doing {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Add, "add"), (Self::AddOrReplace, "addOrReplace"), (Self::Remove, "remove")];
}

/// A change that came of it all, to what is asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// From the top of the body: `tags`, `line`.
    pub path: Vec<String>,
    /// `None` takes away what is there.
    pub value: Option<Value>,
}

impl Change {
    /// Changes a body, in which names compare without regard to case. A body that has something else than an
    /// object on the way stays as it is: it is refused behind.
    pub fn apply(&self, body: &mut Value) {
        let Some((last, above)) = self.path.split_last() else { return };
        let mut here = body;
        for name in above {
            let Some(object) = here.as_object_mut() else { return };
            let key = key_of(object, name);
            let below = object.entry(key).or_insert(Value::Null);
            if below.is_null() {
                *below = json!({});
            }
            here = below;
        }
        let Some(object) = here.as_object_mut() else { return };
        let key = key_of(object, last);
        match &self.value {
            Some(it) => drop(object.insert(key, it.clone())),
            None => drop(object.shift_remove(&key)),
        }
    }
}

/// The name as the object has it.
fn key_of(object: &Map<String, Value>, name: &str) -> String {
    let known = object.keys().find(|it| it.eq_ignore_ascii_case(name));
    known.map_or_else(|| name.to_owned(), Clone::clone)
}

/// A setting that can be changed.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub name: &'static str,
    pub kind: Kind,
    /// What stands in the judged object where the request says nothing.
    pub default: Option<&'static str>,
}

const fn switch(name: &'static str) -> Setting {
    Setting { name, kind: Kind::Boolean, default: Some("false") }
}

const fn word(name: &'static str, default: Option<&'static str>) -> Setting {
    Setting { name, kind: Kind::String, default }
}

/// The types whose tags can be changed, with those of their settings that can.
pub const CHANGEABLE: &[(&str, &[Setting])] = &[
    ("Microsoft.Resources/subscriptions/resourceGroups", &[]),
    (
        "Microsoft.Devices/IotHubs",
        &[
            switch("disableDeviceSAS"),
            switch("disableLocalAuth"),
            switch("disableModuleSAS"),
            switch("enableFileUploadNotifications"),
            word("minTlsVersion", None),
            switch("restrictOutboundNetworkAccess"),
        ],
    ),
    (
        "Microsoft.Devices/provisioningServices",
        &[
            word("allocationPolicy", Some("Hashed")),
            switch("disableLocalAuth"),
            switch("enableDataResidency"),
        ],
    ),
];

/// The settings of a type whose resources can be changed.
pub(super) fn settings_of(kind: &str) -> Option<&'static [Setting]> {
    CHANGEABLE.iter().find(|(it, _)| it.eq_ignore_ascii_case(kind)).map(|(_, it)| *it)
}

/// What a field leads to that can be changed.
pub(super) enum Target<'a> {
    Tags,
    Tag(&'a str),
    /// Of resources of that type.
    Setting(&'a str, &'static Setting),
}

/// Finds what a field changes.
pub(super) fn target<'a>(field: &'a Field, doing: Doing) -> Result<Target<'a>, String> {
    if let Field::Tags = field {
        return Ok(Target::Tags);
    }
    if let Field::Tag(name) = field {
        return Ok(Target::Tag(name));
    }
    let mut found = None;
    if let Field::Property { kind, place: Place::Properties, path } = field
        && let [Step::Member(name)] = path.as_slice()
    {
        let all = settings_of(kind).unwrap_or(&[]);
        let own = all.iter().find(|it| it.name.eq_ignore_ascii_case(name));
        found = own.map(|it| Target::Setting(kind, it));
    }
    match (found, doing) {
        (Some(_), Doing::Remove) => Err("tags alone can be removed".into()),
        (Some(it), Doing::Add | Doing::AddOrReplace) => Ok(it),
        (None, _) => {
            let names = CHANGEABLE
                .iter()
                .flat_map(|(kind, all)| all.iter().map(move |it| format!("{kind}/{}", it.name)));
            let names: Vec<String> = names.collect();
            Err(format!("this cannot be changed here; what can is tags, and {}", names.join(", ")))
        }
    }
}

/// Why a value cannot stand where it would be put.
pub(super) fn misfit(target: &Target<'_>, value: &Value) -> Option<String> {
    match target {
        Target::Tags => {
            let all = value.as_object().filter(|it| it.values().all(Value::is_string));
            all.is_none().then(|| "tags are an object of texts".to_owned())
        }
        Target::Tag(_) => (!value.is_string()).then(|| "a tag's value is a text".to_owned()),
        Target::Setting(_, it) => {
            (!it.kind.takes(value)).then(|| format!("`{}` takes a {}", it.name, it.kind.as_str()))
        }
    }
}

/// What the details of an effect look like, for those who gave none or others.
pub(super) const fn wanted(effect: Effect) -> &'static str {
    match matches!(effect, Effect::Append) {
        true => "`append` takes `details`: [{\"field\": \"tags.x\", \"value\": \"y\"}]",
        false => {
            "`modify` takes `details`: {\"operations\": [{\"operation\": \"addOrReplace\", \"field\": \"tags.x\", \"value\": \"y\"}]}"
        }
    }
}

/// Reads the `details` of an `append`.
pub(super) fn read_append(
    place: &str,
    details: Option<&Value>,
    scope: &mut Scope<'_>,
) -> Result<Changes, NotAPolicy> {
    let Some(all) = details.and_then(Value::as_array) else {
        return refuse(place, wanted(Effect::Append));
    };
    let mut steps = Vec::new();
    for (it, place) in counted(place, all)? {
        known(&place, it, &["field", "value"])?;
        steps.push(step(place, Doing::Add, it, scope)?);
    }
    Ok(Changes { effect: Effect::Append, on_conflict: Conflict::Deny, steps })
}

/// Reads the `details` of a `modify`.
pub(super) fn read_modify(
    place: &str,
    details: Option<&Value>,
    scope: &mut Scope<'_>,
) -> Result<Changes, NotAPolicy> {
    let Some(details) = details.filter(|it| it.is_object()) else {
        return refuse(place, wanted(Effect::Modify));
    };
    known(place, details, &["roleDefinitionIds", "conflictEffect", "operations"])?;
    // What deployments of Azure would run as. Here the change is part of the call, and nobody else makes it.
    let is_text = |it: &Value| it.as_str().is_some_and(|it| !it.is_empty());
    let roles = member(details, "roleDefinitionIds").filter(|it| !it.is_null());
    if roles.is_some_and(|it| !it.as_array().is_some_and(|all| all.iter().all(is_text))) {
        return refuse(&format!("{place}.roleDefinitionIds"), "this is a list of ids of roles");
    }
    let on_conflict = match member(details, "conflictEffect").filter(|it| !it.is_null()) {
        None => Conflict::Deny,
        Some(it) => match it.as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("audit") => Conflict::Audit,
            Some("deny") => Conflict::Deny,
            Some("disabled") => Conflict::Disabled,
            Some(_) | None => {
                return refuse(
                    &format!("{place}.conflictEffect"),
                    "`audit`, `deny` and `disabled` are possible",
                );
            }
        },
    };
    let below = format!("{place}.operations");
    let Some(all) = member(details, "operations").and_then(Value::as_array) else {
        return refuse(&below, wanted(Effect::Modify));
    };
    let mut steps = Vec::new();
    for (it, place) in counted(&below, all)? {
        known(&place, it, &["operation", "field", "value", "condition"])?;
        let word = text(it, &["operation"]).unwrap_or("");
        let doing = Doing::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
        let Some((doing, _)) = doing else {
            return refuse(
                &format!("{place}.operation"),
                "`add`, `addOrReplace` and `remove` are possible",
            );
        };
        steps.push(step(place, *doing, it, scope)?);
    }
    Ok(Changes { effect: Effect::Modify, on_conflict, steps })
}

fn counted<'a>(place: &str, all: &'a [Value]) -> Result<Vec<(&'a Value, String)>, NotAPolicy> {
    match all.len() {
        1..=OPERATIONS_MAX => {
            Ok(all.iter().enumerate().map(|(at, it)| (it, format!("{place}[{at}]"))).collect())
        }
        _ => refuse(place, format!("this is a list of 1 to {OPERATIONS_MAX}")),
    }
}

fn step(
    place: String,
    doing: Doing,
    told: &Value,
    scope: &mut Scope<'_>,
) -> Result<ChangeStep, NotAPolicy> {
    let below = |name: &str| format!("{place}.{name}");
    let Some(name) = member(told, "field").filter(|it| it.is_string()) else {
        return refuse(&below("field"), "a field is named by a text");
    };
    let field = match Template::parse(name, scope).map_err(at(&below("field")))? {
        Template::Literal(it) => {
            FieldName::Known(fields::parse(it.as_str().unwrap_or("")).map_err(at(&below("field")))?)
        }
        it @ (Template::Expression(_) | Template::List(_) | Template::Object(_)) => {
            FieldName::Computed(it)
        }
    };
    let value = match (member(told, "value"), doing) {
        (None, Doing::Remove) => None,
        (Some(_), Doing::Remove) => {
            return refuse(&below("value"), "what is removed needs no value");
        }
        (None, _) => return refuse(&below("value"), "a value is required"),
        (Some(it), _) => Some(Template::parse(it, scope).map_err(at(&below("value")))?),
    };
    if let FieldName::Known(field) = &field {
        let target = match target(field, doing) {
            Ok(it) => it,
            Err(because) => return refuse(&below("field"), because),
        };
        if let Some(Template::Literal(value)) = &value
            && let Some(because) = misfit(&target, value)
        {
            return refuse(&below("value"), because);
        }
    }
    let condition = match member(told, "condition").filter(|it| !it.is_null()) {
        None => None,
        Some(it) => match Template::parse(it, scope).map_err(at(&below("condition")))? {
            it @ Template::Expression(_) => Some(it),
            Template::Literal(_) | Template::List(_) | Template::Object(_) => {
                return refuse(&below("condition"), "a condition is an expression");
            }
        },
    };
    Ok(ChangeStep { at: place, doing, field, value, condition })
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
