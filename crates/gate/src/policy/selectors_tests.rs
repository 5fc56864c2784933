//! What selectors fit, and which are refused.

use super::*;
use model::trace::Verb;
use serde_json::json;

const HUB: &str = "/subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1";

fn object(kind: &str, id: &str) -> Object {
    Object {
        kind: kind.into(),
        name: "x".into(),
        id: id.into(),
        body: json!({}),
        verb: Verb::Write,
    }
}

#[test]
fn a_resource_fits_all_selectors_of_any_one() {
    let check = |selectors: Value, location: Option<&str>, expected: bool| {
        let told = json!({ "resourceSelectors": [{ "selectors": selectors }] });
        let all = parse_resource_selectors(&told).unwrap();
        let object = object("Microsoft.Devices/IotHubs", HUB);
        let it = Selected { object: &object, location, reference_id: None };
        assert_eq!(select(&all, it), expected, "{told} {location:?}");
    };
    let here = json!({ "kind": "ResourceLocation", "in": ["West Europe", "eastus"] });
    let hubs = json!({ "kind": "resourceType", "in": ["microsoft.devices/iothubs"] });
    let namesake = json!({ "kind": "resourceType", "in": ["Microsoft.Devices/IotHubs/devices"] });
    check(json!([here]), Some("westeurope"), true);
    check(json!([here]), Some("West US"), false);
    check(json!([here]), None, false);
    check(json!([hubs, here]), Some("EastUS"), true);
    check(json!([namesake, here]), Some("eastus"), false);
    check(json!([{ "kind": "resourceLocation", "notIn": ["eastus"] }]), Some("East US"), false);
    check(json!([{ "kind": "resourceLocation", "notIn": ["eastus"] }]), Some("eastus2"), true);
    check(json!([{ "kind": "resourceLocation", "notIn": ["eastus"] }]), None, true);

    let either =
        json!({ "resourceSelectors": [{ "selectors": [namesake] }, { "selectors": [hubs] }] });
    let object = object("Microsoft.Devices/IotHubs", HUB);
    let it = Selected { object: &object, location: None, reference_id: None };
    assert!(select(&parse_resource_selectors(&either).unwrap(), it));
    assert!(select(&[], it));
}

#[test]
fn without_location_means_at_the_subscription_and_nowhere_else() {
    let told = json!({ "resourceSelectors": [{ "selectors": [
        { "kind": "resourceWithoutLocation", "in": ["subscriptionLevelResources"] } ] }] });
    let all = parse_resource_selectors(&told).unwrap();
    let check = |id: &str, location: Option<&str>, expected: bool| {
        let object = object("Microsoft.Authorization/roleAssignments", id);
        let it = Selected { object: &object, location, reference_id: None };
        assert_eq!(select(&all, it), expected, "{id}");
    };
    let below = "providers/Microsoft.Authorization/roleAssignments/r";
    check(&format!("/subscriptions/s1/{below}"), None, true);
    check(&format!("/subscriptions/s1/{below}"), Some("eastus"), false);
    check(&format!("/subscriptions/s1/resourceGroups/rg1/{below}"), None, false);
}

#[test]
fn the_first_override_that_fits_counts() {
    let told = json!({ "overrides": [
        { "kind": "policyEffect", "value": "Audit", "selectors": [
            { "kind": "policyDefinitionReferenceId", "in": ["Names"] } ] },
        { "kind": "policyEffect", "value": "disabled" } ] });
    let all = parse_overrides(&told).unwrap();
    let check = |reference_id: Option<&str>, expected: Effect| {
        let object = object("Microsoft.Devices/IotHubs", HUB);
        let it = Selected { object: &object, location: None, reference_id };
        assert_eq!(overriding(&all, it), Some(expected), "{reference_id:?}");
    };
    check(Some("names"), Effect::Audit);
    check(Some("names2"), Effect::Disabled);
    check(None, Effect::Disabled);
    let named: Vec<_> = references(&all).collect();
    assert_eq!(named, [("overrides[0].selectors".to_owned(), "Names")]);
}

#[test]
fn what_cannot_be_selected_by_is_refused_with_its_place() {
    let of_resources = |selector: Value, at: &str, lacks: Option<&str>| {
        let told = json!({ "resourceSelectors": [{ "name": "a", "selectors": [selector] }] });
        let fault = parse_resource_selectors(&told).unwrap_err();
        assert_eq!((fault.at.as_str(), fault.lacks), (at, lacks), "{told}");
    };
    let at = |below: &str| format!("resourceSelectors[0].selectors[0]{below}");
    of_resources(json!({ "kind": "colour", "in": ["red"] }), &at(".kind"), None);
    of_resources(
        json!({ "kind": "userPrincipalId", "in": ["x"] }),
        &at(".kind"),
        Some("policy selector userPrincipalId"),
    );
    of_resources(json!({ "kind": "policyDefinitionReferenceId", "in": ["x"] }), &at(".kind"), None);
    of_resources(json!({ "kind": "resourceType" }), &at(""), None);
    of_resources(json!({ "kind": "resourceType", "in": ["a"], "notIn": ["b"] }), &at(""), None);
    of_resources(json!({ "kind": "resourceType", "in": [] }), &at(".in"), None);
    of_resources(json!({ "kind": "resourceType", "in": vec!["a"; 51] }), &at(".in"), None);
    of_resources(json!({ "kind": "resourceType", "notIn": [1] }), &at(".notIn"), None);
    of_resources(json!({ "kind": "resourceWithoutLocation", "in": ["all"] }), &at(".in"), None);
    of_resources(json!({ "kind": "resourceType", "in": ["a"], "like": 1 }), &at(".like"), None);

    let refused = |told: Value, at: &str| {
        assert_eq!(parse_resource_selectors(&told).unwrap_err().at, at, "{told}");
    };
    let fine = json!({ "selectors": [{ "kind": "resourceType", "in": ["a"] }] });
    assert!(
        parse_resource_selectors(&json!({ "resourceSelectors": vec![fine.clone(); 10] })).is_ok()
    );
    refused(json!({ "resourceSelectors": vec![fine; 11] }), "resourceSelectors");
    refused(json!({ "resourceSelectors": [{}] }), "resourceSelectors[0].selectors");
    let both = json!([{ "kind": "resourceLocation", "in": ["a"] },
        { "kind": "resourceWithoutLocation", "in": ["subscriptionLevelResources"] }]);
    refused(
        json!({ "resourceSelectors": [{ "selectors": both }] }),
        "resourceSelectors[0].selectors",
    );

    let of_override = |told: Value, at: &str| {
        let told = json!({ "overrides": [told] });
        assert_eq!(parse_overrides(&told).unwrap_err().at, at, "{told}");
    };
    of_override(json!({ "kind": "effect", "value": "audit" }), "overrides[0].kind");
    of_override(json!({ "kind": "policyVersion", "value": "1.*.*" }), "overrides[0].kind");
    of_override(json!({ "kind": "policyEffect", "value": "denyAction" }), "overrides[0].value");
    of_override(json!({ "kind": "policyEffect", "value": "allow" }), "overrides[0].value");
    let types = json!([{ "kind": "resourceType", "in": ["a"] }]);
    of_override(
        json!({ "kind": "policyEffect", "value": "audit", "selectors": types }),
        "overrides[0].selectors[0].kind",
    );
}
