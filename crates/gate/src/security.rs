//! Whether a device keeps to its security policy: the last gate, on connecting and on each operation.
//!
//! What applies to the device, and what was observed of it, comes with the call ([`Secured`]), so that a kept trace is
//! judged again as it was. Nobody but devices is held to one, and a call without one costs a look at an `Option`.

use crate::decide::{Ask, Findings, Ruling};
// An address as a number: `core` knows no sockets.
use core::net::IpAddr;
use model::error::{Denial, DenialKind};
use model::security::{OperationClass, Secured, SecurityAction, SecurityMember, TlsVersion};
use model::trace::{Condition, Finding, FindingKind, FindingResult};
use model::{Gate, Op, PrincipalKind, Timestamp};
use serde_json::{Value, json};

const DAY_S: i64 = 24 * 3_600;

/// What the policy says of the call; nothing where there is no policy.
pub(crate) fn rule(ask: &Ask<'_>, findings: &mut Findings) -> Option<Ruling> {
    let secured = ask.head.channel.security.as_deref()?;
    let broken = || SecurityMember::ALL.into_iter().filter(|it| !is_kept(*it, ask, secured));
    let mut of_all = broken().peekable();
    if !findings.are_wanted() && of_all.peek().is_none() {
        return None;
    }
    let result = match secured.action {
        SecurityAction::Enforce => FindingResult::Deny,
        SecurityAction::Audit => FindingResult::Audit,
    };
    for member in of_all {
        findings.add(|| found(member, ask, secured, result));
    }
    if secured.policy.max_key_age_days.is_some() && key_changed(ask, secured).is_none() {
        findings.add(|| age_is_unknown(ask, secured));
    }
    let sentences: Vec<String> = broken().map(|it| told(it, ask, secured).sentence).collect();
    if sentences.is_empty() {
        return None;
    }
    let message = format!("{} does not allow this: {}", whose(secured), sentences.join("; "));
    Some(match secured.action {
        SecurityAction::Audit => Ruling { denial: None, reason: format!("{message} (audited)") },
        SecurityAction::Enforce => {
            let target = ask.caller.name.clone();
            let (gate, kind) = (Gate::Resource, DenialKind::SecurityPolicy);
            let denial = Denial { gate, kind, message, violations: Vec::new(), target };
            let reason = "the security policy does not allow it".to_owned();
            Ruling { denial: Some(denial), reason }
        }
    })
}

/// True where the call passes, breaks its policy, and that is not on record of its session yet.
pub(crate) fn is_noted(ask: &Ask<'_>) -> bool {
    let Some(secured) = ask.head.channel.security.as_deref() else { return false };
    let is_new = |it: &SecurityMember| !secured.told.contains(it) && !is_kept(*it, ask, secured);
    secured.action == SecurityAction::Audit && SecurityMember::ALL.iter().any(is_new)
}

/// Whether the call keeps to one member of the policy. What is absent is kept to.
fn is_kept(member: SecurityMember, ask: &Ask<'_>, secured: &Secured) -> bool {
    let policy = &secured.policy;
    let channel = &ask.head.channel;
    match member {
        SecurityMember::AllowedAuthentication => {
            policy.allowed_authentication.as_ref().is_none_or(|it| it.contains(&ask.caller.auth))
        }
        SecurityMember::MaxKeyAgeDays => match (policy.max_key_age_days, key_changed(ask, secured))
        {
            (Some(days), Some(changed)) => {
                ask.head.time <= changed.plus_seconds(i64::from(days) * DAY_S)
            }
            (_, _) => true,
        },
        SecurityMember::MinimumTlsVersion => {
            policy.minimum_tls_version.is_none_or(|it| channel.tls.is_some_and(|has| has >= it))
        }
        SecurityMember::AllowedNetworks => policy.allowed_networks.as_ref().is_none_or(|all| {
            let address = channel.address.parse::<IpAddr>();
            address.is_ok_and(|it| all.iter().any(|network| network.contains(it)))
        }),
        SecurityMember::AllowedOperations => {
            match (&policy.allowed_operations, OperationClass::of(ask.operation.op)) {
                (Some(all), Some(class)) => all.contains(&class),
                (_, _) => true,
            }
        }
        SecurityMember::MaxMessagesPerMinute => {
            match (policy.max_messages_per_minute, secured.messages_in_minute) {
                (Some(most), Some(sent)) if ask.operation.op == Op::SendTelemetry => sent <= most,
                (_, _) => true,
            }
        }
    }
}

/// What a policy wants and what there is, as values and as a sentence.
struct Told {
    expected: Value,
    actual: Option<Value>,
    sentence: String,
}

fn told(member: SecurityMember, ask: &Ask<'_>, secured: &Secured) -> Told {
    let policy = &secured.policy;
    let channel = &ask.head.channel;
    let name = member.as_str();
    let (expected, actual, what) = match member {
        SecurityMember::AllowedAuthentication => {
            let auth = ask.caller.auth.as_str();
            let expected = json!(policy.allowed_authentication);
            (expected, Some(json!(auth)), format!("the device proves itself by `{auth}`"))
        }
        SecurityMember::MaxKeyAgeDays => {
            let days = key_changed(ask, secured).map(|it| age_days(it, ask.head.time));
            let what = format!("the device's key is {} days old", days.unwrap_or(0));
            (json!(policy.max_key_age_days), days.map(|it| json!(it)), what)
        }
        SecurityMember::MinimumTlsVersion => {
            let spoken = channel.tls.map_or("an unknown version", TlsVersion::as_str);
            let actual = channel.tls.map(|it| json!(it));
            (json!(policy.minimum_tls_version), actual, format!("the connection speaks {spoken}"))
        }
        SecurityMember::AllowedNetworks => {
            let what = format!("the device calls from {}", channel.address);
            (json!(policy.allowed_networks), Some(json!(channel.address)), what)
        }
        SecurityMember::AllowedOperations => {
            let class = OperationClass::of(ask.operation.op).map_or("", OperationClass::as_str);
            let what = format!("{} is `{class}`", ask.operation.name());
            (json!(policy.allowed_operations), Some(json!(class)), what)
        }
        SecurityMember::MaxMessagesPerMinute => {
            let sent = secured.messages_in_minute;
            let what = format!("this is message {} of this minute", sent.unwrap_or(0));
            (json!(policy.max_messages_per_minute), sent.map(|it| json!(it)), what)
        }
    };
    let sentence = format!("`{name}` is {expected}, but {what}");
    Told { expected, actual, sentence }
}

/// Since when the device has the key that it calls with. Who calls for it with a key of the hub's shows none of its own.
fn key_changed(ask: &Ask<'_>, secured: &Secured) -> Option<Timestamp> {
    secured.key_changed.filter(|_| ask.caller.kind == PrincipalKind::Device)
}

fn age_days(changed: Timestamp, now: Timestamp) -> i64 {
    now.seconds().saturating_sub(changed.seconds()).max(0) / DAY_S
}

fn found(
    member: SecurityMember,
    ask: &Ask<'_>,
    secured: &Secured,
    result: FindingResult,
) -> Finding {
    let Told { expected, actual, sentence } = told(member, ask, secured);
    let name = member.as_str();
    let condition = Condition {
        path: format!("properties.{name}"),
        left: "attribute".into(),
        expression: name.to_owned(),
        operator: match member {
            SecurityMember::AllowedAuthentication
            | SecurityMember::AllowedNetworks
            | SecurityMember::AllowedOperations => "in",
            SecurityMember::MaxKeyAgeDays | SecurityMember::MaxMessagesPerMinute => "lessOrEquals",
            SecurityMember::MinimumTlsVersion => "greaterOrEquals",
        }
        .into(),
        expected,
        actual,
        result: false,
        error: None,
    };
    Finding { result, conditions: vec![condition], ..finding(name, sentence, ask, secured) }
}

fn age_is_unknown(ask: &Ask<'_>, secured: &Secured) -> Finding {
    let reason = "it is not known since when the device has its key, so its age is not judged; \
                  write the device's keys anew to begin"
        .to_owned();
    finding(SecurityMember::MaxKeyAgeDays.as_str(), reason, ask, secured)
}

fn finding(name: &str, reason: String, ask: &Ask<'_>, secured: &Secured) -> Finding {
    let below = match &secured.device {
        Some(device) => format!("securityPolicies/{device}"),
        None => "securitySettings/default".to_owned(),
    };
    Finding {
        kind: FindingKind::SecurityPolicy,
        id: format!("{}/{below}", ask.scope),
        name: name.to_owned(),
        result: FindingResult::NoMatch,
        reason,
        rule: None,
        role: None,
        lock: None,
        conditions: Vec::new(),
    }
}

fn whose(secured: &Secured) -> String {
    match &secured.device {
        Some(device) => format!("the security policy of the device `{device}`"),
        None => "the hub's default security policy".to_owned(),
    }
}
