//! Everything that is, looked over as `hubward lint` looks files over: what is likely not meant?
//!
//! Decides nothing: `gate::lint` makes calls up and lays them before the gates. Of what it finds an asker is told what
//! it could read where that stands.

use crate::call::may_see;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::standing::apart;
use gate::lint::{Found, live};
use gate::{Facts, Permit};
use model::{Error, Op, Scope};
use serde_json::{Value, json};

/// Most warnings that an answer has; it says how many more there are.
const WARNINGS_MAX: usize = 1_000;

/// `POST /decisions/lint`.
pub(crate) async fn ask(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let scope = permit.scope();
    let (known, place, now) = (facts.clone(), scope.clone(), env.now());
    let mut found = apart(move || live(&known, &place, now)).await?;
    found.retain(|it| it.tells_of.iter().all(|id| may_read(id, permit, env, &facts)));
    let more = found.len().saturating_sub(WARNINGS_MAX);
    found.truncate(WARNINGS_MAX);
    let warnings: Vec<Value> = found.iter().map(told).collect();
    Ok(Reply::ok(json!({ "scope": scope, "warnings": warnings, "more": more })))
}

fn told(found: &Found) -> Value {
    let it = &found.warning;
    json!({ "id": found.id, "at": it.at, "rule": it.rule, "code": it.code.as_str(), "because": it.because,
        "advice": it.advice })
}

/// True where the asker may read what has this id, or decisions where it is a place of another kind.
fn may_read(id: &str, permit: &Permit, env: &Env, facts: &Facts) -> bool {
    const KINDS: [(&str, Op); 8] = [
        ("Microsoft.Authorization/policyAssignments", Op::GetPolicyAssignment),
        ("Microsoft.Authorization/policyDefinitions", Op::GetPolicyDefinition),
        ("Microsoft.Authorization/policyExemptions", Op::GetPolicyExemption),
        ("Microsoft.Authorization/roleAssignments", Op::GetRoleAssignment),
        ("Microsoft.Authorization/roleDefinitions", Op::GetRoleDefinition),
        ("Microsoft.Devices/IotHubs", Op::GetHub),
        ("Microsoft.Devices/provisioningServices", Op::GetDps),
        ("Microsoft.ManagedIdentity/userAssignedIdentities", Op::GetUserAssignedIdentity),
    ];
    let Ok(place) = Scope::parse(id) else { return false };
    let kind = place.resource_type().unwrap_or_default();
    let op =
        KINDS.iter().find(|it| it.0.eq_ignore_ascii_case(&kind)).map_or(Op::AskLint, |it| it.1);
    may_see(permit, op, &place, facts, env)
}
