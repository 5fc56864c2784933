//! Namespaces of Service Bus, as their own clients see them: messages are sent to queues and topics, and received from
//! queues and subscriptions.
//!
//! A client keeps a link, which is held to its credential and to the gates; see [`crate::link`]. A topic keeps nothing:
//! each of its subscriptions gets a copy. Where messages are kept, and what becomes of them, is in `queue.rs`.

mod by_call;
mod message;
mod queue;
mod sweep;

pub(crate) use by_call::{peek, renew, settle};
pub use message::{Dead, Found, Outgoing, Part, Settlement};
pub use sweep::sweep;

use crate::call::{Failed, Passed};
use crate::devices::events::not_found;
use crate::env::Env;
use crate::link::Link;
use crate::session::{Ended, Shown};
use crate::targets::uses::Use;
use gate::Facts;
use gate::facts::{Entity, Target};
use message::{Look, Rules};
use model::error::HubFault;
use model::json::at;
use model::{Credential, Error, Scope, Timestamp};
use queue::Queue;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};
use uuid::Uuid;

/// Largest message, and largest batch, in bytes. Source: Service Bus quotas, Standard.
pub const TRANSFER_BYTES_MAX: usize = 256 << 10;

/// Whose turn it is to change what is in a namespace, by its uid. Clones of an environment share it.
#[derive(Debug, Default)]
pub struct BusTurns(Lock<HashMap<String, Arc<Mutex<()>>>>);

impl BusTurns {
    async fn take(&self, namespace: &str) -> OwnedMutexGuard<()> {
        let turn = {
            // No critical section leaves the map half changed.
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // A turn that nobody has or waits for is made anew for who wants it.
            all.retain(|_, it| Arc::strong_count(it) > 1);
            Arc::clone(all.entry(namespace.to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}

/// What kind of thing lies in a namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Queue,
    Topic,
    Subscription,
}

fn kind(scope: &Scope) -> Option<Kind> {
    Some(match scope.resource_type()?.to_ascii_lowercase().as_str() {
        "microsoft.servicebus/namespaces/queues" => Kind::Queue,
        "microsoft.servicebus/namespaces/topics" => Kind::Topic,
        "microsoft.servicebus/namespaces/topics/subscriptions" => Kind::Subscription,
        _ => return None,
    })
}

/// The namespace, and what lies in it at a scope, where that is of a kind for this and is switched on.
///
/// # Errors
/// `ResourceNotFound`; a conflict that says what is not offered, or switched off.
fn active<'a>(
    facts: &'a Facts,
    scope: &Scope,
    wants: Use,
) -> Result<(&'a Arc<Target>, &'a Arc<Entity>), Error> {
    let missing = || {
        let kinds = match wants {
            Use::Send => "queue or topic",
            Use::Receive => "queue or subscription",
        };
        // Some clients know by the first words that trying again helps nothing.
        not_found(format!(
            "The messaging entity `{}` could not be found: there is no {kinds} of that name here",
            inside(scope)
        ))
    };
    let (Some(namespace), Some(entity)) = (facts.target_around(scope), facts.entity(scope)) else {
        return Err(missing());
    };
    match (kind(&entity.scope), wants) {
        (Some(Kind::Queue), _)
        | (Some(Kind::Topic), Use::Send)
        | (Some(Kind::Subscription), Use::Receive) => {}
        (Some(Kind::Topic), Use::Receive) => {
            return Err(conflict(
                "EntityIsTopic",
                format!(
                    "`{}` is a topic; messages are received from its subscriptions, at `{0}/Subscriptions/{{name}}`",
                    scope.name()
                ),
            ));
        }
        (Some(Kind::Subscription), Use::Send) | (None, _) => return Err(missing()),
    }
    let is = |name: &str| at(&entity.properties, &[name]).and_then(Value::as_bool) == Some(true);
    for (name, what) in
        [("requiresSession", "sessions"), ("requiresDuplicateDetection", "duplicate detection")]
    {
        if is(name) {
            let name = inside(scope);
            return Err(conflict(
                "FeatureNotSupported",
                format!(
                    "`{name}` was made with {what}, which is not offered yet; make one without it"
                ),
            ));
        }
    }
    // A subscription takes no part in what its topic was switched off for.
    wants.check(entity, || format!("`{}`", inside(scope)))?;
    Ok((namespace, entity))
}

fn conflict(code: &'static str, message: String) -> Error {
    Error::Conflict { code, message }
}

/// What clients call an entity.
fn inside(scope: &Scope) -> String {
    let all: Vec<&str> = scope.segments().skip(8).collect();
    match all.as_slice() {
        [_, topic, _, subscription] => format!("{topic}/Subscriptions/{subscription}"),
        [_, name] => (*name).to_owned(),
        _ => scope.name().to_owned(),
    }
}

fn lock_lost(lock_s: i64) -> Error {
    let sentence = format!(
        "the message is not held by this lock: it was settled already, its {lock_s} s are over, or the server was started anew"
    );
    Error::hub(HubFault::MessageLockLost, sentence)
}

/// Ends a link with what a caller can act on.
fn ended(error: Error, env: &Env) -> Ended {
    Ended::Refused(Box::new((error, env.new_tracking_id())))
}

/// Somebody who sends to a queue or a topic.
pub struct Sender {
    link: Link,
}

impl Sender {
    /// Lets a sender in that has passed the gates.
    pub(crate) fn begin(env: &Env, passed: Passed<'_>, shown: Shown) -> Result<Self, Failed> {
        let tracking = passed.head.id;
        let link = Link::begin(env, passed, shown)?;
        match active(&env.facts.load(), link.scope(), Use::Send) {
            Ok(_) => Ok(Self { link }),
            Err(error) => Err(Failed { error, tracking }),
        }
    }

    pub const fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// When to look again whether it stands, though nothing happens.
    pub fn next_look(&self) -> Option<Timestamp> {
        self.link.next_look()
    }

    /// Keeps the messages of several transfers; all that are taken are synced when this returns. Those of one
    /// transfer are taken together or not at all.
    ///
    /// # Errors
    /// Why the link is over. Inside: [`HubFault::QueueFull`] for each transfer that there is no room for.
    pub async fn send(
        &mut self,
        env: &Env,
        transfers: Vec<Vec<Outgoing>>,
    ) -> Result<Vec<Result<(), Error>>, Ended> {
        self.link.stands(env).await?;
        let facts = env.facts.load();
        let (namespace, entity) =
            active(&facts, self.link.scope(), Use::Send).map_err(|it| ended(it, env))?;
        let all = queues(&facts, namespace, entity).map_err(Ended::Failed)?;
        let _turn = env.bus_turns.take(&namespace.uid).await;
        let mut outcomes = Vec::with_capacity(transfers.len());
        for messages in transfers {
            let outcome = keep(env, entity, &all, &messages).await;
            outcomes.push(outcome);
        }
        for queue in &all {
            env.presence.ring_services(&queue.uid);
        }
        Ok(outcomes)
    }
}

/// The queues that what is sent to an entity goes to.
fn queues(facts: &Facts, namespace: &Target, entity: &Entity) -> Result<Vec<Queue>, Error> {
    if kind(&entity.scope) == Some(Kind::Queue) {
        return Ok(vec![Queue::of(namespace, entity)?]);
    }
    let all = facts.entities_below(&entity.scope);
    let own = all.filter(|(_, it)| kind(&it.scope) == Some(Kind::Subscription));
    // One that takes no messages gets none.
    own.filter(|(_, it)| Use::Send.is_on(it)).map(|(_, it)| Queue::of(namespace, it)).collect()
}

async fn keep(
    env: &Env,
    entity: &Entity,
    all: &[Queue],
    messages: &[Outgoing],
) -> Result<(), Error> {
    let now = env.now();
    let weight: u64 = messages.iter().map(Queue::weight).sum();
    let most = Rules::of(entity).bytes_max.unwrap_or(u64::MAX);
    let has_room = match all {
        [one] if one.rules.bytes_max.is_some() => one.has_room(env, weight).await?,
        all => {
            let mut held = 0;
            for queue in all {
                held += queue.bytes(env).await? + weight;
            }
            held <= most
        }
    };
    if !has_room {
        let sentence = format!(
            "`{}` holds as much as it may, which is {} MB (`maxSizeInMegabytes`); receive from it, or make it larger",
            inside(&entity.scope),
            most >> 20
        );
        return Err(Error::hub(HubFault::QueueFull, sentence));
    }
    for queue in all {
        queue.put(env, messages, now).await?;
    }
    Ok(())
}

/// What somebody who receives asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub part: Part,
    /// What is handed out is settled by that.
    pub removes: bool,
}

/// Somebody who receives from a queue or a subscription.
pub struct Receiver {
    link: Link,
    queue: Queue,
    wish: Wish,
}

/// A message in somebody's hands.
#[derive(Clone, Debug)]
pub struct Handed {
    /// By which it is settled, and until when; none where that is done already.
    pub lock: Option<(Uuid, Timestamp)>,
    pub message: Found,
}

impl Receiver {
    /// Lets a receiver in that has passed the gates.
    pub(crate) fn begin(
        env: &Env,
        passed: Passed<'_>,
        shown: Shown,
        wish: Wish,
    ) -> Result<Self, Failed> {
        let tracking = passed.head.id;
        let link = Link::begin(env, passed, shown)?;
        let facts = env.facts.load();
        let queue = active(&facts, link.scope(), Use::Receive)
            .and_then(|(namespace, entity)| Queue::of(namespace, entity));
        match queue {
            Ok(queue) => Ok(Self { link, queue, wish }),
            Err(error) => Err(Failed { error, tracking }),
        }
    }

    /// When to look again, though nothing happens: whether it stands, and what is not held any more.
    pub fn next_look(&self, env: &Env) -> Option<Timestamp> {
        let freed = env.message_locks.next_end(&self.queue.place(self.wish.part));
        self.link.next_look().into_iter().chain(freed).min()
    }

    /// What is rung when there may be something new.
    pub fn bell(&self, env: &Env) -> Arc<Notify> {
        env.presence.service_bell(&self.queue.uid)
    }

    /// Goes on with another credential, see [`Link::renew`].
    ///
    /// # Errors
    /// Why it is not let in by it.
    pub async fn renew(&mut self, env: &Env, credential: Credential) -> Result<(), Ended> {
        self.link.renew(env, credential).await
    }

    /// Whether it may go on.
    ///
    /// # Errors
    /// Why the link is over.
    pub async fn stands(&mut self, env: &Env) -> Result<(), Ended> {
        self.link.stands(env).await?;
        let facts = env.facts.load();
        let (namespace, entity) =
            active(&facts, self.link.scope(), Use::Receive).map_err(|it| ended(it, env))?;
        if entity.uid != self.queue.uid {
            let sentence = format!("`{}` was deleted, and another made", inside(&entity.scope));
            return Err(ended(not_found(sentence), env));
        }
        self.queue = Queue::of(namespace, entity).map_err(Ended::Failed)?;
        Ok(())
    }

    /// The next messages that nobody holds, `count` of them at most, and about so many bytes.
    ///
    /// # Errors
    /// Why the link is over.
    pub async fn receive(
        &mut self,
        env: &Env,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<Handed>, Ended> {
        self.stands(env).await?;
        let Self { queue, wish: Wish { part, removes }, .. } = self;
        let _turn = env.bus_turns.take(&queue.namespace).await;
        let place = queue.place(*part);
        env.message_locks.forget_old(&place, env.now());
        let look = Look { count, bytes, removes: *removes, pages_max: None };
        let found = queue.look(env, *part, look).await.map_err(Ended::Failed)?;
        let now = env.now();
        let until = now.plus_seconds(queue.rules.lock_s);
        let hand = |message: Found| {
            if *removes {
                return Handed { lock: None, message };
            }
            let lock = env.new_uuid();
            // Nobody else holds it: it is this one's turn.
            env.message_locks.take(&place, message.sequence, lock, now, until);
            Handed { lock: Some((lock, until)), message }
        };
        Ok(found.into_iter().map(hand).collect())
    }

    /// Ends deliveries. What is said of each is synced when this returns.
    ///
    /// # Errors
    /// For each [`HubFault::MessageLockLost`] where its message is not held by its lock any more.
    pub async fn settle(&self, env: &Env, all: Vec<(Uuid, Settlement)>) -> Vec<Result<(), Error>> {
        settle_all(env, &self.queue, self.wish.part, all).await
    }
}

async fn settle_all(
    env: &Env,
    queue: &Queue,
    part: Part,
    all: Vec<(Uuid, Settlement)>,
) -> Vec<Result<(), Error>> {
    let _turn = env.bus_turns.take(&queue.namespace).await;
    let (place, now) = (queue.place(part), env.now());
    let lost = || lock_lost(queue.rules.lock_s);
    let mut outcomes = Vec::with_capacity(all.len());
    let mut held = Vec::new();
    for (lock, settlement) in all {
        outcomes.push(match env.message_locks.give_up(&place, lock, now) {
            Some(sequence) => {
                held.push((outcomes.len(), sequence, settlement));
                Ok(())
            }
            None => Err(lost()),
        });
    }
    let changes: Vec<_> = held.iter().map(|(_, at, it)| (*at, it.clone())).collect();
    let settled = queue.settle(env, part, &changes).await;
    for (index, (at, ..)) in held.iter().enumerate() {
        let outcome = match &settled {
            Ok(were_there) if were_there.get(index) == Some(&true) => Ok(()),
            Ok(_) => Err(lost()),
            Err(error) => Err(error.clone()),
        };
        if let Some(place) = outcomes.get_mut(*at) {
            *place = outcome;
        }
    }
    if held.iter().any(|(.., it)| *it != Settlement::Complete) {
        env.presence.ring_services(&queue.uid);
    }
    outcomes
}
