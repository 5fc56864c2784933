//! The committed bytes of every target, and changed copies of them that a seed repeats.

use super::{TARGETS, Target};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// Changed copies of each target's bytes.
const CHANGED: u64 = 10_000;
/// The same for a target that opens files.
const CHANGED_FILES: u64 = 1_000;
/// Longest input of a changed copy.
const BYTES_MAX: usize = 4_096;

#[test]
fn every_target_holds_for_its_corpus() {
    for (name, target) in TARGETS {
        for (file, bytes) in corpus(name) {
            call(*target, &bytes, || format!("fuzz/corpus/{name}/{file}"));
        }
    }
}

#[test]
fn every_target_holds_for_changed_copies_of_its_corpus() {
    for (name, target) in TARGETS {
        let corpus: Vec<Vec<u8>> = corpus(name).into_iter().map(|(_, bytes)| bytes).collect();
        let count = if *name == "log_reader" { CHANGED_FILES } else { CHANGED };
        for seed in 0..count {
            let bytes = changed(&corpus, seed);
            call(*target, &bytes, || format!("`{name}`, seed {seed}"));
        }
    }
}

/// Calls the target; where it panics, says with what.
fn call(target: Target, bytes: &[u8], which: impl Fn() -> String) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
        eprintln!("{} does not hold for {} bytes: {bytes:02x?}", which(), bytes.len());
        resume_unwind(panic);
    }
}

/// What is committed, by name. What a fuzzer adds has a hash for a name, and would make each seed mean
/// something else.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("`{name}` has no corpus: {error}"))
        .map(|it| it.unwrap())
        .map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap()))
        .filter(|(file, _)| file.len() != 40)
        .collect();
    files.sort();
    assert!(!files.is_empty(), "`{name}` has no corpus");
    files
}

/// One of the corpus with a few changes: bytes flipped, set, taken out, put in, or another's tail.
fn changed(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = (at + 1 + random.below(8)).min(bytes.len());
        match random.below(6) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|it| *it ^= 1 << random.below(8)),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|it| *it = random.byte()),
            2 if at < to => drop(bytes.drain(at..to)),
            3 => bytes.truncate(at),
            4 => {
                let other = &corpus[random.below(corpus.len())];
                bytes.truncate(at);
                bytes.extend(&other[random.below(other.len() + 1)..]);
            }
            _ => {
                let new: Vec<u8> = (0..=random.below(8)).map(|_| random.byte()).collect();
                bytes.splice(at..at, new);
            }
        }
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

/// Numbers that a seed repeats: SplitMix64.
struct Random(u64);

impl Random {
    /// From 0 up to `bound`, which is 1 at least.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}
