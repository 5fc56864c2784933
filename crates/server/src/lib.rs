//! The server: reads its configuration, opens the data directory, wires the parts and serves until told to
//! stop. It decides nothing; start at [`up`].

mod clock;
pub mod config;
mod console;
mod data_dir;
mod first_start;
mod greeting;
mod identity_endpoints;
mod listeners;
mod saved;
mod serve;
mod signing_keys;
mod trusted_issuers;

pub use config::Up;
pub use serve::Server;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::ExitCode;

/// `hubward up`: serves until SIGTERM or Ctrl-C, then drains and ends with 0.
pub fn up(options: &Up) -> ExitCode {
    // Before the first file is made: nothing that this process writes is for others to read.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start the runtime: {error}")),
    };
    let outcome = runtime.block_on(serve::serve(options));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => complain(&sentence),
    }
}

/// Every connected device is an open file to the system, and many systems start a process with room for 1,024.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it cannot be raised there is room for fewer devices: `file_limit`.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// How many files this process may have open.
pub(crate) fn file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn complain(sentence: &str) -> ExitCode {
    eprintln!("hubward: {sentence}");
    ExitCode::FAILURE
}
