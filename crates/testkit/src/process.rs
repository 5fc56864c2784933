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
