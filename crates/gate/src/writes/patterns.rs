//! Patterns of roles against the actions that there are: one that matches nothing is a mistake.

use super::roles::LISTS;
use model::operations::known;
use model::{ActionPattern, Error, Plane};
use serde_json::Value;

/// Providers all of whose actions are known here. Of every other of Azure's any action may exist; a role that
/// grants it grants nothing here.
const KNOWN_WHOLE: [&str; 3] = ["Microsoft.Devices", "Microsoft.Directory", "Hubward.Decisions"];
/// How the names of Azure's providers begin.
const AZURES: &str = "Microsoft.";

/// Checks that each pattern of a role's blocks matches an action of its plane.
///
/// # Errors
/// `InvalidActionOrNotAction` and `InvalidDataActionOrNotDataAction`; one bad pattern is enough.
pub fn check_patterns(blocks: &[Value]) -> Result<(), Error> {
    for (index, block) in blocks.iter().enumerate() {
        for name in LISTS {
            let is_data = name.contains("ata");
            let texts = block.get(name).and_then(Value::as_array).into_iter().flatten();
            for text in texts.filter_map(Value::as_str) {
                check(text, is_data).map_err(|message| Error::Invalid {
                    code: match is_data {
                        true => "InvalidDataActionOrNotDataAction",
                        false => "InvalidActionOrNotAction",
                    },
                    at: Some(format!("properties.permissions[{index}].{name}")),
                    message,
                })?;
            }
        }
    }
    Ok(())
}

fn check(text: &str, is_data: bool) -> Result<(), String> {
    let namespace = text.split('/').next().unwrap_or(text);
    let same = |it: &&str| it.eq_ignore_ascii_case(namespace);
    if !namespace.contains('*') && !KNOWN_WHOLE.iter().any(same) {
        let is_azures = namespace
            .get(..AZURES.len())
            .is_some_and(|it| it.eq_ignore_ascii_case(AZURES) && namespace.len() > AZURES.len());
        return match is_azures {
            true => Ok(()),
            false => Err(format!(
                "The resource provider referenced in the action is not returned in the list of providers from \
                 Azure Resource Manager: `{namespace}` is none."
            )),
        };
    }
    let pattern = ActionPattern::new(text);
    let matches = |is_data: bool| {
        let rows = known().filter(|it| (it.plane == Plane::Service) == is_data);
        rows.flat_map(|it| it.actions).any(|it| pattern.matches(*it))
    };
    if matches(is_data) {
        return Ok(());
    }
    let hint = match (matches(!is_data), is_data) {
        (true, true) => "; it is an action of management: put it into `actions`",
        (true, false) => "; it is a data action: put it into `dataActions`",
        (false, _) => "",
    };
    Err(format!("'{text}' does not match any of the actions supported by the providers.{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pattern_must_match_an_action_of_its_plane() {
        let check = |list: &str, text: &str, expected: Option<&str>| {
            let found = check_patterns(&[json!({ list: [text] })]);
            let code = found.err().map(|it| it.wire().code);
            assert_eq!(code, expected, "{list} {text}");
        };
        let (control, data) =
            (Some("InvalidActionOrNotAction"), Some("InvalidDataActionOrNotDataAction"));
        check("actions", "*", None);
        check("actions", "*/read", None);
        check("actions", "Microsoft.Devices/IotHubs/*", None);
        check("actions", "microsoft.devices/iothubs/LISTKEYS/action", None);
        check("notActions", "Microsoft.Devices/IotHubs/securityPolicies/write", None);
        check("actions", "Microsoft.Devices/IotHubs/devicez/write", control);
        check("actions", "Microsoft.Devices/IotHubs/devices/write", control);
        check("notActions", "Microsoft.Devices/IotHubs/devices/*", control);
        check("dataActions", "Microsoft.Devices/IotHubs/devices/*", None);
        check("dataActions", "Microsoft.Devices/*/read", None);
        check("dataActions", "Microsoft.Devices/IotHubs/listkeys/action", data);
        check("notDataActions", "Microsoft.Devices/IotHubs/securityPolicies/*", data);
        // What Azure has and this does not may be in a role; what nobody has may not.
        check("actions", "Microsoft.Support/*", None);
        check(
            "dataActions",
            "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
            None,
        );
        check("actions", "Contoso.Pumps/pumps/read", control);
        check("actions", "Microsoft./read", control);
        check("actions", "*.Pumps/pumps/read", control);
        check("dataActions", "*/devices/read", None);
    }
}
