//! No bytes break the log: files that are cut, flipped or random are read without a panic, what is
//! undamaged is served, what is damaged is not, and appending goes on.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of tests may panic as they do"
)]
#![expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]

#[path = "support/random.rs"]
mod random;

use random::Random;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use store::Log;
use store::log::{Append, LogOptions, Position, Record, Start, verify};

const HEADERS: u64 = 8_192;
const RECORD_HEADER: u64 = 44;

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 24 * 1024,
        record_bytes_max: 8_000,
        ..LogOptions::new(3, 0x0dd5_a175_c0ff_ee11)
    }
}

/// A log of three segments, closed, as files and as the records that are in it.
struct Sample {
    segments: Vec<(PathBuf, Vec<u8>)>,
    records: Vec<Record>,
}

impl Sample {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path()).await;
        // Payloads that hold what a record looks like, too.
        let decoy = fs::read(directory.path().join(format!("{:020}.seg", 0))).unwrap();
        for count in 0..260_u64 {
            let mut payload = vec![(count % 250 + 1) as u8; (count * 31 % 200) as usize];
            if count % 10 == 0 {
                payload.extend(&decoy[HEADERS as usize..][..100]);
                payload.extend(0x0dd5_a175_u32.to_le_bytes());
            }
            let partition = (count % 3) as u16;
            log.append(partition, count as i64, payload.into()).await.unwrap();
        }
        let records = everything(&log).await;
        log.close().await;
        let segments: Vec<_> = segments(directory.path())
            .into_iter()
            .map(|it| (it.file_name().unwrap().into(), fs::read(&it).unwrap()))
            .collect();
        assert_eq!(segments.len(), 3);
        Self { segments, records }
    }

    /// Puts the files into `directory` and nothing else, with the bytes of one of them changed.
    fn lay_out(&self, directory: &Path, changed: usize, bytes: &[u8]) {
        for entry in fs::read_dir(directory).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (at, (name, original)) in self.segments.iter().enumerate() {
            let bytes = if at == changed { bytes } else { original };
            fs::write(directory.join(name), bytes).unwrap();
        }
    }

    fn base(&self, segment: usize) -> u64 {
        self.segments[segment].0.file_stem().unwrap().to_str().unwrap().parse().unwrap()
    }

    /// The records of a segment, in the order of the file, from the file's start.
    fn places(&self, segment: usize) -> Vec<(u64, u64, Position)> {
        let base = self.base(segment);
        let end = base + self.segments[segment].1.len() as u64;
        let mut places: Vec<_> = self
            .records
            .iter()
            .filter(|it| (base..end).contains(&it.position.offset))
            .map(|it| {
                let from = it.position.offset - base;
                (from, from + RECORD_HEADER + it.payload.len() as u64, it.position)
            })
            .collect();
        places.sort();
        places
    }

    fn without(&self, damaged: &BTreeSet<Position>) -> Vec<Record> {
        self.records.iter().filter(|it| !damaged.contains(&it.position)).cloned().collect()
    }
}

#[tokio::test]
async fn a_newest_segment_cut_anywhere_in_its_last_records_is_a_torn_tail() {
    let sample = Sample::new().await;
    let directory = tempfile::tempdir().unwrap();
    let places = sample.places(2);
    let original = &sample.segments[2].1;
    let (first, last) = (places[places.len() - 4].0, places[places.len() - 1].1);
    for cut in first..=last {
        let lost = places.iter().filter(|(_, to, _)| *to > cut).map(|it| it.2).collect();
        let is_torn = places.iter().any(|(from, to, _)| (from + 1..*to).contains(&cut));
        // Cut short, as a file system may; or not written from there on, as a crash leaves it.
        let mut unwritten = original.clone();
        unwritten[cut as usize..].fill(0);
        // A record may well end in zeros: then the cut did nothing.
        if unwritten != *original {
            sample.lay_out(directory.path(), 2, &unwritten);
            check_torn(directory.path(), &sample, &lost, None).await;
        }
        sample.lay_out(directory.path(), 2, &original[..cut as usize]);
        check_torn(directory.path(), &sample, &lost, Some(is_torn)).await;
    }
}

async fn check_torn(
    directory: &Path,
    sample: &Sample,
    lost: &BTreeSet<Position>,
    is_torn: Option<bool>,
) {
    let verified = verify(directory).unwrap();
    assert_eq!(verified.bad, 0, "{verified:?}");
    assert_eq!(verified.records as usize, sample.records.len() - lost.len());
    if let Some(is_torn) = is_torn {
        assert_eq!(verified.torn_tail, is_torn);
    }
    check_goes_on(directory, &sample.without(lost)).await;
    let verified = verify(directory).unwrap();
    assert!(verified.bad == 0 && !verified.torn_tail, "{verified:?}");
}

/// Opens the log, finds `expected`, appends, opens it again and finds that, too.
async fn check_goes_on(directory: &Path, expected: &[Record]) {
    let log = open(directory).await;
    assert_eq!(everything(&log).await, expected);
    let mut added = Vec::new();
    for partition in 0..3 {
        let next = log.bounds(partition).unwrap().next_sequence;
        let position = log.append(partition, 1, "added".into()).await.unwrap();
        assert_eq!(position.sequence, next);
        assert!(expected.iter().all(|it| it.position.offset < position.offset));
        let old = expected.iter().filter(|it| it.position.partition == partition);
        assert!(old.map(|it| it.position.sequence).all(|it| it < next));
        added.push(Record { position, time_ms: 1, payload: "added".into() });
    }
    log.close().await;
    let log = open(directory).await;
    let (again, mut wanted) = (everything(&log).await, [expected, &added].concat());
    wanted.sort_by_key(|it| it.position);
    assert_eq!(again, wanted);
    log.close().await;
}

#[tokio::test]
async fn a_flipped_bit_costs_the_record_that_it_is_in_and_no_other() {
    let sample = Sample::new().await;
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(0xf11b);
    for round in 0..300 {
        let segment = (round % 3) as usize;
        let places = sample.places(segment);
        let mut bytes = sample.segments[segment].1.clone();
        // The last record of all is the torn tail's, below.
        let choices = places.len() as u64 - u64::from(segment == 2);
        let mut damaged = BTreeSet::new();
        for _ in 0..=random.below(4) {
            let (from, to, position) = places[random.below(choices) as usize];
            // Twice at the same place would be undamaged.
            if damaged.insert(position) {
                let at = from + random.below(to - from);
                bytes[at as usize] ^= 1 << random.below(8);
            }
        }
        sample.lay_out(directory.path(), segment, &bytes);
        let verified = verify(directory.path()).unwrap();
        assert_eq!(verified.records as usize, sample.records.len() - damaged.len());
        // Neighbours may count as one place.
        assert!((1..=damaged.len() as u64).contains(&verified.bad), "{verified:?}");
        assert!(!verified.torn_tail);
        for damage in &verified.damage {
            let hits =
                |it: &&Position| (damage.offset..damage.offset + damage.bytes).contains(&it.offset);
            assert!(damaged.iter().any(|it| hits(&it)), "{damage:?}");
        }
        let log = open(directory.path()).await;
        assert_eq!(log.damage(), verified.damage);
        log.close().await;
        check_goes_on(directory.path(), &sample.without(&damaged)).await;
    }
}

#[tokio::test]
async fn a_last_record_with_a_flipped_bit_is_a_torn_tail() {
    let sample = Sample::new().await;
    let directory = tempfile::tempdir().unwrap();
    let (from, to, position) = *sample.places(2).last().unwrap();
    for at in from..to {
        let mut bytes = sample.segments[2].1.clone();
        bytes[at as usize] ^= 1 << (at % 8);
        sample.lay_out(directory.path(), 2, &bytes);
        assert!(verify(directory.path()).unwrap().torn_tail);
        check_torn(directory.path(), &sample, &[position].into(), Some(true)).await;
    }
}

#[tokio::test]
async fn what_rots_while_the_log_is_open_is_not_served_and_is_reported() {
    let sample = Sample::new().await;
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(0x2075);
    for round in 0..60 {
        let segment = (round % 3) as usize;
        let (name, original) = &sample.segments[segment];
        sample.lay_out(directory.path(), segment, original);
        let log = open(directory.path()).await;
        let places = sample.places(segment);
        let (from, to, position) = places[random.below(places.len() as u64) as usize];
        let mut bytes = original.clone();
        let at = from + random.below(to - from);
        bytes[at as usize] ^= 1 << random.below(8);
        fs::write(directory.path().join(name), bytes).unwrap();
        assert_eq!(everything(&log).await, sample.without(&[position].into()));
        let damage = log.damage();
        assert_eq!(damage.len(), 1, "{damage:?}");
        assert_eq!(damage[0].offset, position.offset);
        log.close().await;
    }
}

#[tokio::test]
async fn a_hole_of_zeros_before_a_record_is_damage_and_not_the_end() {
    let sample = Sample::new().await;
    let directory = tempfile::tempdir().unwrap();
    let places = sample.places(2);
    let mut bytes = sample.segments[2].1.clone();
    let (from, to) = (places[3].0, places[places.len() - 2].1);
    bytes[from as usize..to as usize].fill(0);
    sample.lay_out(directory.path(), 2, &bytes);
    let verified = verify(directory.path()).unwrap();
    assert_eq!((verified.bad, verified.torn_tail), (1, false));
    assert_eq!(verified.damage[0].bytes, to - from);
    let lost = places[3..places.len() - 1].iter().map(|it| it.2).collect();
    // The lost records' sequences are not used again, although nothing says which they were.
    let log = open(directory.path()).await;
    for partition in 0..3 {
        let of_partition = sample.records.iter().filter(|it| it.position.partition == partition);
        let newest = of_partition.map(|it| it.position.sequence).max().unwrap();
        assert!(log.bounds(partition).unwrap().next_sequence > newest);
    }
    log.close().await;
    check_goes_on(directory.path(), &sample.without(&lost)).await;
}

#[tokio::test]
async fn one_damaged_copy_of_a_header_costs_nothing_and_is_reported() {
    let sample = Sample::new().await;
    let directory = tempfile::tempdir().unwrap();
    for segment in 0..3 {
        for copy in [0, HEADERS / 2] {
            let mut bytes = sample.segments[segment].1.clone();
            bytes[(copy + 100) as usize] ^= 1;
            sample.lay_out(directory.path(), segment, &bytes);
            let verified = verify(directory.path()).unwrap();
            assert_eq!((verified.bad, verified.records), (1, sample.records.len() as u64));
            check_goes_on(directory.path(), &sample.records).await;
        }
    }
}

#[tokio::test]
async fn a_segment_without_a_header_is_read_by_the_salt_of_the_others() {
    let sample = Sample::new().await;
    let directory = tempfile::tempdir().unwrap();
    for segment in 0..3 {
        let mut bytes = sample.segments[segment].1.clone();
        bytes[..HEADERS as usize].fill(0xff);
        sample.lay_out(directory.path(), segment, &bytes);
        let verified = verify(directory.path()).unwrap();
        assert_eq!((verified.bad, verified.records), (2, sample.records.len() as u64));
        check_goes_on(directory.path(), &sample.records).await;
    }
    // Alone, it cannot be told from anything.
    let mut bytes = sample.segments[0].1.clone();
    bytes[..HEADERS as usize].fill(0);
    sample.lay_out(directory.path(), 0, &bytes);
    for (name, _) in &sample.segments[1..] {
        fs::remove_file(directory.path().join(name)).unwrap();
    }
    let error = Log::open(directory.path(), options(), 0).await.err().unwrap();
    assert!(error.to_string().contains("no readable header"), "{error}");
}

#[tokio::test]
async fn without_header_and_history_no_sequence_is_used_again() {
    let sample = Sample::new().await;
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = sample.segments[1].1.clone();
    bytes[..HEADERS as usize].fill(0);
    // Nor a record: what the partitions had can only be guessed, and is guessed too high.
    bytes[HEADERS as usize..].fill(0);
    sample.lay_out(directory.path(), 1, &bytes);
    fs::remove_file(directory.path().join(&sample.segments[0].0)).unwrap();
    let (_, newest) = (sample.segments[2].1.clone(), &sample.segments[2].0);
    let log = open(directory.path()).await;
    let known: Vec<u64> = (0..3).map(|it| log.bounds(it).unwrap().next_sequence).collect();
    log.close().await;
    // The newest segment's header says it; without that, too, it is guessed.
    let path = directory.path().join(newest);
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADERS as usize..].fill(0);
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let log = open(directory.path()).await;
    let header_only: Vec<u64> = (0..3).map(|it| log.bounds(it).unwrap().next_sequence).collect();
    assert!(header_only.iter().zip(&known).all(|(one, other)| one <= other && *one > 40));
}

#[tokio::test]
async fn random_bytes_never_panic_and_are_never_served() {
    let sample = Sample::new().await;
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(0xbadb);
    for round in 0..300_u64 {
        let segment = (round % 3) as usize;
        let mut bytes = sample.segments[segment].1.clone();
        let length = bytes.len() as u64;
        for _ in 0..=random.below(3) {
            let (from, some) = (random.below(length), random.below(6_000));
            let to = length.min(from + some);
            let target = &mut bytes[from as usize..to as usize];
            match random.below(4) {
                0 => target.iter_mut().for_each(|it| *it = random.below(256) as u8),
                1 => target.fill(random.below(256) as u8),
                // A piece of the same or another segment, in a place that is not its own.
                2 => {
                    let donor = &sample.segments[random.below(3) as usize].1;
                    let at = random.below(length - (to - from)) as usize;
                    target.copy_from_slice(&donor[at..at + target.len()]);
                }
                _ => bytes.truncate(to as usize),
            }
            if bytes.len() as u64 != length {
                break;
            }
        }
        sample.lay_out(directory.path(), segment, &bytes);
        let verified = verify(directory.path()).unwrap();
        let log = match Log::open(directory.path(), options(), 0).await {
            Ok(log) => log,
            Err(error) => panic!("round `{round}`: {error}"),
        };
        let found = everything(&log).await;
        assert_eq!(found.len() as u64, verified.records);
        // All that is served was appended, and all that is untouched is served.
        assert!(found.iter().all(|it| sample.records.contains(it)), "round `{round}`");
        let is_untouched = |it: &&Record| {
            let (base, bytes_now) = (sample.base(segment), &bytes);
            let end = it.position.offset + RECORD_HEADER + it.payload.len() as u64;
            let Some(from) = it.position.offset.checked_sub(base) else { return true };
            let original = &sample.segments[segment].1;
            let Some(place) = original.get(from as usize..(end - base) as usize) else {
                return true;
            };
            bytes_now.get(from as usize..(end - base) as usize) == Some(place)
        };
        for record in sample.records.iter().filter(is_untouched) {
            assert!(found.contains(record), "round `{round}`: {:?}", record.position);
        }
        log.close().await;
        check_goes_on(directory.path(), &found).await;
    }
}

#[tokio::test]
async fn files_of_nothing_but_noise_never_panic() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(0x0015e);
    for round in 0..100 {
        let length = random.below(20_000) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        if round % 2 == 0 {
            // As far as the version it is one of ours.
            let mut prefix = b"HUBWLOG\n\x01\0\0\0".to_vec();
            prefix.extend(crc32fast::hash(&prefix).to_le_bytes());
            bytes.splice(..prefix.len().min(length), prefix);
        }
        let path = directory.path().join(format!("{:020}.seg", random.below(1 << 40)));
        fs::write(&path, bytes).unwrap();
        assert!(verify(directory.path()).is_err());
        assert!(Log::open(directory.path(), options(), 0).await.is_err());
        fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn a_payload_that_looks_like_a_record_is_never_taken_for_one() {
    // The device knows the format and guesses the offset, but not the salt.
    let (real, guess) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = LogOptions { salt: 1, ..options() };
    let guessed = Log::open(guess.path(), other, 0).await.unwrap();
    guessed.append(0, 0, vec![0; RECORD_HEADER as usize].into()).await.unwrap();
    guessed.append(1, 0, "forged".into()).await.unwrap();
    guessed.close().await;
    let forged = fs::read(&segments(guess.path())[0]).unwrap();
    let forged = forged[HEADERS as usize + 44..][..200].to_vec();

    let log = open(real.path()).await;
    let enclosing = Append { partition: 0, time_ms: 0, payload: forged.into() };
    let next = Append { partition: 0, time_ms: 0, payload: "next".into() };
    log.append_many(vec![enclosing, next]).await.unwrap();
    log.close().await;
    let segment = segments(real.path()).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[HEADERS as usize + 5] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let found = everything(&open(real.path()).await).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].payload, "next");
}

async fn open(directory: &Path) -> Log {
    Log::open(directory, options(), 0).await.unwrap()
}

/// All records, by partition and sequence.
async fn everything(log: &Log) -> Vec<Record> {
    let mut found = Vec::new();
    for partition in 0..3 {
        found.extend(log.read(partition, Start::Earliest, usize::MAX, usize::MAX).await.unwrap());
    }
    found
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|it| it.unwrap().path());
    let mut segments: Vec<PathBuf> =
        entries.filter(|it| it.extension().is_some_and(|it| it == "seg")).collect();
    segments.sort();
    segments
}
