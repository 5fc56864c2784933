//! What goes with the refusal of a device that has a TPM and nothing to sign with yet.

use super::Failed;
use super::body::{BodyReader, read_into};
use crate::env::Env;
use crate::input::Input;
use crate::provisioning::challenges;
use gate::facts::Dps;
use model::{Credential, Error, Op, Operation};

/// Largest body of who has proven nothing: a TPM's two keys, and a payload for whoever chooses the hub.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The refusal of who registers and has shown nothing, with a key for its TPM where it has one that is enrolled.
pub(super) async fn challenged(
    env: &Env,
    operation: &Operation,
    dps: &Dps,
    mut input: Input,
    credential: &Credential,
    body: Option<BodyReader>,
    failed: Failed,
) -> Failed {
    let is_asking = operation.op == Op::RegisterDevice && matches!(credential, Credential::None);
    let Some(read) = body.filter(|_| is_asking) else { return failed };
    let bounded: BodyReader = Box::new(move |limit, taker| read(limit.min(BODY_BYTES_MAX), taker));
    // What cannot be read asks for nothing.
    if read_into(&mut input, operation, bounded).await.is_err() {
        return failed;
    }
    match challenges::challenge(env, dps, &input).await {
        Some(key) => Failed { error: Error::TpmChallenge { key }, ..failed },
        None => failed,
    }
}
