//! `hubward log verify`, as a script runs it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use store::LogOptions;

fn verify(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hubward"))
        .args(["log", "verify"])
        .args(arguments)
        .arg(directory)
        .env_clear()
        .output()
        .unwrap()
}

fn check(output: &Output, code: i32, said: &str) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(format!("{out}{err}").contains(said), "{said}: {out}{err}");
    assert!(!err.contains("reading"), "no progress where nobody watches: {err}");
}

/// Opens the log of a hub, with enough records for more than one segment.
async fn log(directory: &Path) -> store::Log {
    let options = LogOptions {
        segment_bytes: 16 << 10,
        record_bytes_max: 4_000,
        ..LogOptions::new(4, 0x5eed_5eed)
    };
    let log = store::Log::open(directory, options, 0).await.unwrap();
    for count in 0..20_u8 {
        log.append(u16::from(count % 4), 0, vec![count; 1_000].into()).await.unwrap();
    }
    log
}

#[tokio::test]
async fn the_exit_code_tells_a_sound_log_from_a_damaged_one() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path();
    check(&verify(&["--data"], data), 0, "No messages were kept yet");
    let directory = data.join("log").join("hub-1");
    let open = log(&directory).await;
    check(&verify(&["--data"], data), 0, "hub-1  3         20       0               sound\n");
    check(&verify(&["--path"], &directory), 0, "sound");
    open.close().await;
    let segment = directory.join(format!("{:020}.seg", 0));
    let mut bytes = fs::read(&segment).unwrap();
    bytes[9_000] ^= 1;
    fs::write(&segment, bytes).unwrap();
    check(&verify(&["--data"], data), 1, "hub-1  3         19       1               damaged\n");
    check(&verify(&["-o", "json", "--path"], &directory), 1, "\"fromByte\": 8192");
}

#[test]
fn what_is_no_log_is_an_error_and_what_cannot_be_meant_another() {
    let home = tempfile::tempdir().unwrap();
    check(&verify(&["--data"], &home.path().join("typo")), 1, "there is no");
    check(&verify(&["--path"], home.path()), 1, "no log lies in");
    check(&verify(&["--path", "somewhere", "--data"], home.path()), 2, "cannot be used with");
    check(&verify(&["--deep", "--data"], home.path()), 2, "--deep");
    let file = home.path().join("log");
    fs::write(&file, "").unwrap();
    check(&verify(&["--path"], &file), 1, "is a file");
    check(&verify(&["--data"], home.path()), 1, "is a file");
}
