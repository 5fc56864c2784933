//! How a decision came about: what each gate looked at, and what decided.
//!
//! A trace is data, not text: `hubward explain`, the decisions API, diagnostic logs, the activity log and
//! the denial envelopes are views of it. It never holds a key, a token or a signature.

mod channel;
mod enrollment;
mod finding;
mod lacked;
mod object;

pub use channel::Channel;
pub use enrollment::EnrollmentKind;
pub use finding::{FindingKind, FindingResult};
pub use lacked::LackedRole;
pub use object::{Object, Verb};

use crate::ids::{ObjectId, TrackingId};
use crate::principal::{AuthType, PrincipalKind};
use crate::{Scope, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The gates, each of which may end a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    Authentication,
    /// Asked where tokens are issued, and nowhere else.
    #[serde(rename = "conditionalAccess")]
    ConditionalAccess,
    Policy,
    Access,
    Resource,
}

impl Gate {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::ConditionalAccess => "conditional access",
            Self::Policy => "policy",
            Self::Access => "access",
            Self::Resource => "resource",
        }
    }
}

/// What a gate said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    Allow,
    Deny,
    /// An earlier gate had refused; this one was never asked.
    NotEvaluated,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::NotEvaluated => "not evaluated",
        }
    }
}

/// Who called, as authentication proved it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    pub kind: PrincipalKind,
    /// The directory object: absent for a shared access key and for nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<ObjectId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<ObjectId>,
    /// A name that a person recognises: a display name, a policy's name, a device id.
    pub name: String,
    pub auth: AuthType,
    /// How it signed in, in a few words: `client secret, token issued 2026-11-22T08:00:00Z`.
    pub signed_in: String,
    /// When its token was issued, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_issued: Option<Timestamp>,
    /// The enrollment or group that vouched for a device, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Rights of the shared access policy, where one was used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<crate::operations::Right>,
}

impl Caller {
    /// Nobody in particular, as on a discovery document.
    pub fn anyone() -> Self {
        Self {
            kind: PrincipalKind::Anyone,
            object_id: None,
            app_id: None,
            name: "anyone".into(),
            auth: AuthType::None,
            signed_in: "not at all".into(),
            token_issued: None,
            via: None,
            rights: Vec::new(),
        }
    }

    /// What identifies this caller among all, for counting.
    pub fn key(&self) -> String {
        match self.object_id {
            Some(id) => id.to_string(),
            None => format!("{}:{}", self.kind.as_str(), self.name),
        }
    }
}

/// The view of role assignments that judged a call, where changes of them spread slowly.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    pub index: u16,
    /// A change counts after so many seconds.
    pub delay_s: u32,
    /// It counts at once for a token that was issued after it.
    pub is_healed_by_token: bool,
}

/// What a trace says of a call before any gate has spoken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceHead {
    pub id: TrackingId,
    /// When the call was judged: the `now` of every gate.
    pub time: Timestamp,
    pub correlation_id: String,
    pub channel: Channel,
    /// None where changes of roles count at once.
    pub replica: Option<Replica>,
}

impl TraceHead {
    /// Of what nobody calls: it belongs to no other call, and changes of roles count at once.
    pub const fn new(id: TrackingId, time: Timestamp, channel: Channel) -> Self {
        Self { id, time, correlation_id: String::new(), channel, replica: None }
    }
}

/// A call as it was judged: with the facts and the time, enough to judge it again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// The operation's name in the table: `PutDevice`.
    pub operation: String,
    pub actions: Vec<String>,
    /// `control`, `service`, `device`, `directory` or `open`.
    pub plane: String,
    pub scope: ScopeText,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Object>,
    /// What else it needs, and where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub linked: Vec<Reached>,
    /// What the write would leave without the managed identity that it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stranded: Vec<Stranded>,
    /// What conditions could look at, where there was anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Box<RecordedAttributes>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    pub channel: Channel,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<Replica>,
}

/// The attributes of a call by where they come from: names with texts, numbers, booleans or lists of such.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct RecordedAttributes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Map<String, Value>>,
}

/// Something of a resource that proves itself elsewhere as a managed identity which the resource would not have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stranded {
    /// For people: "the routing endpoint `telemetry`".
    pub what: String,
    /// The id of a user-assigned identity; absent for the resource's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<ScopeText>,
}

/// An action at a further scope that a call reaches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reached {
    pub action: String,
    pub scope: ScopeText,
}

/// A scope as text, so that a recorded call compares by what was written.
pub type ScopeText = String;

/// One condition of a rule, or one comparison of a role's condition, evaluated.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Where it stands: `policyRule.if.allOf[1]`, `permissions[0].condition, line 1, character 9`.
    pub path: String,
    /// `field`, `value`, `count` or `attribute`.
    pub left: String,
    /// What was looked at: `identity.principalId`, `@Request[...]`.
    pub expression: String,
    pub operator: String,
    pub expected: Value,
    /// Absent where the object has no such field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<Value>,
    pub result: bool,
    /// Why it could not be evaluated, where it could not. An error in a condition that counts denies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One thing that a gate looked at, and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    pub kind: FindingKind,
    /// The id of the assignment, key or lock.
    pub id: String,
    /// Its name for people.
    pub name: String,
    pub result: FindingResult,
    /// One sentence.
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RulePlace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RolePlace>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockPlace>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The exact rule of a policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RulePlace {
    pub definition_id: String,
    pub definition_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    /// Which of the definition's rules, from 0.
    pub index: usize,
    pub effect: String,
    pub assignment_scope: String,
    /// The exemption that removed the rule, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemption_id: Option<String>,
    /// The initiative that brought the definition, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiative: Option<InitiativePlace>,
    /// The roles that the rule requires and the caller lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<LackedRole>,
}

/// The member of an initiative that a rule belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitiativePlace {
    /// Of the policy set definition.
    pub id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub display_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The member's `policyDefinitionReferenceId`.
    pub reference_id: String,
}

/// The exact grant of a role.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolePlace {
    pub role_id: String,
    pub role_name: String,
    pub scope: String,
    /// The pattern that matched, or came nearest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// `actions` or `dataActions`.
    pub list: String,
    /// The groups by which the caller holds it, from the one that lists the caller to the one that was
    /// given the role; empty where the caller was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<GroupPlace>,
}

/// A group on the way from a caller to its role.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupPlace {
    pub id: ObjectId,
    pub name: String,
}

/// What a management lock forbids, and where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockPlace {
    /// `CanNotDelete` or `ReadOnly`.
    pub level: String,
    pub scope: String,
}

/// What one gate said and why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub gate: Gate,
    pub verdict: Verdict,
    /// One sentence.
    pub reason: String,
    /// How long the gate took, in ns. Measured outside the decision, which knows no clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ns: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl Step {
    pub fn not_evaluated(gate: Gate) -> Self {
        Self {
            gate,
            verdict: Verdict::NotEvaluated,
            reason: String::new(),
            took_ns: None,
            findings: Vec::new(),
        }
    }

    /// The finding that decided, where one thing did.
    pub fn deciding(&self) -> Option<&Finding> {
        let decisive = match self.verdict {
            Verdict::Deny => [FindingResult::Deny, FindingResult::Error],
            Verdict::Allow => [FindingResult::Allow, FindingResult::Match],
            Verdict::NotEvaluated => return None,
        };
        self.findings.iter().find(|it| decisive.contains(&it.result))
    }
}

/// What was answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    pub verdict: Verdict,
    /// The gate that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    pub status: u16,
    pub code: String,
    pub message: String,
}

/// A decision, whole: who, what, where, and every gate in order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    pub id: TrackingId,
    pub time: Timestamp,
    /// The client's own id for the request, where it sent one; else the tracking id.
    pub correlation_id: String,
    pub call: Recorded,
    /// The version of the facts that it was judged by.
    pub facts: u64,
    /// Always the four gates, in their order; behind the first, where tokens are issued, conditional access.
    pub steps: Vec<Step>,
    pub outcome: Outcome,
    /// How often the same refusal came again within its minute and was only counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: u64,
    /// What the change brings that may not be meant, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Trace {
    pub fn step(&self, gate: Gate) -> Option<&Step> {
        self.steps.iter().find(|it| it.gate == gate)
    }

    /// The scope, read back.
    pub fn scope(&self) -> Scope {
        Scope::parse(&self.call.scope).unwrap_or_else(|_| Scope::root())
    }

    /// The deciding finding of the gate that refused.
    pub fn deciding(&self) -> Option<&Finding> {
        self.steps.iter().find(|it| it.verdict == Verdict::Deny).and_then(Step::deciding)
    }

    /// This trace without what only a reader of the policy's scope may see: its conditions and rules.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        self.warnings.clear();
        self.call.channel.security = None;
        let secured = self.steps.iter_mut().flat_map(|it| &mut it.findings);
        secured
            .filter(|it| it.kind == FindingKind::SecurityPolicy)
            .for_each(|it| it.conditions.clear());
        for step in self.steps.iter_mut().filter(|it| it.gate == Gate::Policy) {
            step.findings
                .retain(|it| matches!(it.result, FindingResult::Deny | FindingResult::Error));
            for finding in &mut step.findings {
                finding.conditions.clear();
                finding.rule = None;
                finding.reason = "the conditions are shown to readers of the policy's scope".into();
            }
        }
        for step in self.steps.iter_mut().filter(|it| it.gate == Gate::ConditionalAccess) {
            step.findings.retain(|it| it.result == FindingResult::Deny);
            step.findings.iter_mut().for_each(|it| it.conditions.clear());
        }
        for step in self.steps.iter_mut().filter(|it| it.gate == Gate::Access) {
            step.findings.clear();
        }
        // Which networks are let in is shown to who may read what they are let in to.
        for step in self.steps.iter_mut().filter(|it| it.gate == Gate::Resource) {
            for found in step.findings.iter_mut().filter(|it| it.kind == FindingKind::Network) {
                found.conditions.clear();
                found.reason = "the rules are shown to who may read what they keep".into();
                if found.result == FindingResult::Deny {
                    step.reason = "its network rules stand against it".into();
                }
            }
        }
        self
    }
}
