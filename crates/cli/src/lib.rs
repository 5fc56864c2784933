//! The client subcommands: what a person asks a running server, and the answer on a terminal.
//!
//! Decides nothing about access: it signs in, asks the decisions API and lays out the trace that comes
//! back; [`log`] and [`logs`] read files of the data directory, [`cases`] judges calls that files tell of,
//! [`lint`] looks policies and roles in files over, and [`replay`] judges the calls of the data directory
//! again; [`ingest`] writes policies of devices, to whatever Azure Resource Manager. Start at [`run`]; `target` finds the server, `client` speaks to it, `render` writes the answer.

pub mod access;
pub mod advise;
mod answer;
pub mod cases;
mod client;
mod connection_string;
pub mod device;
pub mod diagnose;
pub mod explain;
pub mod hosts;
mod hub;
pub mod ingest;
pub mod lint;
pub mod local_auth;
pub mod log;
pub mod logs;
pub mod monitor;
mod page;
pub mod policy;
mod progress;
mod render;
pub mod replay;
mod standing;
pub mod target;
mod text;
pub mod what_if;
pub mod who_can;

pub use target::Connection;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

// What a client can do. No doc comment: clap would print it in place of the program's own description.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    Advise(advise::Advise),
    Access(access::Access),
    #[command(subcommand)]
    Device(device::Device),
    Diagnose(diagnose::Diagnose),
    Explain(explain::Explain),
    Hosts(hosts::Hosts),
    Ingest(ingest::Ingest),
    Lint(lint::Lint),
    LocalAuth(local_auth::LocalAuth),
    Log(log::Log),
    Logs(logs::Logs),
    Monitor(monitor::Monitor),
    #[command(subcommand)]
    Policy(policy::Policy),
    Replay(replay::Replay),
    Test(cases::Test),
    WhatIf(what_if::WhatIf),
    WhoCan(who_can::WhoCan),
}

/// Runs a subcommand. Exit code 0: fine; 1: refused, not found or failed; 2: asked in a wrong way.
pub fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Advise(asked) => advise::run(&asked),
        Command::Access(asked) => access::run(&asked),
        Command::Device(device) => device::run(&device),
        Command::Diagnose(diagnose) => diagnose::run(&diagnose),
        Command::Explain(explain) => explain::run(&explain),
        Command::Hosts(asked) => hosts::run(&asked),
        Command::Ingest(asked) => ingest::run(&asked),
        Command::Lint(lint) => lint::run(&lint),
        Command::LocalAuth(asked) => local_auth::run(&asked),
        Command::Log(log) => log::run(&log),
        Command::Logs(logs) => logs::run(&logs),
        Command::Monitor(monitor) => monitor::run(&monitor),
        Command::Policy(asked) => policy::run(&asked),
        Command::Replay(replay) => replay::run(&replay),
        Command::Test(test) => cases::run(&test),
        Command::WhatIf(asked) => what_if::run(&asked),
        Command::WhoCan(asked) => who_can::run(&asked),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            say(format_args!("error: {failure}"));
            failure.code()
        }
    }
}

/// How the answer is printed.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs, with nothing left out.
    Json,
}

/// Why a subcommand could not answer, with the next step in the sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// The command line cannot be meant.
    Usage(String),
    Failed(String),
}

impl Failure {
    fn code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::from(1),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Usage(sentence) | Self::Failed(sentence) => f.write_str(sentence),
        }
    }
}

/// Writes to standard output. Whoever reads it may stop early (`| head`): that is no failure.
pub(crate) fn show(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A line on standard error, escaped. Where even that is closed, nobody is left to tell.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", text::escape(&line.to_string()));
}
