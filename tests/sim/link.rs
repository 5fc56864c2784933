//! The way between a device and its hub: bytes in pieces, late, up to a point, and then no more.

use super::plant::Plant;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex, split,
};
use tokio::time::sleep;

/// How a link treats what it carries.
#[derive(Clone, Copy)]
struct Manner {
    /// Most bytes that go together.
    piece: u64,
    /// Longest pause before each piece.
    pause_ms: u64,
    /// After so many bytes in either direction the link is gone.
    cut_after: Option<u64>,
}

/// How a direction of a link ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Who sent has closed it, and everything has arrived.
    Closed,
    /// Nobody is there to take it.
    Untaken,
    /// The link is gone.
    Cut,
}

/// A link: the device's end and the hub's.
pub fn link(plant: &Rc<Plant>) -> (DuplexStream, DuplexStream) {
    let buffer = if plant.chance(35) { 256 } else { 16 << 10 };
    let (device, near) = duplex(buffer);
    let (far, hub) = duplex(buffer);
    let manner = match plant.draw(0, 9) {
        _ if plant.is_calm() => Manner { piece: 4_096, pause_ms: 2, cut_after: None },
        0 => Manner { piece: 200, pause_ms: 100, cut_after: cut_after(plant) },
        1..=3 => Manner { piece: 40, pause_ms: 2, cut_after: cut_after(plant) },
        _ => Manner { piece: 4_096, pause_ms: 4, cut_after: cut_after(plant) },
    };
    plant.act(carry(Rc::clone(plant), manner, near, far));
    (device, hub)
}

fn cut_after(plant: &Plant) -> Option<u64> {
    plant.chance(60).then(|| plant.draw(1, 6_000))
}

async fn carry(plant: Rc<Plant>, manner: Manner, near: DuplexStream, far: DuplexStream) {
    let (mut near_read, mut near_write) = split(near);
    let (mut far_read, mut far_write) = split(far);
    let end = {
        let up = pump(&plant, manner, &mut near_read, &mut far_write);
        let down = pump(&plant, manner, &mut far_read, &mut near_write);
        let (mut up, mut down) = (pin!(up), pin!(down));
        // What is on its way still arrives, also when who sent it is gone.
        tokio::select! {
            biased;
            end = up.as_mut() => if end == End::Untaken { down.await } else { end },
            end = down.as_mut() => if end == End::Untaken { up.await } else { end },
        }
    };
    // Whether an end is told, or hears nothing for a while.
    let (is_device_told, is_hub_told) = match end {
        End::Untaken => return,
        End::Closed => (true, plant.chance(60)),
        End::Cut => (plant.chance(60), plant.chance(40)),
    };
    let near = near_read.unsplit(near_write);
    let far = far_read.unsplit(far_write);
    let time = Duration::from_millis(plant.draw(200, 90_000));
    let kept = ((!is_device_told).then_some(near), (!is_hub_told).then_some(far));
    if !plant.is_calm() && (!is_device_told || !is_hub_told) {
        sleep(time).await;
    }
    drop(kept);
}

/// Carries bytes in one direction to their end.
async fn pump(
    plant: &Plant,
    manner: Manner,
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> End {
    let mut left = manner.cut_after;
    let mut piece = [0; 4_096];
    loop {
        let size = usize::try_from(plant.draw(1, manner.piece)).unwrap();
        let Ok(read @ 1..) = from.read(&mut piece[..size]).await else { return End::Closed };
        let pause_ms = match plant.draw(0, 99) {
            0 if !plant.is_calm() => plant.draw(500, 12_000),
            _ => plant.draw(0, manner.pause_ms),
        };
        if pause_ms > 0 {
            sleep(Duration::from_millis(pause_ms)).await;
        }
        let carried = left.map_or(read, |it| read.min(usize::try_from(it).unwrap()));
        if to.write_all(&piece[..carried]).await.is_err() {
            return End::Untaken;
        }
        left = left.map(|it| it - carried as u64);
        if left == Some(0) {
            return End::Cut;
        }
    }
}
