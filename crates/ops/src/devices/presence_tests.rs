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

/// Threat 39.
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
