//! Rules of policies: few fields, few values, conditions in conditions.

use super::Names;
use super::names::OWNER;
use crate::Random;
use serde_json::{Value, json};

pub(crate) const DEVICES: [&str; 4] = ["d1", "D1", "d10", "pump"];
pub(crate) const TAGS: [&str; 4] = ["prod", "PROD", "test", ""];
pub(crate) const LOCATIONS: [&str; 3] = ["West US", "westus", "EastUS"];
pub(crate) const IDENTITIES: [&str; 2] = ["SystemAssigned", "None"];
pub(crate) const PRINCIPALS: usize = 3;
const KINDS: [&str; 3] = ["User", "ServicePrincipal", "SasKey"];
const TYPES: [&str; 5] = [
    "Microsoft.Devices/IotHubs",
    "Microsoft.Devices/IotHubs/devices",
    "Microsoft.Resources/subscriptions/resourceGroups",
    "Microsoft.Authorization/roleAssignments",
    "Microsoft.Authorization/locks",
];

pub(crate) fn rule(random: &mut Random, names: &Names) -> Value {
    let effect = *random.one_of(&[
        "deny", "deny", "deny", "Deny", "allow", "Allow", "allow", "audit", "audit", "disabled",
    ]);
    let condition = condition(random, names, 2);
    json!({ "if": condition, "then": { "effect": effect } })
}

fn condition(random: &mut Random, names: &Names, depth: usize) -> Value {
    let mut several = |at_least: usize| -> Vec<Value> {
        let count = at_least + random.below(3 - at_least);
        (0..count).map(|_| condition(random, names, depth - 1)).collect()
    };
    if depth == 0 {
        return comparison(random, names);
    }
    match several(0).as_slice() {
        _ if random.chance(35) => comparison(random, names),
        inner if random.chance(70) => json!({ *random.one_of(&["allOf", "allof"]): inner }),
        inner if random.chance(60) => json!({ "anyOf": inner }),
        _ => json!({ "not": condition(random, names, depth - 1) }),
    }
}

/// A field with the values that it may have, and whether these are the same under other names.
fn field(random: &mut Random, names: &Names) -> (&'static str, Vec<String>, bool) {
    let owned = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let principals = || {
        let mut all: Vec<String> = (0..PRINCIPALS).map(|it| names.principal(it)).collect();
        all.push(OWNER.to_owned());
        all
    };
    match random.below(13) {
        0..=2 => ("type", owned(&TYPES), true),
        3 | 4 => (*random.one_of(&["name", "Name"]), owned(&DEVICES), true),
        5 => ("name", owned(&names.hubs), false),
        6 => ("location", owned(&["westus", "WESTUS", "eastus", "West US"]), true),
        7 => (*random.one_of(&["tags.env", "tags['env']", "tags[Env]"]), owned(&TAGS), true),
        8 => (*random.one_of(&["tags.none", "tags"]), owned(&TAGS), true),
        9 => ("identity.principalId", principals(), false),
        10 => ("identity.principalType", owned(&KINDS), true),
        11 => (
            *random.one_of(&["identity.authType", "identity.appId"]),
            owned(&["sas", "entra"]),
            true,
        ),
        _ => ("identity.type", owned(&IDENTITIES), true),
    }
}

fn comparison(random: &mut Random, names: &Names) -> Value {
    let (field, values, is_everywhere) = field(random, names);
    let value = random.one_of(&values).clone();
    let other = random.one_of(&values).clone();
    let (operator, expected) = match random.below(if is_everywhere { 12 } else { 7 }) {
        0..=2 => ("equals", json!(random.cased(&value))),
        3 => ("notEquals", json!(random.cased(&value))),
        4 => ("in", json!([random.cased(&value), other])),
        5 => ("notIn", json!([random.cased(&value), other])),
        6 => match random.below(3) {
            0 => ("exists", json!(true)),
            1 => ("exists", json!("False")),
            _ => ("equals", Value::Null),
        },
        7 | 8 => ("like", json!(like(random, &value))),
        9 => ("notLike", json!(like(random, &value))),
        10 => ("contains", json!(part(random, &value))),
        _ if field == "tags" => ("containsKey", json!("ENV")),
        _ => ("notContains", json!(part(random, &value))),
    };
    json!({ "field": field, random.cased(operator): expected })
}

/// A value with one `*` in place of some of its letters, or with none.
fn like(random: &mut Random, value: &str) -> String {
    let from = random.below(value.len() + 1);
    let to = (from + random.below(4)).min(value.len());
    let mut pattern = value.to_owned();
    if random.chance(80) {
        pattern.replace_range(from..to, "*");
    }
    random.cased(&pattern)
}

fn part(random: &mut Random, value: &str) -> String {
    let from = random.below(value.len().max(1));
    random.cased(value.get(from..).unwrap_or_default())
}
