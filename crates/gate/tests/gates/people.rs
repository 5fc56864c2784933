//! People at the token endpoint: the password that was looked up, the refresh token, the person behind both.

use super::world::*;
use gate::facts::{Person, SignIn};
use gate::{Door, Facts, Fit, LookedUp, authenticate, hash_token};
use model::credential::ShownClient;
use model::error::{DenialKind, TokenFault};
use model::operations::operation;
use model::{Credential, Op, PrincipalKind, Scope, Secret, Timestamp};

const CLI: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
const POWERSHELL: &str = "1950a258-227b-4e31-a9cf-717495945fc2";
const UPN: &str = "ana@plant.example";

fn facts_with(change: impl FnOnce(&mut Person)) -> Facts {
    let mut facts = facts();
    let mut person = Person {
        id: id(ANA),
        upn: UPN.into(),
        is_enabled: true,
        password: Secret::new("stretched".into()),
        must_change: false,
    };
    change(&mut person);
    facts.put_person(person);
    facts
}

fn shows(facts: &Facts, credential: &Credential, looked_up: &LookedUp) -> Result<(), TokenFault> {
    let (scope, head) = (Scope::root(), head("POST /token"));
    let door = Door { looked_up, ..Door::new(operation(Op::IssueToken), &scope, &head) };
    match authenticate(credential, &door, facts) {
        Ok(who) => {
            let caller = who.caller();
            assert_eq!((caller.kind, caller.object_id), (PrincipalKind::User, Some(id(ANA))));
            assert_eq!((caller.name.as_str(), caller.app_id), (UPN, Some(id(CLI))));
            Ok(())
        }
        Err(refusal) => {
            let DenialKind::Token(fault) = refusal.denial.kind else {
                panic!("{:?}", refusal.denial.kind)
            };
            Err(fault)
        }
    }
}

fn password(tenant: &str, client: &str, username: &str, password: &str) -> Credential {
    Credential::Password {
        tenant: tenant.into(),
        client_id: client.into(),
        username: username.into(),
        password: Secret::new(password.into()),
    }
}

fn made(text: &str) -> LookedUp {
    LookedUp::Stretched(Secret::new(text.to_owned()))
}

#[test]
fn a_password_counts_where_what_is_made_of_it_is_what_is_kept() {
    let facts = facts_with(|_| {});
    let check = |credential: &Credential, looked_up: &LookedUp, expected| {
        assert_eq!(shows(&facts, credential, looked_up), expected, "{credential:?} {looked_up:?}");
    };
    let right = password(TENANT, CLI, UPN, "p");
    check(&right, &made("stretched"), Ok(()));
    check(&password(TENANT, CLI, "ANA@Plant.Example", "p"), &made("stretched"), Ok(()));
    for wrong in ["", "stretche", "stretched ", "Stretched"] {
        check(&right, &made(wrong), Err(TokenFault::BadPassword));
    }
    check(&right, &LookedUp::Nothing, Err(TokenFault::BadPassword));
    // What was made for somebody else fits nobody else.
    let other = password(TENANT, CLI, "bob@plant.example", "p");
    check(&other, &made("stretched"), Err(TokenFault::BadPassword));
    check(&password(TENANT, CLI, UPN, ""), &made("stretched"), Err(TokenFault::MissingField));
    check(&password(TENANT, CLI, "", "p"), &made("stretched"), Err(TokenFault::MissingField));
    check(&password("x", CLI, UPN, "p"), &made("stretched"), Err(TokenFault::TenantNotFound));
    check(
        &password(TENANT, BOB, UPN, "p"),
        &made("stretched"),
        Err(TokenFault::UnknownApplication),
    );
    let barred = LookedUp::Barred { until: NOW };
    check(&right, &barred, Err(TokenFault::PersonBarred));
    check(&right, &LookedUp::Busy, Err(TokenFault::TooManyTries));

    let off = facts_with(|it| it.is_enabled = false);
    assert_eq!(shows(&off, &right, &made("stretched")), Err(TokenFault::PersonSwitchedOff));
    assert_eq!(shows(&off, &right, &made("x")), Err(TokenFault::BadPassword));
    let must = facts_with(|it| it.must_change = true);
    assert_eq!(shows(&must, &right, &made("stretched")), Err(TokenFault::PasswordToChange));
    assert_eq!(shows(&must, &right, &made("x")), Err(TokenFault::BadPassword));
    // A deleted or renamed person has the old name no more.
    let mut renamed = facts_with(|_| {});
    renamed.put_person(Person {
        upn: "eve@x".into(),
        ..(**renamed.people.named(UPN).unwrap()).clone()
    });
    assert_eq!(shows(&renamed, &right, &made("stretched")), Err(TokenFault::BadPassword));
    renamed.remove_person(id(ANA));
    assert!(renamed.people.named("eve@x").is_none() && !renamed.principals.contains_key(&id(ANA)));
}

fn sign_in() -> SignIn {
    SignIn {
        person: id(ANA),
        client: id(CLI),
        is_proven: false,
        current: hash_token("current"),
        former: Some((hash_token("former"), NOW.plus_seconds(60))),
        ends: NOW.plus_seconds(1),
    }
}

#[test]
fn a_refresh_token_fits_its_own_sign_in_until_it_ends() {
    let facts = facts_with(|_| {});
    let check = |client: &str, token: &str, change: fn(&mut SignIn), expected| {
        let mut sign_in = sign_in();
        change(&mut sign_in);
        let credential = Credential::RefreshToken {
            tenant: TENANT.into(),
            client: ShownClient { id: client.into(), proof: None },
            token: Secret::new(token.into()),
        };
        let found = shows(&facts, &credential, &LookedUp::SignIn(sign_in));
        assert_eq!(found, expected, "{client} {token}");
    };
    check(CLI, "current", |_| {}, Ok(()));
    check(CLI, "former", |_| {}, Ok(()));
    check(CLI, "other", |_| {}, Err(TokenFault::RevokedRefresh));
    check(CLI, "", |_| {}, Err(TokenFault::MissingField));
    check(POWERSHELL, "current", |_| {}, Err(TokenFault::RevokedRefresh));
    check(BOB, "current", |_| {}, Err(TokenFault::UnknownApplication));
    check(CLI, "current", |it| it.ends = NOW, Err(TokenFault::EndedRefresh));
    let used: fn(&mut SignIn) = |it| it.former = Some((hash_token("former"), NOW));
    check(CLI, "former", used, Err(TokenFault::RevokedRefresh));
    check(CLI, "current", |it| it.person = id(BOB), Err(TokenFault::RevokedRefresh));
    let credential = Credential::RefreshToken {
        tenant: TENANT.into(),
        client: ShownClient { id: CLI.into(), proof: None },
        token: Secret::new("current".into()),
    };
    let nothing = shows(&facts, &credential, &LookedUp::Nothing);
    assert_eq!(nothing, Err(TokenFault::RevokedRefresh));
    let off = facts_with(|it| it.is_enabled = false);
    let refused = shows(&off, &credential, &LookedUp::SignIn(sign_in()));
    assert_eq!(refused, Err(TokenFault::PersonSwitchedOff));
}

#[test]
fn the_token_before_counts_for_its_time_and_tells_on_a_thief_after_it() {
    let fit = |token: &str, at: Timestamp| sign_in().fit(token, at);
    assert_eq!(fit("current", NOW.plus_seconds(1_000)), Fit::Current);
    assert_eq!(fit("former", NOW.plus_seconds(59)), Fit::Former);
    assert_eq!(fit("former", NOW.plus_seconds(60)), Fit::Reused);
    assert_eq!(fit("x", NOW), Fit::No);
    assert_eq!(SignIn { former: None, ..sign_in() }.fit("former", NOW), Fit::No);
}
