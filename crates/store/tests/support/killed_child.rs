//! A child process that writes, and says so line by line, until it is killed in the middle of it.

use super::random::Random;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const SIGKILL: i32 = 9;
/// Begins the lines of the record; the test harness writes others.
pub(crate) const ACKNOWLEDGED: &str = "acknowledged ";

/// Runs a test of this binary as the child, kills it up to 0.1 s after its first word, and answers the
/// whole lines that it wrote.
pub(crate) fn kill_at_random(
    test: &str,
    told: &[(&str, &str)],
    random: &mut Random,
) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .envs(told.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let (first, is_first) = mpsc::channel();
    let reading = thread::spawn(move || whole_lines(output, &first));
    let word = is_first.recv_timeout(Duration::from_secs(30));
    thread::sleep(Duration::from_micros(random.below(100_000)));
    kill(&mut child);
    word.expect("the child acknowledges something before it is killed");
    reading.join().unwrap()
}

fn kill(child: &mut Child) {
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(ended, None, "the child was still writing");
    assert_eq!(status.signal(), Some(SIGKILL));
}

/// Every line that was written whole, and word as soon as the first is there.
fn whole_lines(output: ChildStdout, first: &mpsc::Sender<()>) -> Vec<String> {
    let mut output = BufReader::new(output);
    let mut lines = Vec::new();
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        if line.ends_with('\n') && line.starts_with(ACKNOWLEDGED) {
            let _ = first.send(());
            lines.push(line.clone());
        }
        line.clear();
    }
    lines
}
