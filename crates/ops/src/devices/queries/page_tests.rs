//! What bounds a page, and how many are made at a time.

use super::super::identity::{Device, built};
use super::super::named::Named;
use super::super::registry::shard;
use super::super::twin::Wanted;
use super::*;
use crate::control::put as keep;
use crate::test_env::env;
use gate::facts::{Hub, SharedAccess};
use gate::network::NetworkRules;
use model::{DeviceId, Scope};
use store::{Change, Expect};

fn hub() -> Hub {
    Hub {
        scope: Scope::parse(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/h",
        )
        .unwrap(),
        uid: "7f".into(),
        host: "127.71.3.2".into(),
        location: "westus".into(),
        access: SharedAccess::default(),
        authorities: Vec::new(),
        security: None,
        routing: None,
        network: NetworkRules::default(),
    }
}

async fn register(env: &Env, hub: &Hub, count: usize, twin: Option<&Value>) {
    let id = |at: usize| DeviceId::parse(&format!("d{at:05}")).unwrap();
    let named = |at: usize| Named { device: id(at), module: None };
    let mut device: Device =
        built(&named(0), &json!({ "status": "enabled" }), None, env, "").unwrap();
    if let Some(twin) = twin {
        device.twin.write(&Wanted::read(twin).unwrap(), env.now()).unwrap();
    }
    let changes: Vec<Change> = (0..count)
        .map(|at| {
            device.device_id = id(at).as_str().to_owned();
            keep(named(at).table(), named(at).key(), Expect::Absent, &device).unwrap()
        })
        .collect();
    for some in changes.chunks(100) {
        env.store.commit(&shard(hub).unwrap(), some.to_vec()).await.unwrap();
    }
}

/// The first page and all that follow: how many items each has.
async fn sizes(env: &Env, hub: &Hub, text: &str, most: usize) -> Vec<usize> {
    let query = Query::parse(text).unwrap();
    let reading = Reading::new(env, hub, query.condition(), false).unwrap();
    let (mut sizes, mut after, mut left) = (Vec::new(), None, query.top());
    loop {
        let (items, next) = page(&query, &reading, most, after, left).await.unwrap();
        sizes.push(items.len());
        match next {
            Some(next) => (after, left) = (Some(next.after), next.left),
            None => return sizes,
        }
    }
}

#[tokio::test]
async fn a_page_ends_where_it_has_looked_enough_also_with_nothing() {
    let (env, hub) = (env(), hub());
    register(&env, &hub, EXAMINED_MAX + 100, None).await;
    let find = |condition: &str| format!("SELECT deviceId FROM devices WHERE {condition}");
    assert_eq!(sizes(&env, &hub, &find("tags.a = 1"), 10).await, [0, 0]);
    let last = format!("deviceId = 'd{:05}'", EXAMINED_MAX + 99);
    let all = sizes(&env, &hub, &find(&format!("tags.a = 1 OR {last}")), 10).await;
    assert_eq!(all, [0, 1], "{last}");
    assert_eq!(sizes(&env, &hub, &find("deviceId < 'd00020'"), 10).await[..2], [10, 10]);
    assert_eq!(sizes(&env, &hub, "SELECT TOP 25 * FROM devices", 10).await, [10, 10, 5]);
    assert_eq!(sizes(&env, &hub, "SELECT TOP 20 * FROM devices", 10).await, [10, 10]);
}

#[tokio::test]
async fn a_page_ends_where_it_is_large_enough() {
    let (env, hub) = (env(), hub());
    let text = "x".repeat(4_000);
    let many: Value = (0..7).map(|at| (format!("t{at}"), json!(text))).collect();
    let twin = json!({ "properties": { "desired": many } });
    register(&env, &hub, 160, Some(&twin)).await;
    let pages = sizes(&env, &hub, "SELECT * FROM devices", 1_000).await;
    let full = PAGE_BYTES_MAX / 28_000;
    assert_eq!(pages.len(), 2);
    assert!(
        (full - 8..=full + 1).contains(&pages[0]) && pages.iter().sum::<usize>() == 160,
        "{pages:?}"
    );
}

#[test]
fn so_many_run_at_a_time_and_one_more_is_refused_until_one_ends() {
    let turns = Turns::default();
    for (of, most) in [(&turns.pages, PAGES_AT_ONCE), (&turns.totals, TOTALS_AT_ONCE)] {
        let mut running: Vec<_> = (0..most).map(|_| turn(of).unwrap()).collect();
        let refused = turn(of).err().unwrap();
        assert!(matches!(refused, Error::Hub { fault: HubFault::Throttled, .. }), "{refused}");
        running.pop();
        drop(turn(of).unwrap());
    }
}
