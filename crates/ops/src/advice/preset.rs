//! Where no role grants what is missing, and no wildcard would: the preset role for security policies, to be made and
//! given at the hub.

use super::{Fix, assigns, place_name, proposed, quoted, still_refused, then};
use crate::env::Env;
use gate::Facts;
use gate::facts::{Permission, Role};
use model::trace::{Caller, Gate, Trace};
use model::{ActionName, ActionPattern, ObjectId, Scope};
use serde_json::{Value, json};

/// The role as operators hand it to `az role definition create`, but for its hub.
const PRESET: &str = include_str!("../../../../docs/presets/iot-hub-security-admin.json");

/// Where a role is given that is to cover a call at a scope: security policies and settings are their hub's.
pub(super) fn place(scope: &Scope) -> Scope {
    let kind = scope.resource_type().unwrap_or_default().to_ascii_lowercase();
    let is_below = ["securitypolicies", "securitysettings"]
        .iter()
        .any(|it| kind == format!("microsoft.devices/iothubs/{it}"));
    let above = scope.as_str().rsplitn(3, '/').last().filter(|_| is_below);
    above.and_then(|it| Scope::parse(it).ok()).unwrap_or_else(|| scope.clone())
}

/// The preset with what is missing, where that is an action which only a role can grant that names it.
pub(super) fn named_role(
    trace: &Trace,
    missing: &[ActionName],
    (caller, principal): (&Caller, ObjectId),
    facts: &Facts,
    env: &Env,
) -> Option<Fix> {
    const POLICIES: &str = "Microsoft.Devices/IotHubs/securityPolicies/";
    let is_ours = !missing.is_empty() && missing.iter().all(|it| it.as_str().starts_with(POLICIES));
    let hub = Some(place(&trace.scope())).filter(|_| is_ours)?;
    let mut role: Value = serde_json::from_str(PRESET).ok()?;
    let name = role.get("Name")?.as_str()?.to_owned();
    let mut actions: Vec<String> = serde_json::from_value(role.get("Actions")?.clone()).ok()?;
    for it in missing.iter().map(|it| it.as_str()) {
        if !actions.iter().any(|had| had == it) {
            actions.push(it.to_owned());
        }
    }
    model::json::set(&mut role, "Actions", json!(actions));
    model::json::set(&mut role, "AssignableScopes", json!([hub]));
    let id = ObjectId(env.new_uuid());
    let patterns = actions.iter().map(|it| ActionPattern::new(it)).collect();
    let mut changed = facts.clone();
    changed.put_role(Role {
        id,
        name: name.clone(),
        is_builtin: false,
        permissions: vec![Permission { actions: patterns, ..Permission::default() }],
        assignable_scopes: vec![hub.clone()],
    });
    changed.put_role_assignment(proposed(&hub, "proposed", principal, id, env));
    if still_refused(trace, &changed, env) == Some(Gate::Access) {
        return None;
    }
    Some(Fix {
        says: format!(
            "make the role `{name}`, which names the action as no wildcard does, and give it to `{}` on `{}`",
            caller.name,
            place_name(&hub)
        ),
        command: format!(
            "az role definition create --role-definition {} && {}",
            quoted(&role.to_string()),
            assigns(caller, principal, &name, &hub)
        ),
        then: then(trace, &changed, env),
        warning: None,
    })
}
