//! What policies see of what would be deleted from a provisioning service, see [`crate::deletions`].

use super::enrollment_body::checked_id;
use super::{enrollments, register, registrations};
use crate::env::Env;
use crate::input::Input;
use gate::facts::Dps;
use model::trace::{Object, Verb};
use model::{Error, Op, Operation};
use serde_json::{Value, json};

/// The enrollment, group or registration that would be deleted; nothing where no policy guards deletions.
pub(crate) async fn objects(
    row: &Operation,
    input: &Input,
    dps: &Dps,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    // What a call for many would delete is found in `bulk.rs`.
    let is_one = row.routes.iter().any(|it| it.method == "DELETE");
    let Some(kind) = row.object.filter(|_| is_one && row.deletes()) else { return Ok(Vec::new()) };
    if !gate::policy::guards_deletions(&env.facts.load(), &dps.scope) {
        return Ok(Vec::new());
    }
    let shard = register::shard(dps)?;
    let (id, body) = match row.op == Op::DeleteRegistration {
        true => {
            let id = checked_id("path", input.param("registration"))?;
            let found = registrations::read(env, &shard, id).await?;
            (id, found.map(|(it, _)| without_etag(it.shown(""))))
        }
        false => {
            let id = checked_id("path", input.param("enrollment"))?;
            let found = enrollments::read(env, &shard, enrollments::kind_of(row.op), id).await?;
            (id, found.map(|(it, _)| it.judged()))
        }
    };
    let collection = kind.rsplit('/').next().unwrap_or("");
    Ok(vec![Object {
        kind: kind.to_owned(),
        name: id.to_owned(),
        id: format!("{}/{collection}/{id}", dps.scope),
        body: body.unwrap_or_else(|| json!({})),
        verb: Verb::Delete,
    }])
}

fn without_etag(mut shown: Value) -> Value {
    if let Some(members) = shown.as_object_mut() {
        members.shift_remove("etag");
    }
    shown
}
