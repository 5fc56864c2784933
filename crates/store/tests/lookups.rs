//! Looking for documents by what is in them, over every engine: nothing that fulfils a filter is passed over.

#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they do")]

use store::lookup::{Filter, Is, Lookup, Span};
use store::tables::{DEVICES, SETTINGS};
use store::{Change, Engine, Expect, ShardId, StoreError, Table, Write};

macro_rules! over_every_engine {
    ($($case:ident,)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(store::Engine::memory(), false).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let directory = tempfile::tempdir().unwrap();
                super::$case(store::Engine::sqlite(directory.path()).unwrap(), true).await;
            })*
        }
    };
}

over_every_engine! {
    what_fulfils_a_filter_is_found,
    pages_follow_one_another_and_miss_nothing,
    a_look_ends_where_it_has_looked_enough,
    a_filter_has_a_limit_and_one_past_it_is_refused,
    an_unknown_shard_holds_nothing,
}

/// Documents with one member `m` each, or none.
const BODIES: &[(&str, &str)] = &[
    ("absent", r#"{}"#),
    ("array", r#"{"m":["x"]}"#),
    ("big", r#"{"m":9007199254740993}"#),
    ("empty", r#"{"m":""}"#),
    ("false", r#"{"m":false}"#),
    ("half", r#"{"m":0.5}"#),
    ("minus", r#"{"m":-3}"#),
    ("null", r#"{"m":null}"#),
    ("nul-x", r#"{"m":"x\u0000y"}"#),
    ("object", r#"{"m":{"m":"x","o'n \"e":1}}"#),
    ("tenth", r#"{"m":0.1}"#),
    ("three", r#"{"m":3}"#),
    ("three.0", r#"{"m":3.0}"#),
    ("true", r#"{"m":true}"#),
    ("x", r#"{"m":"x"}"#),
    ("xy", r#"{"m":"xy"}"#),
    ("é", r#"{"m":"é"}"#),
];

/// `exact`: the engine gives nothing else. Memory gives everything.
async fn what_fulfils_a_filter_is_found(engine: Engine, exact: bool) {
    let shard = filled(&engine).await;
    let at_m = |is| Filter::Member(vec!["m".into()], is);
    let text = |from: Option<&str>, to: Option<&str>| {
        at_m(Is::Text(Span { from: from.map(Into::into), to: to.map(Into::into) }))
    };
    let number = |from, to| at_m(Is::Number(Span { from, to }));
    let keys = |all: &[&str]| Filter::Keys(all.iter().map(|it| (*it).to_owned()).collect());
    let everything: Vec<&str> = BODIES.iter().map(|(key, _)| *key).collect();
    let cases: Vec<(Filter, Vec<&str>)> = vec![
        (Filter::Anything, everything.clone()),
        (Filter::All(vec![]), everything.clone()),
        (Filter::Any(vec![]), vec![]),
        (keys(&["x", "no", "absent"]), vec!["absent", "x"]),
        (keys(&[]), vec![]),
        (
            Filter::KeyIn(Span { from: Some("three".into()), to: Some("three.0".into()) }),
            vec!["three", "three.0"],
        ),
        (at_m(Is::Absent), vec!["absent"]),
        (at_m(Is::Null), vec!["absent", "null"]),
        (at_m(Is::Bool(false)), vec!["false"]),
        (at_m(Is::OneOf(vec!["x".into(), "é".into(), "X".into()])), vec!["x", "é"]),
        (at_m(Is::OneOf(vec![])), vec![]),
        (text(Some("x"), Some("x")), vec!["x"]),
        (number(Some(3.0), Some(3.0)), vec!["three", "three.0"]),
        (number(Some(0.1), Some(0.1)), vec!["tenth"]),
        (Filter::All(vec![keys(&["x", "three"]), at_m(Is::OneOf(vec!["x".into()]))]), vec!["x"]),
        (
            Filter::Any(vec![keys(&["three"]), at_m(Is::OneOf(vec!["x".into()]))]),
            vec!["three", "x"],
        ),
        (Filter::Member(vec!["m".into(), "m".into()], Is::OneOf(vec!["x".into()])), vec!["object"]),
    ];
    for (filter, expected) in cases {
        let mut expected = expected;
        expected.sort_unstable();
        let mut found = found(&engine, &shard, filter.clone()).await;
        if !exact {
            found.retain(|it| expected.contains(&it.as_str()));
        }
        assert_eq!(found, expected, "{filter:?}");
    }
    // What may come with others: it has to be there all the same.
    for (filter, expected) in [
        (at_m(Is::Present), vec!["null", "object", "x"]),
        (text(Some("xx"), None), vec!["xy", "é"]),
        (text(None, Some("x\0")), vec!["empty", "x"]),
        (text(Some("x\0y"), Some("x\0y")), vec!["nul-x"]),
        (at_m(Is::OneOf(vec!["x\0y".into()])), vec!["nul-x"]),
        (number(None, Some(0.0)), vec!["minus"]),
        (number(Some(9.007e15), None), vec!["big"]),
        (Filter::Member(vec!["m".into(), "o'n \"e".into()], Is::Present), vec!["object"]),
        (Filter::Member(vec![], Is::Present), everything),
    ] {
        let found = found(&engine, &shard, filter.clone()).await;
        assert!(
            expected.iter().all(|it| found.iter().any(|key| key == it)),
            "{filter:?}: {found:?}"
        );
    }
}

async fn pages_follow_one_another_and_miss_nothing(engine: Engine, _: bool) {
    let shard = filled(&engine).await;
    let all: Vec<String> = found(&engine, &shard, Filter::Anything).await;
    for (limit, examine) in [(1, 100), (100, 1), (3, 7), (7, 3), (17, 17), (0, 0)] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let lookup = Lookup { filter: Filter::Anything, after, limit, examine };
            let page = engine.query(&shard, DEVICES, lookup).await.unwrap();
            assert!(page.documents.len() <= limit.max(1) && page.examined <= examine.max(1));
            seen.extend(page.documents.into_iter().map(|(key, _)| key));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, all, "{limit} {examine}");
    }
}

async fn a_look_ends_where_it_has_looked_enough(engine: Engine, exact: bool) {
    let shard = filled(&engine).await;
    let filter = Filter::Member(vec!["m".into()], Is::OneOf(vec!["nobody".into()]));
    let lookup = Lookup { filter, after: None, limit: 10, examine: 5 };
    let page = engine.query(&shard, DEVICES, lookup).await.unwrap();
    assert_eq!((page.examined, page.next.as_deref()), (5, Some("false")));
    assert!(!exact || page.documents.is_empty());
}

async fn a_filter_has_a_limit_and_one_past_it_is_refused(engine: Engine, _: bool) {
    let shard = filled(&engine).await;
    let all = |count| {
        let one = Filter::Member(vec!["m".into()], Is::Bool(true));
        Filter::Any(vec![one; count])
    };
    assert!(
        found(&engine, &shard, all(store::FILTER_TESTS_MAX)).await.contains(&"true".to_owned())
    );
    let filter = all(store::FILTER_TESTS_MAX + 1);
    let lookup = Lookup { filter, after: None, limit: 1, examine: 1 };
    let error = engine.query(&shard, DEVICES, lookup).await.unwrap_err();
    assert!(matches!(error, StoreError::FilterTooLarge { tests: 4_097 }), "{error}");
}

async fn an_unknown_shard_holds_nothing(engine: Engine, _: bool) {
    let shard = ShardId::hub("unknown").unwrap();
    assert!(found(&engine, &shard, Filter::Anything).await.is_empty());
    assert_eq!(engine.shards().await.unwrap(), []);
}

async fn filled(engine: &Engine) -> ShardId {
    let shard = ShardId::hub("7f").unwrap();
    let put = |table: Table, key: &str, body: &str| Change {
        table,
        key: key.to_owned(),
        expect: Expect::Anything,
        write: Write::Put(body.to_owned().into()),
    };
    let mut changes: Vec<Change> =
        BODIES.iter().map(|(key, body)| put(DEVICES, key, body)).collect();
    // What is in another table is not even JSON.
    changes.push(put(SETTINGS, "x", "not JSON"));
    engine.commit(&shard, changes).await.unwrap();
    shard
}

async fn found(engine: &Engine, shard: &ShardId, filter: Filter) -> Vec<String> {
    let lookup = Lookup { filter, after: None, limit: 1_000, examine: 1_000 };
    let page = engine.query(shard, DEVICES, lookup).await.unwrap();
    assert_eq!(page.next, None);
    page.documents.into_iter().map(|(key, _)| key).collect()
}
