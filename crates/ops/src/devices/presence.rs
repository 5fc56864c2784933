//! Who is connected: at most one session for each device, the last that proved itself.
//!
//! This is the one place that assumes a device is connected to this process. A session holds a [`Seat`], and
//! whoever changes a device says so here, so that the session proves itself anew before its next operation.

use super::methods::MethodAnswer;
use super::twin::Desired;
use model::{Error, Timestamp};
use serde_json::Value;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// How often in a minute one session may take a device from another. Two clients with one device's key
/// would otherwise throw each other out as fast as the network lets them.
pub const TAKEOVERS_PER_MINUTE_MAX: u32 = 30;
/// Most devices that are connected at a time.
pub const SEATS_MAX: usize = 1 << 20;

/// Most notices that wait for a session.
const MAILBOX_MAX: usize = 32;

/// What a device can ask to be told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Messages that wait for it.
    Messages,
    /// Methods that services call.
    Methods,
    /// Changes of its desired properties.
    Desired,
}

/// Several of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Interests(pub u8);

impl Interest {
    const fn bit(self) -> u8 {
        match self {
            Self::Messages => 1,
            Self::Methods => 2,
            Self::Desired => 4,
        }
    }
}

impl Interests {
    pub const fn has(self, one: Interest) -> bool {
        self.0 & one.bit() != 0
    }

    #[must_use]
    pub const fn with(self, one: Interest) -> Self {
        Self(self.0 | one.bit())
    }

    #[must_use]
    pub const fn without(self, one: Interest) -> Self {
        Self(self.0 & !one.bit())
    }
}

/// What a session hears for its device.
#[derive(Debug)]
pub enum Notice {
    /// A message waits: to be received.
    Message,
    Desired(Arc<Desired>),
    Method(Box<Invocation>),
}

impl Notice {
    const fn interest(&self) -> Interest {
        match self {
            Self::Message => Interest::Messages,
            Self::Desired(_) => Interest::Desired,
            Self::Method(_) => Interest::Methods,
        }
    }
}

/// A method that a service waits for.
#[derive(Debug)]
pub struct Invocation {
    pub name: String,
    pub payload: Value,
    /// Dropping it tells the service that the device went away.
    pub answer: oneshot::Sender<MethodAnswer>,
}

/// Why a session did not hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotTold {
    /// Nobody is connected who listens for it.
    Absent,
    /// As much waits for the session as can.
    Full,
}

/// What a session is woken for.
#[derive(Debug)]
pub enum Told {
    /// To look whether it still stands.
    Look,
    Notice(Notice),
}

/// What a session has to know of its device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    #[default]
    Fine,
    /// The device was changed since: who connected must prove itself again.
    Changed,
    /// Another session of the same device began.
    TakenOver,
    /// The hub was deleted.
    Closed,
    /// The server stops.
    Stopping,
}

/// Everybody who is connected. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Presence(Arc<Mutex<Hubs>>);

#[derive(Debug, Default)]
struct Hubs {
    /// By the hub's uid, then by device; a module stands behind its device.
    lines: HashMap<String, BTreeMap<String, Line>>,
    count: usize,
    last_number: u64,
    takeovers: u64,
    is_stopping: bool,
    /// Who waits for a device to come and listen, by hub and device.
    waiters: HashMap<(String, String), Arc<Notify>>,
    /// Rung when a hub has something new for its services, by hub.
    service_bells: HashMap<String, Arc<Notify>>,
}

#[derive(Debug)]
struct Line {
    number: u64,
    since: Timestamp,
    standing: watch::Sender<Standing>,
    takeovers: u32,
    takeovers_since: Timestamp,
    /// Made when the device first asks to be told of something: most never do.
    mailbox: Option<mpsc::Sender<Notice>>,
    interests: Interests,
}

/// A device's place, given back when this is dropped.
#[derive(Debug)]
pub struct Seat {
    presence: Presence,
    hub: String,
    device: String,
    number: u64,
    standing: watch::Receiver<Standing>,
    mailbox: Option<mpsc::Receiver<Notice>>,
}

impl Presence {
    /// Seats a device that has proven itself; the session that has its place is told to end.
    ///
    /// # Errors
    /// [`Error::Unavailable`] past [`TAKEOVERS_PER_MINUTE_MAX`] and [`SEATS_MAX`], and while the server stops.
    pub fn take(&self, hub: &str, device: &str, now: Timestamp) -> Result<Seat, Error> {
        let mut hubs = self.lock();
        let hubs = &mut *hubs;
        if hubs.is_stopping {
            return Err(Error::Unavailable { message: "the server is stopping".into() });
        }
        hubs.last_number += 1;
        let number = hubs.last_number;
        let (sender, standing) = watch::channel(Standing::Fine);
        let mut line = Line {
            number,
            since: now,
            standing: sender,
            takeovers: 0,
            takeovers_since: now,
            mailbox: None,
            interests: Interests::default(),
        };
        match hubs.lines.entry(hub.to_owned()).or_default().entry(device.to_owned()) {
            Entry::Occupied(mut taken) => {
                let former = taken.get();
                if now < former.takeovers_since.plus_seconds(60) {
                    line.takeovers_since = former.takeovers_since;
                    line.takeovers = former.takeovers;
                }
                line.takeovers += 1;
                if line.takeovers > TAKEOVERS_PER_MINUTE_MAX {
                    return Err(Error::Unavailable {
                        message: format!(
                            "the device `{device}` was connected anew more than {TAKEOVERS_PER_MINUTE_MAX} times in a \
                             minute: two clients seem to use its key; stop one of them"
                        ),
                    });
                }
                former.standing.send_replace(Standing::TakenOver);
                hubs.takeovers += 1;
                taken.insert(line);
            }
            Entry::Vacant(_) if hubs.count >= SEATS_MAX => {
                return Err(Error::Unavailable {
                    message: format!("{SEATS_MAX} devices are connected, and no more can be"),
                });
            }
            Entry::Vacant(free) => {
                free.insert(line);
                hubs.count += 1;
            }
        }
        Ok(Seat {
            presence: self.clone(),
            hub: hub.to_owned(),
            device: device.to_owned(),
            number,
            standing,
            mailbox: None,
        })
    }

    /// Tells a session something; who is not there, does not listen or cannot follow is not told. A device
    /// learns of messages and desired properties by asking, too.
    pub fn tell(&self, hub: &str, device: &str, notice: Notice) {
        let interest = notice.interest();
        let _ = self.try_tell(hub, device, interest, notice);
    }

    /// # Errors
    /// The notice back, and why nobody heard it.
    pub fn try_tell(
        &self,
        hub: &str,
        device: &str,
        interest: Interest,
        notice: Notice,
    ) -> Result<(), (NotTold, Notice)> {
        let hubs = self.lock();
        let line = hubs.lines.get(hub).and_then(|it| it.get(device));
        let mailbox =
            line.filter(|it| it.interests.has(interest)).and_then(|it| it.mailbox.as_ref());
        let Some(mailbox) = mailbox else { return Err((NotTold::Absent, notice)) };
        mailbox.try_send(notice).map_err(|it| match it {
            mpsc::error::TrySendError::Full(notice) => (NotTold::Full, notice),
            mpsc::error::TrySendError::Closed(notice) => (NotTold::Absent, notice),
        })
    }

    /// Ends when a device comes, or begins to listen for something, from now on.
    pub fn listens(&self, hub: &str, device: &str) -> impl Future<Output = ()> + use<> {
        let key = (hub.to_owned(), device.to_owned());
        let waiter = Arc::clone(self.lock().waiters.entry(key.clone()).or_default());
        let coming = Arc::clone(&waiter).notified_owned();
        let presence = self.clone();
        async move {
            let _guard = Waiting { presence, key, waiter };
            coming.await;
        }
    }

    /// Wakes the services that wait for what a hub holds for them.
    pub fn ring_services(&self, hub: &str) {
        if let Some(bell) = self.lock().service_bells.get(hub) {
            bell.notify_waiters();
        }
    }

    /// What is rung when a hub may have something new for its services.
    pub fn service_bell(&self, hub: &str) -> Arc<Notify> {
        Arc::clone(self.lock().service_bells.entry(hub.to_owned()).or_default())
    }

    /// Tells the session of a device that the device was changed or deleted.
    pub fn changed(&self, hub: &str, device: &str) {
        let hubs = self.lock();
        if let Some(line) = hubs.lines.get(hub).and_then(|it| it.get(device)) {
            line.standing.send_replace(Standing::Changed);
        }
    }

    /// Tells the sessions of a device's modules that the device was changed or deleted.
    pub fn changed_modules(&self, hub: &str, device: &str) {
        let hubs = self.lock();
        let Some(lines) = hubs.lines.get(hub) else { return };
        let prefix = format!("{device}/");
        let its = lines.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        its.for_each(|(_, it)| {
            it.standing.send_replace(Standing::Changed);
        });
    }

    /// How many devices of a hub are connected, modules apart.
    pub fn connected_devices(&self, hub: &str) -> usize {
        let hubs = self.lock();
        hubs.lines.get(hub).map_or(0, |it| it.keys().filter(|key| !key.contains('/')).count())
    }

    /// Tells every session of a hub that the hub was changed.
    pub fn changed_all(&self, hub: &str) {
        if let Some(lines) = self.lock().lines.get(hub) {
            lines.values().for_each(|it| {
                it.standing.send_replace(Standing::Changed);
            });
        }
    }

    /// Ends every session of a hub.
    pub fn close(&self, hub: &str) {
        let mut hubs = self.lock();
        let Some(lines) = hubs.lines.remove(hub) else { return };
        hubs.count = hubs.count.saturating_sub(lines.len());
        drop(hubs);
        tell(lines, Standing::Closed);
    }

    /// Ends every session, and lets nobody in any more. A session hears of it here, on a way of its own: one
    /// that all of them watched would be a lock that each message takes.
    pub fn stop(&self) {
        let mut hubs = self.lock();
        hubs.is_stopping = true;
        hubs.count = 0;
        let all = std::mem::take(&mut hubs.lines);
        drop(hubs);
        all.into_values().for_each(|it| tell(it, Standing::Stopping));
    }

    /// Since when a device is connected, where it is.
    pub fn connected_since(&self, hub: &str, device: &str) -> Option<Timestamp> {
        Some(self.lock().lines.get(hub)?.get(device)?.since)
    }

    /// How many devices are connected, and how often one session took a device from another.
    pub fn count(&self) -> (usize, u64) {
        let hubs = self.lock();
        (hubs.count, hubs.takeovers)
    }

    fn lock(&self) -> MutexGuard<'_, Hubs> {
        // No critical section leaves the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(lines: BTreeMap<String, Line>, standing: Standing) {
    lines.into_values().for_each(|it| {
        it.standing.send_replace(standing);
    });
}

/// Who waits for a device to come; the place goes with the last of them.
struct Waiting {
    presence: Presence,
    key: (String, String),
    waiter: Arc<Notify>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut hubs = self.presence.lock();
        // The map's and this one.
        if Arc::strong_count(&self.waiter) <= 2 {
            hubs.waiters.remove(&self.key);
        }
    }
}

impl Seat {
    /// Waits until there is something to know or to hear.
    pub async fn told(&mut self) -> Told {
        let standing = &mut self.standing;
        let mailbox = &mut self.mailbox;
        let heard = async {
            match mailbox {
                Some(mailbox) => mailbox.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // The sender goes with the line, which says why before it goes.
            _ = standing.changed() => {
                // Looking at it is for [`Seat::standing`].
                standing.mark_changed();
                Told::Look
            }
            heard = heard => heard.map_or(Told::Look, Told::Notice),
        }
    }

    /// Asks to be told of `interests`, and of nothing else.
    pub fn listen(&mut self, interests: Interests) {
        let mut hubs = self.presence.lock();
        let hubs = &mut *hubs;
        let line = hubs.lines.get_mut(&self.hub).and_then(|it| it.get_mut(&self.device));
        let Some(line) = line.filter(|it| it.number == self.number) else { return };
        line.interests = interests;
        if interests != Interests::default() && line.mailbox.is_none() {
            let (sender, mailbox) = mpsc::channel(MAILBOX_MAX);
            line.mailbox = Some(sender);
            self.mailbox = Some(mailbox);
        }
        if !hubs.waiters.is_empty()
            && let Some(waiter) = hubs.waiters.get(&(self.hub.clone(), self.device.clone()))
        {
            waiter.notify_waiters();
        }
    }

    /// Whether another session has the place by now. Takes nothing away from [`Seat::standing`].
    pub fn is_taken_over(&self) -> bool {
        *self.standing.borrow() == Standing::TakenOver
    }

    /// What there is to know since the last time; costs one look where there is nothing.
    pub fn standing(&mut self) -> Standing {
        match self.standing.has_changed() {
            Ok(false) => Standing::Fine,
            Ok(true) | Err(_) => *self.standing.borrow_and_update(),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut hubs = self.presence.lock();
        let Some(lines) = hubs.lines.get_mut(&self.hub) else { return };
        // Who was taken over has no place to give back.
        if lines.get(&self.device).is_some_and(|it| it.number == self.number) {
            lines.remove(&self.device);
            let is_empty = lines.is_empty();
            hubs.count = hubs.count.saturating_sub(1);
            if is_empty {
                hubs.lines.remove(&self.hub);
            }
        }
    }
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
