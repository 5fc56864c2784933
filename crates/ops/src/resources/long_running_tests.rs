//! Deletions over a store in memory, stopped half-way and taken up again.

use super::*;
use crate::test_env::env;
use model::ObjectId;
use serde_json::Value;
use store::{Table, Write};

const GROUP: &str = "/subscriptions/s/resourceGroups/rg1";

async fn keep(env: &Env, shard: &ShardId, table: Table, key: &str, document: &Value) {
    let change = control::put(table, key, Expect::Anything, document).unwrap();
    env.store.commit(shard, vec![change]).await.unwrap();
}

/// One hub and one provisioning service; any other uid is a hub's.
fn shard(uid: &str) -> ShardId {
    match uid {
        "two" => ShardId::dps(uid).unwrap(),
        _ => ShardId::hub(uid).unwrap(),
    }
}

/// A deletion of a hub and a provisioning service of which only the first commit happened.
async fn stopped_half_way(env: &Env) -> (Uuid, Vec<Intent>) {
    let id = env.new_uuid();
    let operation = OperationDocument {
        id,
        subscription: "s".into(),
        status: Status::InProgress,
        start_time: env.now(),
        end_time: None,
        resource_id: GROUP.into(),
    };
    let begun = begin(&[shard("one"), shard("two")], id, env.new_tracking_id()).unwrap();
    let mut changes: Vec<Change> = begun.iter().map(intents::change_begin).collect();
    changes.push(
        control::put(tables::OPERATIONS, id.to_string(), Expect::Absent, &operation).unwrap(),
    );
    env.store.commit(&ShardId::control(), changes).await.unwrap();
    for uid in ["one", "two"] {
        keep(env, &shard(uid), tables::DEVICES, "d1", &json!({})).await;
    }
    (id, begun)
}

async fn status_of(env: &Env, id: Uuid) -> Status {
    let found = control::get::<OperationDocument>(env, tables::OPERATIONS, &id.to_string()).await;
    found.unwrap().unwrap().0.status
}

#[tokio::test]
async fn a_deletion_that_a_stop_interrupted_is_finished_once() {
    let env = env();
    let (id, _) = stopped_half_way(&env).await;
    assert_eq!(finish_open_intents(&env).await, Ok(2));
    for uid in ["one", "two"] {
        assert_eq!(env.store.get(&shard(uid), tables::DEVICES, "d1").await.unwrap(), None, "{uid}");
    }
    assert_eq!(status_of(&env, id).await, Status::Succeeded);
    assert_eq!(finish_open_intents(&env).await, Ok(0));
}

#[tokio::test]
async fn an_operation_ends_with_its_last_shard_and_finishing_twice_changes_nothing() {
    let env = env();
    let (id, begun) = stopped_half_way(&env).await;
    let other = stopped_half_way_elsewhere(&env).await;
    finish(&env, &begun[0]).await.unwrap();
    assert_eq!(status_of(&env, id).await, Status::InProgress);
    finish(&env, &begun[0]).await.unwrap();
    assert_eq!(status_of(&env, id).await, Status::InProgress);
    finish(&env, &begun[1]).await.unwrap();
    assert_eq!(status_of(&env, id).await, Status::Succeeded);
    // Another deletion's intent is none of this one's business.
    let open = intents::open(&env.store, &ShardId::control()).await.unwrap();
    assert_eq!(open.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), [other]);
}

async fn stopped_half_way_elsewhere(env: &Env) -> String {
    let begun = begin(&[shard("three")], env.new_uuid(), env.new_tracking_id()).unwrap();
    let changes = begun.iter().map(intents::change_begin).collect();
    env.store.commit(&ShardId::control(), changes).await.unwrap();
    begun[0].name.clone()
}

#[tokio::test]
async fn what_goes_with_a_group_is_all_that_is_in_it_and_nothing_beside_it() {
    let env = env();
    let control = ShardId::control();
    let hub = "providers/microsoft.devices/iothubs/plant";
    let dps = "providers/microsoft.devices/provisioningservices/plant";
    let mine = [
        (tables::RESOURCES, String::new(), json!({})),
        (tables::RESOURCES, format!("/{hub}"), json!({ "uid": "u1" })),
        (tables::RESOURCES, format!("/{dps}"), json!({ "uid": "u2" })),
        (tables::ROLE_ASSIGNMENTS, "/providers/x/roleassignments/a".into(), json!({})),
        (tables::POLICY_ASSIGNMENTS, format!("/{hub}/providers/x/policyassignments/a"), json!({})),
        (tables::POLICY_EXEMPTIONS, format!("/{hub}/providers/x/policyexemptions/a"), json!({})),
        (tables::LOCKS, format!("/{hub}/providers/x/locks/a"), json!({})),
        (tables::DIAGNOSTIC_SETTINGS, format!("/{hub}/providers/x/settings/a"), json!({})),
    ];
    let scope = Scope::parse(GROUP).unwrap();
    for (table, below, document) in &mine {
        keep(&env, &control, *table, &format!("{}{below}", scope.key()), document).await;
        // The namesake's have the same beginning.
        keep(&env, &control, *table, &format!("{}0{below}", scope.key()), document).await;
    }
    keep(&env, &control, tables::RESOURCES, "/subscriptions/s", &json!({})).await;
    keep(&env, &control, tables::POLICY_DEFINITIONS, &format!("{}/x", scope.key()), &json!({}))
        .await;

    let cascade = Cascade::of(&scope, &env).await.unwrap();
    assert_eq!(cascade.shards, [ShardId::hub("u1").unwrap(), ShardId::dps("u2").unwrap()]);
    assert_eq!(cascade.changes.len(), mine.len());
    assert!(cascade.changes.iter().all(|it| it.write == Write::Delete));
    for (table, below, _) in &mine {
        let key = format!("{}{below}", scope.key());
        assert!(cascade.changes.iter().any(|it| it.table == *table && it.key == key), "{key}");
    }
}

#[tokio::test]
async fn an_identity_goes_with_its_resource_and_no_other_does() {
    let env = env();
    let control = ShardId::control();
    let scope = Scope::parse(GROUP).unwrap();
    let dps = "providers/microsoft.devices/provisioningservices";
    let ids = [1, 2].map(|it| ObjectId(Uuid::from_u128(it)));
    for (name, id) in [("plant", ids[0]), ("plant2", ids[1])] {
        let key = format!("{}/{dps}/{name}", scope.key());
        let document = json!({ "uid": name, "identity": { "principalId": id, "clientId": id } });
        keep(&env, &control, tables::RESOURCES, &key, &document).await;
        keep(&env, &control, tables::SERVICE_PRINCIPALS, &id.to_string(), &json!({})).await;
    }
    let cascade = Cascade::of(&scope.join(&format!("{dps}/plant")), &env).await.unwrap();
    let gone: Vec<(Table, &str)> =
        cascade.changes.iter().map(|it| (it.table, it.key.as_str())).collect();
    let (id, key) = (ids[0].to_string(), format!("{}/{dps}/plant", scope.key()));
    assert_eq!(
        gone,
        [(tables::SERVICE_PRINCIPALS, id.as_str()), (tables::RESOURCES, key.as_str())]
    );
}

#[tokio::test]
async fn an_intent_of_the_older_form_is_finished() {
    let env = env();
    let shard = shard("old");
    keep(&env, &shard, tables::DEVICES, "d1", &json!({})).await;
    let body = json!({ "uid": "old", "operation": Uuid::nil() }).to_string();
    let intent = Intent {
        name: "drop_hub old".into(),
        kind: DROP_HUB.into(),
        tracking_id: env.new_tracking_id().to_string(),
        body: body.into_bytes().into(),
    };
    let change = intents::change_begin(&intent);
    env.store.commit(&ShardId::control(), vec![change]).await.unwrap();
    assert_eq!(finish_open_intents(&env).await, Ok(1));
    assert_eq!(env.store.get(&shard, tables::DEVICES, "d1").await.unwrap(), None);
}

#[tokio::test]
async fn a_group_that_holds_too_much_is_not_deleted_by_half() {
    let env = env();
    let scope = Scope::parse(GROUP).unwrap();
    let assignments = |from: usize, to: usize| -> Vec<Change> {
        (from..to)
            .map(|it| {
                let key = format!("{}/providers/x/roleassignments/{it}", scope.key());
                control::put(tables::ROLE_ASSIGNMENTS, key, Expect::Absent, &json!({})).unwrap()
            })
            .collect()
    };
    let most = super::super::cascade::CASCADE_DOCUMENTS_MAX;
    env.store.commit(&ShardId::control(), assignments(0, most)).await.unwrap();
    assert_eq!(Cascade::of(&scope, &env).await.unwrap().changes.len(), most);
    env.store.commit(&ShardId::control(), assignments(most, most + 1)).await.unwrap();
    let refusal = Cascade::of(&scope, &env).await.unwrap_err();
    assert!(matches!(refusal, Error::Conflict { code: "ScopeTooLarge", .. }), "{refusal:?}");
}

#[tokio::test]
async fn operations_that_ended_a_day_ago_are_cleared_away() {
    let env = env();
    let now = env.now();
    let check = async |end_time: Option<Timestamp>, expected: usize| {
        let document = OperationDocument {
            id: Uuid::nil(),
            subscription: "s".into(),
            status: Status::Succeeded,
            start_time: now,
            end_time,
            resource_id: GROUP.into(),
        };
        let document = serde_json::to_value(&document).unwrap();
        keep(&env, &ShardId::control(), tables::OPERATIONS, "x", &document).await;
        assert_eq!(ended_long_ago(&env, now).await.unwrap().len(), expected, "{end_time:?}");
    };
    check(None, 0).await;
    check(Some(now), 0).await;
    check(Some(now.plus_seconds(-KEPT_S)), 0).await;
    check(Some(now.plus_seconds(-KEPT_S - 1)), 1).await;
}
