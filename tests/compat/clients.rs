//! The unmodified clients of devices and services, as processes that do what they are told, a line at a time.
//! `./check` installs them and says where.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use testkit::Process;

#[expect(
    clippy::disallowed_methods,
    reason = "the harness names the interpreter that it installed"
)]
pub fn interpreter() -> PathBuf {
    let named = std::env::var("HUBWARD_PYTHON").expect(
        "`./check` installs the Python clients and sets HUBWARD_PYTHON to their interpreter",
    );
    there(&named)
}

#[expect(clippy::disallowed_methods, reason = "the harness names the modules that it installed")]
pub fn node_modules() -> PathBuf {
    let named = std::env::var("HUBWARD_NODE_MODULES").expect(
        "`./check` installs the Node clients and sets HUBWARD_NODE_MODULES to their folder",
    );
    there(&named)
}

fn there(named: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(named);
    assert!(path.exists(), "`{}` is not there: run `./check`", path.display());
    path
}

pub fn script(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat").join(path)
}

/// A device or module that shows a certificate: `HostName=..;DeviceId=..;x509=true`, and files of PEM.
pub struct Shown<'a> {
    pub connection_string: &'a str,
    pub ca_file: &'a Path,
    pub transport: &'a str,
    /// With those that stand between it and its CA behind it.
    pub certificate: &'a Path,
    pub key: &'a Path,
}

/// A client that runs until it is dropped.
pub struct Client {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, commands, answers }
    }

    /// azure-iot-device for Python, over `mqtt` or `mqtt-ws`.
    pub fn python_device(connection_string: &str, ca_file: &Path, transport: &str) -> Self {
        Self::start(python(connection_string, ca_file, transport))
    }

    /// The same with a certificate.
    pub fn python_showing(shown: &Shown<'_>) -> Self {
        Self::start(showing(python, shown))
    }

    /// azure-iot-device for Node, over `mqtt`, `mqtt-ws`, `amqp`, `amqp-ws` or `http`.
    pub fn node_device(connection_string: &str, ca_file: &Path, transport: &str) -> Self {
        Self::start(node(connection_string, ca_file, transport))
    }

    /// The same with a certificate.
    pub fn node_showing(shown: &Shown<'_>) -> Self {
        Self::start(showing(node, shown))
    }

    /// azure-iothub for Node: the registry and the job client.
    pub fn node_service(connection_string: &str, ca_file: &Path) -> Self {
        let mut node = Command::new("node");
        node.arg(script("node/service.js")).env("HUB_CONNECTION_STRING", connection_string);
        node.env("NODE_PATH", node_modules()).env("NODE_EXTRA_CA_CERTS", ca_file);
        Self::start(node)
    }

    /// azure-iot-hub for Python: all its managers, over HTTPS and AMQP.
    pub fn python_service(connection_string: &str, ca_file: &Path) -> Self {
        let mut python = Command::new(interpreter());
        python.arg(script("python/service.py")).env("HUB_CONNECTION_STRING", connection_string);
        python.env("REQUESTS_CA_BUNDLE", ca_file).env("SSL_CERT_FILE", ca_file);
        Self::start(python)
    }

    /// azure-iothub for Node: the client that sends to devices and hears of it, over AMQP.
    pub fn node_messenger(connection_string: &str, ca_file: &Path) -> Self {
        let mut node = Command::new("node");
        node.arg(script("node/messenger.js")).env("HUB_CONNECTION_STRING", connection_string);
        node.env("NODE_PATH", node_modules()).env("NODE_EXTRA_CA_CERTS", ca_file);
        Self::start(node)
    }

    /// The service libraries of Python and Node, in this order, for an application that signs in.
    pub fn services_of(server: &Process, app_id: &str, secret: &str) -> [Self; 2] {
        let connection = server.connection();
        Self::services_led_by(
            server,
            &[
                ("AZURE_AUTHORITY_HOST", connection.authority()),
                ("AZURE_TENANT_ID", connection.tenant_id()),
                ("AZURE_CLIENT_ID", app_id),
                ("AZURE_CLIENT_SECRET", secret),
            ],
        )
    }

    /// The same, led to whom they sign in as by these variables: an application, or a managed identity without any
    /// secret of its own.
    pub fn services_led_by(server: &Process, leading: &[(&str, &str)]) -> [Self; 2] {
        let host = server.setting("HUBWARD_HUB_HOST");
        Self::led_by(both(server, "service"), &[leading, &[("HUB_HOST", &host)]].concat())
    }

    /// The libraries for blobs of Python and Node, in this order, told by these variables where and as whom.
    pub fn blobs_of(server: &Process, told: &[(&str, &str)]) -> [Self; 2] {
        Self::led_by(both(server, "blobs"), told)
    }

    /// The Event Hubs clients of Python and Node at an event hub, in this order, led there by these variables.
    pub fn event_hub(server: &Process, event_hub: &str, leading: &[(&str, &str)]) -> [Self; 2] {
        let [mut python, mut node] = both(server, "event_hub");
        python.arg(server.connection().ca_file()).arg(event_hub);
        node.arg(event_hub);
        Self::led_by([python, node], leading)
    }

    fn led_by(scripts: [Command; 2], variables: &[(&str, &str)]) -> [Self; 2] {
        scripts.map(|mut script| {
            script.envs(variables.iter().copied());
            Self::start(script)
        })
    }

    /// What the client answers to a line.
    #[track_caller]
    pub fn says(&mut self, line: &str) -> Value {
        writeln!(self.commands, "{line}").unwrap();
        self.commands.flush().unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("the client ended at `{line}`"))
    }

    /// The same where it must work.
    #[track_caller]
    pub fn does(&mut self, line: &str) -> Value {
        let said = self.says(line);
        assert_eq!(said.get("error"), None, "{line}: {said}");
        said
    }

    /// A call of the service's client, which must work: its result.
    #[track_caller]
    pub fn calls(&mut self, name: &str, arguments: &[Value]) -> Value {
        let mut all = vec![json!(name)];
        all.extend_from_slice(arguments);
        self.does(&Value::Array(all).to_string())["ok"].take()
    }

    /// A call of the service's client, which must fail: what the client and the server say.
    #[track_caller]
    pub fn fails(&mut self, name: &str, arguments: &[Value]) -> String {
        let mut all = vec![json!(name)];
        all.extend_from_slice(arguments);
        let said = self.says(&Value::Array(all).to_string());
        said.get("error").unwrap_or_else(|| panic!("{name} worked: {said}")).to_string()
    }

    #[track_caller]
    pub fn connects(&mut self) {
        let said = self.does("connect");
        assert_eq!(said.pointer("/ok"), Some(&json!(true)), "{said}");
    }

    /// Sends one message, which must be acknowledged.
    #[track_caller]
    pub fn sends(&mut self, text: &str) {
        let said = self.says(&format!("send {text}"));
        assert_eq!(said.pointer("/ok"), Some(&json!(true)), "{said}");
    }
}

/// The script of a name for Python and that for Node, in this order. Both believe the server.
fn both(server: &Process, name: &str) -> [Command; 2] {
    let connection = server.connection();
    let mut python = Command::new(interpreter());
    python.arg(script(&format!("python/{name}.py")));
    python.env("REQUESTS_CA_BUNDLE", connection.ca_file());
    let mut node = Command::new("node");
    node.arg(script(&format!("node/{name}.js"))).env("NODE_PATH", node_modules());
    node.env("NODE_EXTRA_CA_CERTS", connection.ca_file());
    [python, node]
}

fn python(connection_string: &str, ca_file: &Path, transport: &str) -> Command {
    let mut python = Command::new(interpreter());
    python.arg(script("python/device.py")).arg(ca_file).arg(transport);
    python.env("DEVICE_CONNECTION_STRING", connection_string);
    python
}

fn node(connection_string: &str, ca_file: &Path, transport: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(script("node/device.js")).arg(ca_file).arg(transport);
    node.env("NODE_PATH", node_modules()).env("NODE_EXTRA_CA_CERTS", ca_file);
    node.env("DEVICE_CONNECTION_STRING", connection_string);
    node
}

fn showing(client: fn(&str, &Path, &str) -> Command, shown: &Shown<'_>) -> Command {
    let mut client = client(shown.connection_string, shown.ca_file, shown.transport);
    client.env("DEVICE_CERTIFICATE", shown.certificate).env("DEVICE_KEY", shown.key);
    client
}

impl Drop for Client {
    fn drop(&mut self) {
        // A test that failed must not leave a device behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
