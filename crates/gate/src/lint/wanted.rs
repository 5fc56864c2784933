//! Calls that are made up from a rule's own words: what would a call be like for which its condition holds, or
//! does not?
//!
//! Only what is plain is taken over. Whether that was enough, the gates say.

use super::provisioning::{self as made, Candidate};
use crate::decide::{Ask, Judgement, judge};
use crate::facts::Facts;
use crate::policy::{Comparison, Field, FieldName, Left, Operator, Place, Step, Template, Test};
use model::operations::{Operation, known};
use model::trace::{Caller, EnrollmentKind, Object, Verb};
use model::{ActionName, ObjectId, Plane, PrincipalKind, Scope, Timestamp};
use serde_json::{Map, Value, json};

/// Most calls that a condition is turned into.
const MET_MAX: usize = 64;
/// Most values of a list that are tried.
const VALUES_MAX: usize = 8;
/// The kind that nearly every exception is for.
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";
/// What nobody means who names something else.
const OTHER: &str = "quite-another";

/// A call as far as a rule's own words tell it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Wanted {
    pub(super) kind: Option<String>,
    pub(super) name: String,
    pub(super) action: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) enrollment: Option<EnrollmentKind>,
    pub(super) principal: Option<ObjectId>,
    pub(super) principal_kind: PrincipalKind,
    pub(super) body: Value,
    pub(super) is_deletion: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            kind: None,
            name: "any-name".into(),
            action: None,
            protocol: None,
            endpoint: None,
            enrollment: None,
            principal: None,
            principal_kind: PrincipalKind::ManagedIdentity,
            body: json!({ "deviceId": "any-name", "status": "enabled",
                "authentication": { "type": "sas" }, "capabilities": { "iotEdge": false } }),
            is_deletion: false,
        }
    }
}

/// The calls, each changed so that the condition holds, or does not hold, in one way or another.
pub(super) fn met(test: &Test, calls: Vec<Wanted>, holds: bool) -> Vec<Wanted> {
    let mut found = match test {
        Test::AllOf(all) if holds => all.iter().fold(calls, |calls, it| met(it, calls, true)),
        Test::AnyOf(all) if !holds => all.iter().fold(calls, |calls, it| met(it, calls, false)),
        Test::AllOf(all) | Test::AnyOf(all) if !all.is_empty() => {
            all.iter().flat_map(|it| met(it, calls.clone(), holds)).collect()
        }
        Test::AllOf(_) | Test::AnyOf(_) => calls,
        Test::Not(inner) => met(inner, calls, !holds),
        Test::Compare(it) => compared(it, calls, holds),
    };
    found.truncate(MET_MAX);
    found
}

fn compared(it: &Comparison, calls: Vec<Wanted>, holds: bool) -> Vec<Wanted> {
    let (Left::Field { field: FieldName::Known(field), .. }, Template::Literal(expected)) =
        (&it.left, &it.expected)
    else {
        return calls;
    };
    let of_list = || {
        let all = expected.as_array().into_iter().flatten();
        all.take(VALUES_MAX).cloned().collect::<Vec<_>>()
    };
    let filled = || expected.as_str().map(|it| json!(it.replace('*', "x")));
    // What it asks for where it holds, and whether it holds where that is not so.
    let (asked_for, is_turned) = match it.operator {
        Operator::Equals => (vec![expected.clone()], false),
        Operator::NotEquals => (vec![expected.clone()], true),
        Operator::In => (of_list(), false),
        Operator::NotIn => (of_list(), true),
        Operator::Like | Operator::Contains => (filled().into_iter().collect(), false),
        Operator::NotLike | Operator::NotContains => (filled().into_iter().collect(), true),
        Operator::Match
        | Operator::NotMatch
        | Operator::MatchInsensitively
        | Operator::NotMatchInsensitively
        | Operator::ContainsKey
        | Operator::NotContainsKey
        | Operator::Less
        | Operator::LessOrEquals
        | Operator::Greater
        | Operator::GreaterOrEquals
        | Operator::Exists => return calls,
    };
    let is_meant = holds != is_turned;
    let values = match is_meant {
        true => asked_for,
        false => other_than(field, &asked_for).into_iter().collect(),
    };
    let is_of_caller = matches!(
        field,
        Field::PrincipalId
            | Field::AppId
            | Field::Groups(_)
            | Field::CallerResource
            | Field::CallerService
    );
    if !is_meant && is_of_caller {
        let strange = |it| Wanted { principal: Some(stranger()), ..it };
        return calls.into_iter().map(strange).collect();
    }
    if values.is_empty() {
        return calls;
    }
    let with = |call: &Wanted, value: &Value| {
        let mut call = call.clone();
        call.take(field, value.clone());
        call
    };
    calls.iter().flat_map(|call| values.iter().map(move |it| with(call, it))).collect()
}

/// Somebody whom nothing is known of and no rule means.
pub(super) fn stranger() -> ObjectId {
    ObjectId(uuid::Uuid::from_u128(2))
}

/// A value of the field that is none of these; nothing where the call has another one anyway.
fn other_than(field: &Field, values: &[Value]) -> Option<Value> {
    let is_named = |text: &str| {
        values.iter().any(|it| it.as_str().is_some_and(|it| it.eq_ignore_ascii_case(text)))
    };
    let one_of = |all: &[&str]| all.iter().find(|it| !is_named(it)).map(|it| json!(it));
    match field {
        Field::Protocol => one_of(&["https", "mqtt", "amqp"]),
        Field::EnrollmentType => one_of(&["individual", "group"]),
        Field::PrincipalType => one_of(&["ManagedIdentity", "User", "ServicePrincipal"]),
        Field::Name | Field::Tag(_) => Some(json!(OTHER)),
        Field::Property { .. } => match values.first() {
            Some(Value::Bool(it)) => Some(json!(!it)),
            Some(Value::String(_)) => Some(json!(OTHER)),
            Some(_) | None => None,
        },
        Field::Type
        | Field::Action
        | Field::Endpoint
        | Field::PrincipalId
        | Field::FullName
        | Field::Id
        | Field::Kind
        | Field::Location
        | Field::IdentityType
        | Field::Tags
        | Field::AppId
        | Field::AuthType
        | Field::Groups(_)
        | Field::CallerResource
        | Field::CallerService => None,
    }
}

/// The kinds of things that policies judge in a hub or service, and hubs.
pub(super) fn object_kinds() -> Vec<String> {
    let of_data = known().filter_map(|it| it.object);
    let hubs = ["Microsoft.Devices/IotHubs"];
    let mut all: Vec<String> = of_data.chain(hubs).map(str::to_owned).collect();
    all.sort();
    all.dedup();
    // The device first: it is what nearly every exception is for.
    all.sort_by_key(|it| !it.eq_ignore_ascii_case(DEVICES));
    all
}

/// The call with what the rule leaves open, in several ways.
pub(super) fn variants(wanted: &Wanted) -> Vec<Wanted> {
    let kinds: Vec<String> = match &wanted.kind {
        Some(it) => vec![it.clone()],
        None => object_kinds(),
    };
    let protocols = match &wanted.protocol {
        Some(it) => vec![it.clone()],
        None => vec!["https".to_owned(), "mqtt".to_owned()],
    };
    let enrollments = match wanted.enrollment {
        Some(it) => vec![Some(it)],
        None => vec![Some(EnrollmentKind::Group), Some(EnrollmentKind::Individual), None],
    };
    let mut all = Vec::new();
    for kind in &kinds {
        for protocol in &protocols {
            for enrollment in &enrollments {
                all.push(Wanted {
                    kind: Some(kind.clone()),
                    protocol: Some(protocol.clone()),
                    enrollment: *enrollment,
                    ..wanted.clone()
                });
            }
        }
    }
    all
}

/// The operation that writes or deletes objects of this type, by the action that is wanted.
pub(super) fn writing(call: &Wanted) -> Option<&'static Operation> {
    let kind = call.kind.as_deref()?;
    let is_asked = |it: &&Operation| {
        call.action.as_deref().is_none_or(|wanted| {
            it.actions.iter().any(|it| it.as_str().eq_ignore_ascii_case(wanted))
        })
    };
    let suffix = if call.is_deletion { "/delete" } else { "/write" };
    let is_of_kind = |it: &&Operation| {
        let by_object = it.object.is_some_and(|it| it.eq_ignore_ascii_case(kind));
        let by_name = it.actions.iter().any(|action| {
            let its = action.as_str().strip_suffix(suffix);
            its.is_some_and(|its| its.eq_ignore_ascii_case(kind))
        });
        let does = |it: &ActionName| match call.is_deletion {
            true => it.ends_in("delete"),
            false => it.is_write(),
        };
        (by_object || it.plane == Plane::Control && by_name) && it.actions.iter().any(does)
    };
    known().find(|it| is_of_kind(it) && is_asked(it))
}

/// What the gates say to the call in a made-up world.
pub(super) fn asked(call: &Wanted, who: &Candidate, facts: &Facts) -> Option<Judgement> {
    let caller = Caller {
        kind: call.principal_kind,
        ..made::identity(call.principal.unwrap_or(who.id), None, "whom the rule lets through")
    };
    judged(call, &made::hub(), &caller, Timestamp::default(), facts)
}

/// Whether a policy denies the call of somebody whom nothing is known of, at a hub that is; nothing where there is no
/// such call.
pub(super) fn told_as(call: &Wanted, hub: &Scope, now: Timestamp, facts: &Facts) -> Option<bool> {
    let id = call.principal.unwrap_or_else(stranger);
    let caller = Caller { kind: call.principal_kind, ..made::identity(id, None, "anybody") };
    Some(made::denying(&judged(call, hub, &caller, now, facts)?).is_some())
}

/// Where the call is judged, and the id of what it writes or deletes.
pub(super) fn place(call: &Wanted, operation: &Operation, hub: &Scope) -> (Scope, Scope) {
    let kind = call.kind.as_deref().unwrap_or("");
    match operation.plane {
        Plane::Control => {
            let around = hub.resource_group_scope().unwrap_or_else(made::subscription);
            let scope = around.join(&format!("providers/{kind}/{}", call.name));
            (scope.clone(), scope)
        }
        Plane::Service | Plane::Directory | Plane::Open | Plane::Token | Plane::Device => {
            let last = kind.rsplit('/').next().unwrap_or("");
            (hub.clone(), hub.join(&format!("{last}/{}", call.name)))
        }
    }
}

/// What the gates say to the call at a hub.
pub(super) fn judged(
    call: &Wanted,
    hub: &Scope,
    caller: &Caller,
    now: Timestamp,
    facts: &Facts,
) -> Option<Judgement> {
    let operation = writing(call)?;
    let kind = call.kind.clone()?;
    let last = kind.rsplit('/').next().unwrap_or("").to_owned();
    let (scope, id) = place(call, operation, hub);
    let object = Object {
        kind,
        name: call.name.clone(),
        id: id.as_str().to_owned(),
        body: call.body.clone(),
        verb: if call.is_deletion { Verb::Delete } else { Verb::Write },
    };
    let endpoint = call.endpoint.clone().unwrap_or_else(|| format!("/{last}/{}", call.name));
    let mut head = made::head(format!("PUT {endpoint}"), now);
    head.channel.protocol = call.protocol.clone().unwrap_or_default();
    head.channel.enrollment = call.enrollment;
    let objects = [object];
    let ask = Ask::new(operation, &scope, caller, &head);
    Some(judge(&Ask { objects: &objects, ..ask }, facts))
}

impl Wanted {
    fn take(&mut self, field: &Field, value: Value) {
        let text = value.as_str().map(str::to_owned);
        match field {
            Field::Type => self.kind = text,
            Field::Name => self.name = text.unwrap_or_default(),
            Field::Action => self.action = text,
            Field::Endpoint => self.endpoint = text,
            Field::Protocol => self.protocol = text,
            Field::EnrollmentType => {
                let is_group = text.is_some_and(|it| it.eq_ignore_ascii_case("group"));
                self.enrollment =
                    Some(if is_group { EnrollmentKind::Group } else { EnrollmentKind::Individual });
            }
            Field::PrincipalId => self.principal = text.and_then(|it| ObjectId::parse(&it)),
            Field::PrincipalType => {
                let kind = serde_json::from_value(value);
                self.principal_kind = kind.unwrap_or(self.principal_kind);
            }
            Field::Tag(name) => put(&mut self.body, &["tags", name], value),
            Field::Property { place, path, .. } => {
                let steps: Vec<&str> = path
                    .iter()
                    .filter_map(|it| match it {
                        Step::Member(name) => Some(name.as_str()),
                        Step::All => None,
                    })
                    .collect();
                if steps.len() == path.len() {
                    let above: &[&str] = match place {
                        Place::Top => &[],
                        Place::Properties => &["properties"],
                    };
                    put(&mut self.body, &[above, &steps].concat(), value);
                }
            }
            Field::FullName
            | Field::Id
            | Field::Kind
            | Field::Location
            | Field::IdentityType
            | Field::Tags
            | Field::AppId
            | Field::AuthType
            | Field::Groups(_)
            | Field::CallerResource
            | Field::CallerService => {}
        }
    }
}

fn put(value: &mut Value, path: &[&str], what: Value) {
    let Some((name, rest)) = path.split_first() else {
        *value = what;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Some(object) = value.as_object_mut() {
        put(object.entry((*name).to_owned()).or_insert(Value::Null), rest, what);
    }
}
