//! The order of the gates, and the one loop that walks them.

use crate::authentication::Authenticated;
use crate::condition::Attributes;
use crate::facts::{Facts, Lookups};
use crate::policy::Change;
use crate::{access, locks, network, policy, security};
use model::error::{Denial, DenialKind};
use model::operations::Surface;
use model::trace::{
    Caller, Finding, FindingKind, FindingResult, Object, Outcome, Reached, Recorded, Step,
    Stranded, Trace, TraceHead,
};
use model::{ActionName, Error, Gate, Operation, Plane, Scope, Verdict};

/// The order in which the gates speak. Everywhere, always. Where tokens are issued, conditional access speaks before all but
/// the first, see [`crate::conditional_access`].
pub const GATES: [Gate; 4] = [Gate::Authentication, Gate::Policy, Gate::Access, Gate::Resource];

/// Most things of one gate that a trace lists; the deciding one is always among them.
const FINDINGS_MAX: usize = 100;

/// One question: may this caller do this here, to this?
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub operation: &'static Operation,
    pub scope: &'a Scope,
    /// What the call would write, where it writes.
    pub objects: &'a [Object],
    /// What the caller must be allowed elsewhere, too, for the call to pass.
    pub linked: &'a [Link],
    /// What the write would leave without the managed identity that it uses.
    pub stranded: &'a [Stranded],
    /// What conditions of roles look at.
    pub attributes: Attributes<'a>,
    pub caller: &'a Caller,
    pub head: &'a TraceHead,
}

impl<'a> Ask<'a> {
    /// About an operation at a place and nothing else: it writes nothing that is known, and reaches nothing further.
    pub fn new(
        operation: &'static Operation,
        scope: &'a Scope,
        caller: &'a Caller,
        head: &'a TraceHead,
    ) -> Self {
        let attributes = Attributes::default();
        let (objects, linked, stranded) = (&[], &[], &[]);
        Self { operation, scope, objects, linked, stranded, attributes, caller, head }
    }

    /// All of it, as a trace keeps it.
    pub fn recorded(&self) -> Recorded {
        Recorded {
            objects: self.objects.to_vec(),
            linked: self.linked.iter().map(Link::recorded).collect(),
            stranded: self.stranded.to_vec(),
            attributes: self.attributes.recorded(),
            caller: Some(self.caller.clone()),
            ..recorded(self.head, self.operation, self.scope)
        }
    }
}

/// A further action at a further scope that a call reaches: every assignable scope of a role that is
/// written, the assignment that an exemption lifts.
#[derive(Clone, Debug)]
pub struct Link {
    pub action: ActionName,
    pub scope: Scope,
}

impl Link {
    fn recorded(&self) -> Reached {
        Reached { action: self.action.as_str().to_owned(), scope: self.scope.as_str().to_owned() }
    }

    /// From a trace; `None` where there is no such action or scope.
    pub fn replayed(told: &Reached) -> Option<Self> {
        let scope = Scope::parse(&told.scope).ok()?;
        model::operations::action(&told.action).map(|action| Self { action, scope })
    }
}

/// What a gate said, with the denial to answer where it said no.
pub(crate) struct Ruling {
    pub(crate) denial: Option<Denial>,
    pub(crate) reason: String,
}

/// What the gates looked at: a list where it is wanted, nothing where only the verdict is.
pub(crate) struct Findings(Option<Vec<Finding>>);

impl Findings {
    pub(crate) fn add(&mut self, make: impl FnOnce() -> Finding) {
        if let Some(all) = &mut self.0 {
            let found = make();
            let decides = matches!(
                found.result,
                FindingResult::Deny | FindingResult::Allow | FindingResult::Error
            );
            if all.len() < FINDINGS_MAX || decides {
                all.push(found);
            }
        }
    }

    /// A text for a trace, made only where there will be one.
    pub(crate) fn told(&self, make: impl FnOnce() -> String) -> String {
        if self.are_wanted() { make() } else { String::new() }
    }

    pub(crate) const fn are_wanted(&self) -> bool {
        self.0.is_some()
    }
}

/// Verdict and trace, and never a permit.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub denial: Option<Denial>,
    pub trace: Trace,
    /// What policies change about what would be written; nothing where the call is denied.
    pub changes: Vec<Change>,
}

/// A no, with its trace.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub denial: Denial,
    pub trace: Trace,
}

/// Proof that a call passed the gates. Only [`admit`] makes one: the fields are private.
#[derive(Debug)]
pub struct Permit {
    operation: &'static Operation,
    scope: Scope,
    caller: Caller,
    epoch: u64,
    changes: Vec<Change>,
    trace: Option<Box<Trace>>,
}

impl Permit {
    pub const fn operation(&self) -> &'static Operation {
        self.operation
    }

    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The version of the facts that allowed it.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What policies change about what is asked for. What was decided holds for the changed call alone.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The whole trace: of changes of the control plane always, of other calls where a policy wants them on record.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_deref()
    }
}

/// Decides, and gives the permit. Called from `ops::call` alone.
///
/// `monotonic_ns` times the gates; it takes no part in the decision.
///
/// # Errors
/// The [`Refusal`] of the first gate that says no.
pub fn admit(
    who: &Authenticated,
    ask: &Ask<'_>,
    facts: &Facts,
    monotonic_ns: &dyn Fn() -> u64,
) -> Result<Permit, Box<Refusal>> {
    let permit = |trace, changes| Permit {
        operation: ask.operation,
        scope: ask.scope.clone(),
        caller: who.caller().clone(),
        epoch: facts.epoch,
        changes,
        trace,
    };
    let conditional = who.conditional();
    let would_deny = |it: &Step| it.findings.iter().any(|it| it.result == FindingResult::WouldDeny);
    // The usual case, an allowed call that nobody keeps, builds no trace.
    if !ask.operation.is_on_record()
        && !conditional.is_some_and(would_deny)
        && let (None, false) = walk_quickly(ask, facts)
    {
        return Ok(permit(None, Vec::new()));
    }
    let mut judged = judge_timed(who.step().clone(), ask, facts, monotonic_ns);
    if let Some(step) = conditional {
        judged.trace.steps.insert(1, step.clone());
    }
    match judged.denial {
        None => Ok(permit(Some(Box::new(judged.trace)), judged.changes)),
        Some(denial) => Err(Box::new(Refusal { denial, trace: judged.trace })),
    }
}

/// Judges a call whose caller is given, for those who ask without calling. Look-ups are counted for calls
/// only: a counter that questions moved could not show what a refusal had looked at.
pub fn judge(ask: &Ask<'_>, facts: &Facts) -> Judgement {
    let facts = &facts.uncounted();
    let given = Step {
        gate: Gate::Authentication,
        verdict: Verdict::Allow,
        reason: format!("{} {} is taken as given", ask.caller.kind.as_str(), ask.caller.name),
        took_ns: None,
        findings: Vec::new(),
    };
    judge_timed(given, ask, facts, &|| 0)
}

/// Judges with the authentication step already taken.
pub fn judge_timed(
    authentication: Step,
    ask: &Ask<'_>,
    facts: &Facts,
    monotonic_ns: &dyn Fn() -> u64,
) -> Judgement {
    let mut steps = Vec::with_capacity(GATES.len());
    steps.push(authentication);
    let mut denial = None;
    let mut changes = Vec::new();
    for gate in GATES.into_iter().skip(1) {
        let before = monotonic_ns();
        let mut findings = Findings(Some(Vec::new()));
        let ruling = match gate {
            Gate::Policy => {
                let said = policy::rule(ask, facts, &mut findings);
                changes = said.changes;
                said.ruling
            }
            Gate::Authentication | Gate::ConditionalAccess | Gate::Access | Gate::Resource => {
                rule(gate, ask, facts, &mut findings)
            }
        };
        let verdict = match ruling.denial {
            Some(_) => Verdict::Deny,
            None => Verdict::Allow,
        };
        steps.push(Step {
            gate,
            verdict,
            reason: ruling.reason,
            took_ns: Some(monotonic_ns().saturating_sub(before)),
            findings: findings.0.unwrap_or_default(),
        });
        denial = ruling.denial;
        if denial.is_some() {
            break;
        }
    }
    let call = ask.recorded();
    let trace = trace_of(ask.head, ask.operation.plane, call, facts, steps, denial.as_ref());
    if denial.is_some() {
        changes.clear();
    }
    Judgement { denial, trace, changes }
}

/// True where the call would pass: the verdict of [`judge`] alone, for those who ask very often.
pub fn judge_quickly(ask: &Ask<'_>, facts: &Facts) -> bool {
    walk_quickly(ask, facts).0.is_none()
}

/// True where a role covers it, whatever the other gates would say.
pub(crate) fn is_granted(ask: &Ask<'_>, facts: &Facts) -> bool {
    access::rule(ask, facts, &mut Findings(None)).denial.is_none()
}

/// The verdict alone, and whether a policy wants the call on record.
fn walk_quickly(ask: &Ask<'_>, facts: &Facts) -> (Option<Denial>, bool) {
    let mut findings = Findings(None);
    let mut is_noted = false;
    for gate in GATES {
        let ruling = match gate {
            Gate::Policy => {
                let said = policy::rule(ask, facts, &mut findings);
                is_noted = said.is_noted;
                said.ruling
            }
            Gate::Authentication | Gate::ConditionalAccess | Gate::Access | Gate::Resource => {
                rule(gate, ask, facts, &mut findings)
            }
        };
        if ruling.denial.is_some() {
            return (ruling.denial, is_noted);
        }
    }
    (None, is_noted || security::is_noted(ask))
}

fn rule(gate: Gate, ask: &Ask<'_>, facts: &Facts, findings: &mut Findings) -> Ruling {
    match gate {
        // Proven before: an `Authenticated` is at hand, or the caller is given.
        Gate::Authentication | Gate::ConditionalAccess => {
            Ruling { denial: None, reason: String::new() }
        }
        Gate::Policy => policy::rule(ask, facts, findings).ruling,
        Gate::Access => access::rule(ask, facts, findings),
        Gate::Resource => resource(ask, facts, findings),
    }
}

/// The last gate: the state of what is addressed. The hub must still be there when a write begins, and let in
/// who comes from where the caller is; what was sent must be something that hubs take, a device must keep to its security
/// policy, no management lock may stand against it, and what is written must have the identities that it uses.
fn resource(ask: &Ask<'_>, facts: &Facts, findings: &mut Findings) -> Ruling {
    Lookups::count(&facts.lookups.resource);
    let has_address = matches!(ask.operation.plane, Plane::Service | Plane::Device);
    let rules = has_address.then(|| facts.network_rules(ask.scope)).flatten();
    if ask.operation.plane == Plane::Service && rules.is_none() {
        let message = format!("`{}` does not exist any more", ask.scope.name());
        let reason = "it does not exist any more";
        return stands_against(ask, DenialKind::HubGone, "it is gone", reason, message, findings);
    }
    if let Some(closed) = rules.and_then(|it| network::rule(ask, facts, it, findings)) {
        return closed;
    }
    if let Some(rule) = &ask.head.channel.violation {
        let (reason, message) = ("no hub takes it", rule.to_string());
        return stands_against(ask, DenialKind::Violation, reason, rule, message, findings);
    }
    if let Some(ruled) = security::rule(ask, findings) {
        return ruled;
    }
    if let Some(locked) = locks::rule(ask, facts, findings) {
        return locked;
    }
    if !ask.stranded.is_empty() {
        let (found, kind) = (without_identity(ask), DenialKind::IdentityInUse);
        let message = format!(
            "`{}` would not have every managed identity that is used there: {found}; attach them, or let what \
             uses them sign in another way first",
            ask.scope.name()
        );
        return stands_against(ask, kind, "an identity is in use", &found, message, findings);
    }
    let reason = findings.told(|| "nothing in the resource's state stands against it".into());
    Ruling { denial: None, reason }
}

/// Everything that would be without its identity, and which that is.
fn without_identity(ask: &Ask<'_>) -> String {
    let told = ask.stranded.iter().map(|it| match &it.identity {
        None => format!("{} uses the system-assigned identity", it.what),
        Some(id) => format!("{} uses `{id}`", it.what),
    });
    told.collect::<Vec<_>>().join(", ")
}

/// The resource itself refuses: its ruling in a few words, what it found as a sentence, and what the caller is told.
fn stands_against(
    ask: &Ask<'_>,
    kind: DenialKind,
    reason: &str,
    found: &str,
    message: String,
    findings: &mut Findings,
) -> Ruling {
    let name = ask.scope.name();
    findings.add(|| Finding {
        kind: FindingKind::Resource,
        id: ask.scope.as_str().to_owned(),
        name: name.to_owned(),
        result: FindingResult::Deny,
        reason: found.to_owned(),
        rule: None,
        role: None,
        lock: None,
        conditions: Vec::new(),
    });
    let target = name.to_owned();
    let violations = Vec::new();
    let denial = Denial { gate: Gate::Resource, kind, message, violations, target };
    Ruling { denial: Some(denial), reason: reason.into() }
}

/// A call as far as it is known before anybody was proven.
pub(crate) fn recorded(head: &TraceHead, operation: &Operation, scope: &Scope) -> Recorded {
    Recorded {
        operation: operation.name(),
        actions: operation.actions.iter().map(|it| it.as_str().to_owned()).collect(),
        plane: operation.plane.as_str().to_owned(),
        scope: scope.as_str().to_owned(),
        objects: Vec::new(),
        linked: Vec::new(),
        stranded: Vec::new(),
        attributes: None,
        caller: None,
        channel: head.channel.clone(),
        replica: head.replica,
    }
}

/// Puts a trace together; gates that have no step yet were not evaluated.
pub(crate) fn trace_of(
    head: &TraceHead,
    plane: Plane,
    call: Recorded,
    facts: &Facts,
    mut steps: Vec<Step>,
    denial: Option<&Denial>,
) -> Trace {
    for gate in GATES {
        if steps.iter().all(|it| it.gate != gate) {
            steps.push(Step::not_evaluated(gate));
        }
    }
    let outcome = match denial {
        None => Outcome {
            verdict: Verdict::Allow,
            gate: None,
            status: 200,
            code: "OK".into(),
            message: String::new(),
        },
        Some(denial) => refused(denial, plane, &call),
    };
    Trace {
        id: head.id,
        time: head.time,
        correlation_id: head.correlation_id.clone(),
        call,
        facts: facts.epoch,
        steps,
        outcome,
        repeats: 0,
        warnings: Vec::new(),
    }
}

fn refused(denial: &Denial, plane: Plane, call: &Recorded) -> Outcome {
    let error = Error::Denied(Box::new(denial.clone()));
    let wire = error.wire();
    let is_of_blobs = || {
        let row = model::operations::named(&call.operation);
        row.is_some_and(|it| it.surface() == Surface::Blob)
    };
    let (surface, code) = match plane {
        Plane::Service if is_of_blobs() => (Surface::Blob, error.blob_codes().1),
        Plane::Service | Plane::Device => (Surface::Hub, wire.hub_name),
        Plane::Control => (Surface::Arm, wire.code),
        Plane::Directory => (Surface::Graph, wire.code),
        Plane::Open | Plane::Token => (Surface::Entra, wire.code),
    };
    Outcome {
        verdict: Verdict::Deny,
        gate: Some(denial.gate),
        status: error.status(surface),
        code: code.to_owned(),
        message: wire.message,
    }
}
