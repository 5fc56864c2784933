//! Worlds and requests from a seed, made so that they collide: few names with namesakes, few actions,
//! patterns with wildcards anywhere, any casing, times on the very edge.

mod names;
mod patterns;
mod requests;
mod rules;
mod worlds;

pub use names::Names;
pub use requests::request;
pub use worlds::world;

/// The time around which everything happens.
pub(crate) const NOW_MS: i64 = 1_800_000_000_000;
/// How late changes may be seen.
pub(crate) const DELAYS_S: [u32; 4] = [0, 60, 300, 600];
/// Off an edge by this much, in ms.
pub(crate) const EDGES_MS: [i64; 5] = [-1_000, -1, 0, 1, 1_000];

/// A moment some delay ago, or a little beside it.
pub(crate) fn moment_before(random: &mut crate::Random) -> i64 {
    NOW_MS - i64::from(*random.one_of(&DELAYS_S)) * 1_000 + random.one_of(&EDGES_MS)
}
