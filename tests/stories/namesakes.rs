//! Two devices of one hub whose names begin alike: what is one's must not become the other's.

use testkit::{Device, Mqtt, World};

pub struct Namesakes {
    pub world: World,
    pub hub: String,
    /// `device1`.
    pub one: Device,
    /// `device10`.
    pub ten: Device,
}

impl Namesakes {
    pub fn new() -> Self {
        let world = World::new();
        let hub = world.hub();
        let (one, ten) = (world.device(&hub, "device1"), world.device(&hub, "device10"));
        Self { world, hub, one, ten }
    }

    /// Over MQTT, by a key that holds for ten minutes.
    pub fn connects(&self, device: &Device) -> Mqtt {
        device.connects(self.world.wire(), self.world.now().plus_seconds(600))
    }
}
