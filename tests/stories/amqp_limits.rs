//! Quotas and throttles over AMQP: what is too much is rejected with its reason, and the link stays.

use super::limits::{empties, metric};
use amqp::message::BATCH;
use amqp::performative::{Disposition, Performative};
use amqp::{Body, Condition, Message, Outcome};
use bytes::Bytes;
use testkit::{Amqp, Device, World};

fn text(body: &str) -> Message {
    Message {
        body: Body::Data(vec![Bytes::copy_from_slice(body.as_bytes())]),
        ..Message::default()
    }
}

/// A connection on which a device is proven for two days, and the link over which it sends.
fn connects(world: &World, device: &Device) -> (Amqp, u32) {
    let mut amqp = Amqp::begin(world.wire(), &device.host, world.amqp_port());
    let token = device.signature(world.now().plus_seconds(200_000));
    let name = format!("{}/devices/{}", device.host, device.id);
    assert_eq!(amqp.puts_token(&name, &token).0, 200);
    let link = amqp.sends_to(&format!("/devices/{}/messages/events", device.id)).unwrap();
    (amqp, link)
}

#[track_caller]
fn why(outcome: Outcome) -> Condition {
    let Outcome::Rejected(Some(condition)) = outcome else { panic!("{outcome:?}") };
    condition
}

#[test]
fn when_the_day_is_over_a_message_is_rejected_and_the_next_day_taken_over_the_same_link() {
    let world = World::limited("F1");
    let hub = world.hub();
    let (device, other) = (world.device(&hub, "device1"), world.device(&hub, "device2"));
    let mut mqtt = other.connects(world.wire(), world.now().plus_seconds(600));
    let large = vec![b'x'; 256 << 10];
    empties(&mut mqtt, &other.events(), &large, 15);
    mqtt.publish(&other.events(), &large[..319 * 512]).unwrap();
    let (mut amqp, link) = connects(&world, &device);
    // Two in one batch do not fit where one does, and neither is kept.
    let parts = vec![text("one").write(), text("two").write()];
    let batch = Message { body: Body::Data(parts), ..Message::default() };
    let told = why(amqp.sends_as(link, batch.write(), BATCH)).to_string();
    assert!(told.contains("amqp:resource-limit-exceeded"), "{told}");
    assert!(told.contains("8000 messages a day (edition F1x1"), "{told}");
    assert_eq!(amqp.sends(link, &text("the last")), Outcome::Accepted);
    why(amqp.sends(link, &text("past")));
    assert_eq!(world.messages(&hub).len(), 17);
    world.pass_seconds(16 * 3_600);
    assert_eq!(amqp.sends(link, &text("a new day")), Outcome::Accepted);
}

#[test]
fn a_device_over_amqp_that_sends_too_fast_is_read_from_more_slowly() {
    let world = World::limited("S1x1");
    let hub = world.hub();
    let (device, other) = (world.device(&hub, "device1"), world.device(&hub, "device2"));
    let mut mqtt = other.connects(world.wire(), world.now().plus_seconds(600));
    empties(&mut mqtt, &other.events(), b"x", 6_000);
    let (mut amqp, link) = connects(&world, &device);
    assert_eq!(amqp.sends(link, &text("6001")), Outcome::Accepted);
    let held = format!("hubward_held_up_total{{hub=\"{}\"}}", world.setting("HUBWARD_HUB"));
    assert_eq!(metric(&world, &held), 1);
    let id = amqp.transfers(link, text("6002").write(), 0, false);
    assert_eq!(world.messages(&hub).len(), 6_001);
    world.pass_seconds(1);
    let heard = amqp.awaits(
        |it| matches!(it, Performative::Disposition(it) if (it.first..=it.last.unwrap_or(it.first)).contains(&id)),
    );
    let Performative::Disposition(Disposition { outcome, .. }) = heard else { panic!("{heard:?}") };
    assert_eq!(outcome, Some(Outcome::Accepted));
    assert_eq!(world.messages(&hub).len(), 6_002);
}

#[test]
fn a_service_that_sends_to_devices_too_fast_is_told_to_come_back_and_attaching_is_free() {
    let world = World::limited("S1x1");
    let hub = world.hub();
    let devices = ["device1", "device2", "device3"].map(|it| world.device(&hub, it));
    let host = devices[0].host.clone();
    let mut amqp = Amqp::begin(world.wire(), &host, world.amqp_port());
    assert_eq!(amqp.puts_token(&host, &world.sas(&hub, "iothubowner", &host)).0, 200);
    for _ in 0..3 {
        let link = amqp.sends_to("/messages/devicebound").unwrap();
        amqp.detaches(link);
    }
    let link = amqp.sends_to("/messages/devicebound").unwrap();
    let to = |device: &str| {
        let mut message = text("hello");
        message.properties.to = Some(format!("/devices/{device}/messages/devicebound"));
        message
    };
    for number in 0..100 {
        let device = if number < 50 { "device1" } else { "device2" };
        assert_eq!(amqp.sends(link, &to(device)), Outcome::Accepted, "{number}");
    }
    let told = why(amqp.sends(link, &to("device3"))).to_string();
    assert!(told.contains("com.microsoft:device-container-throttled"), "{told}");
    assert!(told.contains("100 messages to devices a minute (edition S1x1)"), "{told}");
    world.pass_seconds(1);
    assert_eq!(amqp.sends(link, &to("device3")), Outcome::Accepted);
}
