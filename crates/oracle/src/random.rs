//! Numbers that look random and follow from one seed alone.

/// SplitMix64. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0. The skew of the remainder does not matter here.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several. Empty lists are a mistake of the caller.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.below(all.len());
        all.get(at).expect("what is chosen from is not empty, and the index lies below its length")
    }

    /// `text` in the casing that it has, or, one time in five, in another. Takes as many numbers for every
    /// text, so that worlds which differ in their names alone draw alike.
    pub fn cased(&mut self, text: &str) -> String {
        let (turns, mask) = (self.chance(20), self.next());
        if !turns {
            return text.to_owned();
        }
        text.chars()
            .enumerate()
            .map(|(at, it)| match (mask >> (at % 64)) & 1 {
                0 => it.to_ascii_lowercase(),
                _ => it.to_ascii_uppercase(),
            })
            .collect()
    }

    /// Another order of the same things.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            let other = self.below(at + 1);
            all.swap(at, other);
        }
    }
}
