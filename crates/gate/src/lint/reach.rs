//! An `allow` behind the denial: which exceptions come too late?
//!
//! For each `allow` calls are made up that its own condition holds for, as the gates say. Where each of them is
//! denied by an earlier rule, the exception changes nothing that was tried.

use super::provisioning::{self as made, Candidate, Told, candidates, denying, world};
use super::{Code, Warning, place};
use crate::decide::{Ask, Judgement, judge};
use crate::facts::Facts;
use crate::policy::{
    Comparison, Effect, Field, FieldName, Left, Operator, Place, PolicyDefinition, Rule, Step,
    Template, Test, Then,
};
use model::operations::{Operation, known};
use model::trace::{Caller, EnrollmentKind, Object, Verb};
use model::{ObjectId, Plane, PrincipalKind, Timestamp};
use serde_json::{Map, Value, json};

/// Most calls that are made up for one rule.
const CALLS_MAX: usize = 2_000;
const DEVICES: &str = "Microsoft.Devices/IotHubs/devices";

/// A call as far as a rule's own words tell it.
#[derive(Clone, Debug)]
struct Wanted {
    kind: Option<String>,
    name: String,
    action: Option<String>,
    protocol: Option<String>,
    endpoint: Option<String>,
    enrollment: Option<EnrollmentKind>,
    principal: Option<ObjectId>,
    principal_kind: PrincipalKind,
    body: Value,
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
        }
    }
}

/// Warnings about an `allow` that is denied before it is reached, each time it was tried.
pub(super) fn unreached(told: &Told<'_>) -> Vec<Warning> {
    let rules = &told.definition.rules;
    let is_allow = |it: &&Rule| matches!(it.then, Then::Is(Effect::Allow));
    rules.iter().filter(is_allow).filter_map(|it| late(it, told)).collect()
}

fn late(rule: &Rule, told: &Told<'_>) -> Option<Warning> {
    let mut wanted = Wanted::default();
    satisfy(&rule.condition, &mut wanted, true);
    // By itself, as a denial: then the gates say whether its condition holds.
    let alone = PolicyDefinition {
        rules: vec![Rule { then: Then::Is(Effect::Deny), ..rule.clone() }],
        ..told.definition.clone()
    };
    let mut first: Option<usize> = None;
    let mut tried = 0;
    for who in candidates(told) {
        let (own, whole) =
            (world(&alone, told.given, &who), world(told.definition, told.given, &who));
        for call in variants(&wanted) {
            tried += 1;
            if tried > CALLS_MAX {
                break;
            }
            let found = |facts: &Facts| asked(&call, &who, facts).as_ref().and_then(index);
            if found(&own).is_none() {
                continue;
            }
            match found(&whole) {
                // As one denial among others it could also be reached behind: then it is another's word.
                Some(it) if it < rule.index => first = Some(first.map_or(it, |old| old.min(it))),
                Some(_) | None => return None,
            }
        }
    }
    let denies = first?;
    Some(Warning {
        at: place(told.properties, rule.index),
        rule: Some(rule.index),
        code: Code::NeverReached,
        because: format!(
            "rule {} lets nothing through: what it is for is denied by rule {denies}, which comes first",
            rule.index
        ),
        advice: format!("move rule {} before rule {denies}", rule.index),
    })
}

fn index(judged: &Judgement) -> Option<usize> {
    denying(judged)?.rule.as_ref().map(|it| it.index)
}

/// The call with what the rule leaves open, in several ways.
fn variants(wanted: &Wanted) -> impl Iterator<Item = Wanted> {
    let kinds: Vec<String> = match &wanted.kind {
        Some(it) => vec![it.clone()],
        None => {
            let of_data = known().filter_map(|it| it.object);
            let hubs = ["Microsoft.Devices/IotHubs"];
            let mut all: Vec<String> = of_data.chain(hubs).map(str::to_owned).collect();
            all.sort();
            all.dedup();
            // The device first: it is what nearly every exception is for.
            all.sort_by_key(|it| !it.eq_ignore_ascii_case(DEVICES));
            all
        }
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
    all.into_iter()
}

/// The operation that writes objects of this type, by the action that is wanted.
fn writing(call: &Wanted) -> Option<&'static Operation> {
    let kind = call.kind.as_deref()?;
    let is_asked = |it: &&Operation| {
        call.action.as_deref().is_none_or(|wanted| {
            it.actions.iter().any(|it| it.as_str().eq_ignore_ascii_case(wanted))
        })
    };
    let is_of_kind = |it: &&Operation| {
        let by_object = it.object.is_some_and(|it| it.eq_ignore_ascii_case(kind));
        let by_name = it.actions.iter().any(|action| {
            let its = action.as_str().strip_suffix("/write");
            its.is_some_and(|its| its.eq_ignore_ascii_case(kind))
        });
        (by_object || it.plane == Plane::Control && by_name)
            && it.actions.iter().any(|it| it.is_write())
    };
    known().find(|it| is_of_kind(it) && is_asked(it))
}

fn asked(call: &Wanted, who: &Candidate, facts: &Facts) -> Option<Judgement> {
    let operation = writing(call)?;
    let kind = call.kind.clone()?;
    let last = kind.rsplit('/').next().unwrap_or("").to_owned();
    let (scope, id) = match operation.plane {
        Plane::Control => {
            let path = format!("resourceGroups/group/providers/{kind}/{}", call.name);
            let scope = made::subscription().join(&path);
            (scope.clone(), scope)
        }
        Plane::Service | Plane::Directory | Plane::Open | Plane::Token | Plane::Device => {
            (made::hub(), made::hub().join(&format!("{last}/{}", call.name)))
        }
    };
    let caller = Caller {
        kind: call.principal_kind,
        ..made::identity(call.principal.unwrap_or(who.id), None, "whom the rule lets through")
    };
    let object = Object {
        kind,
        name: call.name.clone(),
        id: id.as_str().to_owned(),
        body: call.body.clone(),
        verb: Verb::Write,
    };
    let endpoint = call.endpoint.clone().unwrap_or_else(|| format!("/{last}/{}", call.name));
    let mut head = made::head(format!("PUT {endpoint}"), Timestamp::default());
    head.channel.protocol = call.protocol.clone().unwrap_or_default();
    head.channel.enrollment = call.enrollment;
    let objects = [object];
    let ask = Ask::new(operation, &scope, &caller, &head);
    Some(judge(&Ask { objects: &objects, ..ask }, facts))
}

/// Takes over what a condition asks for, as far as it is plain. Whether that was enough, the gates say.
fn satisfy(test: &Test, wanted: &mut Wanted, holds: bool) {
    match test {
        Test::AllOf(all) if holds => all.iter().for_each(|it| satisfy(it, wanted, true)),
        Test::AnyOf(all) if !holds => all.iter().for_each(|it| satisfy(it, wanted, false)),
        Test::AllOf(all) | Test::AnyOf(all) => {
            if let Some(it) = all.first() {
                satisfy(it, wanted, holds);
            }
        }
        Test::Not(inner) => satisfy(inner, wanted, !holds),
        Test::Compare(it) => compare(it, wanted, holds),
    }
}

fn compare(it: &Comparison, wanted: &mut Wanted, holds: bool) {
    let (Left::Field { field: FieldName::Known(field), .. }, Template::Literal(expected)) =
        (&it.left, &it.expected)
    else {
        return;
    };
    let (value, is_meant) = match it.operator {
        Operator::Equals => (Some(expected.clone()), holds),
        Operator::NotEquals => (Some(expected.clone()), !holds),
        Operator::In => (expected.as_array().and_then(|it| it.first()).cloned(), holds),
        Operator::NotIn => (expected.as_array().and_then(|it| it.first()).cloned(), !holds),
        Operator::Like | Operator::Contains => {
            (expected.as_str().map(|it| json!(it.replace('*', "x"))), holds)
        }
        Operator::NotLike => (expected.as_str().map(|it| json!(it.replace('*', "x"))), !holds),
        Operator::Match
        | Operator::NotMatch
        | Operator::MatchInsensitively
        | Operator::NotMatchInsensitively
        | Operator::NotContains
        | Operator::ContainsKey
        | Operator::NotContainsKey
        | Operator::Less
        | Operator::LessOrEquals
        | Operator::Greater
        | Operator::GreaterOrEquals
        | Operator::Exists => (None, false),
    };
    if let Some(value) = value.filter(|_| is_meant) {
        wanted.take(field, value);
    }
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
