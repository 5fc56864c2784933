//! Where in a document lies what a twin shows of it. [`super::super::identity::Device::shown_twin`] decides what a
//! twin shows; what it makes up, or shows of connections and messages, is nowhere in the document.

use super::super::query::Place;

/// Of a device's document.
pub(super) fn of_device(names: &[&str]) -> Place {
    match names {
        ["deviceId"] => Place::Key,
        // A device is no module.
        ["moduleId", ..] => Place::Elsewhere,
        _ => of_either(names),
    }
}

/// Of a module's, whose key is `device/module`.
pub(super) fn of_module(names: &[&str]) -> Place {
    match names {
        ["deviceId"] => Place::KeyUpTo('/'),
        ["moduleId"] => Place::Body(vec!["moduleId".to_owned()]),
        _ => of_either(names),
    }
}

fn of_either(names: &[&str]) -> Place {
    let below = |first: &[&str], rest: &[&str]| {
        Place::Body(first.iter().chain(rest).map(|it| (*it).to_owned()).collect())
    };
    match names {
        ["status" | "statusReason" | "capabilities", ..] => below(&[], names),
        ["statusUpdateTime", rest @ ..] => below(&["statusUpdatedTime"], rest),
        ["authenticationType", rest @ ..] => below(&["authentication", "type"], rest),
        ["x509Thumbprint", rest @ ..] => below(&["authentication", "x509Thumbprint"], rest),
        ["tags", rest @ ..] if !rest.is_empty() => below(&["twin", "tags"], rest),
        // Versions and times are kept beside the properties.
        ["properties", "desired" | "reported", "$version" | "$metadata", ..] => Place::Elsewhere,
        ["properties", section @ ("desired" | "reported"), rest @ ..] if !rest.is_empty() => {
            below(&["twin", section, "properties"], rest)
        }
        _ => Place::Elsewhere,
    }
}
