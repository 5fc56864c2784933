//! Who is connected: at most one session for each device, the last that proved itself.
//!
//! This is the one place that assumes a device is connected to this process. A session holds a [`Seat`], and
//! whoever changes a device says so here, so that the session proves itself anew before its next operation.

use model::{Error, Timestamp};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How often in a minute one session may take a device from another. Two clients with one device's key
/// would otherwise throw each other out as fast as the network lets them.
pub const TAKEOVERS_PER_MINUTE_MAX: u32 = 30;
/// Most devices that are connected at a time.
pub const SEATS_MAX: usize = 1 << 20;

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
    /// By the hub's uid, then by device.
    lines: HashMap<String, HashMap<String, Line>>,
    count: usize,
    last_number: u64,
    takeovers: u64,
    is_stopping: bool,
}

#[derive(Debug)]
struct Line {
    number: u64,
    since: Timestamp,
    standing: watch::Sender<Standing>,
    takeovers: u32,
    takeovers_since: Timestamp,
}

/// A device's place, given back when this is dropped.
#[derive(Debug)]
pub struct Seat {
    presence: Presence,
    hub: String,
    device: String,
    number: u64,
    standing: watch::Receiver<Standing>,
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
        let mut line =
            Line { number, since: now, standing: sender, takeovers: 0, takeovers_since: now };
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
        })
    }

    /// Tells the session of a device that the device was changed or deleted.
    pub fn changed(&self, hub: &str, device: &str) {
        let hubs = self.lock();
        if let Some(line) = hubs.lines.get(hub).and_then(|it| it.get(device)) {
            line.standing.send_replace(Standing::Changed);
        }
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

fn tell(lines: HashMap<String, Line>, standing: Standing) {
    lines.into_values().for_each(|it| {
        it.standing.send_replace(standing);
    });
}

impl Seat {
    /// Waits until there is something to know.
    pub async fn called(&mut self) {
        // The sender goes with the line, which says why before it goes.
        let _ = self.standing.changed().await;
        // Looking at it is for [`Seat::standing`].
        self.standing.mark_changed();
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
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    #[test]
    fn the_last_who_comes_has_the_place() {
        let presence = Presence::default();
        let mut first = presence.take("h", "device1", NOW).unwrap();
        let mut namesake = presence.take("h", "device10", NOW).unwrap();
        let mut elsewhere = presence.take("h2", "device1", NOW).unwrap();
        assert_eq!(first.standing(), Standing::Fine);
        let mut second = presence.take("h", "device1", NOW.plus_seconds(5)).unwrap();
        assert_eq!(first.standing(), Standing::TakenOver);
        for other in [&mut namesake, &mut elsewhere, &mut second] {
            assert_eq!(other.standing(), Standing::Fine);
        }
        // The one who went gives nothing back that is not its own.
        drop(first);
        assert_eq!(presence.connected_since("h", "device1"), Some(NOW.plus_seconds(5)));
        drop(second);
        assert_eq!(presence.connected_since("h", "device1"), None);
        assert_eq!(presence.count(), (2, 1));
        drop((namesake, elsewhere));
        assert!(presence.lock().lines.is_empty());
    }

    #[test]
    fn a_change_is_told_to_the_device_alone() {
        let presence = Presence::default();
        let mut one = presence.take("h", "device1", NOW).unwrap();
        let mut ten = presence.take("h", "device10", NOW).unwrap();
        presence.changed("h", "device1");
        presence.changed("h2", "device10");
        assert_eq!((one.standing(), ten.standing()), (Standing::Changed, Standing::Fine));
        assert_eq!(one.standing(), Standing::Fine);
        presence.changed_all("h2");
        assert_eq!(ten.standing(), Standing::Fine);
        presence.changed_all("h");
        assert_eq!((one.standing(), ten.standing()), (Standing::Changed, Standing::Changed));
        presence.close("h");
        assert_eq!((one.standing(), ten.standing()), (Standing::Closed, Standing::Closed));
        assert_eq!(presence.count(), (0, 0));
    }

    #[test]
    fn who_comes_while_the_server_stops_is_not_let_in() {
        let presence = Presence::default();
        let mut seat = presence.take("h", "device1", NOW).unwrap();
        presence.stop();
        assert_eq!(seat.standing(), Standing::Stopping);
        assert!(presence.take("h", "device2", NOW).is_err());
        assert_eq!(presence.count().0, 0);
    }

    #[test]
    fn two_clients_with_one_key_cannot_throw_each_other_out_for_ever() {
        let presence = Presence::default();
        let mut seats = vec![presence.take("h", "d", NOW).unwrap()];
        for _ in 0..TAKEOVERS_PER_MINUTE_MAX {
            seats.push(presence.take("h", "d", NOW.plus_seconds(59)).unwrap());
        }
        let error = presence.take("h", "d", NOW.plus_seconds(59)).unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert_eq!(seats.last_mut().unwrap().standing(), Standing::Fine);
        presence.take("h", "d", NOW.plus_seconds(60)).unwrap();
    }
}
