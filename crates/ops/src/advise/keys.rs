//! Who still uses keys, and the role that would take the place of each.

use super::roles::Need;
use crate::advice::quoted;
use crate::observed::Use;
use gate::Facts;
use model::operations::named;
use model::{Operation, Plane, Scope, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The users of each policy at each place, those that were used last first.
pub(crate) fn by_policy(uses: &[Use], facts: &Facts) -> Vec<Value> {
    let mut policies: BTreeMap<(String, String), Vec<&Use>> = BTreeMap::new();
    for used in uses.iter().filter(|it| it.is_by_key() && it.allowed > 0) {
        let key = (used.place().key(), used.name.to_ascii_lowercase());
        policies.entry(key).or_default().push(used);
    }
    let mut all: Vec<&Vec<&Use>> = policies.values().collect();
    let last = |uses: &[&Use]| uses.iter().filter_map(|it| it.last).max();
    all.sort_by_key(|it| std::cmp::Reverse(last(it)));
    all.into_iter().filter_map(|it| told(it, facts)).collect()
}

fn told(uses: &[&Use], facts: &Facts) -> Option<Value> {
    let first = uses.first()?;
    let at = first.place();
    let rows: Vec<&Operation> = uses.iter().filter_map(|it| named(&it.operation)).collect();
    let operations: BTreeSet<&str> = uses.iter().map(|it| it.operation.as_str()).collect();
    let calls: u64 = uses.iter().map(|it| it.allowed).sum();
    let mut clients: Vec<Value> = Vec::new();
    for client in uses.iter().flat_map(|it| it.clients.iter().rev()) {
        let told = json!({
            "address": client.address, "protocol": client.protocol, "agent": client.agent,
        });
        if !clients.contains(&told) {
            clients.push(told);
        }
    }
    // No role leads to the built-in endpoint, and none makes a service a device.
    let reads_events = rows.iter().any(|it| it.is_built_in_endpoint());
    let is_device = rows.iter().any(|it| it.plane == Plane::Device);
    let replaceable = uses.iter().copied().filter(|it| {
        let row = named(&it.operation);
        row.is_some_and(|it| !it.is_built_in_endpoint() && it.plane != Plane::Device)
    });
    let need = Need::of(replaceable);
    let mut notes = Vec::new();
    if reads_events {
        notes.push(
            "no role reads the built-in endpoint: route the messages to an event hub of your own, which takes Entra",
        );
    }
    if is_device {
        notes.push("no role connects devices: let each connect by its own key or certificate");
    }
    let dates = |pick: fn(&Use) -> Option<Timestamp>| uses.iter().copied().filter_map(pick);
    Some(json!({
        "scope": at,
        "policy": first.name,
        "calls": calls,
        "first": dates(|it| it.first).min().map(Timestamp::rfc3339),
        "last": dates(|it| it.last).max().map(Timestamp::rfc3339),
        "operations": operations,
        "clients": clients,
        "replacedBy": roles(&need, &at, facts),
        "needs": need.told(),
        "notes": notes,
    }))
}

fn roles(need: &Need, at: &Scope, facts: &Facts) -> Vec<Value> {
    let place = quoted(at.as_str());
    let role = |name: &str| {
        let name = quoted(name);
        format!("az role assignment create --assignee PRINCIPAL --role {name} --scope {place}")
    };
    let found = need.roles(at, facts);
    found
        .iter()
        .map(|it| json!({ "roleName": it.name, "roleId": it.id, "scope": at, "command": role(&it.name) }))
        .collect()
}
