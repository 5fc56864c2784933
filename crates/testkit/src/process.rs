//! The real binary as a child process: started, killed, started again on the same data.

mod administrator;

use crate::wire_client::Wire;
use cli::Connection;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A server that can be killed. When it has ended for good, every decision that it kept is judged again from its
/// trace, and one that comes out otherwise fails the test.
pub struct Process {
    child: Child,
    binary: PathBuf,
    data: PathBuf,
    flags: Vec<String>,
    is_judged: bool,
    /// What it printed until it was ready.
    pub greeting: String,
}

/// What keeps the facts that decisions are judged again by.
const KEEP_FACTS: &str = "--keep-facts";

impl Process {
    /// Starts `binary up --keep-facts --data data flags...` and waits for its line `ready`.
    pub fn start(binary: &Path, data: &Path, flags: &[&str]) -> Self {
        let flags = flags.iter().copied().chain([KEEP_FACTS]).map(str::to_owned).collect();
        Self::spawn(binary.to_owned(), data.to_owned(), flags, true)
    }

    /// The same for a bench: without keeping facts, and nothing is judged again.
    pub fn plain(binary: &Path, data: &Path, flags: &[&str]) -> Self {
        let flags = flags.iter().copied().map(str::to_owned).collect();
        Self::spawn(binary.to_owned(), data.to_owned(), flags, false)
    }

    fn spawn(binary: PathBuf, data: PathBuf, flags: Vec<String>, is_judged: bool) -> Self {
        let mut child = Command::new(&binary)
            .arg("up")
            .arg("--data")
            .arg(&data)
            .args(&flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built with the test");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut greeting = String::new();
        loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("its output is text");
            assert!(read > 0, "the server ended before it was ready; it said:\n{greeting}");
            if line.trim_end() == "ready" {
                break;
            }
            greeting.push_str(&line);
        }
        Self { child, binary, data, flags, is_judged, greeting }
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory that it has now.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.child.id());
        let text = std::fs::read_to_string(path).expect("it runs, on Linux");
        let pages = text.split(' ').nth(1).and_then(|it| it.parse::<u64>().ok());
        pages.expect("the second number is the resident pages") * PAGE_BYTES
    }

    /// The most bytes that it has had resident.
    pub fn peak_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("it runs, on Linux");
        let line = text.lines().find_map(|it| it.strip_prefix("VmHWM:"));
        let kib = line.and_then(|it| it.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.expect("Linux tells the peak in kB") * 1_024
    }

    pub fn connection(&self) -> Connection {
        Connection::read(&self.data).expect("a server that is ready has written connection.env")
    }

    pub fn wire(&self) -> Wire {
        Wire::new(self.connection().ca_file())
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    /// Kills it and starts it again on the same data, with the same flags. Nothing else opens the data between.
    pub fn crash(&mut self) {
        self.end();
        let (binary, data, flags) = (self.binary.clone(), self.data.clone(), self.flags.clone());
        let is_judged = std::mem::replace(&mut self.is_judged, false);
        *self = Self::spawn(binary, data, flags, is_judged);
    }

    fn end(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("it was our child");
    }

    /// Asks it to end with SIGTERM and waits for it.
    pub fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().expect("`kill` is on every system");
        self.child.wait().expect("it was our child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that failed must not leave a server behind, and says why itself.
        drop(self.child.kill());
        drop(self.child.wait());
        if self.is_judged && !std::thread::panicking() {
            judge_again(&self.binary, &self.data);
        }
    }
}

/// What nobody can judge again: what authentication refused, and what was too large to keep.
const PASSED_OVER: [&str; 2] = ["atAuthentication", "shortened"];

fn judge_again(binary: &Path, data: &Path) {
    let replay = Command::new(binary).args(["replay", "-o", "json", "--data"]).arg(data).output();
    let replay = replay.expect("the binary was built with the test");
    let (out, err) =
        (String::from_utf8_lossy(&replay.stdout), String::from_utf8_lossy(&replay.stderr));
    assert!(replay.status.success(), "judged again, otherwise: {out}{err}");
    let report: Value = serde_json::from_str(&out).expect("it reports as JSON");
    let passed_over = report.get("passedOver").and_then(Value::as_object).expect("it counts those");
    let unknown = passed_over.keys().find(|it| !PASSED_OVER.contains(&it.as_str()));
    assert_eq!(unknown, None, "a decision that could not be judged again");
}

/// Of memory, on every machine that the benches ran on.
const PAGE_BYTES: u64 = 4_096;
/// How many ticks of a process's clock are a second, on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a process has used the processors so far, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs, on Linux");
    // The name, in parentheses, may hold spaces; user and system time are the 12th and 13th behind it.
    let behind = text.rsplit_once(')').map_or("", |(_, it)| it);
    let ticks = behind.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_SECOND
}
