//! A write of a role, an assignment or an exemption that a case tells of: would it be taken?

use super::file::{Stop, broken, lacks, member, take};
use super::judge::{Answer, world_of};
use super::world::{self, World, principal};
use gate::facts::Role;
use gate::writes::{
    NewAssignment, NewRole, PrincipalGiven, check_assignment, check_role_unused, links_of_change,
    scopes_of,
};
use gate::{Ask, Link};
use model::operations::{Surface, action, operation};
use model::principal::AuthType;
use model::trace::{Caller, Channel, TraceHead};
use model::{Error, ObjectId, Op, Scope, TrackingId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expected {
    ok: bool,
    code: Option<String>,
    status: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AssignmentTold {
    name: String,
    principal: Option<String>,
    principal_id: Option<String>,
    principal_type: Option<String>,
    role: String,
    scope: Option<String>,
}

pub(super) fn judge(
    case: &Map<String, Value>,
    worlds: &Map<String, Value>,
    expected: &Value,
) -> Result<Answer, Stop> {
    let told: Expected = take(expected, "expect")?;
    let world = world_of(case, worlds)?;
    let kind: String = member(case, "operation")?;
    let scope = world::place(&member::<String>(case, "scope")?, "scope")?;
    let caller: String = member(case, "caller")?;
    let caller = caller_of(principal(&world, &caller, "caller")?);
    let body = case.get("body").unwrap_or(&Value::Null);
    let write = Write { world: &world, scope: &scope, caller: &caller, body };
    let outcome = match kind.as_str() {
        "putRoleDefinition" => write.role()?,
        "deleteRoleDefinition" => write.role_deletion()?,
        "putRoleAssignment" => write.assignment()?,
        "putPolicyExemption" => write.exemption()?,
        other => {
            return broken(
                "operation",
                format!(
                    "`{other}` is none of putRoleDefinition, deleteRoleDefinition, putRoleAssignment, putPolicyExemption"
                ),
            );
        }
    };
    let (code, status) = match &outcome {
        Ok(()) => (None, None),
        Err(error) => (Some(error.wire().code), Some(error.status(Surface::Arm))),
    };
    let passes = told.ok == outcome.is_ok()
        && (told.code.is_none() || told.code.as_deref() == code)
        && (told.status.is_none() || told.status == status);
    let got = json!({ "ok": outcome.is_ok(), "code": code, "status": status });
    Ok(Answer { passes, expected: expected.clone(), got, trace: None, world: None })
}

type Outcome = Result<Result<(), Error>, Stop>;

struct Write<'a> {
    world: &'a World,
    scope: &'a Scope,
    caller: &'a Caller,
    body: &'a Value,
}

impl Write<'_> {
    /// What the gates say to the write, as they say it to one over the wire.
    fn admitted(&self, op: Op, linked: &[Link]) -> Result<(), Error> {
        let head = TraceHead {
            id: TrackingId(self.world.facts.tenant.0),
            time: self.world.now,
            correlation_id: String::new(),
            channel: Channel { protocol: "case".into(), ..Channel::default() },
            replica: self.world.replica,
        };
        let ask = Ask { linked, ..Ask::new(operation(op), self.scope, self.caller, &head) };
        match gate::judge(&ask, &self.world.facts).denial {
            None => Ok(()),
            Some(denial) => Err(Error::Denied(Box::new(denial))),
        }
    }

    fn links(&self, op: Op, scopes: Vec<Scope>) -> Vec<Link> {
        let own = operation(op).actions.first();
        own.map(|action| scopes.into_iter().map(|scope| Link { action: *action, scope }).collect())
            .unwrap_or_default()
    }

    fn role(&self) -> Outcome {
        let properties = self.body.get("properties").unwrap_or(&Value::Null);
        let scopes = match scopes_of(properties) {
            Ok(it) => it,
            Err(error) => return Ok(Err(error)),
        };
        let mut linked = self.links(Op::PutRoleDefinition, scopes);
        let id = match self.body.get("name") {
            Some(it) => world::id(&take::<String>(it, "body.name")?, "body.name")?,
            // Any id that is free.
            None => self.world.facts.tenant,
        };
        linked.extend(links_of_change(id, properties, &self.world.facts));
        Ok(self
            .admitted(Op::PutRoleDefinition, &linked)
            .and_then(|()| NewRole::read(id, properties, &self.world.facts).map(|_| ())))
    }

    fn role_deletion(&self) -> Outcome {
        let name: String = match self.body.get("name") {
            Some(it) => take(it, "body.name")?,
            None => return broken("body.name", "the name of the role is missing"),
        };
        let role = role_named(self.world, &name)?;
        let linked = self.links(Op::DeleteRoleDefinition, role.assignable_scopes.clone());
        Ok(self
            .admitted(Op::DeleteRoleDefinition, &linked)
            .and_then(|()| check_role_unused(role.id, &self.world.facts)))
    }

    fn assignment(&self) -> Outcome {
        let told: AssignmentTold = take(self.body, "body")?;
        let scope = match &told.scope {
            Some(it) => world::place(it, "body.scope")?,
            None => self.scope.clone(),
        };
        let role = role_named(self.world, &told.role)?;
        let principal = match (&told.principal, &told.principal_id) {
            (Some(it), None) => principal(self.world, it, "body.principal")?,
            (None, Some(it)) => world::id(it, "body.principalId")?,
            _ => return broken("body.principal", "`principal` or `principalId` is required"),
        };
        let given = match told.principal_type {
            Some(_) => PrincipalGiven::WithType,
            None => PrincipalGiven::ById,
        };
        let new = NewAssignment { name: &told.name, principal, role, scope: &scope };
        Ok(self
            .admitted(Op::PutRoleAssignment, &[])
            .and_then(|()| check_assignment(&new, given, &self.world.facts)))
    }

    fn exemption(&self) -> Outcome {
        let name: String = match self.body.get("policyAssignment") {
            Some(it) => take(it, "body.policyAssignment")?,
            None => return broken("body.policyAssignment", "the policy assignment is missing"),
        };
        let mut all = self.world.facts.policy_assignments.values();
        let Some(assignment) = all.find(|it| it.name.eq_ignore_ascii_case(&name)) else {
            return broken("body.policyAssignment", format!("the world has no `{name}`"));
        };
        let exempt = action("Microsoft.Authorization/policyAssignments/exempt/action");
        let linked = exempt.map(|action| Link { action, scope: assignment.scope.clone() });
        Ok(self.admitted(Op::PutPolicyExemption, linked.as_slice()))
    }
}

fn role_named<'a>(world: &'a World, name: &str) -> Result<&'a Role, Stop> {
    let mut all = world.facts.roles.values();
    match all.find(|it| it.name.eq_ignore_ascii_case(name)) {
        Some(it) => Ok(it),
        None => lacks(format!("the role `{name}`, which is neither in the file nor built in")),
    }
}

fn caller_of(id: ObjectId) -> Caller {
    Caller {
        kind: model::PrincipalKind::ServicePrincipal,
        object_id: Some(id),
        auth: AuthType::Entra,
        name: id.to_string(),
        ..Caller::anyone()
    }
}
