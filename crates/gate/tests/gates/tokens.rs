//! Bearer tokens: every way in which one can be wrong has its own reason.

use super::world::*;
use gate::{Door, Facts, Refusal, authenticate};
use model::error::{AuthFault, DenialKind};
use model::operations::operation;
use model::{Credential, Deployer, Op, Scope, Secret, Timestamp, Verdict};
use serde_json::{Value, json};

fn shows(facts: &Facts, op: Op, token: &str, now: Timestamp) -> Result<String, Box<Refusal>> {
    let (scope, mut head) = (Scope::root(), head("GET /subscriptions"));
    head.time = now;
    let door = Door::new(operation(op), &scope, &head);
    let credential = Credential::Bearer(Secret::new(token.to_owned()));
    authenticate(&credential, &door, facts).map(|it| it.caller().name.clone())
}

fn deploys(facts: &Facts, op: Op, who: &str, now: Timestamp) -> Result<String, String> {
    let (scope, mut head) = (Scope::root(), head("PUT /subscriptions"));
    head.time = now;
    let door = Door::new(operation(op), &scope, &head);
    let credential = Credential::Deployment(Deployer {
        principal: id(who),
        app_id: None,
        token_issued: Some(NOW),
        deployment: "/subscriptions/s/providers/Microsoft.Resources/deployments/d".into(),
        until: NOW.plus_seconds(60),
    });
    let who = authenticate(&credential, &door, facts);
    who.map(|it| it.caller().signed_in.clone()).map_err(|it| it.denial.message)
}

/// A deployment is who deploys it, as long as that one is there, switched on, and the deployment in its time.
#[test]
fn a_deployment_calls_as_its_deployer_who_must_still_be_there() {
    let all = facts();
    assert!(deploys(&all, Op::PutHub, ANA, NOW).unwrap().contains("deployments/d"));
    let last = NOW.plus_seconds(59);
    assert!(deploys(&all, Op::PutHub, ANA, last).is_ok());
    let refused = |facts: &Facts, op, who, now| deploys(facts, op, who, now).unwrap_err();
    assert!(refused(&all, Op::PutHub, ANA, NOW.plus_seconds(60)).contains("longer"));
    let nobody = "99999999-9999-4999-8999-999999999999";
    assert!(refused(&all, Op::PutHub, nobody, NOW).contains("does not exist any more"));
    for op in [Op::PutDevice, Op::ListUsers, Op::IssueToken, Op::SendTelemetry] {
        assert!(refused(&all, op, ANA, NOW).contains("control plane"), "{op:?}");
    }
    let mut off = facts();
    let mut ana = off.principals.get(&id(ANA)).unwrap().clone();
    ana.is_enabled = false;
    off.put_principal(ana);
    assert!(refused(&off, Op::PutHub, ANA, NOW).contains("switched off"));
}

fn fault(facts: &Facts, token: &str) -> (AuthFault, String) {
    let refusal = shows(facts, Op::ListSubscriptions, token, NOW).unwrap_err();
    let verdicts: Vec<Verdict> = refusal.trace.steps.iter().map(|it| it.verdict).collect();
    assert_eq!(
        verdicts,
        [Verdict::Deny, Verdict::NotEvaluated, Verdict::NotEvaluated, Verdict::NotEvaluated]
    );
    let DenialKind::Unauthenticated(fault) = refusal.denial.kind else {
        panic!("{:?}", refusal.denial)
    };
    (fault, refusal.denial.message)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn a_right_token_is_taken() {
    let token = signed_by(&KEY, &header(), &claims());
    assert_eq!(shows(&facts(), Op::ListSubscriptions, &token, NOW).unwrap(), "ana");
}

#[test]
fn a_proof_says_how_long_it_took_once_that_is_measured() {
    let mut who = somebody(&facts());
    assert_eq!(who.step().took_ns, None);
    who.took(7);
    assert_eq!(who.step().took_ns, Some(7));
}

/// S2-07: missing, malformed, expired, wrongly signed and of another tenant: each its own reason.
#[test]
fn each_fault_of_a_token_has_its_own_reason() {
    let facts = facts();
    let signed = |claims: &Value| signed_by(&KEY, &header(), claims);
    let mut reasons = std::collections::BTreeSet::new();
    let mut check = |token: &str, expected: AuthFault| {
        let (found, reason) = fault(&facts, token);
        assert_eq!(found, expected, "{reason}");
        assert!(reasons.insert(reason.clone()), "two faults share the reason {reason}");
    };
    check("not a token", AuthFault::Malformed);
    check("a.b.c", AuthFault::Malformed);
    check(&signed(&with("exp", json!(NOW.seconds() - 301))), AuthFault::Expired);
    check(&signed_by(&new_key(), &header(), &claims()), AuthFault::Invalid);
    check(
        &signed(&with("tid", json!("22222222-0000-4000-8000-000000000002"))),
        AuthFault::WrongTenant,
    );
    check(&signed(&with("aud", json!("https://iothubs.azure.net"))), AuthFault::WrongAudience);
    check(&signed(&with("nbf", json!(NOW.seconds() + 301))), AuthFault::Invalid);
    check(&signed(&with("oid", json!("cccccccc-0000-4000-8000-000000000003"))), AuthFault::Invalid);

    let (scope, head) = (Scope::root(), head("GET /subscriptions"));
    let door = Door::new(operation(Op::ListSubscriptions), &scope, &head);
    let refusal = authenticate(&Credential::None, &door, &facts).unwrap_err();
    assert_eq!(refusal.denial.kind, DenialKind::Unauthenticated(AuthFault::Missing));
    assert!(reasons.insert(refusal.denial.message));
}

#[test]
fn the_algorithm_is_never_read_from_the_token() {
    let facts = facts();
    for alg in ["none", "None", "NONE", "HS256", "RS384", "PS256", ""] {
        let header = json!({ "alg": alg, "kid": "k1" });
        for signature in ["", "AAAA"] {
            let token = format!("{}.{signature}", unsigned(&header, &claims()));
            assert_eq!(fault(&facts, &token).0, AuthFault::Invalid, "{alg}");
        }
    }
    // The public key as an HMAC secret: the classic confusion.
    let header = json!({ "alg": "HS256", "kid": "k1" });
    let text = unsigned(&header, &claims());
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &facts.keys[0].public_der);
    let tag = ring::hmac::sign(&key, text.as_bytes());
    use base64::Engine as _;
    let token = format!("{text}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag));
    assert_eq!(fault(&facts, &token).0, AuthFault::Invalid);
}

#[test]
fn keys_in_a_tokens_header_are_ignored() {
    let facts = facts();
    let other = new_key();
    for (name, value) in [
        ("jwk", json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" })),
        ("jku", json!("https://127.0.0.1:1/keys")),
        ("x5u", json!("https://127.0.0.1:1/cert")),
        ("x5c", json!(["AAAA"])),
    ] {
        let mut header = header();
        header[name] = value;
        assert_eq!(
            fault(&facts, &signed_by(&other, &header, &claims())).0,
            AuthFault::Invalid,
            "{name}"
        );
        // And they do no harm to a token that our own key signed.
        assert!(
            shows(&facts, Op::ListSubscriptions, &signed_by(&KEY, &header, &claims()), NOW).is_ok(),
            "{name}"
        );
    }
    let mut header = header();
    header["crit"] = json!(["b64"]);
    assert_eq!(fault(&facts, &signed_by(&KEY, &header, &claims())).0, AuthFault::Invalid);
    header = json!({ "alg": "RS256", "kid": "another" });
    assert_eq!(fault(&facts, &signed_by(&KEY, &header, &claims())).0, AuthFault::Invalid);
}

#[test]
fn times_hold_within_the_clock_skew_and_not_one_second_longer() {
    let facts = facts();
    let token = signed_by(&KEY, &header(), &claims());
    let at = |offset_s: i64| {
        shows(&facts, Op::ListSubscriptions, &token, NOW.plus_seconds(offset_s)).is_ok()
    };
    assert!(at(3_600 + 299) && !at(3_600 + 300));
    assert!(at(-300) && !at(-301));
    let mut timeless = claims();
    timeless.as_object_mut().unwrap().remove("exp");
    assert_eq!(fault(&facts, &signed_by(&KEY, &header(), &timeless)).0, AuthFault::Invalid);
}

/// S2-08: service APIs take tokens for their own audience and no other.
#[test]
fn each_plane_takes_its_own_audience_with_and_without_a_slash() {
    let facts = facts();
    let check = |op: Op, audience: &str, expected: bool| {
        let token = signed_by(&KEY, &header(), &with("aud", json!(audience)));
        assert_eq!(shows(&facts, op, &token, NOW).is_ok(), expected, "{op:?} {audience}");
    };
    for slash in ["", "/"] {
        check(Op::GetDevice, &format!("https://iothubs.azure.net{slash}"), true);
        check(Op::GetDevice, &format!("https://management.azure.com{slash}"), false);
        check(Op::ListSubscriptions, &format!("https://management.azure.com{slash}"), true);
        check(Op::ListSubscriptions, &format!("https://management.core.windows.net{slash}"), true);
        check(Op::ListSubscriptions, &format!("https://iothubs.azure.net{slash}"), false);
        check(Op::GetEnrollment, &format!("https://azure-devices-provisioning.net{slash}"), true);
        check(Op::GetEnrollment, &format!("https://iothubs.azure.net{slash}"), false);
        check(Op::GetDevice, &format!("https://azure-devices-provisioning.net{slash}"), false);
        check(Op::GetDevice, &format!("{ORIGIN}{slash}"), false);
        check(Op::RegisterDevice, &format!("https://management.azure.com{slash}"), false);
        check(Op::ListUsers, &format!("https://graph.microsoft.com{slash}"), true);
        check(Op::ListUsers, &format!("{ORIGIN}{slash}"), true);
    }
    check(Op::GetDevice, "https://iothubs.azure.net.evil.example", false);
    check(Op::GetDevice, "", false);
}

#[test]
fn a_token_outlives_its_principal_by_nothing() {
    let mut facts = facts();
    let token = signed_by(&KEY, &header(), &claims());
    let mut ana = facts.principals[&id(ANA)].clone();
    ana.is_enabled = false;
    facts.put_principal(ana);
    assert_eq!(fault(&facts, &token).0, AuthFault::Invalid);
    facts.remove_principal(id(ANA));
    assert_eq!(fault(&facts, &token).0, AuthFault::Invalid);
}

#[test]
fn huge_and_deep_tokens_are_refused_before_they_are_understood() {
    let facts = facts();
    assert_eq!(fault(&facts, &"a".repeat(1 << 20)).0, AuthFault::Malformed);
    let mut deep = json!(1);
    for _ in 0..80 {
        deep = json!([deep]);
    }
    assert_eq!(
        fault(&facts, &signed_by(&KEY, &header(), &with("deep", deep))).0,
        AuthFault::Malformed
    );
    let token = signed_by(&KEY, &header(), &claims());
    for cut in (0..token.len()).step_by(17) {
        assert!(shows(&facts, Op::ListSubscriptions, &token[..cut], NOW).is_err());
    }
    // Padding and bits beyond the last byte are not base64url as JOSE has it.
    assert!(shows(&facts, Op::ListSubscriptions, &format!("{token}=="), NOW).is_err());
}
