//! What a field holds in the object that is judged, without a copy of it where it lies there.
//!
//! `[*]` selects every member of a list. Inside the `where` of a count over that list it selects the one
//! member that is counted just now, as if the list had only that.

use super::evaluate::{Env, Frame, Subject};
use super::expression::Fault;
use super::fields::{Field, Place, Step};
use crate::facts::Dps;
use model::json::member;
use model::resource_types::normal_location;
use model::trace::Object;
use serde_json::{Value, json};
use std::borrow::Cow;

/// One value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen<'a> {
    Missing,
    Text(&'a str),
    Value(&'a Value),
}

impl<'a> Seen<'a> {
    pub(super) fn text(it: &'a str) -> Self {
        if it.is_empty() { Self::Missing } else { Self::Text(it) }
    }

    pub(super) fn value(it: Option<&'a Value>) -> Self {
        match it {
            None | Some(Value::Null) => Self::Missing,
            Some(Value::String(it)) => Self::Text(it),
            Some(it) => Self::Value(it),
        }
    }

    /// The text by which it compares; lists and objects have none.
    pub(super) fn scalar(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Missing => None,
            Self::Text(it) => Some(Cow::Borrowed(it)),
            Self::Value(it) => scalar(it),
        }
    }
}

pub(super) fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(it) => Some(Cow::Borrowed(it)),
        Value::Bool(it) => Some(Cow::Owned(it.to_string())),
        Value::Number(it) => Some(Cow::Owned(it.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Where a text is put together that no one holds: ids on the stack, names on the heap.
pub(super) struct Room {
    id: [u8; 36],
    text: String,
}

impl Default for Room {
    fn default() -> Self {
        Self { id: [0; 36], text: String::new() }
    }
}

impl Room {
    fn id(&mut self, id: Option<model::ObjectId>) -> Seen<'_> {
        match id {
            Some(id) => Seen::Text(id.0.hyphenated().encode_lower(&mut self.id)),
            None => Seen::Missing,
        }
    }

    fn text(&mut self, text: String) -> Seen<'_> {
        self.text = text;
        Seen::text(&self.text)
    }
}

/// How rules name every provisioning service, whatever it is called.
const PROVISIONING_SERVICE: &str = "Device Provisioning Service";

/// The provisioning service that the caller is, at work as its own identity or, while it registers a device, as one
/// that it has attached.
fn service<'a>(subject: &Subject<'a>) -> Option<&'a Dps> {
    let id = subject.caller.object_id?;
    let is_registration = subject.enrollment.is_some();
    let mut all = subject.facts.provisioning.values();
    all.find(|it| it.is_at_work_as(id, is_registration)).map(|it| &**it)
}

/// The resource whose managed identity the caller is: a provisioning service, or a user-assigned identity itself.
fn resource<'a>(subject: &Subject<'a>) -> Option<&'a model::Scope> {
    let id = subject.caller.object_id?;
    let known = subject.facts.principals.get(&id).and_then(|it| it.resource.as_ref());
    known.or_else(|| service(subject).map(|it| &it.scope))
}

/// The one value of a field that lies somewhere. `None` for those that are put together, see [`made`]; a field
/// over a list has [`many`].
pub(super) fn stored<'v>(field: &Field, env: Env<'v>) -> Option<Seen<'v>> {
    let Some(subject) = env.context.subject else { return Some(Seen::Missing) };
    let object = subject.object;
    let body = &object.body;
    Some(match field {
        Field::Type => Seen::text(&object.kind),
        Field::Name => Seen::text(&object.name),
        Field::Id => Seen::text(&object.id),
        Field::Kind => Seen::value(member(body, "kind")),
        Field::IdentityType => Seen::value(model::json::at(body, &["identity", "type"])),
        Field::Tags => Seen::value(member(body, "tags")),
        Field::Tag(name) => Seen::value(member(body, "tags").and_then(|it| member(it, name))),
        Field::PrincipalType => Seen::text(subject.caller.kind.as_str()),
        Field::AuthType => Seen::text(subject.caller.auth.as_str()),
        Field::CallerResource => {
            resource(subject).map_or(Seen::Missing, |it| Seen::text(it.as_str()))
        }
        Field::CallerService => {
            service(subject).map_or(Seen::Missing, |_| Seen::text(PROVISIONING_SERVICE))
        }
        Field::Action => Seen::text(subject.action),
        Field::Endpoint => Seen::text(subject.endpoint),
        Field::Protocol => Seen::text(subject.protocol),
        Field::EnrollmentType => {
            subject.enrollment.map_or(Seen::Missing, |it| Seen::text(it.as_str()))
        }
        Field::Groups(_) | Field::Property { .. } => {
            let (from, depth) = start(field, env);
            let steps = field.steps().get(depth..).unwrap_or(&[]);
            Seen::value(down(from, steps).0)
        }
        Field::FullName | Field::Location | Field::PrincipalId | Field::AppId => return None,
    })
}

/// The values of a field over a list.
pub(super) fn many<'v>(field: &Field, env: Env<'v>) -> Result<Vec<Seen<'v>>, Fault> {
    let (from, depth) = start(field, env);
    let mut found = Vec::new();
    gather(from, field.steps().get(depth..).unwrap_or(&[]), env, &mut |it, _| {
        found.push(Seen::value(it));
        Ok(())
    })?;
    Ok(found)
}

/// The fields whose values are put together for the look.
pub(super) fn made<'r>(field: &Field, env: Env<'_>, room: &'r mut Room) -> Seen<'r> {
    let Some(subject) = env.context.subject else { return Seen::Missing };
    match field {
        Field::FullName => room.text(full_name(subject.object)),
        Field::PrincipalId => room.id(subject.caller.object_id),
        Field::AppId => room.id(subject.caller.app_id),
        Field::Location => match member(&subject.object.body, "location").and_then(Value::as_str) {
            Some(it) => room.text(normal_location(it)),
            None => Seen::Missing,
        },
        Field::Type
        | Field::Name
        | Field::Id
        | Field::Kind
        | Field::IdentityType
        | Field::Tags
        | Field::Tag(_)
        | Field::PrincipalType
        | Field::AuthType
        | Field::Groups(_)
        | Field::CallerResource
        | Field::CallerService
        | Field::Action
        | Field::Endpoint
        | Field::Protocol
        | Field::EnrollmentType
        | Field::Property { .. } => Seen::Missing,
    }
}

/// The ids of the caller's groups, as a list.
pub(super) fn groups_of(subject: &Subject<'_>) -> Value {
    let all = subject.caller.object_id.map_or(&[][..], |it| subject.facts.groups.of(it));
    all.iter().map(|it| json!(it.group.to_string())).collect()
}

/// The name with those of the parents in front: `hub1/device1`.
fn full_name(object: &Object) -> String {
    let tail = object.id.rsplit_once("/providers/").map_or("", |(_, it)| it);
    let names: Vec<&str> = tail.split('/').skip(2).step_by(2).collect();
    match names.is_empty() {
        true => object.name.clone(),
        false => names.join("/"),
    }
}

/// The member that a count around the field has bound, and how many steps of the field lead to it.
fn bound<'v>(field: &Field, frame: Option<&'v Frame<'v>>) -> Option<(&'v Value, usize)> {
    let mut next = frame;
    while let Some(it) = next {
        if let Some((list, depth)) = it.member_of
            && list.leads_to(depth, field)
        {
            return Some((it.value, depth));
        }
        next = it.outer;
    }
    None
}

/// Follows the names in front of the first `[*]`, and gives the steps from there on.
fn down<'v, 's>(from: Option<&'v Value>, steps: &'s [Step]) -> (Option<&'v Value>, &'s [Step]) {
    let mut value = from;
    let mut rest = steps;
    while let Some((Step::Member(name), behind)) = rest.split_first() {
        value = value.and_then(|it| member(it, name));
        rest = behind;
    }
    (value, rest)
}

/// What [`gather`] shows: a value, and the members of lists on the way to it, each with the number of steps
/// that lead there.
pub(super) type Visit<'c, 'v> =
    dyn FnMut(Option<&'v Value>, &[(usize, &'v Value)]) -> Result<(), Fault> + 'c;

/// Shows `visit` every value that the steps select, with the members of lists on the way to it. What is no
/// list has no members.
pub(super) fn gather<'v>(
    from: Option<&'v Value>,
    steps: &[Step],
    env: Env<'v>,
    visit: &mut Visit<'_, 'v>,
) -> Result<(), Fault> {
    fn level<'v>(
        from: Option<&'v Value>,
        (steps, at): (&[Step], usize),
        env: Env<'v>,
        way: &mut Vec<(usize, &'v Value)>,
        visit: &mut Visit<'_, 'v>,
    ) -> Result<(), Fault> {
        let (value, rest) = down(from, steps);
        let Some((_, behind)) = rest.split_first() else { return visit(value, way) };
        let depth = at + steps.len() - behind.len();
        for item in value.and_then(Value::as_array).into_iter().flatten() {
            env.spend(1)?;
            way.push((depth, item));
            level(Some(item), (behind, depth), env, way, visit)?;
            way.pop();
        }
        Ok(())
    }
    level(from, (steps, 0), env, &mut Vec::new(), visit)
}

/// Where a path starts: at what a count around it has bound, or at its root; and how many of its steps lead
/// there already.
pub(super) fn start<'v>(field: &Field, env: Env<'v>) -> (Option<&'v Value>, usize) {
    if let Some((value, depth)) = bound(field, env.frame) {
        return (Some(value), depth);
    }
    let Some(subject) = env.context.subject else { return (None, 0) };
    if let Field::Groups(_) = field {
        return (Some(env.context.groups()), 0);
    }
    let Field::Property { kind, place, .. } = field else { return (None, 0) };
    let body = &subject.object.body;
    match (kind.eq_ignore_ascii_case(&subject.object.kind), place) {
        (false, _) => (None, 0),
        (true, Place::Top) => (Some(body), 0),
        (true, Place::Properties) => (member(body, "properties"), 0),
    }
}
