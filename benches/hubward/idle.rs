//! What a device costs that connects and says nothing: memory that stays, and the work of letting it in.

use super::mqtt::{Broker, Client, all_connected};
use super::now;
use testkit::Process;

/// The first ones warm up what there is to warm up.
pub const WARM: usize = 100;
/// As many connect at a time: fewer than may be unproven.
const AT_A_TIME: usize = 250;

/// Measures at each of the sizes, which grow.
pub fn idle(process: &Process, broker: &Broker, clients: &[Client], sizes: &[usize]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (first, mut rest) = clients.split_at(WARM);
        let mut connected = all_connected(broker, first).await;
        let (bytes, cpu, began) =
            (process.resident_bytes(), testkit::cpu_seconds(broker.pid), now());
        let mut count = 0;
        for size in sizes {
            while count < *size {
                let (some, others) = rest.split_at(AT_A_TIME.min(size - count));
                connected.extend(all_connected(broker, some).await);
                (count, rest) = (count + some.len(), others);
            }
            let each = count as f64;
            let more = process.resident_bytes().saturating_sub(bytes) as f64;
            println!(
                "idle devices over TLS 1.3, {count}: {:.1} KiB resident each, {:.2} CPU ms per connect, {:.0} connects per second",
                more / 1024.0 / each,
                (testkit::cpu_seconds(broker.pid) - cpu) / each * 1e3,
                each / began.elapsed().as_secs_f64(),
            );
        }
    });
}
