use super::*;
use crate::test_env::env;

/// Keeps one that was made at that second, and weighs so much.
async fn kept(env: &Env, second: i64, bytes: usize) {
    let document = FormerDocument {
        table: "locks".into(),
        key: "k".into(),
        body: Some(json!("n".repeat(bytes))),
    };
    let former = Former {
        time: Timestamp::from_seconds(second),
        under: Under::of(&env.facts.load(), &Propagation::default()),
        is_start: false,
        documents: Some(vec![document]),
    };
    let key = key(second.unsigned_abs(), "x");
    let change = put(tables::FORMER_FACTS, key, Expect::Absent, &former).unwrap();
    env.store.commit(&ShardId::control(), vec![change]).await.unwrap();
}

/// The epochs of those that are left.
async fn left(env: &Env) -> Vec<u64> {
    let page = page(&env.store, None).await.unwrap();
    page.iter().map(|(key, _)| key.split('/').next().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn what_a_kept_decision_may_have_met_stays() {
    let mut env = env();
    let now = KEPT_S_MAX + 1_000;
    env.clock.now = std::sync::Arc::new(move || Timestamp::from_seconds(now));
    // Decisions from second 1,000 on are kept: the first were judged by what the change at 900 left.
    for second in [800, 900, 1_000, 1_100] {
        kept(&env, second, 1).await;
    }
    assert_eq!(forget_old(&env).await, Ok(1));
    assert_eq!(left(&env).await, [900, 1_000, 1_100]);
    assert_eq!(forget_old(&env).await, Ok(0));
}

#[tokio::test]
async fn the_oldest_go_where_there_is_too_much() {
    let env = env();
    let now = env.now().seconds();
    let sixteenth = usize::try_from(KEPT_BYTES_MAX / 16).unwrap();
    for second in now - 20..now - 4 {
        kept(&env, second, sixteenth - 1_000).await;
    }
    assert_eq!(forget_old(&env).await, Ok(0));
    kept(&env, now - 3, 16_000).await;
    assert_eq!(forget_old(&env).await, Ok(1));
    assert_eq!(left(&env).await.len(), 16);
}

#[tokio::test]
async fn a_start_that_keeps_none_forgets_those_that_were() {
    let env = env();
    for second in 0..(i64::try_from(AT_ONCE).unwrap() + 1) {
        kept(&env, second, 1).await;
    }
    let mut facts = Facts::clone(&env.facts.load());
    let spread = Propagation::default();
    begin(&env.store, false, &mut facts, &spread, env.now()).await.unwrap();
    assert!(left(&env).await.is_empty());
    assert_eq!(facts.epoch, env.facts.load().epoch);
}

#[tokio::test]
async fn nothing_is_kept_where_nobody_asks_or_nothing_decides() {
    let mut env = env();
    let before = env.facts.load();
    let of =
        |table| Change { table, key: "k".into(), expect: Expect::Anything, write: Write::Delete };
    let check = Change { write: Write::Check, ..of(tables::LOCKS) };
    let others = [of(tables::OPERATIONS), check];
    assert!(change(&env, &before, &others, env.now()).await.unwrap().is_none());
    let lock = [of(tables::LOCKS)];
    assert!(change(&env, &before, &lock, env.now()).await.unwrap().is_some());
    env.settings.keeps_facts = false;
    assert!(change(&env, &before, &lock, env.now()).await.unwrap().is_none());
}
