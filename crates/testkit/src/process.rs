//! The real binary as a child process: started, killed, started again on the same data.

use crate::wire_client::Wire;
use cli::Connection;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A server that can be killed.
pub struct Process {
    child: Child,
    data: PathBuf,
    /// What it printed until it was ready.
    pub greeting: String,
}

impl Process {
    /// Starts `binary up --data data flags...` and waits for its line `ready`.
    pub fn start(binary: &Path, data: &Path, flags: &[&str]) -> Self {
        let mut child = Command::new(binary)
            .arg("up")
            .arg("--data")
            .arg(data)
            .args(flags)
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
        Self { child, data: data.to_owned(), greeting }
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

    pub fn connection(&self) -> Connection {
        Connection::read(&self.data).expect("a server that is ready has written connection.env")
    }

    pub fn wire(&self) -> Wire {
        Wire::new(self.connection().ca_file())
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub fn kill(mut self) {
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
        // A test that failed must not leave a server behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
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
