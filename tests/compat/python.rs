//! The unmodified Python clients of devices. `./check` installs them and names their interpreter in
//! `HUBWARD_PYTHON`.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

#[expect(
    clippy::disallowed_methods,
    reason = "the harness names the interpreter that it installed"
)]
pub fn interpreter() -> PathBuf {
    let named = std::env::var("HUBWARD_PYTHON").expect(
        "`./check` installs the Python clients and sets HUBWARD_PYTHON to their interpreter",
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(named);
    assert!(path.exists(), "`{}` is not there: run `./check`", path.display());
    path
}

/// A device that stays: azure-iot-device over MQTT.
pub struct Living {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Living {
    pub fn new(connection_string: &str, ca_file: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/python/device.py");
        let mut child = Command::new(interpreter())
            .arg(script)
            .arg(ca_file)
            .env("DEVICE_CONNECTION_STRING", connection_string)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, commands, answers }
    }

    /// Says `connect`, `send TEXT` or `disconnect`, and what came of it.
    pub fn says(&mut self, command: &str) -> Value {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    #[track_caller]
    pub fn connects(&mut self) {
        assert_eq!(self.says("connect"), json!({ "ok": true, "connected": true }));
    }

    /// Sends one message, which must be acknowledged.
    #[track_caller]
    pub fn sends(&mut self, text: &str) {
        let said = self.says(&format!("send {text}"));
        assert_eq!(said.pointer("/ok"), Some(&json!(true)), "{said}");
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        // A test that failed must not leave a device behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
