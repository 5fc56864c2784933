//! Both engines live through the same random history and tell the same story; the files also
//! through restarts.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use proptest::collection::vec;
use proptest::prelude::*;
use store::tables::{DEVICES, SETTINGS};
use store::{Change, Engine, Expect, Scan, ShardId, Table, Write};

const TABLES: [Table; 2] = [DEVICES, SETTINGS];
const KEYS: [&str; 6] = ["a", "a%", "a1", "a10", "A", "é"];

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Change>),
    Restart,
    CloseAndRestart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => vec(change(), 0..4).prop_map(Step::Commit),
        1 => Just(Step::Restart),
        1 => Just(Step::CloseAndRestart),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let table = proptest::sample::select(TABLES.as_slice());
    let key = proptest::sample::select(KEYS.as_slice());
    // Mostly what can hold, so that histories get somewhere.
    let expect = prop_oneof![
        6 => Just(Expect::Anything),
        2 => Just(Expect::Absent),
        2 => Just(Expect::Present),
        1 => (0..20_u64).prop_map(Expect::Revision),
    ];
    let write = prop_oneof![
        4 => vec(any::<u8>(), 0..8).prop_map(|body| Write::Put(body.into())),
        2 => Just(Write::Delete),
        1 => Just(Write::Check),
    ];
    (table, key, expect, write).prop_map(|(table, key, expect, write)| Change {
        table,
        key: key.to_owned(),
        expect,
        write,
    })
}

/// All that can be seen of a shard, in words.
async fn seen(engine: &Engine) -> String {
    let shard = ShardId::control();
    let mut seen = format!("newest {:?}\n", *engine.watch(&shard).borrow());
    for table in TABLES {
        for prefix in ["", "a", "a1"] {
            let range = Scan { prefix: prefix.to_owned(), after: None, limit: 4 };
            seen += &format!("{:?}\n", engine.scan(&shard, table, range).await.unwrap());
        }
        seen += &format!("{:?}\n", engine.get_many(&shard, table, &KEYS).await.unwrap());
        seen += &format!("{}\n", engine.count(&shard, table).await.unwrap());
    }
    seen + &format!("{:?}\n", engine.shards().await.unwrap())
}

async fn check(history: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let memory = Engine::memory();
    let mut files = Engine::sqlite(directory.path()).unwrap();
    for step in history {
        match step {
            Step::Commit(changes) => {
                let expected = memory.commit(&ShardId::control(), changes.clone()).await;
                let found = files.commit(&ShardId::control(), changes).await;
                assert_eq!(format!("{found:?}"), format!("{expected:?}"));
            }
            Step::Restart => {
                drop(files);
                files = Engine::sqlite(directory.path()).unwrap();
            }
            Step::CloseAndRestart => {
                files.close().await.unwrap();
                files = Engine::sqlite(directory.path()).unwrap();
            }
        }
        assert_eq!(seen(&files).await, seen(&memory).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None, // The failing history is printed; it becomes a test of its own.
        ..Default::default()
    })]

    #[test]
    fn the_engines_cannot_be_told_apart(history in vec(step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(history));
    }
}
