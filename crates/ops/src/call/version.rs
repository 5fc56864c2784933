//! Which versions of an API callers may ask for.

use crate::input::Input;
use model::operations::{Protocol, Surface};
use model::{Error, Operation, Plane};

/// What a refusal names at the addresses of hubs and of provisioning services; dates between and after are taken.
/// Source: the published contracts of both, and what the public client libraries send.
const HUB_API_VERSIONS: &str = "2019-10-01, 2021-04-12 and any later date";
const IDENTITY_API_VERSIONS: &str = "2018-02-01, 2019-08-01 and any later date";
const DPS_API_VERSIONS: &str = "2019-03-31, 2021-06-01, 2021-10-01 and any later date";

/// # Errors
/// [`Error::ApiVersion`], which lists the versions that are known.
pub(super) fn check_api_version(
    operation: &Operation,
    surface: Surface,
    input: &Input,
) -> Result<(), Error> {
    if !matches!(surface, Surface::Arm | Surface::Hub | Surface::Dps | Surface::Identity)
        || matches!(operation.plane, Plane::Open)
    {
        return Ok(());
    }
    let given: Vec<&str> = input
        .query
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case("api-version"))
        .map(|(_, it)| it.as_str())
        .collect();
    let known = || match surface {
        Surface::Hub => HUB_API_VERSIONS.to_owned(),
        Surface::Dps => DPS_API_VERSIONS.to_owned(),
        Surface::Identity => IDENTITY_API_VERSIONS.to_owned(),
        Surface::Arm
        | Surface::Entra
        | Surface::Graph
        | Surface::EventHubs
        | Surface::ServiceBus
        | Surface::Blob => {
            let full_type = input.scope.resource_type();
            model::resource_types::known_api_versions(full_type.as_deref())
        }
    };
    let invalid = |message| Err(Error::ApiVersion { code: "InvalidApiVersionParameter", message });
    match given.as_slice() {
        // Our own decisions have no versions to choose from yet, and devices need name none over MQTT.
        [] if input.scope.as_str().starts_with("/decisions") => Ok(()),
        [] if input.channel.protocol != Protocol::Https.as_str() => Ok(()),
        [] => Err(Error::ApiVersion {
            code: "MissingApiVersionParameter",
            message: format!(
                "the api-version query parameter (?api-version=) is required for all requests; supported are {}",
                known()
            ),
        }),
        [one] => model::resource_types::check_api_version(one, &known()).or_else(invalid),
        _ => invalid(format!(
            "the api-version query parameter stands more than once; supported are {}",
            known()
        )),
    }
}
