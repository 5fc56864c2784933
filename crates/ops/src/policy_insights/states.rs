//! The states of what lies in a scope, one for each resource and each definition that is about it.

use super::query::Query;
use super::summary;
use crate::authorization::{check_scope, scope_before};
use crate::call::may_see;
use crate::deletions::stored;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::objects::object;
use crate::resources::{container_of, reading};
use gate::policy::{
    Compliance, Detail, Existing, PolicyAssignment, State, evaluated, reaching, states,
};
use gate::{Facts, Permit};
use model::json::set;
use model::trace::Object;
use model::{Error, Op, Scope, Timestamp};
use serde_json::{Value, json};

/// Most definitions that are walked for one answer: each resource with each that reaches it.
const WALKS_MAX: usize = 20_000;

/// One state, as it is asked for and as it is shown.
pub(super) struct Row {
    pub(super) compliance: Compliance,
    pub(super) shown: Value,
}

/// What is asked about: everything below a scope, or what one policy says of it.
struct About {
    scope: Scope,
    only: Only,
}

enum Only {
    Everything,
    /// The key of an assignment.
    Assignment(String),
    /// The key of a definition or of an initiative.
    Definition(String),
}

/// `POST .../policyStates/latest/queryResults`.
///
/// # Errors
/// Where the scope or the policy is not there; `ScopeTooLarge`, see [`collect`]; what [`Query::read`] refuses.
pub(crate) async fn query(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let query = Query::read(input)?;
    let (about, mut rows) = answer(permit, input, &query, env).await?;
    rows.sort_by(|one, other| query.compare(&one.shown, &other.shown));
    rows.truncate(query.top);
    let context = context(&about, env);
    let entity = format!("{context}/$entity");
    let shown: Vec<Value> = rows
        .into_iter()
        .map(|it| {
            let mut state = query.select(it.shown);
            set(&mut state, "@odata.context", entity.as_str());
            state
        })
        .collect();
    Ok(Reply::ok(json!({
        "@odata.context": context,
        "@odata.count": shown.len(),
        "@odata.nextLink": null,
        "value": shown,
    })))
}

/// `POST .../policyStates/latest/summarize`.
///
/// # Errors
/// As [`query`].
pub(crate) async fn summarize(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let query = Query::read(input)?;
    let (about, rows) = answer(permit, input, &query, env).await?;
    let context = context(&about, env);
    let mut shown = summary::of(&rows, query.top);
    set(&mut shown, "@odata.context", format!("{context}/$entity"));
    Ok(Reply::ok(json!({ "@odata.context": context, "@odata.count": 1, "value": [shown] })))
}

/// `POST .../policyStates/latest/triggerEvaluation`: each question is evaluated anew, so there is nothing to
/// start and it has ended.
///
/// # Errors
/// Where the subscription or the group is not there.
pub(crate) async fn trigger(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    container_of(input, &env.facts.load())?;
    Ok(Reply::empty(200))
}

fn context(about: &About, env: &Env) -> String {
    let (origin, at) = (&env.facts.load().origin, about.scope.as_str().trim_end_matches('/'));
    format!("{origin}{at}/providers/Microsoft.PolicyInsights/policyStates/$metadata#latest")
}

/// What is asked about, and the states that fit.
async fn answer(
    permit: &Permit,
    input: &Input,
    query: &Query,
    env: &Env,
) -> Result<(About, Vec<Row>), Error> {
    if !input.param("states").eq_ignore_ascii_case("latest") {
        return Err(Error::invalid(
            "path",
            "`latest` is the only view: states are those of now, and none are kept",
        ));
    }
    let facts = env.facts.load();
    let about = About::of(&scope_before(&input.scope), &facts)?;
    let mut rows = collect(permit, &about, query.detail, &facts, env).await?;
    rows.retain(|it| query.fits(&it.shown));
    Ok((about, rows))
}

impl About {
    /// Reads the scope in front of the states: a place, or a policy at a place.
    fn of(scope: &Scope, facts: &Facts) -> Result<Self, Error> {
        let kind = scope.resource_type().unwrap_or_default().to_ascii_lowercase();
        let key = scope.key();
        let (is_known, only) = match kind.as_str() {
            "microsoft.authorization/policyassignments" => {
                (facts.policy_assignments.contains_key(&key), Only::Assignment(key))
            }
            "microsoft.authorization/policydefinitions" => {
                (facts.policy_definitions.contains_key(&key), Only::Definition(key))
            }
            "microsoft.authorization/policysetdefinitions" => {
                (facts.initiatives.contains_key(&key), Only::Definition(key))
            }
            _ => {
                check_scope(scope, facts)?;
                return Ok(Self { scope: scope.clone(), only: Only::Everything });
            }
        };
        match is_known {
            true => Ok(Self { scope: scope_before(scope), only }),
            false => Err(Error::NotFound {
                code: "ResourceNotFound",
                message: format!("there is no policy `{scope}`"),
            }),
        }
    }

    fn wants_assignment(&self, assignment: &PolicyAssignment) -> bool {
        match &self.only {
            Only::Everything | Only::Definition(_) => true,
            Only::Assignment(key) => assignment.id.eq_ignore_ascii_case(key),
        }
    }

    fn wants(&self, state: &State<'_>) -> bool {
        let is = |id: Option<&str>, key: &str| id.is_some_and(|it| it.eq_ignore_ascii_case(key));
        match &self.only {
            Only::Everything | Only::Assignment(_) => true,
            Only::Definition(key) => {
                is(definition_id(state), key) || is(state.initiative.map(|it| it.id.as_str()), key)
            }
        }
    }
}

/// The states of what lies in the scope, by resource. The caller finds there what it may read: a resource by its
/// own operation, and what is assigned to it as a list of assignments would show it.
///
/// # Errors
/// `ScopeTooLarge` where more than [`WALKS_MAX`] definitions would be walked.
async fn collect(
    permit: &Permit,
    about: &About,
    detail: Detail,
    facts: &Facts,
    env: &Env,
) -> Result<Vec<Row>, Error> {
    let groups = facts.containers.values().filter(|it| it.resource_group().is_some());
    let all = groups
        .map(|it| (it, Op::GetResourceGroup))
        .chain(facts.resources().map(|it| (it, reading(it))));
    let (mut rows, mut walks) = (Vec::new(), 0);
    for (scope, reads) in all.filter(|(it, _)| facts.contains(&about.scope, it)) {
        let mut assigned = reaching(scope, facts);
        assigned.retain(|it| about.wants_assignment(it));
        if assigned.is_empty()
            || !may_see(permit, reads, scope, facts, env)
            || !may_see(permit, Op::ListPolicyAssignments, scope, facts, env)
        {
            continue;
        }
        walks += assigned.iter().map(|it| definitions(it, facts)).sum::<usize>();
        if walks > WALKS_MAX {
            return Err(Error::Conflict {
                code: "ScopeTooLarge",
                message: format!(
                    "`{}` holds more than {WALKS_MAX} pairs of a resource and a policy; ask about a part of it, \
                     or about one assignment",
                    about.scope
                ),
            });
        }
        // One that is deleted meanwhile has no state.
        let Some(body) = stored(scope, env).await? else { continue };
        let object = object(scope, &body);
        let existing = Existing { object: &object, scope, now: env.now(), detail };
        for assignment in assigned {
            let found = states(existing, assignment, facts);
            let wanted = found.iter().filter(|it| about.wants(it));
            rows.extend(wanted.map(|it| row(it, &object, scope, existing.now, detail)));
        }
        // Others wait for this thread, too.
        tokio::task::yield_now().await;
    }
    Ok(rows)
}

fn definitions(assignment: &PolicyAssignment, facts: &Facts) -> usize {
    facts.initiatives.get(&assignment.definition_key).map_or(1, |it| it.members.len())
}

fn definition_id<'s>(state: &State<'s>) -> Option<&'s str> {
    let of_member = || state.member.map(|it| it.definition_id.as_str());
    state.definition.map(|it| it.id.as_str()).or_else(of_member)
}

fn row(state: &State<'_>, object: &Object, scope: &Scope, now: Timestamp, detail: Detail) -> Row {
    let (definition, initiative) = (state.definition, state.initiative);
    let tags = model::json::member(&object.body, "tags").cloned().unwrap_or_else(|| json!({}));
    let mut shown = json!({
        "@odata.id": null,
        "timestamp": now.rfc3339(),
        "resourceId": object.id,
        "resourceType": object.kind,
        "resourceLocation": model::json::text(&object.body, &["location"]).unwrap_or(""),
        "resourceGroup": scope.resource_group().unwrap_or(""),
        "resourceTags": tags.to_string(),
        "subscriptionId": scope.subscription_id().unwrap_or(""),
        "complianceState": state.compliance.as_str(),
        "isCompliant": state.compliance != Compliance::NonCompliant,
        "policyAssignmentId": state.assignment.id,
        "policyAssignmentName": state.assignment.name,
        "policyAssignmentScope": state.assignment.scope.as_str(),
        "policyAssignmentParameters": state.assignment.parameters.shown().to_string(),
        "policyDefinitionId": definition_id(state).unwrap_or(&state.assignment.definition_id),
        "policyDefinitionName": definition.map_or("", |it| it.name.as_str()),
        "policyDefinitionVersion": definition.map_or("", |it| it.version.as_str()),
        "policyDefinitionAction": state.effect,
        "policyDefinitionReferenceId": state.member.map_or("", |it| it.reference_id.as_str()),
        "policySetDefinitionId": initiative.map_or("", |it| it.id.as_str()),
        "policySetDefinitionName": initiative.map_or("", |it| it.name.as_str()),
        "policySetDefinitionVersion": initiative.map_or("", |it| it.version.as_str()),
    });
    if detail == Detail::Conditions {
        let details = json!({
            "evaluatedExpressions": evaluated(&state.conditions),
            "reason": state.reason,
            "ruleIndex": state.rule,
        });
        set(&mut shown, "policyEvaluationDetails", details);
    }
    Row { compliance: state.compliance, shown }
}
