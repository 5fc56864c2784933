//! What holds of every engine. Each case runs over a fresh one of each kind.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use store::tables::{DEVICES, OPERATIONS, SETTINGS};
use store::{
    Change, CommitError, Document, Engine, Expect, Scan, ShardId, StoreError, Table, Write,
};

macro_rules! over_every_engine {
    ($($case:ident,)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(store::Engine::memory()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let directory = tempfile::tempdir().unwrap();
                super::$case(store::Engine::sqlite(directory.path()).unwrap()).await;
            })*
        }
    };
}

over_every_engine! {
    a_commit_is_read_back,
    a_commit_is_all_or_nothing,
    each_expectation_is_kept,
    a_change_sees_those_before_it_in_its_commit,
    a_conflict_names_what_it_found,
    revisions_grow_and_are_never_reused,
    namesakes_are_different_documents,
    a_prefix_matches_bytes_and_nothing_else,
    pages_follow_one_another,
    a_page_is_never_over_the_limit,
    get_many_answers_in_the_order_asked,
    too_much_at_once_is_refused,
    a_body_may_be_empty_or_any_bytes,
    shards_and_tables_are_apart,
    an_unknown_shard_is_empty_and_stays_unknown,
    a_watch_wakes_on_each_commit,
    a_dropped_shard_is_gone_for_good,
    a_closed_store_refuses_everything,
    counters_under_compare_and_set_lose_nothing,
}

async fn a_commit_is_read_back(engine: Engine) {
    let shard = ShardId::control();
    let committed = engine.commit(&shard, vec![put(DEVICES, "pump-7", "on")]).await.unwrap();
    assert_eq!(
        engine.get(&shard, DEVICES, "pump-7").await.unwrap(),
        Some(Document { revision: committed.revision, body: "on".into() })
    );
    engine.commit(&shard, vec![put(DEVICES, "pump-7", "off")]).await.unwrap();
    assert_eq!(body(&engine, &shard, DEVICES, "pump-7").await.as_deref(), Some("off"));
    engine.commit(&shard, vec![delete(DEVICES, "pump-7")]).await.unwrap();
    assert_eq!(engine.get(&shard, DEVICES, "pump-7").await.unwrap(), None);
}

async fn a_commit_is_all_or_nothing(engine: Engine) {
    let shard = ShardId::control();
    engine.commit(&shard, vec![put(DEVICES, "kept", "1")]).await.unwrap();
    let changes = vec![
        put(DEVICES, "new", "2"),
        put(DEVICES, "kept", "2"),
        delete(DEVICES, "kept"),
        change(SETTINGS, "missing", Expect::Present, Write::Check),
        put(DEVICES, "late", "2"),
    ];
    engine.commit(&shard, changes).await.unwrap_err();
    assert_eq!(body(&engine, &shard, DEVICES, "kept").await.as_deref(), Some("1"));
    assert_eq!(engine.count(&shard, DEVICES).await.unwrap(), 1);
    assert_eq!(engine.count(&shard, SETTINGS).await.unwrap(), 0);

    let committed = engine.commit(&shard, vec![put(DEVICES, "next", "3")]).await.unwrap();
    assert_eq!(committed.revision, 2, "a failed commit takes no revision");
}

async fn each_expectation_is_kept(engine: Engine) {
    let shard = ShardId::control();
    let setup = vec![put(DEVICES, "there", "")];
    let there = engine.commit(&shard, setup).await.unwrap().revision;
    let cases = [
        ("there", Expect::Anything, true),
        ("there", Expect::Absent, false),
        ("there", Expect::Present, true),
        ("there", Expect::Revision(there), true),
        ("there", Expect::Revision(there + 1), false),
        ("there", Expect::Revision(0), false),
        ("there", Expect::Revision(u64::MAX), false),
        ("missing", Expect::Anything, true),
        ("missing", Expect::Absent, true),
        ("missing", Expect::Present, false),
        ("missing", Expect::Revision(there), false),
        ("missing", Expect::Revision(0), false),
    ];
    for (key, expect, holds) in cases {
        let outcome = engine.commit(&shard, vec![change(DEVICES, key, expect, Write::Check)]).await;
        assert_eq!(outcome.is_ok(), holds, "{key} {expect:?}: {outcome:?}");
    }
    let unchanged = engine.get(&shard, DEVICES, "there").await.unwrap().unwrap();
    assert_eq!(unchanged.revision, there, "a check writes nothing");

    // The same for a put and a delete that expect what is not so.
    for write in [Write::Put("lost".into()), Write::Delete] {
        let changes = vec![change(DEVICES, "there", Expect::Absent, write)];
        engine.commit(&shard, changes).await.unwrap_err();
        assert_eq!(body(&engine, &shard, DEVICES, "there").await.as_deref(), Some(""));
    }
}

async fn a_change_sees_those_before_it_in_its_commit(engine: Engine) {
    let shard = ShardId::control();
    let changes = vec![
        change(DEVICES, "a", Expect::Absent, Write::Put("1".into())),
        change(DEVICES, "a", Expect::Revision(1), Write::Put("2".into())),
        change(DEVICES, "a", Expect::Present, Write::Delete),
        change(DEVICES, "a", Expect::Absent, Write::Check),
        change(DEVICES, "a", Expect::Absent, Write::Put("3".into())),
    ];
    assert_eq!(engine.commit(&shard, changes).await.unwrap().revision, 1);
    assert_eq!(body(&engine, &shard, DEVICES, "a").await.as_deref(), Some("3"));
}

async fn a_conflict_names_what_it_found(engine: Engine) {
    let shard = ShardId::control();
    let revision = engine.commit(&shard, vec![put(DEVICES, "a", "")]).await.unwrap().revision;
    let changes = vec![
        change(DEVICES, "a", Expect::Present, Write::Check),
        change(DEVICES, "a", Expect::Absent, Write::Check),
        change(SETTINGS, "b", Expect::Present, Write::Check),
    ];
    let error = engine.commit(&shard, changes).await.unwrap_err();
    let CommitError::Conflict { table, key, found } = error else { panic!("{error}") };
    assert_eq!((table, key.as_str(), found), (DEVICES, "a", Some(revision)));

    let changes = vec![change(SETTINGS, "b", Expect::Present, Write::Check)];
    let error = engine.commit(&shard, changes).await.unwrap_err();
    assert_eq!(error.to_string(), "`b` is not in `settings`, which was not expected");
}

async fn revisions_grow_and_are_never_reused(engine: Engine) {
    let shard = ShardId::control();
    let mut last = 0;
    for _ in 0..3 {
        for changes in [
            vec![put(DEVICES, "a", ""), put(DEVICES, "b", "")],
            vec![delete(DEVICES, "a"), delete(DEVICES, "b")],
            vec![delete(DEVICES, "never there")],
            vec![],
        ] {
            let revision = engine.commit(&shard, changes).await.unwrap().revision;
            assert_eq!(revision, last + 1);
            last = revision;
        }
    }
    // Each shard counts for itself.
    let other = ShardId::decisions();
    assert_eq!(engine.commit(&other, vec![]).await.unwrap().revision, 1);
}

async fn namesakes_are_different_documents(engine: Engine) {
    let shard = ShardId::control();
    let keys =
        ["device1", "device10", "Device1", "device1 ", "", "déjà", "de\u{301}ja", "a\0b", "a"];
    let changes = keys.iter().map(|key| put(DEVICES, key, key)).collect();
    engine.commit(&shard, changes).await.unwrap();
    for key in keys {
        assert_eq!(body(&engine, &shard, DEVICES, key).await.as_deref(), Some(key));
    }
    engine.commit(&shard, vec![delete(DEVICES, "device1"), delete(DEVICES, "a")]).await.unwrap();
    assert_eq!(body(&engine, &shard, DEVICES, "device10").await.as_deref(), Some("device10"));
    assert_eq!(body(&engine, &shard, DEVICES, "Device1").await.as_deref(), Some("Device1"));
    assert_eq!(body(&engine, &shard, DEVICES, "a\0b").await.as_deref(), Some("a\0b"));
    assert_eq!(engine.get(&shard, DEVICES, "dev").await.unwrap(), None);
    assert_eq!(engine.count(&shard, DEVICES).await.unwrap(), 7);
}

async fn a_prefix_matches_bytes_and_nothing_else(engine: Engine) {
    let shard = ShardId::control();
    let keys = [
        "",
        "%",
        "%a",
        "A",
        "_",
        "a",
        "a%",
        "a%b",
        "a_",
        "a_b",
        "ab",
        "a\u{7f}",
        "a\u{ff}",
        "a\u{ff}b",
        "a\u{ffff}",
        "a\u{10ffff}",
        "a\u{10ffff}\u{10ffff}",
        "b",
        "device1",
        "device1/m",
        "device10",
        "device2",
        "\u{10ffff}",
    ];
    let changes = keys.iter().rev().map(|key| put(DEVICES, key, "")).collect();
    engine.commit(&shard, changes).await.unwrap();
    let prefixes = [
        "",
        "a",
        "a%",
        "a_",
        "%",
        "_",
        "device1",
        "a\u{ff}",
        "a\u{10ffff}",
        "\u{10ffff}",
        "c",
        "é",
    ];
    for prefix in prefixes {
        let mut expected: Vec<&str> =
            keys.iter().copied().filter(|it| it.starts_with(prefix)).collect();
        expected.sort_unstable();
        assert_eq!(
            keys_of(&engine, &shard, DEVICES, scan(prefix, None, 100)).await,
            expected,
            "{prefix}"
        );

        // From any key on, be it inside the prefix, before or behind it.
        for after in keys {
            let mut rest = expected.clone();
            rest.retain(|it| *it > after);
            let found = keys_of(&engine, &shard, DEVICES, scan(prefix, Some(after), 100)).await;
            assert_eq!(found, rest, "{prefix} after {after}");
        }
    }
}

async fn pages_follow_one_another(engine: Engine) {
    let shard = ShardId::control();
    let all: Vec<String> = (0..25).map(|number| format!("k/{number:02}")).collect();
    let mut changes: Vec<_> = all.iter().map(|key| put(DEVICES, key, key)).collect();
    changes.extend([put(DEVICES, "k", ""), put(DEVICES, "l", "")]);
    engine.commit(&shard, changes).await.unwrap();
    for limit in [1, 7, 25, 26] {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let range = Scan { prefix: "k/".into(), after, limit };
            let page = engine.scan(&shard, DEVICES, range).await.unwrap();
            assert!(page.iter().all(|(key, document)| document.body == key.as_bytes()));
            let full = page.len() == limit;
            after = page.last().map(|(key, _)| key.clone());
            found.extend(page.into_iter().map(|(key, _)| key));
            if !full {
                break;
            }
        }
        assert_eq!(found, all, "{limit}");
    }
    // A page may begin behind a key that is no longer there.
    let range = scan("k/", Some("k/10x"), 1);
    assert_eq!(keys_of(&engine, &shard, DEVICES, range).await, ["k/11"]);
}

async fn a_page_is_never_over_the_limit(engine: Engine) {
    let shard = ShardId::control();
    for half in ["a", "b"] {
        let changes = (0..store::SCAN_LIMIT_MAX / 2 + 1)
            .map(|number| put(DEVICES, &format!("{half}{number}"), ""))
            .collect();
        engine.commit(&shard, changes).await.unwrap();
    }
    let count = async |limit| keys_of(&engine, &shard, DEVICES, scan("", None, limit)).await.len();
    assert_eq!(count(0).await, 0);
    assert_eq!(count(1).await, 1);
    assert_eq!(count(store::SCAN_LIMIT_MAX).await, store::SCAN_LIMIT_MAX);
    assert_eq!(count(usize::MAX).await, store::SCAN_LIMIT_MAX);
}

async fn get_many_answers_in_the_order_asked(engine: Engine) {
    let shard = ShardId::control();
    engine.commit(&shard, vec![put(DEVICES, "a", "1"), put(DEVICES, "b", "2")]).await.unwrap();
    let found = engine.get_many(&shard, DEVICES, &["b", "missing", "a", "b"]).await.unwrap();
    let bodies: Vec<_> = found.iter().map(|it| it.as_ref().map(|it| it.body.as_ref())).collect();
    assert_eq!(bodies, [Some(b"2".as_ref()), None, Some(b"1"), Some(b"2")]);
    assert_eq!(engine.get_many(&shard, DEVICES, &[]).await.unwrap(), []);

    let many = vec!["a"; store::GET_KEYS_MAX];
    let found = engine.get_many(&shard, DEVICES, &many).await.unwrap();
    assert_eq!(found.iter().flatten().count(), many.len());
}

async fn too_much_at_once_is_refused(engine: Engine) {
    let shard = ShardId::control();
    let most = |count| (0..count).map(|number| put(DEVICES, &number.to_string(), "")).collect();
    engine.commit(&shard, most(store::COMMIT_CHANGES_MAX)).await.unwrap();
    let error = engine.commit(&shard, most(store::COMMIT_CHANGES_MAX + 1)).await.unwrap_err();
    assert!(matches!(error, CommitError::Store(StoreError::CommitTooLarge { .. })), "{error}");

    let body_of =
        |bytes| vec![change(SETTINGS, "key", Expect::Anything, Write::Put(vec![7; bytes].into()))];
    engine.commit(&shard, body_of(store::COMMIT_BYTES_MAX - 3)).await.unwrap();
    let error = engine.commit(&shard, body_of(store::COMMIT_BYTES_MAX - 2)).await.unwrap_err();
    assert!(matches!(error, CommitError::Store(StoreError::CommitTooLarge { .. })), "{error}");

    let many = vec!["a"; store::GET_KEYS_MAX + 1];
    let error = engine.get_many(&shard, DEVICES, &many).await.unwrap_err();
    assert_eq!(error.to_string(), "a read of `1001` keys is over the limit of `1000`");
}

async fn a_body_may_be_empty_or_any_bytes(engine: Engine) {
    let shard = ShardId::control();
    let bodies: [&[u8]; 4] = [b"", b"\0", b"\xff\xfe\0text", &[1; 100_000]];
    for bytes in bodies {
        let write = Write::Put(bytes.into());
        engine.commit(&shard, vec![change(DEVICES, "a", Expect::Anything, write)]).await.unwrap();
        assert_eq!(engine.get(&shard, DEVICES, "a").await.unwrap().unwrap().body, bytes);
    }
}

async fn shards_and_tables_are_apart(engine: Engine) {
    let hub = ShardId::hub("7f").unwrap();
    let namesake = ShardId::hub("7f0").unwrap();
    engine.commit(&namesake, vec![put(DEVICES, "a", "namesake")]).await.unwrap();
    engine.commit(&hub, vec![put(DEVICES, "a", "hub")]).await.unwrap();
    engine.commit(&hub, vec![put(SETTINGS, "a", "setting")]).await.unwrap();
    assert_eq!(body(&engine, &hub, DEVICES, "a").await.as_deref(), Some("hub"));
    assert_eq!(body(&engine, &hub, SETTINGS, "a").await.as_deref(), Some("setting"));
    assert_eq!(body(&engine, &namesake, DEVICES, "a").await.as_deref(), Some("namesake"));
    assert_eq!(engine.count(&hub, DEVICES).await.unwrap(), 1);
    assert_eq!(engine.count(&hub, OPERATIONS).await.unwrap(), 0);
    engine.commit(&ShardId::control(), vec![]).await.unwrap();
    assert_eq!(engine.shards().await.unwrap(), [ShardId::control(), hub, namesake]);
}

async fn an_unknown_shard_is_empty_and_stays_unknown(engine: Engine) {
    let shard = ShardId::hub("unknown").unwrap();
    let mut watch = engine.watch(&shard);
    assert_eq!(*watch.borrow_and_update(), 0);
    assert_eq!(engine.get(&shard, DEVICES, "a").await.unwrap(), None);
    assert_eq!(engine.get_many(&shard, DEVICES, &["a", "b"]).await.unwrap(), [None, None]);
    assert_eq!(engine.scan(&shard, DEVICES, scan("", None, 10)).await.unwrap(), []);
    assert_eq!(engine.count(&shard, DEVICES).await.unwrap(), 0);
    assert_eq!(engine.shards().await.unwrap(), []);

    engine.commit(&shard, vec![put(DEVICES, "a", "")]).await.unwrap();
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow(), 1);
    assert_eq!(engine.shards().await.unwrap(), [shard]);
}

async fn a_watch_wakes_on_each_commit(engine: Engine) {
    let shard = ShardId::control();
    engine.commit(&shard, vec![put(DEVICES, "a", "")]).await.unwrap();
    let mut watch = engine.watch(&shard);
    assert_eq!(*watch.borrow_and_update(), 1);

    let conflict = vec![change(DEVICES, "a", Expect::Absent, Write::Check)];
    engine.commit(&shard, conflict).await.unwrap_err();
    engine.commit(&ShardId::decisions(), vec![]).await.unwrap();
    assert!(!watch.has_changed().unwrap(), "neither a conflict nor another shard's commit");

    let waiting = tokio::spawn(async move {
        watch.changed().await.unwrap();
        *watch.borrow()
    });
    let committed = engine.commit(&shard, vec![put(DEVICES, "a", "")]).await.unwrap();
    assert_eq!(waiting.await.unwrap(), committed.revision);
    assert_eq!(*engine.watch(&shard).borrow(), committed.revision);
}

async fn a_dropped_shard_is_gone_for_good(engine: Engine) {
    let shard = ShardId::hub("7f").unwrap();
    let namesake = ShardId::hub("7f0").unwrap();
    for shard in [&shard, &namesake] {
        engine.commit(shard, vec![put(DEVICES, "a", "1")]).await.unwrap();
    }
    let mut watch = engine.watch(&shard);
    engine.drop_shard(&shard).await.unwrap();
    engine.drop_shard(&shard).await.unwrap();

    assert!(watch.changed().await.is_err(), "a watch ends with its shard");
    assert!(engine.watch(&shard).changed().await.is_err());
    assert_eq!(engine.get(&shard, DEVICES, "a").await.unwrap(), None);
    assert_eq!(engine.get_many(&shard, DEVICES, &["a"]).await.unwrap(), [None]);
    assert_eq!(engine.scan(&shard, DEVICES, scan("", None, 10)).await.unwrap(), []);
    assert_eq!(engine.count(&shard, DEVICES).await.unwrap(), 0);
    let error = engine.commit(&shard, vec![put(DEVICES, "a", "2")]).await.unwrap_err();
    assert!(matches!(error, CommitError::ShardGone), "{error}");
    assert_eq!(engine.shards().await.unwrap(), std::slice::from_ref(&namesake));
    assert_eq!(body(&engine, &namesake, DEVICES, "a").await.as_deref(), Some("1"));

    // So is one that was dropped before it ever was.
    let unborn = ShardId::hub("unborn").unwrap();
    engine.drop_shard(&unborn).await.unwrap();
    let error = engine.commit(&unborn, vec![]).await.unwrap_err();
    assert!(matches!(error, CommitError::ShardGone), "{error}");
    assert_eq!(engine.shards().await.unwrap(), [namesake]);
}

async fn a_closed_store_refuses_everything(engine: Engine) {
    let shard = ShardId::control();
    engine.commit(&shard, vec![put(DEVICES, "a", "1")]).await.unwrap();
    let mut watch = engine.watch(&shard);
    let clone = engine.clone();
    clone.close().await.unwrap();
    engine.close().await.unwrap();

    assert!(watch.changed().await.is_err());
    let error = engine.commit(&shard, vec![]).await.unwrap_err();
    assert_eq!(error.to_string(), "the store is closed");
    let closed = |error| matches!(error, StoreError::Closed);
    assert!(closed(engine.get(&shard, DEVICES, "a").await.unwrap_err()));
    assert!(closed(engine.get_many(&shard, DEVICES, &["a"]).await.unwrap_err()));
    assert!(closed(engine.scan(&shard, DEVICES, scan("", None, 1)).await.unwrap_err()));
    assert!(closed(engine.count(&shard, DEVICES).await.unwrap_err()));
    assert!(closed(engine.shards().await.unwrap_err()));
    assert!(closed(engine.drop_shard(&shard).await.unwrap_err()));
}

async fn counters_under_compare_and_set_lose_nothing(engine: Engine) {
    const TASKS: u64 = 16;
    const STEPS: u64 = 20;
    let shard = ShardId::control();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let (engine, shard) = (engine.clone(), shard.clone());
        tasks.spawn(async move {
            let mut conflicts = 0;
            for _ in 0..STEPS {
                while !increment(&engine, &shard).await {
                    conflicts += 1;
                }
            }
            conflicts
        });
    }
    let conflicts: u64 = tasks.join_all().await.into_iter().sum();
    let counted = engine.get(&shard, SETTINGS, "counter").await.unwrap().unwrap();
    assert_eq!(counted.body, (TASKS * STEPS).to_string());
    assert_eq!(counted.revision, TASKS * STEPS, "{conflicts} conflicts took no revision");
}

/// Adds one to the counter, unless another was faster.
async fn increment(engine: &Engine, shard: &ShardId) -> bool {
    let (expect, count) = match engine.get(shard, SETTINGS, "counter").await.unwrap() {
        None => (Expect::Absent, 0),
        Some(it) => {
            let count: u64 = std::str::from_utf8(&it.body).unwrap().parse().unwrap();
            (Expect::Revision(it.revision), count)
        }
    };
    let write = Write::Put((count + 1).to_string().into());
    match engine.commit(shard, vec![change(SETTINGS, "counter", expect, write)]).await {
        Ok(_) => true,
        Err(CommitError::Conflict { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn change(table: Table, key: &str, expect: Expect, write: Write) -> Change {
    Change { table, key: key.to_owned(), expect, write }
}

fn put(table: Table, key: &str, body: &str) -> Change {
    change(table, key, Expect::Anything, Write::Put(body.to_owned().into()))
}

fn delete(table: Table, key: &str) -> Change {
    change(table, key, Expect::Anything, Write::Delete)
}

fn scan(prefix: &str, after: Option<&str>, limit: usize) -> Scan {
    Scan { prefix: prefix.to_owned(), after: after.map(str::to_owned), limit }
}

async fn body(engine: &Engine, shard: &ShardId, table: Table, key: &str) -> Option<String> {
    let document = engine.get(shard, table, key).await.unwrap()?;
    Some(String::from_utf8(document.body.to_vec()).unwrap())
}

async fn keys_of(engine: &Engine, shard: &ShardId, table: Table, range: Scan) -> Vec<String> {
    let page = engine.scan(shard, table, range).await.unwrap();
    page.into_iter().map(|(key, _)| key).collect()
}
