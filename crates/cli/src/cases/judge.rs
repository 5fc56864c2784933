//! One case: what is asked of the gates, and whether they said what is expected.

use super::file::{Stop, broken, lacks, member, take};
use super::world::{self, World};
use super::{alone, rule, writes};
use gate::{Ask, Attributes, Door, jwt::Claims};
use model::error::Denial;
use model::operations::known;
use model::trace::{Caller, Channel, FindingKind, FindingResult, Object, Step, TraceHead, Verb};
use model::{Credential, Error, Gate, Op, Operation, Plane, Scope, Trace, TrackingId, Verdict};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// How long the tokens of cases live.
const TOKEN_S: i64 = 3_600;

/// What the gates said.
pub(super) struct Answer {
    pub(super) passes: bool,
    pub(super) expected: Value,
    pub(super) got: Value,
    /// Of a call.
    pub(super) trace: Option<Box<Trace>>,
    /// The world's own roles and policies, to tell which of them a case shows.
    pub(super) world: Option<Box<World>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    #[serde(default)]
    principal: String,
    operations: Vec<OperationTold>,
    scope: String,
    resource: Option<Map<String, Value>>,
    auth: Option<AuthTold>,
    now: Option<String>,
    token_issued_at: Option<String>,
    /// What conditions see, by the names of attributes.
    #[serde(default)]
    request_attributes: Map<String, Value>,
    #[serde(default)]
    resource_attributes: Map<String, Value>,
    #[serde(default)]
    environment: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OperationTold {
    action: String,
    is_data_action: Option<bool>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum AuthTold {
    Entra {
        audience: Option<String>,
        tenant: Option<String>,
        #[serde(default)]
        expired: bool,
    },
    Sas {
        policy: String,
        #[serde(default)]
        expired: bool,
    },
}

/// Asks the gates. `worlds` are those of the case's file.
pub(super) fn judge(
    case: &Map<String, Value>,
    worlds: &Map<String, Value>,
) -> Result<Answer, Stop> {
    let kind: String = member(case, "kind")?;
    let own: &[&str] = match kind.as_str() {
        "match" => &["pattern", "action"],
        "condition" => &["condition", "context"],
        "policyRule" => &["policyRule", "resource", "parameters", "context"],
        "authorize" => &["world", "add", "remove", "request"],
        "validate" => &["world", "add", "remove", "operation", "caller", "scope", "body"],
        other => {
            return broken(
                "kind",
                format!("`{other}` is none of match, condition, policyRule, authorize, validate"),
            );
        }
    };
    let shared = ["id", "kind", "title", "tags", "expect"];
    if let Some(other) = case.keys().find(|it| !own.iter().chain(&shared).any(|known| known == it))
    {
        return broken(other.as_str(), format!("a case of kind `{kind}` has {}", own.join(", ")));
    }
    let Some(expected) = case.get("expect") else {
        return broken("expect", "`expect` is missing: without it the case shows nothing");
    };
    match kind.as_str() {
        "match" => alone::pattern(case, expected),
        "policyRule" => rule::judge(case, expected),
        "authorize" => authorize(case, worlds, expected),
        "condition" => alone::condition(case, expected),
        _ => writes::judge(case, worlds, expected),
    }
}

pub(super) fn compared(expected: Value, got: Value) -> Answer {
    Answer { passes: expected == got, expected, got, trace: None, world: None }
}

/// The world that a case names, with what it adds and removes.
pub(super) fn world_of(
    case: &Map<String, Value>,
    worlds: &Map<String, Value>,
) -> Result<World, Stop> {
    let name: String = member(case, "world")?;
    let Some(told) = worlds.get(&name) else {
        return broken("world", format!("the file has no world `{name}`"));
    };
    let changes = |name: &str| -> Result<Map<String, Value>, Stop> {
        case.get(name).map_or_else(|| Ok(Map::new()), |it| take(it, name))
    };
    world::build(&world::merged(told, &changes("add")?, &changes("remove")?)?)
}

fn authorize(
    case: &Map<String, Value>,
    worlds: &Map<String, Value>,
    expected: &Value,
) -> Result<Answer, Stop> {
    let expected = expectation(expected)?;
    let mut world = world_of(case, worlds)?;
    let request: Request = member(case, "request")?;
    if let Some(it) = &request.now {
        world.now = world::time(it, "request.now")?;
    }
    let (trace, denial) = call(&request, &world)?;
    let got = told_by(&trace, denial);
    Ok(Answer {
        passes: fits(&expected, &got),
        expected: Value::Object(expected),
        got: Value::Object(got),
        trace: Some(Box::new(trace)),
        world: Some(Box::new(world)),
    })
}

/// Makes the call that a request tells of, through every gate.
fn call(request: &Request, world: &World) -> Result<(Trace, Option<Denial>), Stop> {
    let operation = row(&request.operations)?;
    let scope = world::place(&request.scope, "request.scope")?;
    let objects = match &request.resource {
        Some(it) => vec![done_by(operation, object(it, &scope, "request.resource")?)],
        None => Vec::new(),
    };
    let head = TraceHead {
        // Any id will do: a case leaves no trace behind that could be asked for.
        id: TrackingId(world.facts.tenant.0),
        time: world.now,
        correlation_id: String::new(),
        channel: Channel {
            protocol: "case".into(),
            request: operation.actions.first().map_or_else(String::new, ToString::to_string),
            ..Channel::default()
        },
        replica: world.replica,
    };
    let host = world::host_of(&scope);
    let facts = &world.facts;
    let access =
        facts.hub(&scope).map(|it| &it.access).or_else(|| facts.dps(&scope).map(|it| &it.access));
    let door = Door { access, resource: &host, ..Door::new(operation, &scope, &head) };
    let (caller, step) = match authenticated(request, &door, world)? {
        Ok(it) => it,
        Err(refusal) => return Ok((refusal.trace, Some(refusal.denial))),
    };
    let ask = Ask {
        operation,
        scope: &scope,
        objects: &objects,
        linked: &[],
        stranded: &[],
        attributes: Attributes {
            request: Some(&request.request_attributes),
            resource: Some(&request.resource_attributes),
            environment: Some(&request.environment),
            ..Attributes::default()
        },
        caller: &caller,
        head: &head,
    };
    let judged = gate::judge_timed(step, &ask, facts, &|| 0);
    Ok((judged.trace, judged.denial))
}

type Proof = Result<(Caller, Step), Box<gate::Refusal>>;

fn authenticated(request: &Request, door: &Door<'_>, world: &World) -> Result<Proof, Stop> {
    let ends = |expired: bool| world.now.plus_seconds(if expired { -TOKEN_S } else { TOKEN_S });
    let (audience, tenant, expired) = match &request.auth {
        Some(AuthTold::Sas { policy, expired }) => {
            if !request.principal.is_empty() {
                return broken(
                    "request.principal",
                    "whoever signs with a key is nobody in the directory; leave it empty",
                );
            }
            let text = wire::sas::sign(
                &wire::sas::resource_text(door.resource),
                &world::key_of(policy),
                ends(*expired),
                Some(policy),
            );
            let token = wire::sas::parse(&text).map_err(|it| Stop::Broken {
                at: "request.auth".into(),
                because: it.to_string(),
            })?;
            return Ok(gate::authenticate(&Credential::Sas(token), door, &world.facts)
                .map(|it| (it.caller().clone(), it.step().clone())));
        }
        Some(AuthTold::Entra { audience, tenant, expired }) => {
            (audience.clone(), tenant.clone(), *expired)
        }
        None => (None, None, false),
    };
    let id = world::principal(world, &request.principal, "request.principal")?;
    let tenant = tenant.unwrap_or_else(|| world.facts.tenant.to_string());
    let issued = match &request.token_issued_at {
        Some(it) => world::time(it, "request.tokenIssuedAt")?,
        // As old as one may be: no change is brought along by it.
        None => world.now.plus_seconds(-TOKEN_S),
    };
    let claims = Claims {
        issuer: format!("{}/{tenant}/v2.0", world::ORIGIN),
        tenant,
        audience: audience.unwrap_or_else(|| {
            gate::audiences(door.operation).first().map_or_else(String::new, |it| (*it).to_owned())
        }),
        object_id: Some(id),
        app_id: world.facts.principals.get(&id).and_then(|it| it.app_id),
        issued,
        not_before: None,
        expires: Some(ends(expired)),
    };
    Ok(gate::judge_claims(&claims, door, &world.facts))
}

/// The row of the table that needs exactly these actions.
fn row(told: &[OperationTold]) -> Result<&'static Operation, Stop> {
    let fits = |row: &&Operation| {
        let is_data = row.plane == Plane::Service;
        (is_data || row.plane == Plane::Control)
            && row.actions.len() == told.len()
            && told.iter().all(|it| {
                it.is_data_action.is_none_or(|it| it == is_data)
                    && row.actions.iter().any(|mine| mine.as_str().eq_ignore_ascii_case(&it.action))
            })
    };
    if told.is_empty() {
        return broken("request.operations", "at least one operation is required");
    }
    known().find(fits).map_or_else(
        || {
            let names: Vec<String> = told
                .iter()
                .map(|it| match it.is_data_action {
                    Some(true) => format!("{} (data)", it.action),
                    Some(false) | None => it.action.clone(),
                })
                .collect();
            lacks(format!("the operation {}", names.join(" with ")))
        },
        Ok,
    )
}

/// What policy looks at. Aliases of data-plane objects lead to their top, those of resources below
/// `properties`; cases write both below `properties`.
pub(super) fn object(told: &Map<String, Value>, scope: &Scope, at: &str) -> Result<Object, Stop> {
    let text = |name: &str| -> Result<String, Stop> {
        match told.get(name) {
            Some(it) => take(it, &format!("{at}.{name}")),
            None => broken(format!("{at}.{name}"), format!("`{name}` is missing")),
        }
    };
    let (kind, name) = (text("type")?, text("name")?);
    let is_data = known().filter_map(|it| it.object).any(|it| it.eq_ignore_ascii_case(&kind));
    let id = match (told.contains_key("id"), is_data) {
        (true, _) => text("id")?,
        (false, true) => {
            let last = kind.rsplit('/').next().unwrap_or("");
            scope.join(&format!("{last}/{name}")).as_str().to_owned()
        }
        (false, false) => scope.as_str().to_owned(),
    };
    let mut body = told.clone();
    if is_data && let Some(Value::Object(properties)) = body.shift_remove("properties") {
        body.extend(properties);
    }
    Ok(Object { kind, name, id, body: Value::Object(body), verb: Verb::Write })
}

/// The object with what the call would do to it. What a call deletes besides the group that it names goes
/// with that group.
fn done_by(operation: &Operation, object: Object) -> Object {
    let is_group = object.kind.to_ascii_lowercase().ends_with("/resourcegroups");
    let verb = match (operation.op, operation.actions.iter().any(|it| it.is_write())) {
        (Op::DeleteResourceGroup, _) if !is_group => Verb::DeleteWithGroup,
        _ if operation.moves() && !is_group => Verb::Move,
        (_, false) if operation.deletes() => Verb::Delete,
        (_, _) => Verb::Write,
    };
    Object { verb, ..object }
}

/// Checks what a case expects of a call; the gate of access goes by the word of the format.
fn expectation(told: &Value) -> Result<Map<String, Value>, Stop> {
    let mut expected: Map<String, Value> = take(told, "expect")?;
    let known = [
        "decision",
        "gate",
        "code",
        "status",
        "by",
        "audited",
        "wouldDeny",
        "exempt",
        "changed",
        "wouldChange",
    ];
    if let Some(other) = expected.keys().find(|it| !known.contains(&it.as_str())) {
        return broken(
            format!("expect.{other}"),
            format!("a call's answer has {}", known.join(", ")),
        );
    }
    let word = |name: &str| expected.get(name).and_then(Value::as_str);
    if !matches!(word("decision"), Some("allow" | "deny")) {
        return broken("expect.decision", "`allow` or `deny` is required");
    }
    let gates = ["none", "authentication", "policy", "access", "rbac", "resource"];
    if expected.contains_key("gate") && !word("gate").is_some_and(|it| gates.contains(&it)) {
        return broken("expect.gate", format!("gates are {}", gates.join(", ")));
    }
    if word("gate") == Some("access") {
        expected.insert("gate".into(), json!("rbac"));
    }
    Ok(expected)
}

/// The three lists are empty where they are absent; every other member counts only where it is expected.
fn fits(expected: &Map<String, Value>, got: &Map<String, Value>) -> bool {
    expected.iter().all(|(name, it)| got.get(name) == Some(it))
        && ["audited", "wouldDeny", "exempt", "changed", "wouldChange"]
            .iter()
            .all(|it| expected.get(*it) == got.get(*it))
}

/// The code of a refusal. A policy's goes by that of its envelope, which every address sends; hubs set a word
/// of their own beside it.
fn code(trace: &Trace, denial: Option<Denial>) -> Value {
    match denial {
        Some(it) if it.gate == Gate::Policy => json!(Error::Denied(Box::new(it)).wire().code),
        Some(_) => json!(trace.outcome.code),
        None => Value::Null,
    }
}

/// A trace in the words of the format.
fn told_by(trace: &Trace, denial: Option<Denial>) -> Map<String, Value> {
    let outcome = &trace.outcome;
    let is_allowed = outcome.verdict == Verdict::Allow;
    let mut told = Map::new();
    told.insert("decision".into(), json!(if is_allowed { "allow" } else { "deny" }));
    told.insert("gate".into(), json!(outcome.gate.map_or("none", gate_word)));
    told.insert("code".into(), code(trace, denial));
    told.insert("status".into(), json!(outcome.status));
    let decisive = trace
        .steps
        .iter()
        .filter(|it| match outcome.gate {
            Some(gate) => it.gate == gate,
            None => it.gate == Gate::Access,
        })
        .flat_map(|it| &it.findings)
        .find(|it| match is_allowed {
            true => it.result == FindingResult::Allow,
            false => matches!(it.result, FindingResult::Deny | FindingResult::Error),
        });
    let kind = |it: FindingKind| match it {
        FindingKind::RoleAssignment => Some("roleAssignment"),
        FindingKind::PolicyRule => Some("policyAssignment"),
        FindingKind::SasRight if is_allowed => Some("sharedAccessPolicy"),
        FindingKind::DenyAssignment => Some("denyAssignment"),
        FindingKind::Lock => Some("lock"),
        FindingKind::SasRight
        | FindingKind::Token
        | FindingKind::Sas
        | FindingKind::Secret
        | FindingKind::Certificate
        | FindingKind::Plane
        | FindingKind::ConditionalAccessPolicy
        | FindingKind::SecurityPolicy
        | FindingKind::Network
        | FindingKind::Resource => None,
    };
    if let Some((word, name)) = decisive.and_then(|it| Some((kind(it.kind)?, &it.name))) {
        told.insert("by".into(), json!({ word: name }));
    }
    for (word, wanted) in [
        ("audited", FindingResult::Audit),
        ("wouldDeny", FindingResult::WouldDeny),
        ("exempt", FindingResult::Exempt),
        ("changed", FindingResult::Change),
        ("wouldChange", FindingResult::WouldChange),
    ] {
        let names: Vec<&str> = trace
            .step(Gate::Policy)
            .into_iter()
            .flat_map(|it| &it.findings)
            .filter(|it| it.result == wanted)
            .map(|it| it.name.as_str())
            .collect();
        if !names.is_empty() {
            told.insert(word.into(), json!(names));
        }
    }
    told
}

/// The word of the format for a gate.
const fn gate_word(gate: Gate) -> &'static str {
    match gate {
        Gate::Access => "rbac",
        Gate::Authentication | Gate::ConditionalAccess | Gate::Policy | Gate::Resource => {
            gate.as_str()
        }
    }
}
