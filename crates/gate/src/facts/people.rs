//! Users: people, who sign in with a name and a password.

use super::{Facts, Principal};
use model::{ObjectId, PrincipalKind, Secret};
use std::collections::HashMap;
use std::sync::Arc;

/// A user of the directory.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: ObjectId,
    /// The name to sign in with: `ana@plant.example`.
    pub upn: String,
    pub is_enabled: bool,
    /// The password as it is kept: a slow, salted hash with its parameters, in PHC string format.
    pub password: Secret<String>,
    /// Whoever set the password wants the person to set another before it counts.
    pub must_change: bool,
}

/// All users, by id and by name.
#[derive(Clone, Debug, Default)]
pub struct People {
    by_id: HashMap<ObjectId, Arc<Person>>,
    /// By name in lower case.
    by_upn: HashMap<String, ObjectId>,
}

impl People {
    pub fn get(&self, id: ObjectId) -> Option<&Arc<Person>> {
        self.by_id.get(&id)
    }

    /// The user of a name, in any casing.
    pub fn named(&self, upn: &str) -> Option<&Arc<Person>> {
        self.by_upn.get(&upn.to_lowercase()).and_then(|it| self.by_id.get(it))
    }
}

impl Facts {
    /// Brings a user in, who can be given roles from now on. Traces name a user by the name to sign in with.
    pub fn put_person(&mut self, person: Person) {
        self.remove_person(person.id);
        self.put_principal(Principal {
            id: person.id,
            kind: PrincipalKind::User,
            app_id: None,
            display_name: person.upn.clone(),
            is_enabled: person.is_enabled,
            resource: None,
        });
        let people = Arc::make_mut(&mut self.people);
        people.by_upn.insert(person.upn.to_lowercase(), person.id);
        people.by_id.insert(person.id, Arc::new(person));
    }

    pub fn remove_person(&mut self, id: ObjectId) {
        let people = Arc::make_mut(&mut self.people);
        if let Some(former) = people.by_id.remove(&id) {
            people.by_upn.remove(&former.upn.to_lowercase());
        }
        self.remove_principal(id);
    }
}
