//! `hubward`: picks server or client.

use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// A self-hosted IoT hub that Azure's own clients take for Azure, and that says why it refused.
#[derive(Parser)]
#[command(name = "hubward", version, propagate_version = true)]
struct Hubward {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(server::Up),
    #[command(flatten)]
    Client(cli::Command),
    /// Prints the completions of a shell: `hubward completions bash > /etc/bash_completion.d/hubward`.
    Completions {
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match Hubward::parse().command {
        Command::Up(options) => server::up(&options),
        Command::Client(command) => cli::run(command),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Hubward::command(),
                "hubward",
                &mut std::io::stdout(),
            );
            ExitCode::SUCCESS
        }
    }
}
