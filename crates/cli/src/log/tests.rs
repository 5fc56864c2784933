use super::*;
use crate::page::Colours;
use store::LogOptions;

/// Of each copy of a segment's header, and of what stands before a record's payload.
const RECORDS_FROM: usize = 8_192;
const SEGMENT_BYTES: usize = 16 * 1024;
const RECORD_BYTES: usize = 44 + 1_000;

/// A data directory with logs of three segments each, seven records in all but the newest.
struct Data(tempfile::TempDir);

impl Data {
    fn with(logs: &[&str]) -> Self {
        let data = Self(tempfile::tempdir().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        for log in logs {
            runtime.block_on(fill(&data.log(log)));
        }
        data
    }

    fn log(&self, log: &str) -> PathBuf {
        self.0.path().join(DIRECTORY).join(log)
    }

    fn segment(&self, log: &str, number: usize) -> PathBuf {
        self.log(log).join(format!("{:020}.seg", number * SEGMENT_BYTES))
    }

    /// Writes over a segment's bytes from there on.
    fn change(&self, log: &str, number: usize, from: usize, bytes: &[u8]) {
        let path = self.segment(log, number);
        let mut content = fs::read(&path).unwrap();
        content[from..from + bytes.len()].copy_from_slice(bytes);
        fs::write(path, content).unwrap();
    }

    fn report(&self) -> Report {
        Report(below(self.0.path()).unwrap().iter().map(|it| Checked::new(it)).collect())
    }
}

async fn fill(directory: &Path) {
    let options = LogOptions {
        segment_bytes: SEGMENT_BYTES as u64,
        record_bytes_max: 4_000,
        ..LogOptions::new(2, 0x5eed)
    };
    let log = store::Log::open(directory, options, 0).await.unwrap();
    for count in 0..17_u8 {
        log.append(0, 0, vec![count + 1; 1_000].into()).await.unwrap();
    }
    log.close().await;
}

fn text(report: &Report) -> String {
    report.text(Page::new(100, Colours::Off))
}

fn error(found: Result<impl std::fmt::Debug, Failure>) -> String {
    found.unwrap_err().to_string()
}

#[test]
fn sound_logs_are_one_line_each() {
    let report = Data::with(&["hub-10", "hub-1"]).report();
    assert!(report.is_sound());
    insta::assert_snapshot!(text(&report), @r"
    log     segments  records  damaged places  state
    hub-1   3         17       0               sound
    hub-10  3         17       0               sound
    ");
}

#[test]
fn a_damaged_place_is_told_with_its_file_and_byte_and_the_next_step() {
    let data = Data::with(&["hub-1", "hub-2", "hub-3", "hub-4"]);
    // In a payload; in a copy of the header.
    data.change("hub-1", 0, RECORDS_FROM + 3 * RECORD_BYTES + 500, b"x");
    data.change("hub-1", 1, 4_096 + 20, b"x");
    fs::remove_file(data.segment("hub-2", 1)).unwrap();
    // Zeros where records were: nothing is there to be seen as bad.
    data.change("hub-3", 0, RECORDS_FROM + 6 * RECORD_BYTES, &[0; RECORD_BYTES]);
    let report = data.report();
    assert!(!report.is_sound());
    insta::assert_snapshot!(text(&report), @r"
    log    segments  records  damaged places  state
    hub-1  3         16       2               damaged
    hub-2  2         10       1               damaged
    hub-3  3         16       1               damaged
    hub-4  3         17       0               sound

    hub-1: 2 damaged places
      file                      from byte  bytes  what it means
      00000000000000000000.seg  11324      1044   no whole record is here; whatever was, is lost
      00000000000000016384.seg  4096       4096   one of two copies of the file's header; one is enough

    hub-2: 1 damaged place
      file                      from byte  bytes  what it means
      00000000000000016384.seg  -          16384  the file is not there, and its records are lost

    hub-3: 1 damaged place
      file                      from byte  bytes  what it means
      00000000000000016384.seg  -          0      the file before this one held more records than it
                                                  does now

    Damaged bytes are skipped and never served; everything else is. To have the records back, stop the
    server and put a copy of the file from a backup in its place: for the newest segment that loses what
    came after the copy. Otherwise leave the files as they are; they go with their age.
    ");
}

#[test]
fn a_tail_that_is_cut_is_no_damage() {
    let data = Data::with(&["hub-1"]);
    data.change("hub-1", 2, RECORDS_FROM + 2 * RECORD_BYTES + 500, &[0; 544]);
    let report = data.report();
    assert!(report.is_sound());
    insta::assert_snapshot!(text(&report), @r"
    log    segments  records  damaged places  state
    hub-1  3         16       0               sound, unfinished at its end

    hub-1: the last bytes are no whole record. They are being written, or a crash left them: nothing
    that was acknowledged is in them, and the next start of the server clears them.
    ");
    // The same in a segment behind which there is another is damage.
    data.change("hub-1", 1, RECORDS_FROM + 6 * RECORD_BYTES + 500, &[0; 544]);
    assert!(!data.report().is_sound());
}

#[test]
fn a_log_that_cannot_be_read_does_not_hide_the_others() {
    let data = Data::with(&["hub-1", "hub-2"]);
    // A segment of another log under this one's name.
    fs::copy(data.segment("hub-2", 0), data.segment("hub-1", 1)).unwrap();
    data.change("hub-2", 2, RECORDS_FROM, b"x");
    let report = data.report();
    assert!(!report.is_sound());
    let text = text(&report);
    let rows = [
        "hub-1  -         -        -               unreadable",
        "hub-2  3         16       1               damaged",
        "  00000000000000032768.seg  8192       1044   no whole record is here; whatever was, is lost",
    ];
    for row in rows {
        assert!(text.lines().any(|it| it == row), "{text}");
    }
    // Where the line is broken depends on how long the folder's name is.
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("is not a segment of this log; move it"), "{text}");
}

#[test]
fn json_says_the_same_for_programs() {
    let data = Data::with(&["hub-1", "hub-2"]);
    data.change("hub-1", 0, RECORDS_FROM + 500, b"x");
    fs::copy(data.segment("hub-1", 0), data.segment("hub-2", 1)).unwrap();
    let report: Value = serde_json::from_str(&data.report().json()).unwrap();
    assert_eq!(report["sound"], false);
    let [one, two] = &report["logs"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!((&one["log"], &one["records"]), (&json!("hub-1"), &json!(16)));
    assert_eq!(one["tornTail"], false);
    assert_eq!(
        one["damage"],
        json!([{ "file": "00000000000000000000.seg", "fromByte": 8192, "offset": 8192, "bytes": 1044,
            "meaning": "no whole record is here; whatever was, is lost" }])
    );
    assert!(two["error"].as_str().unwrap().contains("is not a segment of this log"), "{two}");
    assert_eq!(two.get("records"), None);
}

#[test]
fn where_nothing_was_kept_nothing_is_damaged() {
    let data = Data::with(&[]);
    let report = data.report();
    assert!(report.is_sound());
    assert_eq!(text(&report), "No messages were kept yet: there is no log.\n");
    fs::create_dir_all(data.log("hub-1")).unwrap();
    fs::write(data.0.path().join(DIRECTORY).join("a file"), "").unwrap();
    let report = data.report();
    assert!(report.is_sound());
    insta::assert_snapshot!(text(&report), @r"
    log    segments  records  damaged places  state
    hub-1  0         0        0               empty

    hub-1: holds no segment: nothing was written to it yet, or all its files were taken away.
    ");
}

#[test]
fn a_place_without_a_log_is_told_from_a_log() {
    let data = Data::with(&["hub-1"]);
    let root = data.0.path();
    let file = root.join("file");
    fs::write(&file, "").unwrap();
    for (found, start) in [
        (error(below(&root.join("typo"))), "there is no `"),
        (error(below(&file)), "`"),
        (error(one(&root.join("typo"))), "there is no `"),
        (error(one(&file)), "`"),
        (error(one(root)), "no log lies in `"),
        (error(one(&root.join(DIRECTORY))), "no log lies in `"),
    ] {
        assert!(found.starts_with(start) && found.contains("`--data DIR`"), "{found}");
    }
    assert!(error(one(&file)).contains("is a file"));
    assert_eq!(one(&data.log("hub-1")).unwrap(), data.log("hub-1"));
    fs::rename(root.join(DIRECTORY), root.join("elsewhere")).unwrap();
    fs::write(root.join(DIRECTORY), "").unwrap();
    assert!(error(below(root)).contains("is a file"), "a file where the logs should be");
}
