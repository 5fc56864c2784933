use super::*;
use crate::test_env::env;
use model::principal::{AuthType, PrincipalKind};
use model::trace::{Channel, Outcome, Recorded};
use model::{ObjectId, Verdict};

fn caller(number: u128) -> Caller {
    Caller {
        kind: PrincipalKind::ManagedIdentity,
        object_id: Some(ObjectId(uuid::Uuid::from_u128(number))),
        app_id: None,
        name: "line-3".into(),
        auth: AuthType::Entra,
        signed_in: "access token".into(),
        token_issued: None,
        via: None,
        rights: Vec::new(),
    }
}

fn refusal(number: usize, caller: Option<&Caller>) -> Trace {
    Trace {
        id: TrackingId(uuid::Uuid::from_u128(number as u128)),
        time: Timestamp::from_seconds(i64::try_from(number).unwrap()),
        correlation_id: String::new(),
        call: Recorded {
            operation: "PutDevice".into(),
            actions: Vec::new(),
            plane: "service".into(),
            scope: "/".into(),
            objects: Vec::new(),
            caller: caller.cloned(),
            replica: None,
            linked: Vec::new(),
            stranded: Vec::new(),
            attributes: None,
            channel: Channel { address: "127.0.0.1".into(), ..Channel::default() },
        },
        facts: 1,
        steps: Vec::new(),
        outcome: Outcome {
            verdict: Verdict::Deny,
            gate: None,
            status: 403,
            code: "X".into(),
            message: String::new(),
        },
        repeats: 0,
        warnings: Vec::new(),
    }
}

/// Keeps refusals of these numbers, at the second of the same number.
async fn kept(env: &Env, numbers: impl Iterator<Item = usize>, caller: Option<&Caller>) {
    let numbers: Vec<usize> = numbers.collect();
    for page in numbers.chunks(200) {
        let mut changes = Vec::new();
        for number in page {
            let trace = refusal(*number, caller);
            changes.extend(changes_of(&trace, &principal_of(&trace)).unwrap());
        }
        env.store.commit(&ShardId::decisions(), changes).await.unwrap();
    }
}

/// The seconds of what is seen, and whether there was more.
async fn seen(env: &Env, whose: Whose<'_>, span: Span) -> (Vec<i64>, bool) {
    let mut seconds = Vec::new();
    let is_cut = look_through(env, whose, span, &mut |it| seconds.push(it.time.seconds())).await;
    (seconds, is_cut.unwrap())
}

#[tokio::test]
async fn a_look_goes_through_one_callers_decisions_in_their_order() {
    let env = env();
    let (mine, other) = (caller(1), caller(16));
    kept(&env, [30, 10, 20].into_iter(), Some(&mine)).await;
    kept(&env, [15].into_iter(), Some(&other)).await;
    kept(&env, [25].into_iter(), None).await;
    let since = |seconds| Span::Since(Timestamp::from_seconds(seconds));
    let own = Whose::Callers(&mine);
    assert_eq!(seen(&env, own, Span::Newest).await, (vec![10, 20, 30], false));
    assert_eq!(seen(&env, own, since(20)).await, (vec![20, 30], false));
    assert_eq!(seen(&env, own, since(31)).await, (vec![], false));
    assert_eq!(seen(&env, Whose::Callers(&other), Span::Newest).await, (vec![15], false));
    assert_eq!(seen(&env, Whose::Nobodys, Span::Newest).await, (vec![25], false));
    assert_eq!(seen(&env, Whose::Nobodys, since(26)).await, (vec![], false));
    assert!(!is_full(&env, &mine).await.unwrap());
}

#[tokio::test]
async fn a_look_ends_at_its_bound_and_says_so() {
    let env = env();
    let mine = caller(1);
    kept(&env, 1..=READ_MAX + 1, Some(&mine)).await;
    let last = i64::try_from(READ_MAX + 1).unwrap();
    let (newest, is_cut) = seen(&env, Whose::Callers(&mine), Span::Newest).await;
    assert_eq!((newest.len(), newest[0], newest[READ_MAX - 1], is_cut), (READ_MAX, 2, last, true));
    let since = Span::Since(Timestamp::from_seconds(1));
    let (oldest, is_cut) = seen(&env, Whose::Callers(&mine), since).await;
    assert_eq!((oldest[0], oldest[READ_MAX - 1], is_cut), (1, last - 1, true));
    let since = Span::Since(Timestamp::from_seconds(2));
    assert!(!seen(&env, Whose::Callers(&mine), since).await.1);
}
