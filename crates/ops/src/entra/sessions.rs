//! Sessions of browsers at the pages of sign-in: who is signed in there, so that the next client need not ask again.
//!
//! A session is a sign-in whose client is the pages themselves, see [`super::sign_ins`]: it ends with the password,
//! and with every other sign-in of the person.

use super::{person_tokens, sign_ins, users};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::{Error, ObjectId};
use serde_json::{Value, json};
use store::{Expect, ShardId, tables};

/// Signs a person in at the pages: `session` is what the browser keeps.
pub(crate) async fn open(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let (person, pages) = person_tokens::who(permit.caller())?;
    env.tries.forget(person);
    let begun = sign_ins::beginning(env, person, pages, false).await?;
    let committed = env.store.commit(&ShardId::control(), begun.changes).await;
    committed.map_err(|it| control::failed(&it))?;
    let mut body = shown(env, person).await?;
    model::json::set(&mut body, "session", json!(begun.token));
    Ok(Reply::ok(body).with_header("Cache-Control", "no-store"))
}

/// Says who is signed in.
pub(crate) async fn read(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let (person, _) = person_tokens::who(permit.caller())?;
    Ok(Reply::ok(shown(env, person).await?))
}

/// Signs a person out of the pages. What clients have got goes on.
pub(crate) async fn close(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    if let Some(key) = sign_ins::key_of(input.text(&["session"]).unwrap_or("")) {
        let gone = control::delete(tables::SIGN_INS, key, Expect::Anything);
        let committed = env.store.commit(&ShardId::control(), vec![gone]).await;
        committed.map_err(|it| control::failed(&it))?;
    }
    Ok(Reply::ok(json!({ "ended": true })))
}

async fn shown(env: &Env, person: ObjectId) -> Result<Value, Error> {
    let user = users::find(env, person)
        .await?
        .ok_or_else(|| Error::Internal { message: "a person is signed in who is gone".into() })?;
    Ok(json!({
        "id": person, "userPrincipalName": user.user_principal_name, "displayName": user.display_name,
        "livesSeconds": sign_ins::SESSION_S,
    }))
}
