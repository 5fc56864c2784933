use super::*;
use crate::facts::FactsCell;
use gate::facts::SharedAccess;
use gate::network::NetworkRules;
use model::Scope;

fn hub(name: &str) -> Hub {
    let id =
        format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/{name}");
    Hub {
        scope: Scope::parse(&id).unwrap(),
        uid: format!("uid-of-{name}"),
        host: "127.71.3.2".into(),
        location: "westus".into(),
        access: SharedAccess::default(),
        authorities: Vec::new(),
        security: None,
        routing: None,
        network: NetworkRules::default(),
    }
}

/// A server that has hubs of these names, and limits them.
fn env(names: &[&str], sku: &str) -> Env {
    let mut env = crate::test_env::env();
    env.limits = Limits::new(Some(sku.parse().unwrap()), Throttling::default());
    having(&mut env, names);
    env
}

fn having(env: &mut Env, names: &[&str]) {
    let mut facts = gate::Facts::clone(&env.facts.load());
    let all = names.iter().map(|it| (hub(it).scope.key().to_owned(), Arc::new(hub(it))));
    facts.hubs = Arc::new(all.collect());
    env.facts = Arc::new(FactsCell::new(facts));
}

#[tokio::test]
async fn each_hub_has_a_meter_of_its_own_as_long_as_it_is_there() {
    let mut env = env(&["hub1", "hub10"], "S1");
    let first = env.limits.of(&hub("hub1"), &env).unwrap();
    assert!(Arc::ptr_eq(&first, &env.limits.of(&hub("hub1"), &env).unwrap()));
    assert!(!Arc::ptr_eq(&first, &env.limits.of(&hub("hub10"), &env).unwrap()));
    let text = env.limits.render(&env);
    assert!(text.contains("hubward_messages_per_day{hub=\"hub1\"} 400000\n"), "{text}");
    assert!(text.contains("hubward_messages_today{hub=\"hub10\"} 0\n"), "{text}");
    having(&mut env, &["hub10", "hub11"]);
    env.limits.of(&hub("hub11"), &env).unwrap();
    let text = env.limits.render(&env);
    assert!(!text.contains("\"hub1\"") && text.contains("\"hub10\""), "{text}");
}

#[tokio::test]
async fn without_the_switch_there_is_no_meter_and_no_number() {
    let env = crate::test_env::env();
    assert!(env.limits.of(&hub("hub1"), &env).is_none());
    assert_eq!(env.limits.pause(&hub("hub1"), usize::MAX, &env), None);
    assert_eq!(env.limits.send(&hub("hub1"), [usize::MAX; 2].into_iter(), &env), Ok(()));
    assert_eq!(env.limits.render(&env), "");
}

#[tokio::test]
async fn a_job_pauses_when_it_deals_with_devices_too_fast() {
    let env = env(&["hub1"], "S1");
    for _ in 0..37 {
        assert_eq!(env.limits.pause(&hub("hub1"), 16, &env), None);
    }
    // 8 of the 600 of a minute are left; the clock is looked at every second at least.
    assert_eq!(env.limits.pause(&hub("hub1"), 16, &env), Some(ASK_AGAIN));
    assert_eq!(env.limits.pause(&hub("hub1"), 8, &env), None);
    let meter = env.limits.of(&hub("hub1"), &env).unwrap();
    assert_eq!(meter.used(env.now()), 600);
}

#[tokio::test]
async fn the_messages_of_a_request_count_together_or_not_at_all() {
    let env = env(&["hub1"], "F1");
    let hub = hub("hub1");
    env.limits.send(&hub, [256 << 10; 15].into_iter(), &env).unwrap();
    let refused = env.limits.send(&hub, [160 << 10, 513].into_iter(), &env);
    assert!(matches!(refused, Err(Error::Limited { retry_after_s: Some(_), .. })), "{refused:?}");
    let meter = env.limits.of(&hub, &env).unwrap();
    assert_eq!(meter.used(env.now()), 7_680);
    env.limits.send(&hub, [159 << 10, 1_024].into_iter(), &env).unwrap();
    assert_eq!(meter.used(env.now()), 8_000);
}
