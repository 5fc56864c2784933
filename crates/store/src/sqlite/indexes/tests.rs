//! Indexes are made where looks go through much in vain, are used then, and give way.

use super::super::filter::equalities;
use super::*;
use crate::lookup::{Filter, Found, Is, Lookup, Span};
use crate::tables::{DEVICES, SETTINGS};
use crate::{Change, Engine, Expect, ShardId, Write};

const DOCUMENTS: usize = 1_000;

fn shard() -> ShardId {
    ShardId::hub("7f").unwrap()
}

fn change(table: Table, key: &str, body: String) -> Change {
    let write = Write::Put(body.into());
    Change { table, key: key.to_owned(), expect: Expect::Anything, write }
}

/// A thousand documents with a member of their own, one of ten and one of two values, another table that holds no
/// JSON, and the file they are in.
async fn filled() -> (tempfile::TempDir, Engine) {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::sqlite(directory.path()).unwrap();
    let body = |at: usize| {
        format!(
            r#"{{"own":"x{at}","ten":{},"on":{},"member '\"":1}}"#,
            at % 10,
            at.is_multiple_of(2)
        )
    };
    let documents = (0..DOCUMENTS).map(|at| change(DEVICES, &format!("d{at:04}"), body(at)));
    engine.commit(&shard(), documents.collect()).await.unwrap();
    engine.commit(&shard(), vec![change(SETTINGS, "x", "not JSON".into())]).await.unwrap();
    (directory, engine)
}

fn file_of(directory: &tempfile::TempDir) -> Connection {
    Connection::open(directory.path().join(format!("{}.sqlite", shard()))).unwrap()
}

fn own(value: &str) -> Filter {
    Filter::Member(vec!["own".into()], Is::OneOf(vec![value.to_owned()]))
}

fn ten(value: f64) -> Filter {
    let span = Span { from: Some(value), to: Some(value) };
    Filter::Member(vec!["ten".into()], Is::Number(span))
}

fn on() -> Filter {
    Filter::Member(vec!["on".into()], Is::Bool(true))
}

async fn look(engine: &Engine, filter: &Filter) -> Found {
    let lookup = Lookup { filter: filter.clone(), after: None, limit: 1_000, examine: 10_000 };
    engine.query(&shard(), DEVICES, lookup).await.unwrap()
}

/// Looks until one examines as many as there are to be found.
async fn looks_until_indexed(engine: &Engine, filter: &Filter) -> usize {
    for at in 0..1_000 {
        let found = look(engine, filter).await;
        if found.examined == found.documents.len() {
            return at;
        }
    }
    panic!("no index was made for {filter:?}");
}

fn names(connection: &Connection) -> Vec<String> {
    let mut statement = connection.prepare(MADE).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_in_vain_make_an_index_that_writes_keep_right_and_that_stays() {
    let (directory, engine) = filled().await;
    // Fifty looks of 999 in vain each are one short of what makes it due.
    let at = looks_until_indexed(&engine, &own("x7")).await;
    assert!(at >= 50, "{at}");
    assert_eq!(names(&file_of(&directory)), [r#"devices '$."own"'"#]);
    let keys =
        |found: Found| -> Vec<String> { found.documents.into_iter().map(|(key, _)| key).collect() };
    assert_eq!(keys(look(&engine, &own("x7")).await), ["d0007"]);

    let moved = vec![
        change(DEVICES, "d0007", r#"{"own":"y"}"#.into()),
        change(DEVICES, "d0500", r#"{"own":"x7"}"#.into()),
        change(DEVICES, "new", r#"{"own":"x7"}"#.into()),
        Change { write: Write::Delete, ..change(DEVICES, "d0008", String::new()) },
    ];
    engine.commit(&shard(), moved).await.unwrap();
    assert_eq!(keys(look(&engine, &own("x7")).await), ["d0500", "new"]);
    assert!(keys(look(&engine, &own("x8")).await).is_empty());
    // With other tests, and from a place on.
    let filter = Filter::All(vec![own("x7"), Filter::All(vec![ten(3.0)])]);
    assert_eq!(
        (look(&engine, &filter).await.examined, keys(look(&engine, &filter).await)),
        (2, vec![])
    );
    let lookup = Lookup { filter: own("x7"), after: Some("d0500".into()), limit: 9, examine: 9 };
    assert_eq!(keys(engine.query(&shard(), DEVICES, lookup).await.unwrap()), ["new"]);

    engine.close().await.unwrap();
    let engine = Engine::sqlite(directory.path()).unwrap();
    assert_eq!(look(&engine, &own("x7")).await.examined, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_tests_the_one_that_finds_less_is_indexed_and_used() {
    let (directory, engine) = filled().await;
    let filter = Filter::All(vec![on(), ten(4.0), own("x14")]);
    looks_until_indexed(&engine, &filter).await;
    assert_eq!(names(&file_of(&directory)), [r#"devices '$."own"'"#]);
    looks_until_indexed(&engine, &ten(5.0)).await;
    assert_eq!(names(&file_of(&directory)).len(), 2);
    assert_eq!(look(&engine, &filter).await.examined, 1, "the better of two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_half_of_all_or_is_no_test_for_one_value_has_no_index() {
    let (directory, engine) = filled().await;
    let several = Is::OneOf(vec!["x1".into(), "x2".into()]);
    let odd = Filter::Member(vec!["member '\"".into()], Is::Bool(true));
    let long = Filter::Member(vec!["m".repeat(NAME_BYTES_MAX)], Is::Bool(true));
    let filters = [
        on(),
        Filter::Member(vec!["own".into()], several),
        Filter::Any(vec![own("x1"), own("x2")]),
        Filter::All(vec![own("x1"), Filter::Keys(vec!["d0002".into()])]),
        odd,
        long,
    ];
    for filter in &filters {
        for _ in 0..110 {
            look(&engine, filter).await;
        }
    }
    assert!(names(&file_of(&directory)).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_has_so_many_indexes_and_the_one_unused_for_longest_gives_way() {
    let (directory, engine) = filled().await;
    let of = |at: usize| Filter::Member(vec![format!("m{at}")], Is::OneOf(vec!["x".into()]));
    for at in 0..=INDEXES_MAX {
        looks_until_indexed(&engine, &of(at)).await;
        look(&engine, &of(0)).await;
    }
    let names = names(&file_of(&directory));
    assert_eq!(names.len(), INDEXES_MAX);
    assert!(names.contains(&r#"devices '$."m0"'"#.to_owned()), "{names:?}");
    assert!(!names.contains(&r#"devices '$."m1"'"#.to_owned()), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_takes_the_index_and_needs_no_sorting() {
    let (directory, engine) = filled().await;
    looks_until_indexed(&engine, &own("x7")).await;
    let connection = file_of(&directory);
    let [it] = equalities(&own("x7")).try_into().map_err(|_| "one").unwrap();
    let sql = format!(
        "EXPLAIN QUERY PLAN SELECT revision, body, key FROM documents \
         WHERE tbl = '{DEVICES}' AND key > ? AND 1 AND {} = ? ORDER BY key",
        it.member()
    );
    let mut statement = connection.prepare(&sql).unwrap();
    let plan = statement.query_map(["", "x7"], |row| row.get::<_, String>(3)).unwrap();
    let plan: Vec<String> = plan.map(Result::unwrap).collect();
    assert_eq!(plan.len(), 1, "{plan:?}");
    assert!(
        plan[0].contains(r#"USING INDEX devices '$."own"' (tbl=? AND <expr>=? AND key>?)"#),
        "{plan:?}"
    );
}
