use super::*;

const A: &str = "/subscriptions/s/resourceGroups/RG/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a";
const B: &str = "/subscriptions/s/resourceGroups/RG/providers/Microsoft.ManagedIdentity/userAssignedIdentities/b";
/// As the template of the documentation writes it: other casing, and a slash too much.
const A_WRITTEN: &str = "/subscriptions/s/resourcegroups/rg/providers/microsoft.managedidentity/userassignedidentities//A";

fn id(last: u8) -> ObjectId {
    ObjectId(uuid::Uuid::from_bytes([0, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, last]))
}

fn facts(ids: &[&str]) -> Facts {
    let mut facts = Facts::new(id(0), "https://localhost");
    for (number, text) in (1_u8..).zip(ids) {
        let scope = Scope::parse(text).unwrap();
        facts.put_user_assigned(UserAssigned {
            scope,
            principal: id(number),
            client: id(number + 100),
        });
    }
    facts
}

/// What is shown after a body of a resource that showed `former`.
fn after(former: &Value, identity: &Value, facts: &Facts) -> Result<Value, String> {
    let stored = json!({ "identity": former });
    let wanted = Identities::of(Some(&stored)).wanted(&json!({ "identity": identity }), facts);
    let system = Identity { principal_id: id(9), client_id: id(10) };
    wanted.map(|it| it.shown(Some(system), id(0))).map_err(|it| it.to_string())
}

fn named(ids: &[(&str, u8)]) -> Value {
    let ids = ids.iter().map(|(name, number)| {
        let its = json!({ "principalId": id(*number), "clientId": id(*number + 100) });
        ((*name).to_owned(), its)
    });
    Value::Object(ids.collect())
}

#[test]
fn each_type_says_which_identities_there_are() {
    let facts = facts(&[A, B]);
    let none = json!({ "type": "None" });
    let check = |identity: Value, expected: Value| {
        assert_eq!(after(&none, &identity, &facts), Ok(expected), "{identity}");
    };
    let own = json!({ "type": "SystemAssigned", "principalId": id(9), "tenantId": id(0) });
    check(Value::Null, none.clone());
    check(json!({}), none.clone());
    check(json!({ "type": "none" }), none.clone());
    check(json!({ "type": "systemAssigned" }), own);
    let both = json!({ "type": "SystemAssigned, UserAssigned", "principalId": id(9), "tenantId": id(0),
        "userAssignedIdentities": named(&[(A, 1)]) });
    for text in [
        "SystemAssigned, UserAssigned",
        "SystemAssigned,UserAssigned",
        "userassigned, systemassigned",
    ] {
        check(json!({ "type": text, "userAssignedIdentities": { A: {} } }), both.clone());
    }
    let one = json!({ "type": "UserAssigned", "userAssignedIdentities": named(&[(A, 1)]) });
    check(
        json!({ "type": "UserAssigned", "userAssignedIdentities": { A_WRITTEN: {} } }),
        one.clone(),
    );
    // A map without the type that it goes with is what a client sends that only changes the type.
    check(json!({ "type": "None", "userAssignedIdentities": { A: {} } }), none.clone());
    let two = json!({ "type": "UserAssigned", "userAssignedIdentities": named(&[(A, 1), (B, 2)]) });
    check(json!({ "type": "UserAssigned", "userAssignedIdentities": { A: {}, B: {} } }), two);
}

#[test]
fn what_is_left_out_stays_and_what_is_taken_away_goes() {
    let facts = facts(&[A, B]);
    let two = json!({ "type": "UserAssigned", "userAssignedIdentities": named(&[(A, 1), (B, 2)]) });
    let check = |identity: Value, expected: &Value| {
        assert_eq!(after(&two, &identity, &facts).as_ref(), Ok(expected), "{identity}");
    };
    check(Value::Null, &two);
    check(json!({ "type": "UserAssigned" }), &two);
    let one = json!({ "type": "UserAssigned", "userAssignedIdentities": named(&[(B, 2)]) });
    check(json!({ "type": "UserAssigned", "userAssignedIdentities": { B: {} } }), &one);
    check(json!({ "type": "UserAssigned", "userAssignedIdentities": { A: null, B: {} } }), &one);
    let none = json!({ "type": "None" });
    check(json!({ "type": "UserAssigned", "userAssignedIdentities": {} }), &none);
    check(json!({ "type": "None" }), &none);
}

#[test]
fn one_that_was_deleted_stays_named_and_one_that_was_made_again_counts_when_it_is_named_again() {
    let attached = json!({ "type": "UserAssigned", "userAssignedIdentities": named(&[(A, 7)]) });
    let again = json!({ "type": "UserAssigned", "userAssignedIdentities": { A: {} } });
    assert_eq!(after(&attached, &again, &facts(&[])), Ok(attached.clone()));
    assert_eq!(after(&attached, &Value::Null, &facts(&[A])), Ok(attached.clone()));
    let anew = json!({ "type": "UserAssigned", "userAssignedIdentities": named(&[(A, 1)]) });
    assert_eq!(after(&attached, &again, &facts(&[A])), Ok(anew));
}

#[test]
fn what_names_no_identity_is_refused_with_its_place() {
    let facts = facts(&[A]);
    let check = |identity: Value, expected: &str| {
        let refused = after(&json!({ "type": "None" }), &identity, &facts).unwrap_err();
        assert!(refused.contains(expected), "{identity}: {refused}");
    };
    check(json!({ "type": "Both" }), "`Both` is not one of");
    check(json!({ "type": "SystemAssigned, None" }), "is not one of");
    check(json!({ "type": "" }), "is not one of");
    check(json!({ "type": 1 }), "expected a text");
    check(json!("None"), "expected an object");
    check(json!({ "type": "UserAssigned" }), "required with this type");
    check(
        json!({ "type": "UserAssigned", "userAssignedIdentities": {} }),
        "required with this type",
    );
    check(json!({ "userAssignedIdentities": { A: {} } }), "required beside");
    let with = |id: &str| json!({ "type": "UserAssigned", "userAssignedIdentities": { id: {} } });
    check(with(B), "there is no identity");
    // A namesake is another identity.
    check(with(&format!("{A}0")), "there is no identity");
    check(with("a"), "is no id of an identity");
    check(with(&format!("{A}/federatedIdentityCredentials/x")), "is no id of an identity");
    check(with(&A.replace("/resourceGroups/RG", "")), "is no id of an identity");
}

#[test]
fn whoever_names_an_identity_must_be_allowed_to_assign_it() {
    let check = |body: Value, expected: &[&str]| {
        let found = links(Op::PatchHub, &body);
        assert!(links(Op::PutResourceGroup, &body).is_empty());
        let scopes: Vec<&str> = found.iter().map(|it| it.scope.as_str()).collect();
        assert_eq!(scopes, expected, "{body}");
        assert!(found.iter().all(|it| it.action == ASSIGN));
    };
    check(json!({ "location": "westus" }), &[]);
    check(json!({ "identity": { "type": "SystemAssigned" } }), &[]);
    let map = json!({ A: {}, B: null });
    check(json!({ "identity": { "type": "UserAssigned", "userAssignedIdentities": map } }), &[A]);
    check(json!({ "identity": { "userAssignedIdentities": map } }), &[A]);
    check(json!({ "identity": { "type": "None", "userAssignedIdentities": map } }), &[]);
}
