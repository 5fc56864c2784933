use super::*;
use crate::facts::{former, load};
use crate::test_env::env;
use crate::{Env, control};
use gate::facts::RoleAssignment;
use model::ObjectId;
use serde_json::{Value, json};
use store::{Table, tables};
use uuid::Uuid;

const PRINCIPAL: &str = "22222222-2222-4222-8222-000000000001";
const ROLE: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

/// What a start does.
async fn begins(env: &Env) {
    let under = env.facts.load();
    let mut facts = load(&env.store, under.tenant, &under.origin).await.unwrap();
    facts.has_explicit_grants = under.has_explicit_grants;
    let spread = &env.settings.propagation;
    former::begin(&env.store, env.settings.keeps_facts, &mut facts, spread, env.now())
        .await
        .unwrap();
    let epoch = facts.epoch;
    env.facts.swap(facts, epoch);
}

/// What a change does, as one commit.
async fn commits(env: &Env, mut changes: Vec<Change>) -> u64 {
    let before = env.facts.load();
    let mut facts = env.facts.with(&changes).unwrap();
    env.settings.propagation.fade(&before, &mut facts, &changes, env.now());
    changes.extend(former::change(env, &before, &changes, env.now()).await.unwrap());
    let committed = env.store.commit(&ShardId::control(), changes).await.unwrap();
    env.facts.swap(facts, committed.revision);
    committed.revision
}

fn put_lock(name: &str, level: &str) -> Change {
    let id = format!("/subscriptions/s/providers/Microsoft.Authorization/locks/{name}");
    let document = json!({ "id": id, "properties": { "level": level } });
    control::put(tables::LOCKS, id.to_lowercase(), Expect::Anything, &document).unwrap()
}

fn take_lock(name: &str) -> Change {
    control::delete(tables::LOCKS, put_lock(name, "").key, Expect::Present)
}

fn assigns(name: &str) -> Change {
    let id = format!("/subscriptions/s/providers/Microsoft.Authorization/roleAssignments/{name}");
    let document = json!({ "id": id, "name": name, "properties": {
        "principalId": PRINCIPAL, "roleDefinitionId": format!("/x/{ROLE}"), "scope": "/subscriptions/s" } });
    control::put(tables::ROLE_ASSIGNMENTS, id.to_lowercase(), Expect::Anything, &document).unwrap()
}

async fn past(env: &Env) -> Past {
    Past::read(&env.store).await.unwrap().unwrap()
}

/// The locks of an epoch, by name and level.
fn locks(facts: &Facts) -> Vec<String> {
    let told = |it: &gate::locks::Lock| format!("{} {}", it.name, it.level.as_str());
    facts.locks.values().map(|it| told(it)).collect()
}

#[tokio::test]
async fn every_epoch_has_its_own_facts_again() {
    let env = env();
    begins(&env).await;
    let start = env.facts.load().epoch;
    let one = commits(&env, vec![put_lock("a", "ReadOnly")]).await;
    let two = commits(&env, vec![put_lock("a", "CanNotDelete"), put_lock("b", "ReadOnly")]).await;
    // A commit that no gate looks at is an epoch of nobody.
    let document = control::put(tables::OPERATIONS, "o", Expect::Anything, &json!({})).unwrap();
    env.store.commit(&ShardId::control(), vec![document]).await.unwrap();
    let three = commits(&env, vec![take_lock("a")]).await;
    let mut past = past(&env).await;
    let check = async |past: &mut Past, epoch: u64, expected: &[&str]| {
        assert_eq!(locks(past.at(epoch).unwrap()), expected, "{epoch}");
    };
    check(&mut past, start, &[]).await;
    check(&mut past, one, &["a ReadOnly"]).await;
    check(&mut past, two, &["a CanNotDelete", "b ReadOnly"]).await;
    check(&mut past, three - 1, &["a CanNotDelete", "b ReadOnly"]).await;
    check(&mut past, three, &["b ReadOnly"]).await;
    assert_eq!(past.at(u64::MAX).unwrap().epoch, three);
    assert!(past.knows(start, env.now()) && !past.knows(start - 1, env.now()));
}

#[tokio::test]
async fn the_epoch_of_a_start_is_no_other_facts_epoch() {
    let mut env = env();
    begins(&env).await;
    let one = commits(&env, vec![put_lock("a", "ReadOnly")]).await;
    let two = commits(&env, vec![put_lock("b", "ReadOnly")]).await;
    // The newest document is now that of an epoch in which there was one more.
    let three = commits(&env, vec![take_lock("a")]).await;
    env.settings.keeps_facts = false;
    let again = load(&env.store, ObjectId(Uuid::nil()), "").await.unwrap();
    assert_eq!((again.epoch, one < two && two < three), (three, true));
    // What is in no document may change at a start.
    env.settings.keeps_facts = true;
    let mut changed = Facts::clone(&env.facts.load());
    changed.has_explicit_grants = false;
    env.facts.swap(changed, three);
    begins(&env).await;
    let four = env.facts.load().epoch;
    assert!(four > three);
    let mut past = past(&env).await;
    assert!(past.at(three).unwrap().has_explicit_grants);
    assert!(!past.at(four).unwrap().has_explicit_grants);
    assert_eq!(locks(past.at(four).unwrap()), ["b ReadOnly"]);
}

#[tokio::test]
async fn what_fades_out_fades_again_and_a_start_ends_it() {
    let mut env = env();
    env.settings.propagation = "300".parse().unwrap();
    begins(&env).await;
    let one = commits(&env, vec![assigns("r")]).await;
    let change = control::delete(tables::ROLE_ASSIGNMENTS, assigns("r").key, Expect::Present);
    let two = commits(&env, vec![change]).await;
    begins(&env).await;
    let three = env.facts.load().epoch;
    let mut past = past(&env).await;
    let faded = |facts: &Facts| -> Vec<RoleAssignment> {
        facts.faded.values().flatten().map(|it| RoleAssignment::clone(it)).collect()
    };
    assert!(faded(past.at(one).unwrap()).is_empty());
    assert_eq!(faded(past.at(two).unwrap())[0].deleted, Some(env.now()));
    assert!(faded(past.at(three).unwrap()).is_empty());
}

#[tokio::test]
async fn where_the_oldest_is_gone_what_was_fading_out_then_is_not_known() {
    let mut env = env();
    env.settings.propagation = "300".parse().unwrap();
    begins(&env).await;
    let start = former::page(&env.store, None).await.unwrap()[0].0.clone();
    let one = commits(&env, vec![put_lock("a", "ReadOnly")]).await;
    let gone = control::delete(tables::FORMER_FACTS, start, Expect::Present);
    env.store.commit(&ShardId::control(), vec![gone]).await.unwrap();
    let past = past(&env).await;
    let seen = env.now().plus_seconds(i64::from(DELAY_S_MAX));
    assert!(past.knows(one, seen) && !past.knows(one, seen.plus_seconds(-1)));
    assert!(!past.knows(one - 1, seen));
}

#[tokio::test]
async fn nothing_before_a_change_that_was_too_large_is_known() {
    let env = env();
    begins(&env).await;
    let big = |fill: usize| {
        let mut change = put_lock("a", "ReadOnly");
        let id = change.key.clone();
        let document =
            json!({ "id": id, "properties": { "level": "ReadOnly", "notes": "n".repeat(fill) } });
        change.write = Write::Put(document.to_string().into());
        change
    };
    let one = commits(&env, vec![big(900_000)]).await;
    let two = commits(&env, vec![big(1 << 20)]).await;
    assert!(past(&env).await.knows(one, env.now()));
    let three = commits(&env, vec![take_lock("a")]).await;
    let mut past = past(&env).await;
    assert!(!past.knows(two, env.now()) && past.knows(three, env.now()));
    assert!(locks(past.at(three).unwrap()).is_empty());
}

#[tokio::test]
async fn what_is_kept_holds_no_credential() {
    let env = env();
    begins(&env).await;
    let secret = "c2VzYW1lIG9wZW4=";
    let keep = async |table: Table, key: &str, document: &Value| {
        let change = control::put(table, key, Expect::Anything, document).unwrap();
        env.store.commit(&ShardId::control(), vec![change]).await.unwrap();
    };
    let place = "/subscriptions/s/resourcegroups/rg/providers/microsoft.devices";
    let policies =
        json!([{ "keyName": "k", "primaryKey": secret, "secondaryKey": secret, "rights": [] }]);
    let hub = format!("{place}/iothubs/h");
    keep(tables::RESOURCES, &hub, &json!({
        "resource": { "location": "westus", "properties": { "routing": { "connectionString": secret } } },
        "uid": "u1", "address": "127.71.3.2", "version": 1, "policies": policies,
        "security": { "defaultAction": "audit", "alertThresholdPercent": 10, "version": 1,
            "alertWebhook": format!("https://alerts.example/?code={secret}") } })).await;
    let dps = format!("{place}/provisioningservices/d");
    let string = format!("HostName=127.71.3.2;SharedAccessKeyName=k;SharedAccessKey={secret}");
    let link = json!({ "name": "127.71.3.2", "authenticationType": "KeyBased", "connectionString": string, "allocationWeight": 1, "applyAllocationPolicy": true });
    keep(tables::RESOURCES, &dps, &json!({
        "resource": { "location": "westus", "properties": { "iotHubs": [link] } },
        "uid": "u2", "address": "127.71.3.3", "idScope": "0ne00000001", "version": 1, "policies": policies,
        "identity": { "principalId": PRINCIPAL, "clientId": PRINCIPAL } })).await;
    let app = format!("{PRINCIPAL}/{PRINCIPAL}");
    keep(tables::APPLICATIONS, &app, &json!({
        "objectId": PRINCIPAL, "appId": PRINCIPAL, "displayName": "line-3", "createdDateTime": env.now(),
        "passwords": [{ "keyId": PRINCIPAL, "holder": "application", "displayName": null, "hint": "c2V",
            "startDateTime": env.now(), "endDateTime": env.now(), "salt": secret, "hash": secret }] })).await;
    keep(tables::USERS, PRINCIPAL, &json!({
        "objectId": PRINCIPAL, "userPrincipalName": "ada@hub.test", "displayName": "Ada", "mailNickname": "ada",
        "accountEnabled": true, "createdDateTime": env.now(), "mustChangePassword": false,
        "password": format!("$argon2id$v=19$m=19456,t=2,p=1${secret}${secret}") })).await;
    begins(&env).await;
    let gone = |table, key: &str| control::delete(table, key, Expect::Present);
    let before = env.facts.load().epoch;
    commits(
        &env,
        vec![
            gone(tables::RESOURCES, &hub),
            gone(tables::RESOURCES, &dps),
            gone(tables::APPLICATIONS, &app),
            gone(tables::USERS, PRINCIPAL),
        ],
    )
    .await;
    let mut kept = String::new();
    for (_, document) in former::page(&env.store, None).await.unwrap() {
        kept.push_str(std::str::from_utf8(&document.body).unwrap());
    }
    assert!(
        kept.contains("127.71.3.2") && kept.contains("line-3") && kept.contains("Ada"),
        "{kept}"
    );
    assert!(!kept.contains("c2V"), "{kept}");
    // What gates behind authentication read is all there.
    let mut past = past(&env).await;
    let facts = past.at(before).unwrap();
    assert_eq!((facts.hubs.len(), facts.provisioning.len(), facts.applications.len()), (1, 1, 1));
    assert!(facts.provisioning.values().all(|it| it.identity.is_some()));
    assert!(past.at(u64::MAX).unwrap().hubs.is_empty());
}
