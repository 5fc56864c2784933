//! Messages that go together: each whole, in a section of its own.

use ::amqp::message::SECTIONS_MAX;
use ::amqp::{Body, Message, Value};
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};

/// The annotation by which an event hub chooses a partition: messages with the same go to the same, in their order.
pub const PARTITION_KEY: &str = "x-opt-partition-key";
/// Most bytes of a batch. Source: Event Hubs quotas, "Size of an Event Hubs event".
const BATCH_BYTES_MAX: usize = 1_048_576;
/// What a batch has beside its messages, and a message beside its bytes, at most.
const HEAD_BYTES: usize = 1_024;
const SECTION_BYTES: usize = 8;
/// Most messages of a batch: a section each, and one for the key.
const MESSAGES_MAX: usize = SECTIONS_MAX - 1;

/// One transfer.
pub(super) struct Batch {
    pub(super) key: Option<String>,
    pub(super) payload: Bytes,
    /// Which messages are in it.
    pub(super) messages: Vec<usize>,
}

/// Messages of one key that are to be sent, in their order.
struct Group {
    key: Option<String>,
    messages: VecDeque<usize>,
}

/// What is to be sent.
pub(super) struct Queue<'a> {
    all: &'a [Message],
    groups: VecDeque<Group>,
    /// Those that no other may go with.
    alone: BTreeSet<usize>,
}

/// What a queue has next.
pub(super) enum Next {
    Batch(Batch),
    /// A message that is longer than the entity takes, with its length.
    TooLong(usize, usize),
}

impl<'a> Queue<'a> {
    pub(super) fn new(all: &'a [Message], which: impl Iterator<Item = usize>) -> Self {
        let mut queue = Self { all, groups: VecDeque::new(), alone: BTreeSet::new() };
        let mut places = std::collections::BTreeMap::new();
        for at in which {
            let key = all.get(at).and_then(key_of);
            let place = *places.entry(key.clone()).or_insert(queue.groups.len());
            match queue.groups.get_mut(place) {
                Some(group) => group.messages.push_back(at),
                None => queue.groups.push_back(Group { key, messages: [at].into() }),
            }
        }
        queue
    }

    /// The next batch for an entity that takes messages of so many bytes.
    pub(super) fn next(&mut self, message_bytes_max: usize) -> Option<Next> {
        let room = message_bytes_max.min(BATCH_BYTES_MAX).saturating_sub(HEAD_BYTES);
        let mut group = self.groups.pop_front()?;
        let (mut sections, mut messages, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(at) = group.messages.front().copied() {
            let is_alone = self.alone.contains(&at);
            if messages.len() == MESSAGES_MAX || (is_alone && !messages.is_empty()) {
                break;
            }
            let Some(section) = self.all.get(at).map(Message::write) else { break };
            let length = section.len() + SECTION_BYTES;
            if bytes + length > room {
                if messages.is_empty() {
                    group.messages.pop_front();
                    self.put_back(group);
                    return Some(Next::TooLong(at, length));
                }
                break;
            }
            group.messages.pop_front();
            bytes += length;
            sections.push(section);
            messages.push(at);
            if is_alone {
                break;
            }
        }
        let key = group.key.clone();
        self.put_back(group);
        let annotation = |key: &String| (Value::symbol(PARTITION_KEY), Value::string(key.as_str()));
        let batch = Message {
            annotations: key.iter().map(annotation).collect(),
            body: Body::Data(sections),
            ..Message::default()
        };
        Some(Next::Batch(Batch { key, payload: batch.write(), messages }))
    }

    fn put_back(&mut self, group: Group) {
        if !group.messages.is_empty() {
            self.groups.push_back(group);
        }
    }

    /// Takes messages back, before others of their key.
    pub(super) fn again(&mut self, batch: Batch) {
        let Batch { key, messages, .. } = batch;
        match self.groups.iter_mut().find(|it| it.key == key) {
            Some(group) => messages.iter().rev().for_each(|at| group.messages.push_front(*at)),
            None => self.groups.push_front(Group { key, messages: messages.into() }),
        }
    }

    /// The same, and each goes alone from now on.
    pub(super) fn again_singly(&mut self, batch: Batch) {
        self.alone.extend(&batch.messages);
        self.again(batch);
    }
}

fn key_of(message: &Message) -> Option<String> {
    let found = message.annotations.iter().find(|(key, _)| key.text() == Some(PARTITION_KEY))?;
    found.1.text().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: Option<&str>, bytes: usize) -> Message {
        let annotation = |key: &str| (Value::symbol(PARTITION_KEY), Value::string(key));
        Message {
            annotations: key.into_iter().map(annotation).collect(),
            body: Body::Data(vec![vec![7; bytes].into()]),
            ..Message::default()
        }
    }

    /// What a queue gives, as the places of the messages; a place below zero is of one that is too long.
    fn batches(queue: &mut Queue<'_>, message_bytes_max: usize) -> Vec<Vec<i32>> {
        let number = |at: usize| i32::try_from(at).unwrap();
        let mut all = Vec::new();
        while let Some(next) = queue.next(message_bytes_max) {
            all.push(match next {
                Next::Batch(it) => {
                    assert!(it.payload.len() <= message_bytes_max);
                    it.messages.into_iter().map(number).collect()
                }
                Next::TooLong(at, _) => vec![-number(at)],
            });
        }
        all
    }

    #[test]
    fn messages_of_one_key_go_together_and_in_their_order() {
        let keys = [Some("a"), Some("b"), None, Some("a"), None];
        let all: Vec<Message> = keys.iter().map(|it| message(*it, 10)).collect();
        let mut queue = Queue::new(&all, 0..5);
        assert_eq!(batches(&mut queue, 1 << 20), [vec![0, 3], vec![1], vec![2, 4]]);
        let mut queue = Queue::new(&all, [3, 4].into_iter());
        assert_eq!(batches(&mut queue, 1 << 20), [[3], [4]]);
    }

    #[test]
    fn a_batch_is_as_long_as_the_entity_takes() {
        let all: Vec<Message> =
            [300, 300, 300, 1_100, 300].iter().map(|it| message(None, *it)).collect();
        let mut queue = Queue::new(&all, 0..5);
        assert_eq!(batches(&mut queue, 2_000), [vec![0, 1, 2], vec![-3], vec![4]]);
        // The last byte that fits, and one more.
        let fits = BATCH_BYTES_MAX - HEAD_BYTES - SECTION_BYTES - 8;
        for (bytes, expected) in [(fits, 1), (fits + 1, -1)] {
            let all = [message(None, 1), message(None, bytes)];
            let mut queue = Queue::new(&all, 1..2);
            assert_eq!(batches(&mut queue, usize::MAX), [[expected]]);
        }
        let many = vec![message(None, 1); MESSAGES_MAX + 1];
        let mut queue = Queue::new(&many, 0..many.len());
        let counts: Vec<usize> = batches(&mut queue, usize::MAX).iter().map(Vec::len).collect();
        assert_eq!(counts, [MESSAGES_MAX, 1]);
    }

    #[test]
    fn what_is_taken_back_goes_before_others_of_its_key() {
        let all = vec![message(Some("a"), 250); 5];
        let mut queue = Queue::new(&all, 0..5);
        let Some(Next::Batch(first)) = queue.next(2_000) else { panic!() };
        assert_eq!(first.messages, [0, 1, 2]);
        queue.again_singly(first);
        assert_eq!(batches(&mut queue, 2_000), [vec![0], vec![1], vec![2], vec![3, 4]]);
    }
}
