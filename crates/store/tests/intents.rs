//! A change that needs two shards is not forgotten between them.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use store::tables::{INTENTS, SETTINGS};
use store::{Change, CommitError, Engine, Expect, ShardId, Write, intents};

#[tokio::test]
async fn intents_stay_open_until_cleared() {
    let directory = tempfile::tempdir().unwrap();
    check(Engine::memory()).await;
    check(Engine::sqlite(directory.path()).unwrap()).await;
}

async fn check(engine: Engine) {
    let shard = ShardId::control();
    let intent = |name: &str| intents::Intent {
        name: name.to_owned(),
        kind: "hub_delete".to_owned(),
        tracking_id: "4f1c".to_owned(),
        body: r#"{"uid":"7f"}"#.into(),
    };
    assert_eq!(intents::open(&engine, &shard).await.unwrap(), []);
    for name in ["b", "a", "c"] {
        let changes = vec![intents::change_begin(&intent(name)), put(SETTINGS, name)];
        engine.commit(&shard, changes).await.unwrap();
    }
    let begun_twice = vec![intents::change_begin(&intent("a"))];
    assert!(matches!(
        engine.commit(&shard, begun_twice).await.unwrap_err(),
        CommitError::Conflict { table: INTENTS, .. }
    ));
    engine.commit(&shard, vec![intents::change_clear("b")]).await.unwrap();
    assert_eq!(intents::open(&engine, &shard).await.unwrap(), [intent("a"), intent("c")]);
    engine.commit(&shard, vec![intents::change_clear("b")]).await.unwrap_err();

    engine.commit(&shard, vec![put(INTENTS, "d")]).await.unwrap();
    let error = intents::open(&engine, &shard).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "intent `d` in shard `control` is not in a form this program knows"
    );
}

fn put(table: store::Table, key: &str) -> Change {
    Change { table, key: key.to_owned(), expect: Expect::Anything, write: Write::Put("{}".into()) }
}

#[tokio::test]
async fn more_intents_than_one_page_are_all_found() {
    let (engine, shard) = (Engine::memory(), ShardId::control());
    let names: Vec<String> = (0..2 * store::SCAN_LIMIT_MAX).map(|it| format!("{it:04}")).collect();
    for half in names.chunks(store::SCAN_LIMIT_MAX) {
        let begin = |name: &String| {
            intents::change_begin(&intents::Intent {
                name: name.clone(),
                kind: String::new(),
                tracking_id: String::new(),
                body: "".into(),
            })
        };
        engine.commit(&shard, half.iter().map(begin).collect()).await.unwrap();
    }
    let open = intents::open(&engine, &shard).await.unwrap();
    assert_eq!(open.into_iter().map(|it| it.name).collect::<Vec<_>>(), names);
}
