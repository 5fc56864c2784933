//! `az`, with a configuration directory of its own for each person who signs in.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;
use testkit::Process;

/// The binary that this test was built with.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hubward"))
}

#[expect(clippy::disallowed_methods, reason = "the harness names the CLI that it installed")]
fn program() -> PathBuf {
    let named = std::env::var("HUBWARD_AZ")
        .expect("`./check` installs the Azure CLI and sets HUBWARD_AZ to it");
    let path = PathBuf::from(named);
    let path =
        if path.is_absolute() { path } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(path) };
    assert!(path.exists(), "`{}` is not there: run `./check`", path.display());
    path
}

/// Somebody at a terminal with the Azure CLI.
pub struct Az {
    config: TempDir,
    bundle: PathBuf,
}

/// What a command said.
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The JSON it printed.
    #[track_caller]
    pub fn json(self) -> Value {
        assert_eq!(self.status, 0, "{}\n{}", self.out, self.err);
        match self.out.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|it| panic!("{it}: {text}")),
        }
    }

    #[track_caller]
    pub fn refused(self) -> String {
        assert_ne!(self.status, 0, "it was to be refused, but said {}", self.out);
        self.err
    }
}

impl Az {
    /// A fresh configuration that trusts the server.
    pub fn new(server: &Process) -> Self {
        let bundle = PathBuf::from(
            server.connection().get("HUBWARD_CA_BUNDLE").expect("the server wrote it"),
        );
        Self { config: tempfile::tempdir().expect("the system has room"), bundle }
    }

    /// The same, signed in as the administrator.
    pub fn administrator(server: &Process) -> Self {
        let connection = server.connection();
        let az = Self::at(server);
        az.sign_in(
            connection.admin_app_id(),
            connection.admin_secret().reveal(),
            connection.tenant_id(),
        );
        az
    }

    /// The same, pointed at the server, with nobody signed in.
    pub fn at(server: &Process) -> Self {
        let connection = server.connection();
        let az = Self::new(server);
        az.run(&[
            "cloud",
            "register",
            "--name",
            "Hubward",
            "--endpoint-resource-manager",
            connection.arm(),
        ])
        .json();
        az.run(&["cloud", "set", "--name", "Hubward"]).json();
        az
    }

    pub fn sign_in(&self, app_id: &str, secret: &str, tenant: &str) -> Value {
        let secret = format!("--password={secret}");
        self.run(&[
            "login",
            "--service-principal",
            "--username",
            app_id,
            &secret,
            "--tenant",
            tenant,
        ])
        .json()
    }

    /// Runs `az` with these arguments and `--output json`.
    pub fn run(&self, arguments: &[&str]) -> Said {
        said(self.command(&program()).args(arguments).args(["--output", "json"]).output())
    }

    /// Starts `az` with these arguments and variables, for somebody who answers it meanwhile.
    pub fn starts(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
        let mut command = self.command(&program());
        command.args(arguments).envs(variables.iter().copied());
        // What it asks people to do, it says as a warning.
        command.env("AZURE_CORE_ONLY_SHOW_ERRORS", "false");
        // Which subscription is meant, it need not ask.
        command.env("AZURE_CORE_LOGIN_EXPERIENCE_V2", "off");
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program runs")
    }

    /// Runs a line as a person pastes it into a shell.
    pub fn paste(&self, line: &str) -> Said {
        let folder = program().parent().map(|it| it.display().to_string()).unwrap_or_default();
        let line = format!("export PATH='{folder}':\"$PATH\"\n{line}");
        said(self.command(Path::new("bash")).args(["-c", &line]).output())
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("AZURE_CONFIG_DIR", self.config.path())
            .env("REQUESTS_CA_BUNDLE", &self.bundle)
            .env("AZURE_CORE_INSTANCE_DISCOVERY", "false")
            .env("AZURE_CORE_COLLECT_TELEMETRY", "false")
            .env("AZURE_CORE_NO_COLOR", "true")
            .env("AZURE_CORE_ONLY_SHOW_ERRORS", "true")
            .env("PYTHONWARNINGS", "ignore");
        command
    }
}

pub fn said(output: std::io::Result<Output>) -> Said {
    let output = output.expect("the program runs");
    Said {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs our own binary.
pub fn hubward(arguments: &[&str]) -> Said {
    said(Command::new(binary()).args(arguments).output())
}

/// `Bearer` and a token for hubs, by an application's secret, without the CLI.
pub fn hub_token(server: &Process, app_id: &str, secret: &str) -> String {
    server.bearer(app_id, secret, "https://iothubs.azure.net")
}

pub fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text at {path} in {value}"))
}
