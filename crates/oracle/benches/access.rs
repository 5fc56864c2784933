//! What a decision costs here and in Cedar, on the same tenants, in one process:
//! `cargo bench -p oracle --features oracles --bench access`, and the sizes that are wanted behind ` -- `.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a bench stops at the first thing that is not as told"
)]

#[path = "../../../benches/hubward/access.rs"]
mod access;
#[path = "access/cedar.rs"]
mod cedar;
#[path = "../../../benches/hubward/tenant.rs"]
mod tenant;

use model::Timestamp;
use std::time::Instant;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn main() {
    let wanted: Vec<usize> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    access::decisions(&wanted, cedar::beside);
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn now() -> Instant {
    Instant::now()
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
