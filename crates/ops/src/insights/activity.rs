//! The activity log: control-plane writes and every refusal, as clients of Azure Monitor read it.
//!
//! A view of kept traces. Source of the shape: the published contract of Microsoft.Insights, event
//! categories and activity logs, api-version 2015-04-01.

use crate::decisions;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::questions::row_of;
use crate::resources::filter::{self, Comparison, Operator};
use crate::resources::subscription_of;
use gate::Permit;
use model::json::set;
use model::trace::{Caller, FindingResult, Step};
use model::{Error, Gate, Scope, Timestamp, Trace, Verdict};
use serde_json::{Map, Value, json};

/// Most traces that one query looks at, the newest of its time.
const TRACES_MAX: usize = 5_000;
/// Most events of an answer. Clients that want older ones move the end of their time.
const EVENTS_MAX: usize = 1_000;
/// How far back a query may begin, in seconds: 90 days.
/// Source: Azure Monitor documentation, "Activity log".
const REACH_S: i64 = 90 * 24 * 60 * 60;

/// What a `$filter` asks for.
#[derive(Debug)]
struct Query {
    from: Timestamp,
    to: Timestamp,
    fields: Vec<Comparison>,
}

/// Fields that compare with `eq`.
const FIELDS: [&str; 8] = [
    "resourceGroupName",
    "resourceId",
    "resourceUri",
    "resourceProvider",
    "correlationId",
    "caller",
    "status",
    "eventChannels",
];

/// `GET .../eventtypes/management/values?$filter=...&$select=...`, newest first.
///
/// # Errors
/// A filter without `eventTimestamp ge`, or one that is not offered.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    // Without a subscription: of the whole tenant.
    let place = match input.param("subscription") {
        "" => Scope::root(),
        _ => subscription_of(input, &env.facts.load())?,
    };
    let query = Query::read(input.query("$filter").unwrap_or(""), env.now())?;
    let selected = input.query("$select").map(names);
    let traces = decisions::activity(env, query.from, query.to, TRACES_MAX).await?;
    let mut events = Vec::new();
    for trace in traces.iter().filter(|it| place.contains(&it.scope())) {
        if events.len() == EVENTS_MAX {
            break;
        }
        if query.fields.iter().all(|it| fits(trace, it)) {
            let event = event(trace, env);
            events.push(match &selected {
                Some(names) => select(event, names),
                None => event,
            });
        }
    }
    Ok(Reply::list(events))
}

impl Query {
    fn read(text: &str, now: Timestamp) -> Result<Self, Error> {
        let (mut from, mut to, mut fields) = (None, None, Vec::new());
        for comparison in filter::parse(text)? {
            if comparison.is("eventTimestamp", Operator::Ge) {
                from = Some(time(&comparison.value)?);
            } else if comparison.is("eventTimestamp", Operator::Le) {
                to = Some(time(&comparison.value)?);
            } else if FIELDS.iter().any(|it| comparison.is(it, Operator::Eq)) {
                fields.push(comparison);
            } else {
                let offered = format!(
                    "eventTimestamp with `ge` and `le`, and {} with `eq`",
                    FIELDS.join(", ")
                );
                return Err(filter::not_offered(&comparison, &offered));
            }
        }
        let refuse = |because: &str| Err(Error::invalid("$filter", because));
        match (from, to.unwrap_or(now)) {
            (None, _) => refuse("`eventTimestamp ge '...'` is required"),
            (Some(from), to) if to < from => refuse("the end of the time is before its beginning"),
            (Some(from), _) if from < now.plus_seconds(-REACH_S) => {
                refuse("the beginning of the time is more than 90 days ago")
            }
            (Some(from), to) => Ok(Self { from, to, fields }),
        }
    }
}

/// A time as clients write it: with or without a zone, with or without fractions, and with the `+` of a
/// zone as the space that an unencoded one becomes.
fn time(text: &str) -> Result<Timestamp, Error> {
    let text = text.trim();
    Timestamp::parse(text)
        .or_else(|| Timestamp::parse(&text.replace(' ', "+")))
        .or_else(|| Timestamp::parse(&format!("{text}Z")))
        .or_else(|| Timestamp::parse(&format!("{}Z", text.replacen(' ', "T", 1))))
        .ok_or_else(|| {
            let shown = text.chars().take(40).collect::<String>();
            Error::invalid(
                "$filter",
                format!("`{}` is not a time such as `2026-11-22T08:00:00Z`", shown.escape_debug()),
            )
        })
}

fn fits(trace: &Trace, comparison: &Comparison) -> bool {
    let is = |text: &str| text.eq_ignore_ascii_case(&comparison.value);
    let scope = trace.scope();
    match comparison.field.to_ascii_lowercase().as_str() {
        "resourcegroupname" => scope.resource_group().is_some_and(is),
        // A resource's own events and those of what lies at it, such as its role assignments.
        "resourceid" | "resourceuri" => {
            Scope::parse(&comparison.value).is_ok_and(|it| it.contains(&scope))
        }
        "resourceprovider" => is(&provider(trace)),
        "correlationid" => is(&trace.correlation_id),
        "caller" => trace.call.caller.as_ref().is_some_and(|caller| {
            let id = |it: Option<model::ObjectId>| it.is_some_and(|it| is(&it.to_string()));
            is(&caller.name) || id(caller.object_id) || id(caller.app_id)
        }),
        "status" => is(status(trace)),
        // There is one channel less than Azure has: nothing here is done by an operator of Azure.
        "eventchannels" => true,
        _ => false,
    }
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(|it| it.trim().to_ascii_lowercase()).filter(|it| !it.is_empty()).collect()
}

fn select(event: Value, names: &[String]) -> Value {
    let Value::Object(members) = event else { return event };
    let kept = members
        .into_iter()
        .filter(|(name, _)| names.iter().any(|it| it.eq_ignore_ascii_case(name)));
    Value::Object(kept.collect())
}

fn status(trace: &Trace) -> &'static str {
    match trace.outcome.verdict {
        Verdict::Allow => "Succeeded",
        Verdict::Deny | Verdict::NotEvaluated => "Failed",
    }
}

fn action(trace: &Trace) -> &str {
    trace.call.actions.first().map_or(trace.call.operation.as_str(), String::as_str)
}

/// The namespace that the call was about: of the action, or of the resource where it needs none.
fn provider(trace: &Trace) -> String {
    let of_action =
        trace.call.actions.first().and_then(|it| it.split_once('/')).map(|(it, _)| it.to_owned());
    let of_scope =
        || trace.scope().resource_type().and_then(|it| Some(it.split_once('/')?.0.to_owned()));
    of_action.or_else(of_scope).unwrap_or_else(|| "Microsoft.Resources".to_owned())
}

/// `{value, localizedValue}`, which Azure has for every word.
fn word(value: &str) -> Value {
    json!({ "value": value, "localizedValue": value })
}

fn event(trace: &Trace, env: &Env) -> Value {
    let scope = trace.scope();
    let caller = trace.call.caller.as_ref();
    let says = row_of(trace).map_or("", |it| it.says);
    let is_by_policy = trace.outcome.gate == Some(Gate::Policy);
    let level = match trace.outcome.verdict {
        Verdict::Allow if !trace.warnings.is_empty() => "Warning",
        Verdict::Allow => "Informational",
        Verdict::Deny | Verdict::NotEvaluated => "Error",
    };
    let (method, uri) = trace.call.channel.request.split_once(' ').unwrap_or(("", ""));
    let mut authorization = json!({ "action": action(trace), "scope": scope.as_str() });
    if let Some(role) = trace.step(Gate::Access).and_then(granting) {
        set(&mut authorization, "role", role);
    }
    let mut event = json!({
        "authorization": authorization,
        "caller": caller.map_or("", |it| it.name.as_str()),
        "category": word(if is_by_policy { "Policy" } else { "Administrative" }),
        "claims": claims(caller),
        "correlationId": trace.correlation_id,
        "description": trace.outcome.message,
        "eventDataId": trace.id,
        "eventName": { "value": "EndRequest", "localizedValue": "End request" },
        "eventTimestamp": trace.time.rfc3339(),
        "httpRequest": {
            "clientRequestId": trace.correlation_id,
            "clientIpAddress": trace.call.channel.address,
            "method": method,
            "uri": uri,
        },
        "id": scope.join(&format!("events/{}/ticks/{}", trace.id, ticks(trace.time))).as_str(),
        "level": level,
        "operationId": trace.id,
        "operationName": { "value": action(trace), "localizedValue": says },
        "resourceId": scope.as_str(),
        "resourceProviderName": word(&provider(trace)),
        "status": word(status(trace)),
        "subStatus": sub_status(trace.outcome.status),
        "submissionTimestamp": trace.time.rfc3339(),
        "tenantId": env.settings.tenant,
        "properties": properties(trace),
    });
    if let Some(group) = scope.resource_group() {
        set(&mut event, "resourceGroupName", json!(group));
    }
    if let Some(kind) = scope.resource_type() {
        set(&mut event, "resourceType", word(&kind));
    }
    if let Some(subscription) = scope.subscription_id() {
        set(&mut event, "subscriptionId", json!(subscription));
    }
    event
}

/// The role that allowed the call, where one did.
fn granting(step: &Step) -> Option<&str> {
    let found = step.findings.iter().find(|it| it.result == FindingResult::Allow)?;
    Some(found.role.as_ref()?.role_name.as_str())
}

fn claims(caller: Option<&Caller>) -> Value {
    let mut claims = Map::new();
    if let Some(caller) = caller {
        claims.insert("name".into(), json!(caller.name));
        claims.insert("authType".into(), json!(caller.auth.as_str()));
        for (name, id) in [("oid", caller.object_id), ("appid", caller.app_id)] {
            if let Some(id) = id {
                claims.insert(name.into(), json!(id));
            }
        }
    }
    Value::Object(claims)
}

/// 100 ns steps since the year 1, as .NET counts.
fn ticks(time: Timestamp) -> i64 {
    const UNIX_EPOCH: i64 = 621_355_968_000_000_000;
    time.millis().saturating_mul(10_000).saturating_add(UNIX_EPOCH)
}

fn sub_status(status: u16) -> Value {
    let name = match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "NoContent",
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "",
    };
    json!({ "value": name, "localizedValue": format!("{name} (HTTP Status Code: {status})") })
}

/// Details. Azure's clients take texts only, so what is not one is a text of JSON.
fn properties(trace: &Trace) -> Value {
    let mut properties = json!({
        "statusCode": trace.outcome.status.to_string(),
        "code": trace.outcome.code,
        "message": trace.outcome.message,
        "trackingId": trace.id,
        "repeats": trace.repeats.to_string(),
    });
    if let Some(gate) = trace.outcome.gate {
        set(&mut properties, "gate", json!(gate.as_str()));
    }
    if trace.outcome.gate == Some(Gate::Policy) {
        set(&mut properties, "policies", json!(policies(trace).to_string()));
    }
    if !trace.warnings.is_empty() {
        set(&mut properties, "warnings", json!(json!(trace.warnings).to_string()));
    }
    properties
}

/// The policies that denied: what to look up in order to change it.
fn policies(trace: &Trace) -> Value {
    let principal = trace.call.caller.as_ref().and_then(|it| it.object_id);
    let findings = trace.step(Gate::Policy).map_or(&[][..], |it| &it.findings);
    let denying = findings
        .iter()
        .filter(|it| matches!(it.result, FindingResult::Deny | FindingResult::Error));
    let all = denying.map(|finding| {
        let mut policy = json!({
            "policyAssignmentId": finding.id,
            "policyAssignmentName": finding.name,
            "reason": finding.reason,
            "principalId": principal,
            "trackingId": trace.id,
        });
        if let Some(rule) = &finding.rule {
            set(&mut policy, "policyAssignmentScope", json!(rule.assignment_scope));
            set(&mut policy, "policyDefinitionId", json!(rule.definition_id));
            set(&mut policy, "policyDefinitionName", json!(rule.definition_name));
            set(&mut policy, "policyDefinitionEffect", json!(rule.effect));
            set(&mut policy, "ruleIndex", json!(rule.index));
            if let Some(it) = &rule.initiative {
                set(&mut policy, "policySetDefinitionId", json!(it.id));
                set(&mut policy, "policySetDefinitionName", json!(it.name));
                set(&mut policy, "policyDefinitionReferenceId", json!(it.reference_id));
            }
        }
        policy
    });
    Value::Array(all.collect())
}

#[cfg(test)]
#[path = "activity_tests.rs"]
mod tests;
