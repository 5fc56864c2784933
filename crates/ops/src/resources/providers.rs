//! Resource providers: which types there are, and which operations each offers.
//!
//! Views of the tables, `model::resource_types::RESOURCE_TYPES` and those of operations; nothing is listed
//! here that is not there.

use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::operations::known;
use model::resource_types::{LOCATIONS, RESOURCE_TYPES, ResourceType};
use model::{Error, Operation, Plane};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// `GET .../providers`.
pub(crate) async fn list(_permit: &Permit, input: &Input, _env: &Env) -> Result<Reply, Error> {
    let subscription = input.param("subscription");
    Ok(Reply::list(namespaces().into_iter().map(|it| provider(it, subscription)).collect()))
}

/// `GET .../providers/{namespace}`.
///
/// # Errors
/// `InvalidResourceNamespace` where no type lies in it.
pub(crate) async fn get(_permit: &Permit, input: &Input, _env: &Env) -> Result<Reply, Error> {
    let namespace = namespace_of(input, namespaces())?;
    Ok(Reply::ok(provider(namespace, input.param("subscription"))))
}

/// `POST .../providers/{namespace}/register`: all are registered, so there is nothing to do.
///
/// # Errors
/// `InvalidResourceNamespace` where no type lies in it.
pub(crate) async fn register(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    get(permit, input, env).await
}

/// `GET /providers/Microsoft.Authorization/providerOperations`.
pub(crate) async fn list_operations(
    _permit: &Permit,
    _input: &Input,
    _env: &Env,
) -> Result<Reply, Error> {
    Ok(Reply::list(acting_namespaces().into_iter().map(operations_of).collect()))
}

/// `GET /providers/Microsoft.Authorization/providerOperations/{namespace}`.
///
/// # Errors
/// `InvalidResourceNamespace` where no operation lies in it.
pub(crate) async fn get_operations(
    _permit: &Permit,
    input: &Input,
    _env: &Env,
) -> Result<Reply, Error> {
    Ok(Reply::ok(operations_of(namespace_of(input, acting_namespaces())?)))
}

/// `GET /providers/Microsoft.Devices/operations`.
pub(crate) async fn list_devices_operations(
    _permit: &Permit,
    _input: &Input,
    _env: &Env,
) -> Result<Reply, Error> {
    let operations = offered("Microsoft.Devices").into_iter().map(|it| {
        json!({
            "name": it.name,
            "isDataAction": it.is_data_action,
            "display": {
                "provider": display_name("Microsoft.Devices"),
                "resource": it.resource_type,
                "operation": it.says,
                "description": it.says,
            },
        })
    });
    Ok(Reply::list(operations.collect()))
}

fn namespace_of(input: &Input, known: BTreeSet<&'static str>) -> Result<&'static str, Error> {
    let wanted = input.param("namespace");
    known.iter().find(|it| it.eq_ignore_ascii_case(wanted)).copied().ok_or_else(|| {
        Error::NotFound {
            code: "InvalidResourceNamespace",
            message: format!(
                "there is no resource provider `{}`; there are {}",
                wanted.escape_debug(),
                known.iter().copied().collect::<Vec<_>>().join(", ")
            ),
        }
    })
}

/// Namespaces that have types.
fn namespaces() -> BTreeSet<&'static str> {
    RESOURCE_TYPES.iter().map(|it| it.namespace).collect()
}

/// Namespaces that have operations.
fn acting_namespaces() -> BTreeSet<&'static str> {
    known()
        .flat_map(|row| row.actions)
        .filter_map(|it| it.as_str().split_once('/'))
        .map(|(namespace, _)| namespace)
        .collect()
}

fn provider(namespace: &'static str, subscription: &str) -> Value {
    let above = match subscription.is_empty() {
        true => String::new(),
        false => format!("/subscriptions/{subscription}"),
    };
    let types: Vec<Value> =
        RESOURCE_TYPES.iter().filter(|it| it.namespace == namespace).map(resource_type).collect();
    json!({
        "id": format!("{above}/providers/{namespace}"),
        "namespace": namespace,
        "registrationPolicy": "RegistrationFree",
        "registrationState": "Registered",
        "resourceTypes": types,
    })
}

fn resource_type(row: &ResourceType) -> Value {
    let locations: Vec<&str> = match row.is_tracked {
        true => LOCATIONS.iter().map(|(_, display_name)| *display_name).collect(),
        false => Vec::new(),
    };
    let capabilities = match row.is_tracked {
        true => "SupportsTags, SupportsLocation",
        false => "None",
    };
    json!({
        "resourceType": row.name,
        "locations": locations,
        "apiVersions": row.api_versions,
        "capabilities": capabilities,
    })
}

/// One operation as lists show it.
#[derive(PartialEq, Eq, Debug)]
struct Offered {
    /// The whole action: `Microsoft.Devices/IotHubs/devices/read`.
    name: &'static str,
    /// The type below the namespace: `IotHubs/devices`. Empty for the provider itself.
    resource_type: &'static str,
    is_data_action: bool,
    says: &'static str,
}

/// Every action below a namespace, once per plane, in the order of their names.
fn offered(namespace: &str) -> Vec<Offered> {
    let mut all: BTreeMap<(&str, bool), Offered> = BTreeMap::new();
    // A row of one action describes it better than a row that needs several.
    let (single, several): (Vec<&Operation>, Vec<&Operation>) =
        known().partition(|it| it.actions.len() == 1);
    for row in single.into_iter().chain(several) {
        for action in row.actions {
            let name = action.as_str();
            let Some((its, path)) = name.split_once('/') else { continue };
            if !its.eq_ignore_ascii_case(namespace) {
                continue;
            }
            let is_data_action = row.role_plane() == Plane::Service;
            all.entry((name, is_data_action)).or_insert_with(|| Offered {
                name,
                resource_type: type_of(path),
                is_data_action,
                says: row.says,
            });
        }
    }
    all.into_values().collect()
}

/// The type in an action behind its namespace: without the verb, and without the word before `action`.
fn type_of(path: &'static str) -> &'static str {
    let (before, verb) = path.rsplit_once('/').unwrap_or(("", path));
    match verb {
        "action" => before.rsplit_once('/').map_or("", |(kind, _)| kind),
        _ => before,
    }
}

/// True for types below Azure's that Azure does not have.
fn is_ours(kind: &str) -> bool {
    ["IotHubs/securityPolicies", "IotHubs/securitySettings"].contains(&kind)
}

fn operations_of(namespace: &'static str) -> Value {
    let mut own = Vec::new();
    let mut by_type: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for it in offered(namespace) {
        let shown = json!({
            "name": it.name,
            "displayName": it.says,
            "description": it.says,
            "origin": if is_ours(it.resource_type) { "hubward" } else { "user,system" },
            "isDataAction": it.is_data_action,
        });
        match it.resource_type.is_empty() {
            true => own.push(shown),
            false => by_type.entry(it.resource_type).or_default().push(shown),
        }
    }
    let types: Vec<Value> = by_type
        .into_iter()
        .map(|(name, operations)| {
            json!({ "name": name, "displayName": name, "operations": operations })
        })
        .collect();
    json!({
        "id": format!("/providers/Microsoft.Authorization/providerOperations/{namespace}"),
        "name": namespace,
        "type": "Microsoft.Authorization/providerOperations",
        "displayName": display_name(namespace),
        "operations": own,
        "resourceTypes": types,
    })
}

fn display_name(namespace: &str) -> String {
    namespace.replace('.', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_of_the_table_is_offered_once_per_plane() {
        let mut offered_names: Vec<(&str, bool)> = acting_namespaces()
            .into_iter()
            .flat_map(offered)
            .map(|it| (it.name, it.is_data_action))
            .collect();
        let all: BTreeSet<(&str, bool)> = known()
            .flat_map(|row| {
                row.actions.iter().map(|it| (it.as_str(), row.role_plane() == Plane::Service))
            })
            .collect();
        offered_names.sort_unstable();
        assert_eq!(offered_names, all.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn data_actions_are_marked_and_described_by_their_own_row() {
        let devices = offered("microsoft.devices");
        let write = devices.iter().find(|it| it.name.ends_with("IotHubs/devices/write")).unwrap();
        assert!(write.is_data_action);
        assert_eq!(write.resource_type, "IotHubs/devices");
        assert_eq!(write.says, "Creates or updates a device identity");
        let keys = devices.iter().find(|it| it.name.ends_with("IotHubs/listkeys/action")).unwrap();
        assert!(!keys.is_data_action);
        assert_eq!(keys.resource_type, "IotHubs");
    }

    #[test]
    fn an_action_says_its_type() {
        let check =
            |path: &'static str, expected: &str| assert_eq!(type_of(path), expected, "{path}");
        check("IotHubs/read", "IotHubs");
        check("IotHubs/iotHubKeys/listkeys/action", "IotHubs/iotHubKeys");
        check("checkNameAvailability/action", "");
        check("operations/read", "operations");
        check("read", "");
    }

    #[test]
    fn operations_of_the_provider_itself_stand_apart() {
        let shown = operations_of("Microsoft.Devices");
        let own: Vec<&str> = shown["operations"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|it| it["name"].as_str())
            .collect();
        assert_eq!(
            own,
            [
                "Microsoft.Devices/checkNameAvailability/action",
                "Microsoft.Devices/checkProvisioningServiceNameAvailability/action",
                "Microsoft.Devices/register/action",
            ]
        );
        let types: Vec<&str> = shown["resourceTypes"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|it| it["name"].as_str())
            .collect();
        for name in ["IotHubs", "IotHubs/devices", "IotHubs/iotHubKeys", "operations"] {
            assert!(types.contains(&name), "{name}: {types:?}");
        }
        assert!(types.contains(&"provisioningServices/enrollmentGroups"), "{types:?}");
        assert!(types.is_sorted(), "{types:?}");
    }

    #[test]
    fn clients_find_a_stable_version_of_every_type_that_has_one() {
        for namespace in namespaces() {
            let shown = provider(namespace, "s");
            assert_eq!(shown["id"], format!("/subscriptions/s/providers/{namespace}"));
            assert_eq!(shown["registrationState"], "Registered");
            for row in shown["resourceTypes"].as_array().unwrap() {
                assert!(!row["apiVersions"].as_array().unwrap().is_empty(), "{row}");
            }
        }
        assert_eq!(provider("Microsoft.Devices", "")["id"], "/providers/Microsoft.Devices");
    }
}
