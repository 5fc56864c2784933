//! What `identity` of a hub or a provisioning service says: which managed identities it has.
//!
//! Its own identity (`SystemAssigned`) is made and removed with the switch. User-assigned ones exist before and are
//! only attached; taking one away deletes nothing. A body without `identity` leaves all as it is, as clients of older
//! versions do not know it; otherwise `type` decides, and what stands under `userAssignedIdentities` besides is not
//! looked at. Source: the published common types of Azure Resource Manager, managed identity, version 5.

use super::Identity;
use crate::entra::principals;
use crate::env::Env;
use crate::resources::fields::Fields;
use crate::{devices, provisioning};
use gate::facts::UserAssigned;
use gate::{Facts, Link};
use model::json::{at, member, set, text};
use model::trace::Stranded;
use model::{ActionName, Error, ObjectId, Op, Scope};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use store::Change;

/// Most user-assigned identities of one resource. Source: IoT Hub quotas and throttling.
const ATTACHED_MAX: usize = 50;

/// Whoever attaches an identity lets another write as it.
const ASSIGN: ActionName =
    ActionName::new("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action");

/// Something of a resource that signs in elsewhere as one of its identities.
pub(crate) struct Use {
    /// For people: "the routing endpoint `telemetry`".
    pub(crate) what: String,
    /// A user-assigned one; `None` for the resource's own.
    pub(crate) identity: Option<Scope>,
}

/// The identities that a resource has, or is to have.
#[derive(Clone, Default)]
pub(crate) struct Identities {
    pub(crate) has_system: bool,
    /// By lower-case id: as each was when it was attached.
    user_assigned: BTreeMap<String, UserAssigned>,
}

impl Identities {
    /// Those of a resource as it is kept.
    pub(crate) fn of(resource: Option<&Value>) -> Self {
        let Some(identity) = resource.and_then(|it| member(it, "identity")) else {
            return Self::default();
        };
        let kept = member(identity, "userAssignedIdentities").and_then(Value::as_object);
        let attached = kept.into_iter().flatten().filter_map(|(id, its)| {
            let object_id = |name: &str| text(its, &[name]).and_then(ObjectId::parse);
            Some(UserAssigned {
                scope: Scope::parse(id).ok()?,
                principal: object_id("principalId")?,
                client: object_id("clientId")?,
            })
        });
        Self {
            has_system: text(identity, &["type"]).is_some_and(|it| it.contains("SystemAssigned")),
            user_assigned: attached.map(|it| (it.scope.key(), it)).collect(),
        }
    }

    /// Those that a body asks for, of a resource that has these.
    ///
    /// # Errors
    /// A type that there is none of; an id that is none of an identity; `UserAssignedIdentityNotFound`. One that is
    /// attached already and was deleted since may stay.
    pub(crate) fn wanted(self, body: &Value, facts: &Facts) -> Result<Self, Error> {
        let Some(identity) = Fields::of(body)?.object("identity")? else { return Ok(self) };
        let named = identity.object("userAssignedIdentities")?;
        let named = named.as_ref().and_then(Fields::members).map(Map::iter);
        let kept = || named.clone().into_iter().flatten().filter(|(_, it)| !it.is_null());
        let (has_system, has_user_assigned) = match identity.text("type")? {
            Some(text) => read_type(&identity, text)?,
            // The command line takes `--set identity.type=None` for "nothing" and leaves the type out.
            None if kept().next().is_none() => (false, false),
            None => {
                let because = "required beside `userAssignedIdentities`: `UserAssigned`, or `None` to take them away";
                return Err(identity.refuse("type", because));
            }
        };
        if !has_user_assigned {
            return Ok(Self { has_system, ..Self::default() });
        }
        if named.is_none() && !self.user_assigned.is_empty() {
            return Ok(Self { has_system, ..self });
        }
        let mut user_assigned = BTreeMap::new();
        for (id, _) in kept() {
            let found = self.find(&identity, id, facts)?;
            user_assigned.insert(found.scope.key(), found);
        }
        let refuse = |because: String| Err(identity.refuse("userAssignedIdentities", because));
        if user_assigned.len() > ATTACHED_MAX {
            return refuse(format!("more than {ATTACHED_MAX} identities"));
        }
        if user_assigned.is_empty() && self.user_assigned.is_empty() {
            return refuse("required with this type: `{\"<id of the identity>\": {}}`".to_owned());
        }
        Ok(Self { has_system, user_assigned })
    }

    fn find(&self, given: &Fields<'_>, id: &str, facts: &Facts) -> Result<UserAssigned, Error> {
        let at = given.place("userAssignedIdentities");
        let shown: String = id.chars().take(300).collect::<String>().escape_debug().to_string();
        let Some(scope) = user_assigned_id(id) else {
            let because = format!(
                "`{shown}` is no id of an identity: `/subscriptions/{{id}}/resourceGroups/{{name}}/providers/\
                 Microsoft.ManagedIdentity/userAssignedIdentities/{{name}}`"
            );
            return Err(Error::invalid(at, because));
        };
        let current = facts.user_assigned(&scope).map(|it| UserAssigned::clone(it));
        current.or_else(|| self.user_assigned.get(&scope.key()).cloned()).ok_or_else(|| {
            Error::Invalid {
                code: "UserAssignedIdentityNotFound",
                at: Some(at),
                message: format!(
                    "there is no identity `{shown}`; make it first, for example with `az identity create`"
                ),
            }
        })
    }

    /// By lower-case id, the principal of each that is attached.
    pub(crate) fn principals(self) -> BTreeMap<String, ObjectId> {
        self.user_assigned.into_iter().map(|(id, it)| (id, it.principal)).collect()
    }

    /// What of these uses has no identity here.
    pub(crate) fn stranded(&self, uses: Vec<Use>) -> Vec<Stranded> {
        let lacks = |it: &Use| match &it.identity {
            None => !self.has_system,
            Some(id) => !self.user_assigned.contains_key(&id.key()),
        };
        let told = |it: Use| {
            let identity = it.identity.map(|it| it.as_str().to_owned());
            Stranded { what: it.what, identity }
        };
        uses.into_iter().filter(lacks).map(told).collect()
    }

    /// The system-assigned identity that a resource is to have, where it `had` this one, and what changes in the
    /// directory with that.
    pub(crate) fn system(
        &self,
        had: Option<Identity>,
        scope: &Scope,
        env: &Env,
    ) -> Result<(Option<Identity>, Option<Change>), Error> {
        Ok(match (self.has_system, had) {
            (true, Some(it)) => (Some(it), None),
            (true, None) => {
                let made = Identity::new(env);
                (Some(made), Some(principals::change_managed_identity(made, scope, env)?))
            }
            (false, Some(it)) => (None, Some(principals::change_no_identity(it.principal_id))),
            (false, None) => (None, None),
        })
    }

    /// As the resource keeps and shows them. Policy sees the same before an identity is made, with blank ids.
    pub(crate) fn shown(&self, system: Option<Identity>, tenant: ObjectId) -> Value {
        let is_attached = !self.user_assigned.is_empty();
        let mut shown = json!({ "type": match (self.has_system, is_attached) {
            (false, false) => "None",
            (true, false) => SYSTEM_ASSIGNED,
            (false, true) => USER_ASSIGNED,
            (true, true) => "SystemAssigned, UserAssigned",
        } });
        if self.has_system {
            let blank = ObjectId(uuid::Uuid::nil());
            let principal = system.map_or(blank, |it| it.principal_id);
            set(&mut shown, "principalId", json!(principal));
            set(&mut shown, "tenantId", json!(tenant));
        }
        if is_attached {
            let all: Map<String, Value> = self
                .user_assigned
                .values()
                .map(|it| {
                    let ids = json!({ "principalId": it.principal, "clientId": it.client });
                    (it.scope.as_str().to_owned(), ids)
                })
                .collect();
            set(&mut shown, "userAssignedIdentities", Value::Object(all));
        }
        shown
    }
}

const SYSTEM_ASSIGNED: &str = "SystemAssigned";
const USER_ASSIGNED: &str = "UserAssigned";

/// Whether a type means the resource's own identity, and whether user-assigned ones. Clients write both with and
/// without a space.
fn read_type(identity: &Fields<'_>, text: &str) -> Result<(bool, bool), Error> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    let has = |word: &str| words.iter().any(|it| it.eq_ignore_ascii_case(word));
    let is_known = |it: &&str| {
        it.eq_ignore_ascii_case(SYSTEM_ASSIGNED) || it.eq_ignore_ascii_case(USER_ASSIGNED)
    };
    match words.as_slice() {
        [one] if one.eq_ignore_ascii_case("None") => Ok((false, false)),
        all if all.iter().all(is_known) => Ok((has(SYSTEM_ASSIGNED), has(USER_ASSIGNED))),
        _ => {
            let given: String = text.chars().take(60).collect();
            let because = format!(
                "`{}` is not one of None, {SYSTEM_ASSIGNED}, {USER_ASSIGNED} and `{SYSTEM_ASSIGNED}, {USER_ASSIGNED}`",
                given.escape_debug()
            );
            Err(identity.refuse("type", because))
        }
    }
}

/// The scope of a user-assigned identity, where a text is the id of one.
pub(crate) fn user_assigned_id(text: &str) -> Option<Scope> {
    let scope = Scope::parse(text).ok()?;
    let kind = scope.resource_type()?;
    let is_one = kind.eq_ignore_ascii_case("Microsoft.ManagedIdentity/userAssignedIdentities")
        && scope.resource_group().is_some()
        && scope.segments().count() == 8;
    is_one.then_some(scope)
}

/// What a caller must be allowed besides who writes a hub or provisioning service: to assign each user-assigned identity
/// that its own body names and does not take away, as in Azure, and to which an endpoint or a link is given. That an
/// identity is attached already makes no difference: whoever names it decides anew what is done as it.
pub(crate) fn links(op: Op, body: &Value) -> Vec<Link> {
    if ![Op::PutHub, Op::PatchHub, Op::PutDps, Op::PatchDps].contains(&op) {
        return Vec::new();
    }
    let type_says = |it: &str| it.to_ascii_lowercase().contains("userassigned");
    let is_meant = text(body, &["identity", "type"]).is_none_or(type_says);
    let named = at(body, &["identity", "userAssignedIdentities"]).and_then(Value::as_object);
    let kept = named.into_iter().flatten().filter(|(_, it)| is_meant && !it.is_null());
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    let used = devices::endpoints::uses(body).into_iter().chain(provisioning::links::uses(body));
    let attached = kept.filter_map(|(id, _)| user_assigned_id(id));
    for scope in attached.chain(used.filter_map(|it| it.identity)) {
        links.insert(scope.key(), Link { action: ASSIGN, scope });
    }
    links.into_values().collect()
}

#[cfg(test)]
#[path = "attached_tests.rs"]
mod tests;
