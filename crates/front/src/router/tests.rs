//! Tests of routing: every row of the table is reached at its own address and at no other.

use super::*;
use model::operations::Protocol;
use model::{OPERATIONS, Op};
use proptest::prelude::*;

const MANAGEMENT: &[Surface] = &[Surface::Arm, Surface::Entra, Surface::Graph];
const HUBS: &[Surface] = &[Surface::Hub, Surface::Dps];
const HUB: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/h";

fn route(surfaces: &[Surface], method: &str, path: &str) -> Result<Found, Missed> {
    find(surfaces, method, &crate::path::segments(path).unwrap(), &[])
}

#[test]
fn a_query_chooses_among_the_operations_on_blobs() {
    let blobs = |method: &str, path: &str, query: &str| {
        let segments = crate::path::blob_segments(path).unwrap();
        let query: Vec<(String, String)> = ops::input::pairs(query).collect();
        find(&[Surface::Blob], method, &segments, &query).map(|it| it.operation.op).ok()
    };
    assert_eq!(blobs("PUT", "/acc/c/a/b", ""), Some(Op::PutBlob));
    assert_eq!(blobs("PUT", "/acc/c/a/b", "timeout=5"), Some(Op::PutBlob));
    assert_eq!(blobs("PUT", "/acc/c/a/b", "COMP=Block&blockid=QQ"), Some(Op::PutBlock));
    assert_eq!(blobs("PUT", "/acc/c", "restype=container"), Some(Op::CreateBlobContainer));
    assert_eq!(blobs("GET", "/acc/c", "restype=container&comp=list"), Some(Op::ListBlobs));
    assert_eq!(blobs("GET", "/acc", "comp=list"), Some(Op::ListBlobContainers));
    // What chooses something else, or twice, must not become the plain operation.
    for query in ["comp=lease", "comp=", "comp=block&comp=block", "restype=container", "comp=list"]
    {
        assert_eq!(blobs("PUT", "/acc/c/a", query), None, "{query}");
    }
    assert_eq!(blobs("GET", "/acc/c", ""), None);
}

fn check(method: &str, path: &str, expected: Op) {
    let found =
        route(MANAGEMENT, method, path).unwrap_or_else(|it| panic!("{method} {path}: {it:?}"));
    assert_eq!(found.operation.op, expected, "{method} {path}");
}

#[test]
fn every_route_of_the_table_is_reached_and_yields_its_own_operation() {
    let mut reached = 0;
    for operation in OPERATIONS {
        for it in operation.routes.iter().filter(|it| it.protocol == Protocol::Https) {
            let sides = [HUBS, &[Surface::Identity], &[Surface::Blob]];
            let (place, query) = it.path.split_once('?').unwrap_or((it.path, ""));
            let query: Vec<(String, String)> = ops::input::pairs(query).collect();
            let of = |all: &&&[Surface]| all.contains(&it.surface);
            let surfaces = sides.iter().find(of).copied().unwrap_or(MANAGEMENT);
            for scope in ["", "/subscriptions/s", "/subscriptions/s/resourceGroups/g", HUB] {
                let path: Vec<String> = place
                    .replace("{scope}", scope)
                    .split('/')
                    .map(|it| match it.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
                        Some(name) => format!("some-{name}"),
                        None => it.to_owned(),
                    })
                    .collect();
                let path = path.join("/");
                let segments = crate::path::segments(&path).unwrap();
                let found = find(surfaces, it.method, &segments, &query)
                    .unwrap_or_else(|missed| panic!("{it:?} at {path}: {missed:?}"));
                assert_eq!(
                    (found.operation.op, found.surface),
                    (operation.op, it.surface),
                    "{it:?} at {path}"
                );
                for (name, value) in &found.params {
                    assert_eq!(value, &format!("some-{name}"), "{it:?} at {path}");
                }
                reached += 1;
            }
        }
    }
    assert!(reached > OPERATIONS.len());
}

#[test]
fn literals_compare_without_regard_to_case_and_names_keep_theirs() {
    let found = route(
        MANAGEMENT,
        "PUT",
        "/SUBSCRIPTIONS/S/resourcegroups/Rg/PROVIDERS/microsoft.devices/iothubs/My-Hub",
    )
    .unwrap();
    assert_eq!(found.operation.op, Op::PutHub);
    assert_eq!(found.params.get("group").map(String::as_str), Some("Rg"));
    assert_eq!(found.params.get("hub").map(String::as_str), Some("My-Hub"));
}

#[test]
fn double_and_trailing_slashes_change_nothing() {
    check(
        "GET",
        "/subscriptions/s/resourcegroups/g/providers/Microsoft.Devices//IotHubs/h",
        Op::GetHub,
    );
    check("GET", "//subscriptions/", Op::ListSubscriptions);
    let devices = route(HUBS, "GET", "/devices/").unwrap();
    assert_eq!(devices.operation.op, Op::ListDevices);
}

#[test]
fn namesakes_are_told_apart() {
    check("GET", "/providers/Microsoft.Authorization/roleDefinitions", Op::ListRoleDefinitions);
    check(
        "GET",
        "/providers/Microsoft.Authorization/roleDefinitions/revisions",
        Op::GetRoleDefinition,
    );
    check(
        "GET",
        "/providers/Microsoft.Authorization/roleDefinitions/x/revisions",
        Op::ListRoleDefinitionRevisions,
    );
    check(
        "GET",
        "/providers/Microsoft.Authorization/providerOperations",
        Op::ListProviderOperations,
    );
    check("GET", "/providers/Microsoft.Authorization", Op::GetProvider);
    check("GET", "/providers/Microsoft.Devices/operations", Op::ListDevicesOperations);
    check("GET", "/subscriptions/s/resourceGroups/roleAssignments", Op::GetResourceGroup);
    check("GET", "/subscriptions/s/resourceGroups/providers", Op::GetResourceGroup);
    check("POST", "/decisions/ask", Op::AskDecision);
    check("GET", "/decisions/ask", Op::GetDecision);
    check("GET", "/common/discovery/instance", Op::DiscoverInstance);
    check("GET", "/common/discovery/keys", Op::ReadSigningKeys);
    check("HEAD", "/subscriptions/s/resourceGroups/g", Op::HasResourceGroup);
}

#[test]
fn a_scope_may_be_empty_and_may_be_a_resource() {
    let below = "/providers/Microsoft.Authorization/roleAssignments/x";
    for scope in ["", "/subscriptions/s", HUB, "/providers/Microsoft.Management/managementGroups/m"]
    {
        check("PUT", &format!("{scope}{below}"), Op::PutRoleAssignment);
    }
    check("GET", &format!("{HUB}{below}{below}"), Op::GetRoleAssignment);
}

#[test]
fn a_known_path_names_the_methods_that_it_has() {
    let missed = route(MANAGEMENT, "POST", HUB).unwrap_err();
    let Error::MethodNotAllowed { method, allowed } = missed.error else { panic!("{missed:?}") };
    assert_eq!((method.as_str(), allowed), ("POST", vec!["DELETE", "GET", "PATCH", "PUT"]));
    for method in ["HEAD", "get", "OPTIONS", "BREW\u{e9}"] {
        let missed = route(HUBS, method, "/devices/d1").unwrap_err();
        assert!(matches!(missed.error, Error::MethodNotAllowed { .. }), "{method}");
        assert_eq!(missed.surface, Surface::Hub);
    }
}

#[test]
fn a_side_has_only_its_own_addresses() {
    assert!(route(MANAGEMENT, "GET", "/devices/d1").is_err());
    assert!(route(HUBS, "GET", "/subscriptions").is_err());
    assert!(route(HUBS, "POST", "/t/oauth2/v2.0/token").is_err());
    let any = route(HUBS, "GET", "/devices/a%25b").unwrap();
    assert_eq!(any.params.get("device").map(String::as_str), Some("a%b"));
}

#[test]
fn an_unknown_path_is_refused_in_the_shape_of_its_surface() {
    let check = |surfaces: &[Surface], path: &str, expected: Surface| {
        let missed = route(surfaces, "GET", path).unwrap_err();
        assert!(matches!(missed.error, Error::UnknownPath { .. }), "{path}: {missed:?}");
        assert_eq!(missed.surface, expected, "{path}");
    };
    check(MANAGEMENT, "/", Surface::Arm);
    check(MANAGEMENT, "/nothing", Surface::Arm);
    check(MANAGEMENT, "/subscriptions/s/oauth", Surface::Arm);
    check(MANAGEMENT, "/v1.0/groupz", Surface::Graph);
    check(MANAGEMENT, "/t/oauth2/v2.0/authorize", Surface::Entra);
    check(MANAGEMENT, "/t/v2.0/.well-known/x", Surface::Entra);
    check(MANAGEMENT, "/t/discovery/v9/keys", Surface::Entra);
    check(HUBS, "/", Surface::Hub);
    check(HUBS, "/v1.0/users", Surface::Hub);
    check(HUBS, "/t/oauth2/token", Surface::Hub);
    check(HUBS, "/devices/d1/nothing", Surface::Hub);
}

proptest! {
    #[test]
    fn no_path_makes_the_router_panic(
        method in "[A-Z]{0,8}",
        segments in proptest::collection::vec("(devices|subscriptions|providers|[^/]{0,8})", 0..12),
    ) {
        let _ = find(MANAGEMENT, &method, &segments, &[]);
        let _ = find(HUBS, &method, &segments, &[]);
    }
}
