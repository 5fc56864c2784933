//! Client secrets at the token endpoint.

use super::world::*;
use gate::facts::{Application, SecretHash};
use gate::{Door, Facts, authenticate};
use model::error::{DenialKind, TokenFault};
use model::operations::operation;
use model::{Credential, Op, Scope, Secret, Timestamp};
use ring::digest;

const LATER: Timestamp = Timestamp::from_seconds(1_800_003_600);

fn kept(secret: &str, expires: Timestamp) -> SecretHash {
    let salt = vec![7; 16];
    let salted = [salt.as_slice(), secret.as_bytes()].concat();
    let hash = digest::digest(&digest::SHA256, &salted).as_ref().to_vec();
    SecretHash { key_id: id(OWNER), salt, hash, expires }
}

fn application(who: &str, secrets: Vec<SecretHash>) -> Application {
    Application {
        app_id: id(who),
        display_name: "pump".into(),
        principal: Some(id(who)),
        secrets,
        certificates: Vec::new(),
        federated: Vec::new(),
        redirects: Vec::new(),
        is_public: false,
    }
}

/// Ana with two secrets, Bob with one.
fn facts_of_two() -> Facts {
    let mut facts = facts();
    facts.put_application(application(ANA, vec![kept("first", LATER), kept("second", LATER)]));
    facts.put_application(application(BOB, vec![kept("bobs", LATER)]));
    facts
}

fn shows(facts: &Facts, tenant: &str, who: &str, secret: &str) -> Result<String, DenialKind> {
    let (scope, head) = (Scope::root(), head("POST /token"));
    let door = Door::new(operation(Op::IssueToken), &scope, &head);
    let credential = Credential::ClientSecret {
        tenant: tenant.into(),
        client_id: who.into(),
        secret: Secret::new(secret.to_owned()),
    };
    let who = authenticate(&credential, &door, facts).map_err(|it| it.denial.kind)?;
    assert!(who.once().is_none());
    Ok(who.caller().name.clone())
}

#[test]
fn each_secret_signs_its_own_application_in_and_no_other() {
    let facts = facts_of_two();
    let check = |who: &str, secret: &str, expected: Result<&str, TokenFault>| {
        let expected = expected.map(str::to_owned).map_err(DenialKind::Token);
        assert_eq!(shows(&facts, TENANT, who, secret), expected, "{who} {secret}");
    };
    check(ANA, "first", Ok("ana"));
    check(ANA, "second", Ok("ana"));
    check(BOB, "bobs", Ok("bob"));
    check(ANA, "bobs", Err(TokenFault::BadSecret));
    check(ANA, "First", Err(TokenFault::BadSecret));
    check(ANA, "firs", Err(TokenFault::BadSecret));
    check(ANA, "", Err(TokenFault::MissingField));
    check("", "first", Err(TokenFault::MissingField));
    check(OWNER, "first", Err(TokenFault::UnknownApplication));
    check("ana", "first", Err(TokenFault::UnknownApplication));
}

#[test]
fn a_tenant_is_named_by_its_id_in_any_casing() {
    let facts = facts_of_two();
    assert!(shows(&facts, &TENANT.to_uppercase(), ANA, "first").is_ok());
    for tenant in ["22222222-0000-4000-8000-000000000002", "", "common"] {
        let found = shows(&facts, tenant, ANA, "first");
        assert_eq!(found, Err(DenialKind::Token(TokenFault::TenantNotFound)), "{tenant}");
    }
}

#[test]
fn a_secret_ends_at_its_instant_and_the_next_one_goes_on() {
    let signs_in = |secrets: Vec<SecretHash>| {
        let mut facts = facts();
        facts.put_application(application(ANA, secrets));
        shows(&facts, TENANT, ANA, "first")
    };
    let ended = Err(DenialKind::Token(TokenFault::ExpiredSecret));
    assert!(signs_in(vec![kept("first", NOW.plus_seconds(1))]).is_ok());
    assert_eq!(signs_in(vec![kept("first", NOW)]), ended);
    assert_eq!(signs_in(vec![kept("first", NOW.plus_seconds(-1))]), ended);
    assert!(signs_in(vec![kept("first", LATER), kept("other", NOW)]).is_ok());
    let bad = Err(DenialKind::Token(TokenFault::BadSecret));
    assert_eq!(signs_in(vec![kept("other", LATER)]), bad);
    assert_eq!(signs_in(Vec::new()), bad);
}

#[test]
fn an_application_signs_in_as_its_principal_while_that_is_there_and_on() {
    let unknown = Err(DenialKind::Token(TokenFault::UnknownApplication));
    let mut facts = facts_of_two();
    let mut ana = facts.principals[&id(ANA)].clone();
    ana.is_enabled = false;
    facts.put_principal(ana);
    assert_eq!(shows(&facts, TENANT, ANA, "first"), unknown);
    assert!(shows(&facts, TENANT, BOB, "bobs").is_ok());
    facts.remove_principal(id(BOB));
    assert_eq!(shows(&facts, TENANT, BOB, "bobs"), unknown);
    facts.put_application(Application { principal: None, ..application(BOB, Vec::new()) });
    assert_eq!(shows(&facts, TENANT, BOB, "bobs"), Err(DenialKind::Token(TokenFault::BadSecret)));
    facts.remove_application(id(BOB));
    assert_eq!(shows(&facts, TENANT, BOB, "bobs"), unknown);
}
