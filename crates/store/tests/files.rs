//! What holds of the files of the SQLite engine: how they are made, refused, kept and given up.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use store::tables::DEVICES;
use store::{Change, CommitError, Engine, Expect, ShardId, StoreError, Write};

#[tokio::test]
async fn a_restart_finds_everything_and_goes_on_counting() {
    let (directory, shard) = (tempfile::tempdir().unwrap(), ShardId::hub("7f").unwrap());
    let mut last = 0;
    for round in 0..4 {
        let engine = Engine::sqlite(directory.path()).unwrap();
        assert_eq!(*engine.watch(&shard).borrow(), last);
        let committed = engine.commit(&shard, vec![put(&round.to_string())]).await.unwrap();
        assert_eq!(committed.revision, last + 1);
        // Also where the newest document is deleted, so that no document shows how far it was.
        let delete = Change { write: Write::Delete, ..put(&round.to_string()) };
        let committed = engine.commit(&shard, vec![delete]).await.unwrap();
        last = committed.revision;
        engine.commit(&shard, vec![put(&format!("kept {round}"))]).await.unwrap();
        last += 1;
        assert_eq!(engine.count(&shard, DEVICES).await.unwrap(), round + 1);
        // Closed or only let go: the same.
        if round % 2 == 0 {
            engine.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_dropped_shard_leaves_no_file() {
    let (directory, shard) = (tempfile::tempdir().unwrap(), ShardId::hub("7f").unwrap());
    let engine = Engine::sqlite(directory.path()).unwrap();
    engine.commit(&shard, vec![put("a")]).await.unwrap();
    engine.get(&shard, DEVICES, "a").await.unwrap();
    assert_eq!(names(directory.path()).len(), 3);
    engine.drop_shard(&shard).await.unwrap();
    assert_eq!(names(directory.path()), [""; 0]);

    // One whose removal a crash cut short, and which nobody opened since.
    let other = ShardId::hub("8a").unwrap();
    for ending in ["-wal", "-shm"] {
        fs::write(directory.path().join(format!("{other}.sqlite{ending}")), "rest").unwrap();
    }
    engine.drop_shard(&other).await.unwrap();
    assert_eq!(names(directory.path()), [""; 0]);
}

#[tokio::test]
async fn reading_makes_no_file() {
    let (directory, shard) = (tempfile::tempdir().unwrap(), ShardId::control());
    let engine = Engine::sqlite(directory.path()).unwrap();
    let _watch = engine.watch(&shard);
    engine.get(&shard, DEVICES, "a").await.unwrap();
    engine.count(&shard, DEVICES).await.unwrap();
    engine.drop_shard(&ShardId::decisions()).await.unwrap();
    assert_eq!(names(directory.path()), [""; 0]);
}

#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let engine = Engine::sqlite(&directory).unwrap();
    engine.commit(&ShardId::control(), vec![put("a")]).await.unwrap();
    engine.get(&ShardId::control(), DEVICES, "a").await.unwrap();
    assert_eq!(mode(&directory), 0o700);
    let names = names(&directory);
    assert_eq!(names, ["control.sqlite", "control.sqlite-shm", "control.sqlite-wal"]);
    for name in names {
        assert_eq!(mode(&directory.join(&name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn closing_leaves_no_log() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::sqlite(directory.path()).unwrap();
    engine.commit(&ShardId::control(), vec![put("a")]).await.unwrap();
    engine.get(&ShardId::control(), DEVICES, "a").await.unwrap();
    engine.close().await.unwrap();
    let log = directory.path().join("control.sqlite-wal");
    assert_eq!(fs::metadata(log).map_or(0, |it| it.len()), 0);
}

#[tokio::test]
async fn files_of_other_names_are_not_shards() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["notes.txt", "other.sqlite", "hub-.sqlite", "control.sqlite-wal", "control"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let engine = Engine::sqlite(directory.path()).unwrap();
    assert_eq!(engine.shards().await.unwrap(), []);
}

#[tokio::test]
async fn a_foreign_database_is_refused_and_left_alone() {
    let (directory, path) = control();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    check_foreign(directory.path(), &path).await;

    // One that calls itself something else, even with nothing in it.
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("PRAGMA application_id = 7").unwrap();
    check_foreign(directory.path(), &path).await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let (directory, path) = control();
    fs::write(&path, "dear diary, ".repeat(1_000)).unwrap();
    check_foreign(directory.path(), &path).await;
}

async fn check_foreign(directory: &Path, path: &Path) {
    let before = fs::read(path).unwrap();
    let engine = Engine::sqlite(directory).unwrap();
    let expected = format!(
        "`{}` is not a file of this store; move it out of the data directory",
        path.display()
    );
    let shard = ShardId::control();
    let error = engine.commit(&shard, vec![put("a")]).await.unwrap_err();
    assert_eq!(error.to_string(), expected);
    let error = engine.get(&shard, DEVICES, "a").await.unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!(*engine.watch(&shard).borrow(), 0);
    engine.close().await.unwrap();
    assert_eq!(fs::read(path).unwrap(), before);

    // Moved away, as the sentence says, the shard starts anew.
    let aside = directory.join("aside");
    fs::rename(path, &aside).unwrap();
    let engine = Engine::sqlite(directory).unwrap();
    engine.commit(&shard, vec![put("a")]).await.unwrap();
    engine.close().await.unwrap();
    fs::rename(&aside, path).unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_says_what_to_do() {
    let (directory, path) = control();
    let engine = Engine::sqlite(directory.path()).unwrap();
    engine.commit(&ShardId::control(), vec![put("a")]).await.unwrap();
    engine.close().await.unwrap();
    Connection::open(&path).unwrap().execute("UPDATE meta SET schema = 2", []).unwrap();

    let engine = Engine::sqlite(directory.path()).unwrap();
    let error = engine.get(&ShardId::control(), DEVICES, "a").await.unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 2, known: 1, .. }), "{error:?}");
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` has schema version `2`, and this program knows versions up to `1`; \
             start the program that wrote it or a newer one",
            path.display()
        )
    );
}

#[tokio::test]
async fn a_file_whose_making_was_cut_short_is_finished() {
    let (directory, path) = control();
    for half in ["", "PRAGMA journal_mode = WAL"] {
        fs::write(&path, "").unwrap();
        Connection::open(&path).unwrap().execute_batch(half).unwrap();
        let engine = Engine::sqlite(directory.path()).unwrap();
        assert_eq!(engine.get(&ShardId::control(), DEVICES, "a").await.unwrap(), None);
        assert_eq!(engine.commit(&ShardId::control(), vec![put("a")]).await.unwrap().revision, 1);
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_failed_commit_stops_the_writer_until_a_restart() {
    let (directory, path) = control();
    let shard = ShardId::control();
    let engine = Engine::sqlite(directory.path()).unwrap();
    engine.commit(&shard, vec![put("before")]).await.unwrap();
    let watch = engine.watch(&shard);
    let other = Connection::open(&path).unwrap();
    other.execute_batch(FAIL_AT_COMMIT).unwrap();

    let error = engine.commit(&shard, vec![put("failed")]).await.unwrap_err();
    let stopped = "shard `control` takes no commits since a write to it failed; \
        see to the disk, then restart";
    assert_eq!(error.to_string(), stopped);
    let cause = error.source().unwrap();
    assert_eq!(cause.to_string(), format!("cannot write to `{}`", path.display()));
    assert_eq!(cause.source().unwrap().to_string(), "FOREIGN KEY constraint failed");

    // Not even a commit that would succeed now; and another shard has no part in it.
    other.execute_batch("DROP TRIGGER fail").unwrap();
    let error = engine.commit(&shard, vec![put("after")]).await.unwrap_err();
    assert_eq!(error.to_string(), stopped);
    engine.commit(&ShardId::decisions(), vec![put("a")]).await.unwrap();

    // What was acknowledged can still be read, and nothing else can.
    assert!(engine.get(&shard, DEVICES, "before").await.unwrap().is_some());
    assert_eq!(engine.count(&shard, DEVICES).await.unwrap(), 1);
    assert!(!watch.has_changed().unwrap());
    assert_eq!(engine.close().await.unwrap_err().to_string(), cause.to_string());

    let engine = Engine::sqlite(directory.path()).unwrap();
    assert_eq!(engine.commit(&shard, vec![put("after")]).await.unwrap().revision, 2);
    assert_eq!(engine.count(&shard, DEVICES).await.unwrap(), 2);
}

/// Makes the next commit that writes a document fail, at the commit and not before.
const FAIL_AT_COMMIT: &str = "
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER fail AFTER INSERT ON documents BEGIN INSERT INTO child VALUES (7); END;
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_who_shares_a_failed_commit_is_told() {
    let (directory, path) = control();
    let shard = ShardId::control();
    let engine = Engine::sqlite(directory.path()).unwrap();
    engine.commit(&shard, vec![]).await.unwrap();
    Connection::open(&path).unwrap().execute_batch(FAIL_AT_COMMIT).unwrap();

    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let (engine, shard) = (engine.clone(), shard.clone());
        tasks.spawn(async move { engine.commit(&shard, vec![put(&number.to_string())]).await });
    }
    for outcome in tasks.join_all().await {
        let error = outcome.unwrap_err();
        assert!(matches!(error, CommitError::Store(StoreError::WriterStopped { .. })), "{error}");
    }
    assert_eq!(engine.count(&shard, DEVICES).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_short_under_steady_load() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::sqlite(directory.path()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let engine = engine.clone();
        tasks.spawn(async move {
            let body = vec![7; 100_000];
            for _ in 0..120 {
                let write = Write::Put(body.clone().into());
                let changes = vec![Change { write, ..put(&task.to_string()) }];
                engine.commit(&ShardId::control(), changes).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let log = fs::metadata(directory.path().join("control.sqlite-wal")).unwrap().len();
    assert!(log < 48 * 1024 * 1024, "96 MB were written, and the log has `{log}` bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_makes_callers_wait_and_loses_nobody() {
    let (directory, path) = control();
    let shard = ShardId::control();
    let engine = Engine::sqlite(directory.path()).unwrap();
    engine.commit(&shard, vec![]).await.unwrap();

    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..1_000 {
        let (engine, shard) = (engine.clone(), shard.clone());
        tasks.spawn(async move { engine.commit(&shard, vec![put(&number.to_string())]).await });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    other.execute_batch("ROLLBACK").unwrap();
    for outcome in tasks.join_all().await {
        outcome.unwrap();
    }
    assert_eq!(engine.count(&shard, DEVICES).await.unwrap(), 1_000);
    assert_eq!(*engine.watch(&shard).borrow(), 1_001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_keeps_what_was_acknowledged_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let shard = ShardId::control();
    let engine = Engine::sqlite(directory.path()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let (engine, shard) = (engine.clone(), shard.clone());
        tasks.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                let key = format!("{task}/{number}");
                match engine.commit(&shard, vec![put(&key)]).await {
                    Ok(_) => acknowledged.push(key),
                    Err(CommitError::Store(StoreError::Closed)) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            acknowledged
        });
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    engine.close().await.unwrap();
    let acknowledged = tasks.join_all().await.concat();
    assert!(!acknowledged.is_empty());

    let engine = Engine::sqlite(directory.path()).unwrap();
    for key in acknowledged {
        assert!(engine.get(&shard, DEVICES, &key).await.unwrap().is_some(), "{key}");
    }
}

#[tokio::test]
async fn a_read_of_many_keys_sees_no_commit_by_half() {
    let directory = tempfile::tempdir().unwrap();
    let shard = ShardId::control();
    let engine = Engine::sqlite(directory.path()).unwrap();
    let both = || vec![put("a"), put("b")];
    engine.commit(&shard, both()).await.unwrap();
    let writing = tokio::spawn({
        let (engine, shard) = (engine.clone(), shard.clone());
        async move {
            for _ in 0..200 {
                engine.commit(&shard, both()).await.unwrap();
            }
        }
    });
    while !writing.is_finished() {
        let found = engine.get_many(&shard, DEVICES, &["a", "b"]).await.unwrap();
        let revisions: Vec<_> = found.iter().flatten().map(|it| it.revision).collect();
        assert_eq!(revisions.first(), revisions.last());
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
}

fn control() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sqlite");
    (directory, path)
}

fn put(key: &str) -> Change {
    let write = Write::Put(key.to_owned().into());
    Change { table: DEVICES, key: key.to_owned(), expect: Expect::Anything, write }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
