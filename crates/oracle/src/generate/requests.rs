//! A request: mostly by somebody who may, at a place that is there.

use super::rules::{DEVICES, IDENTITIES, LOCATIONS, PRINCIPALS, TAGS};
use super::worlds::{hub, place, resource_group};
use super::{DELAYS_S, EDGES_MS, NOW_MS, Names, moment_before};
use crate::Random;
use crate::operations::{OPERATIONS, Operation, Place, Plane};
use crate::request::{Link, Object, Request, Token, View, Who};
use serde_json::{Value, json};

const POLICIES: [&str; 7] = [
    "iothubowner",
    "IotHubOwner",
    "service",
    "device",
    "registryRead",
    "registryReadWrite",
    "nobody",
];

pub fn request(random: &mut Random, names: &Names) -> Request {
    let operation = operation(random);
    let scope = scope(random, names, operation.place);
    let objects = objects(random, operation, &scope);
    let linked = linked(random, names, operation);
    let now_ms = NOW_MS + *random.one_of(&[-1, 0, 0, 0, 1]);
    let view = View { delay_s: *random.one_of(&DELAYS_S), is_healed_by_token: random.chance(50) };
    let has_view = random.chance(40);
    Request {
        operation,
        scope,
        objects,
        linked,
        who: who(random, names, operation.plane),
        now_ms,
        view: has_view.then_some(view),
    }
}

/// Half of them in the data plane.
fn operation(random: &mut Random) -> &'static Operation {
    let wants_data = random.chance(45);
    loop {
        let found = random.one_of(OPERATIONS);
        if (found.plane == Plane::Data) == wants_data {
            return found;
        }
    }
}

fn scope(random: &mut Random, names: &Names, judged: Place) -> String {
    let scope = match judged {
        Place::Tenant => "/".to_owned(),
        Place::ResourceGroup => resource_group(random, names),
        Place::Hub => hub(random, names),
        Place::Extension(kind) => {
            let above = place(random, names);
            format!("{}/providers/{kind}/x", above.trim_end_matches('/'))
        }
    };
    random.cased(&scope)
}

fn objects(random: &mut Random, operation: &Operation, scope: &str) -> Vec<Object> {
    let Some(kind) = operation.writes else { return Vec::new() };
    let count = if operation.name == "BulkDevices" { 1 + random.below(3) } else { 1 };
    (0..count)
        .map(|_| {
            let device = *random.one_of(&DEVICES);
            let body = body(random);
            match operation.plane {
                Plane::Data => Object {
                    kind: kind.to_owned(),
                    name: device.to_owned(),
                    id: format!("{scope}/devices/{device}"),
                    body,
                },
                Plane::Control | Plane::Directory | Plane::Device => Object {
                    kind: random.cased(kind),
                    name: scope.rsplit('/').next().unwrap_or_default().to_owned(),
                    id: scope.to_owned(),
                    body,
                },
            }
        })
        .collect()
}

fn body(random: &mut Random) -> Value {
    let mut body = json!({});
    let mut set = |key: &str, value: Value| {
        if let Some(members) = body.as_object_mut() {
            members.insert(key.to_owned(), value);
        }
    };
    let (location, tag) = (*random.one_of(&LOCATIONS), *random.one_of(&TAGS));
    let identity = *random.one_of(&IDENTITIES);
    if random.chance(70) {
        set("location", json!(location));
    }
    match random.below(5) {
        0 => {}
        1 => set("tags", json!({ "env": null })),
        2 => set("tags", json!({ "other": tag })),
        _ => set("tags", json!({ *random.one_of(&["env", "Env"]): tag })),
    }
    if random.chance(30) {
        set("identity", json!({ "type": identity }));
    }
    body
}

/// A role must be writable at each place that it may be assigned at; an exemption lifts an assignment.
fn linked(random: &mut Random, names: &Names, operation: &Operation) -> Vec<Link> {
    let action = match operation.name {
        "PutRoleDefinition" => "Microsoft.Authorization/roleDefinitions/write",
        "PutPolicyExemption" => "Microsoft.Authorization/policyAssignments/exempt/action",
        _ => return Vec::new(),
    };
    (0..random.below(3)).map(|_| Link { action, scope: place(random, names) }).collect()
}

fn who(random: &mut Random, names: &Names, plane: Plane) -> Who {
    let is_data = matches!(plane, Plane::Data | Plane::Device);
    if is_data && random.chance(20) {
        return Who::Key {
            policy: (*random.one_of(&POLICIES)).to_owned(),
            is_signed: random.chance(95),
            is_for_this_hub: random.chance(97),
            expires_s: NOW_MS / 1_000 + *random.one_of(&[-1, 0, 1, 60, 60, 60, 60, 60]),
        };
    }
    if plane == Plane::Device {
        return Who::Device((*random.one_of(&DEVICES)).to_owned());
    }
    Who::Principal { id: names.principal(random.below(PRINCIPALS)), token: token(random, plane) }
}

fn token(random: &mut Random, plane: Plane) -> Token {
    const SKEW_MS: i64 = 300_000;
    let right = match plane {
        Plane::Data => *random.one_of(&["https://iothubs.azure.net", "https://iothubs.azure.net/"]),
        Plane::Directory => "https://graph.microsoft.com",
        Plane::Control | Plane::Device => *random
            .one_of(&["https://management.azure.com/", "https://management.core.windows.net"]),
    };
    let wrong = *random.one_of(&[
        "https://iothubs.azure.net",
        "https://management.azure.com",
        "https://graph.microsoft.com",
        "https://example.com",
    ]);
    let edge = *random.one_of(&EDGES_MS);
    let good = Token {
        is_of_this_tenant: true,
        audience: right.to_owned(),
        issued_ms: moment_before(random),
        not_before_ms: None,
        expires_ms: Some(NOW_MS + 3_600_000),
    };
    match random.below(80) {
        0 => Token { is_of_this_tenant: false, ..good },
        1 => Token { audience: wrong.to_owned(), ..good },
        2 => Token { expires_ms: Some(NOW_MS - SKEW_MS + edge), ..good },
        3 => Token { not_before_ms: Some(NOW_MS + SKEW_MS + edge), ..good },
        4 => Token { expires_ms: None, ..good },
        _ => good,
    }
}
