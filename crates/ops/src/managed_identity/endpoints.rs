//! At which ports which user-assigned identities give tokens to applications of this machine: said at start, and part of
//! the facts from then on.
//!
//! Identities of hubs and provisioning services cannot be named: nobody but these acts as them.

use super::attached::user_assigned_id;
use gate::Facts;
use gate::facts::IdentityEndpoint;
use model::{Scope, Secret};
use std::sync::Arc;

/// A port that gives the tokens of an identity.
pub struct Endpoint {
    pub identity: Scope,
    pub port: u16,
    /// What applications show there in the form of app services.
    pub header: Secret<String>,
}

/// The identity that an operator names: by its whole id, also where it is still to be made, or by a name that one
/// identity alone has.
///
/// # Errors
/// The sentence for a person.
pub fn find(named: &str, facts: &Facts) -> Result<Scope, String> {
    if named.starts_with('/') {
        let because = || format!("`{named}` is no id of a user-assigned identity");
        return user_assigned_id(named).ok_or_else(because);
    }
    let all = facts.user_assigned.values().filter(|it| it.scope.name().eq_ignore_ascii_case(named));
    let all: Vec<&Scope> = all.map(|it| &it.scope).collect();
    match all.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(format!(
            "there is no user-assigned identity `{named}`; make it first with `az identity create`, or name it by its \
             whole id"
        )),
        _ => Err(format!(
            "there are several user-assigned identities `{named}`; name the one by its whole id"
        )),
    }
}

/// Lets the gates know the ports.
///
/// # Errors
/// The sentence for a person, where a port stands twice.
pub fn open(endpoints: Vec<Endpoint>, facts: &mut Facts) -> Result<(), String> {
    let all = Arc::make_mut(&mut facts.identity_endpoints);
    for Endpoint { identity, port, header } in endpoints {
        if all.insert(port, IdentityEndpoint { identity, header }).is_some() {
            return Err(format!("the port {port} is given to two identities"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate::facts::UserAssigned;
    use model::ObjectId;

    const GROUP: &str = "/subscriptions/s/resourceGroups";
    const KIND: &str = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";

    #[test]
    fn an_identity_is_found_by_its_id_or_by_a_name_that_it_alone_has() {
        let id = ObjectId(uuid::Uuid::nil());
        let mut facts = Facts::new(id, "https://localhost");
        for (group, name) in [("a", "one"), ("a", "two"), ("b", "two")] {
            let scope = Scope::parse(&format!("{GROUP}/{group}/{KIND}/{name}")).unwrap();
            facts.put_user_assigned(UserAssigned { scope, principal: id, client: id });
        }
        let found = |named: &str| find(named, &facts).map(|it| it.as_str().to_owned());
        assert_eq!(found("ONE"), Ok(format!("{GROUP}/a/{KIND}/one")));
        assert!(found("two").unwrap_err().contains("several"));
        assert!(found("three").unwrap_err().contains("az identity create"));
        let absent = format!("{GROUP}/c/{KIND}/later");
        assert_eq!(found(&absent), Ok(absent));
        let hub = format!("{GROUP}/a/providers/Microsoft.Devices/IotHubs/h");
        assert!(found(&hub).unwrap_err().contains("no id of a user-assigned identity"));
    }
}
