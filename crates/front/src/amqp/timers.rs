//! When a connection is looked at though nothing happens, and what is too late then.

use super::device::Device;
use super::driver::{Driver, Link, UNDER_WAY_MAX};
use ::amqp::connection::IDLE_TIME_OUT;
use std::time::Duration;
use tokio::time::Instant;

/// Longest time until somebody is proven.
const PROOF_DEADLINE: Duration = Duration::from_secs(30);
/// A client that takes nothing for so long is gone.
const WRITE_DEADLINE: Duration = Duration::from_secs(60);
/// A client that is held up is looked at so often: the server's clock may leap.
const LOOK_WHILE_HELD: Duration = Duration::from_secs(1);
/// Timers are set anew after so long at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);
/// And never earlier than so.
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(10);

impl Driver<'_> {
    /// Whether the client has said and taken something in time; says that we are there, where that is due.
    pub(super) fn in_time(&mut self) -> bool {
        let now = Instant::now();
        let is_late = self.waiting.is_some() && now >= self.began + PROOF_DEADLINE;
        let is_stuck = self.stuck.is_some_and(|it| now >= it + WRITE_DEADLINE);
        // Who is not listened to cannot be told silent.
        if is_late || is_stuck || (self.listens() && now >= self.heard + IDLE_TIME_OUT) {
            return false;
        }
        if self.engine.peer_idle().is_some_and(|it| now >= self.spoke + it / 2) {
            self.engine.keep_alive();
        }
        true
    }

    /// Whether the client is read from, as far as that is for what it has sent.
    pub(super) fn listens(&self) -> bool {
        self.under_way.len() < UNDER_WAY_MAX && self.held.is_none()
    }

    /// Reads again from a client that was held up for long enough.
    pub(super) fn release(&mut self) {
        if self.held.is_some_and(|it| it <= self.env.now()) {
            self.held = None;
            self.heard = Instant::now();
        }
    }

    pub(super) fn next_look(&self) -> Instant {
        let now = Instant::now();
        let mut next = match self.held {
            None => (self.heard + IDLE_TIME_OUT).min(now + LOOK_AGAIN),
            Some(until) => {
                let left_ms = until.millis().saturating_sub(self.env.now().millis());
                let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
                now + left.min(LOOK_WHILE_HELD)
            }
        };
        if self.waiting.is_some() {
            next = next.min(self.began + PROOF_DEADLINE);
        }
        if let Some(since) = self.stuck {
            next = next.min(since + WRITE_DEADLINE);
        }
        if let Some(idle) = self.engine.peer_idle() {
            next = next.min(self.spoke + idle / 2);
        }
        let ends = self.devices.values().filter_map(|it| it.session.expires());
        let looks = self.links.values().filter_map(|it| match it {
            Link::ServiceSend(held) => held.next_look(),
            Link::Queue(queue) => queue.held.next_look(),
            Link::Events(events) => events.reader.next_look(),
            Link::EventSend(it) => it.sender.next_look(),
            Link::BusSend(it) => it.sender.next_look(),
            Link::BusQueue(it) => it.receiver.next_look(self.env),
            _ => None,
        });
        for end in ends.chain(looks).chain(self.registration_ends()) {
            // Just behind it: a signature holds to the end of its second.
            let left_ms =
                end.millis().saturating_sub(self.env.now().millis()).saturating_add(1_000);
            let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0)).min(LOOK_AGAIN);
            next = next.min(now + left);
        }
        let held = self.devices.values().filter_map(Device::next_look);
        let queues = self.links.values().filter_map(|it| match it {
            Link::Queue(queue) => Some(queue.look_again()),
            _ => None,
        });
        held.chain(queues).fold(next, Instant::min).max(now + LOOK_AGAIN_MIN)
    }
}
