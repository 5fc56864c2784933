//! The console, and what it is told of the server.

use ::console::{Console, Settings};
use ops::Env;
use rand::RngCore as _;
use std::sync::Arc;

pub(crate) fn of(env: &Env) -> Console {
    Console::new(Settings {
        origin: env.settings.origin.clone(),
        tenant: env.settings.tenant.to_string(),
        now: Arc::clone(&env.clock.now),
        random: Arc::new(|bytes| rand::rng().fill_bytes(bytes)),
    })
}
