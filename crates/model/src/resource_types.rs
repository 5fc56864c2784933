//! The second table: what exists in the control plane, in which versions, below what.

/// A type of resource.
#[derive(Debug)]
pub struct ResourceType {
    /// The provider's namespace: `Microsoft.Devices`.
    pub namespace: &'static str,
    /// The type below it: `IotHubs`.
    pub name: &'static str,
    /// Known api-versions, newest first. Later ones are taken too, see [`check_api_version`].
    pub api_versions: &'static [&'static str],
    /// True where resources of it have a location and lie in a resource group.
    pub is_tracked: bool,
    /// Paths below `properties` that hold secrets: no alias, and policy never sees them.
    pub secrets: &'static [&'static str],
}

impl ResourceType {
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Where resources can be said to be. One machine serves them all; clients insist on a name.
pub const LOCATIONS: &[(&str, &str)] = &[
    ("westus", "West US"),
    ("westus2", "West US 2"),
    ("eastus", "East US"),
    ("eastus2", "East US 2"),
    ("centralus", "Central US"),
    ("northeurope", "North Europe"),
    ("westeurope", "West Europe"),
    ("uksouth", "UK South"),
    ("germanywestcentral", "Germany West Central"),
    ("southeastasia", "Southeast Asia"),
    ("japaneast", "Japan East"),
    ("australiaeast", "Australia East"),
    ("global", "Global"),
];

/// A location as it compares: no spaces, lower case.
pub fn normal_location(text: &str) -> String {
    text.chars().filter(|it| *it != ' ').flat_map(char::to_lowercase).collect()
}

// Known api-versions of each provider of targets.
const EVENT_HUB: &[&str] =
    &["2026-01-01", "2026-07-01-preview", "2024-01-01", "2021-11-01", "2017-04-01"];
const SERVICE_BUS: &[&str] = &["2026-01-01", "2024-01-01", "2021-11-01", "2017-04-01"];
const STORAGE: &[&str] =
    &["2026-09-01", "2025-06-01", "2024-01-01", "2023-05-01", "2021-04-01", "2019-06-01"];

/// Azure has no such types; the version is the one that their first users name.
const SECURITY_VERSIONS: &[&str] = &["2021-07-01"];

pub const RESOURCE_TYPES: &[ResourceType] = &[
    ResourceType {
        namespace: "Microsoft.Resources",
        name: "subscriptions",
        api_versions: &["2022-12-01", "2021-01-01", "2020-01-01", "2019-06-01", "2016-06-01"],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Resources",
        name: "resourceGroups",
        api_versions: &[
            "2024-11-01",
            "2024-03-01",
            "2022-09-01",
            "2021-04-01",
            "2020-06-01",
            "2019-10-01",
        ],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Resources",
        name: "deployments",
        api_versions: &[
            "2025-04-01",
            "2024-03-01",
            "2022-09-01",
            "2021-04-01",
            "2020-10-01",
            "2019-10-01",
        ],
        is_tracked: false,
        secrets: &["template", "parameters"],
    },
    ResourceType {
        namespace: "Microsoft.Devices",
        name: "IotHubs",
        api_versions: &[
            "2023-06-30",
            "2023-06-30-preview",
            "2021-07-02",
            "2021-07-01",
            "2021-03-31",
            "2020-03-01",
            "2018-04-01",
        ],
        is_tracked: true,
        secrets: &["authorizationPolicies", "storageEndpoints", "routing.endpoints"],
    },
    ResourceType {
        namespace: "Microsoft.Devices",
        name: "IotHubs/securityPolicies",
        api_versions: SECURITY_VERSIONS,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Devices",
        name: "IotHubs/securitySettings",
        api_versions: SECURITY_VERSIONS,
        is_tracked: false,
        secrets: &["alertWebhook"],
    },
    ResourceType {
        namespace: "Microsoft.Devices",
        name: "provisioningServices",
        api_versions: &[
            "2022-02-05",
            "2025-02-01-preview",
            "2021-10-15",
            "2020-03-01",
            "2018-01-22",
        ],
        is_tracked: true,
        secrets: &["authorizationPolicies", "iotHubs"],
    },
    ResourceType {
        namespace: "Microsoft.ManagedIdentity",
        name: "userAssignedIdentities",
        api_versions: &[
            "2024-11-30",
            "2025-05-31-preview",
            "2023-01-31",
            "2018-11-30",
            "2015-08-31-preview",
        ],
        is_tracked: true,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Authorization",
        name: "roleDefinitions",
        api_versions: &["2022-05-01-preview", "2022-04-01", "2018-01-01-preview", "2015-07-01"],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Authorization",
        name: "roleAssignments",
        api_versions: &[
            "2022-04-01",
            "2020-10-01-preview",
            "2020-04-01-preview",
            "2018-01-01-preview",
            "2015-07-01",
        ],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Authorization",
        name: "policyDefinitions",
        api_versions: &[
            "2025-11-01",
            "2025-03-01",
            "2023-04-01",
            "2021-06-01",
            "2020-09-01",
            "2019-09-01",
            "2016-12-01",
        ],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Authorization",
        name: "policySetDefinitions",
        api_versions: &[
            "2025-11-01",
            "2025-03-01",
            "2023-04-01",
            "2021-06-01",
            "2020-09-01",
            "2019-09-01",
            "2017-06-01-preview",
        ],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Authorization",
        name: "policyAssignments",
        api_versions: &[
            "2025-11-01",
            "2025-03-01",
            "2023-04-01",
            "2022-06-01",
            "2020-09-01",
            "2019-09-01",
            "2016-12-01",
        ],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Authorization",
        name: "policyExemptions",
        api_versions: &["2026-01-01-preview", "2022-07-01-preview", "2020-07-01-preview"],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Authorization",
        name: "locks",
        api_versions: &["2020-05-01", "2017-04-01", "2016-09-01", "2015-01-01"],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Authorization",
        name: "denyAssignments",
        api_versions: &["2022-04-01", "2018-07-01-preview"],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Management",
        name: "managementGroups",
        api_versions: &[
            "2023-04-01",
            "2021-04-01",
            "2020-05-01",
            "2020-02-01",
            "2018-03-01-preview",
        ],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Insights",
        name: "diagnosticSettings",
        api_versions: &["2021-05-01-preview", "2017-05-01-preview"],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Insights",
        name: "eventtypes",
        api_versions: &["2017-03-01-preview", "2015-04-01"],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.PolicyInsights",
        name: "policyStates",
        api_versions: &["2024-10-01", "2019-10-01", "2018-04-04"],
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.EventHub",
        name: "namespaces",
        api_versions: EVENT_HUB,
        is_tracked: true,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.EventHub",
        name: "namespaces/eventhubs",
        api_versions: EVENT_HUB,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.EventHub",
        name: "namespaces/eventhubs/consumergroups",
        api_versions: EVENT_HUB,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.EventHub",
        name: "namespaces/authorizationRules",
        api_versions: EVENT_HUB,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.EventHub",
        name: "namespaces/eventhubs/authorizationRules",
        api_versions: EVENT_HUB,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.EventHub",
        name: "namespaces/networkRuleSets",
        api_versions: EVENT_HUB,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.ServiceBus",
        name: "namespaces",
        api_versions: SERVICE_BUS,
        is_tracked: true,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.ServiceBus",
        name: "namespaces/queues",
        api_versions: SERVICE_BUS,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.ServiceBus",
        name: "namespaces/topics",
        api_versions: SERVICE_BUS,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.ServiceBus",
        name: "namespaces/topics/subscriptions",
        api_versions: SERVICE_BUS,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.ServiceBus",
        name: "namespaces/authorizationRules",
        api_versions: SERVICE_BUS,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.ServiceBus",
        name: "namespaces/queues/authorizationRules",
        api_versions: SERVICE_BUS,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.ServiceBus",
        name: "namespaces/topics/authorizationRules",
        api_versions: SERVICE_BUS,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.ServiceBus",
        name: "namespaces/networkRuleSets",
        api_versions: SERVICE_BUS,
        is_tracked: false,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Storage",
        name: "storageAccounts",
        api_versions: STORAGE,
        is_tracked: true,
        secrets: &[],
    },
    ResourceType {
        namespace: "Microsoft.Storage",
        name: "storageAccounts/blobServices/containers",
        api_versions: STORAGE,
        is_tracked: false,
        secrets: &[],
    },
];

/// The row of a full type: `Microsoft.Devices/IotHubs`, in any casing.
pub fn resource_type(full_name: &str) -> Option<&'static ResourceType> {
    let (namespace, name) = full_name.split_once('/')?;
    // A resource group's type has its parent in front where policies see it.
    let name = match name.split_once('/') {
        Some((parent, below)) if parent.eq_ignore_ascii_case("subscriptions") => below,
        Some(_) | None => name,
    };
    RESOURCE_TYPES.iter().find(|it| {
        it.namespace.eq_ignore_ascii_case(namespace) && it.name.eq_ignore_ascii_case(name)
    })
}

/// Oldest api-version that any provider ever had: an earlier date is a mistake.
const FIRST_VERSION: &str = "2014-04-01";

/// Checks `api-version`: a calendar date, with or without a word behind it. Dates between and after
/// the known ones are taken, as clients run ahead of every list.
///
/// # Errors
/// The sentence for the caller, which names the known versions.
pub fn check_api_version(text: &str, known: &str) -> Result<(), String> {
    let (date, word) = match text.get(..10) {
        Some(date) => (date, text.get(10..).unwrap_or("")),
        None => (text, ""),
    };
    let word_fits = word.is_empty()
        || word.strip_prefix('-').is_some_and(|it| {
            !it.is_empty()
                && it.len() <= 32
                && it.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
    if crate::time::is_date(date) && word_fits && date >= FIRST_VERSION {
        return Ok(());
    }
    Err(format!(
        "the api-version `{}` is not known; supported are {known}",
        text.chars().take(40).collect::<String>().escape_debug()
    ))
}

/// The versions of a type that a refusal names.
pub fn known_api_versions(full_type: Option<&str>) -> String {
    match full_type.and_then(resource_type) {
        Some(known) => known.api_versions.join(", "),
        None => "2021-04-01 and any later date".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_are_dates_with_or_without_a_word() {
        for good in ["2021-07-01", "2025-05-31-preview", "2026-01-01-preview", "2015-04-01"] {
            assert!(check_api_version(good, "").is_ok(), "{good}");
        }
        let known = known_api_versions(Some("microsoft.devices/iothubs"));
        for bad in [
            "",
            "1.0",
            "2021-13-01",
            "2021-02-30",
            "1999-01-01",
            "2021-07-01preview",
            "2021-07-01-",
            "2021-07-01-a b",
        ] {
            let refusal = check_api_version(bad, &known).unwrap_err();
            assert!(refusal.contains("2023-06-30"), "{refusal}");
        }
    }
}
