//! Authorization codes: what a browser takes from the pages of sign-in to a client, which makes tokens of it, once.
//!
//! A document per code, under its hash, says for whom and for which client it is. One that was used stays a while:
//! where it comes again, two hold it, and what it has given is revoked. Whether one fits is decided in `gate`.

use super::{hex, person_tokens, sign_ins, tokens};
use crate::call::token_denial;
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::facts::GivenCode;
use gate::{Client, Permit, RedirectKind, hash_token, redirect_kind};
use model::credential::Asking;
use model::error::TokenFault;
use model::{Error, ObjectId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, CommitError, Expect, ShardId, tables};

/// How long a code lives, in seconds. Source: RFC 6749, section 4.1.2, which recommends at most ten minutes.
const CODE_S: i64 = 300;
/// How long a code that has ended or was used is told from one that there never was, in seconds.
const REMEMBERED_S: i64 = 86_400;
/// Most codes that are kept at a time: what has been remembered long enough makes room.
const CODES_MAX: u64 = 10_000;
const CODE_BYTES: usize = 32;
/// Longest `state` and `nonce`: they come back as they came.
const STATE_BYTES_MAX: usize = 8 << 10;
const NONCE_BYTES_MAX: usize = 1 << 10;

/// How the answer can get to the client.
const RESPONSE_MODES: [&str; 3] = ["query", "form_post", "fragment"];

/// A code as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    person: ObjectId,
    client: ObjectId,
    redirect_uri: String,
    is_proven: bool,
    challenge: Option<String>,
    scope: String,
    nonce: Option<String>,
    /// The key of the session by which it was given out.
    session: String,
    ends: Timestamp,
    #[serde(default)]
    was_used: bool,
    /// The key of the sign-in that it was used for, where there is one.
    #[serde(default)]
    gave: Option<String>,
}

fn key(code: &str) -> String {
    hex(&hash_token(code))
}

async fn find(env: &Env, code: &str) -> Result<Option<(Kept, u64)>, Error> {
    control::get(env, tables::SIGN_IN_CODES, &key(code)).await
}

/// What is kept of a shown code, and for what it was asked. Where it was used before, what it has given is revoked.
pub(super) async fn shown(env: &Env, code: &str) -> Result<Option<(GivenCode, String)>, Error> {
    let Some((kept, _)) = find(env, code).await? else { return Ok(None) };
    if let (true, Some(gave)) = (kept.was_used, &kept.gave) {
        let gone = control::delete(tables::SIGN_INS, gave.clone(), Expect::Anything);
        let committed = env.store.commit(&ShardId::control(), vec![gone]).await;
        committed.map_err(|it| control::failed(&it))?;
    }
    let stands = sign_ins::stands(env, &kept.session).await?;
    let given = GivenCode {
        person: kept.person,
        client: kept.client,
        redirect_uri: kept.redirect_uri,
        is_proven: kept.is_proven,
        challenge: kept.challenge,
        ends: kept.ends,
        was_used: kept.was_used,
        stands,
    };
    Ok(Some((given, kept.scope)))
}

/// What a client asks for at the authorization endpoint.
fn asking(input: &Input) -> Asking {
    let field = |name: &str| input.text(&[name]).unwrap_or("").to_owned();
    Asking::Code {
        client_id: field("client_id"),
        redirect_uri: field("redirect_uri"),
        challenge: field("code_challenge"),
        challenge_method: field("code_challenge_method"),
    }
}

/// What of a request is wrong that its client may be told: the address of the answer is known to be the client's.
fn fault(input: &Input, env: &Env) -> Option<(TokenFault, String)> {
    let field = |name: &str| input.text(&[name]).unwrap_or("");
    if field("response_type") != "code" {
        let sentence =
            "`response_type` must be `code`: this server gives codes, and no tokens to addresses.";
        return Some((TokenFault::UnsupportedResponse, sentence.into()));
    }
    if !RESPONSE_MODES.contains(&response_mode(input)) {
        let sentence = format!("`response_mode` is one of `{}`.", RESPONSE_MODES.join("`, `"));
        return Some((TokenFault::BadRequest, sentence));
    }
    if field("state").len() > STATE_BYTES_MAX || field("nonce").len() > NONCE_BYTES_MAX {
        let sentence = format!(
            "`state` has at most {STATE_BYTES_MAX} bytes, and `nonce` at most {NONCE_BYTES_MAX}."
        );
        return Some((TokenFault::BadRequest, sentence));
    }
    tokens::check_persons_scope(field("scope"), &env.settings.origin).err()
}

fn response_mode(input: &Input) -> &str {
    input.text(&["response_mode"]).filter(|it| !it.is_empty()).unwrap_or("query")
}

/// What an answer is sent to, and how.
fn addressed(input: &Input, parameters: &Value) -> Value {
    let mut parameters = parameters.clone();
    if let Some(state) = input.text(&["state"]).filter(|it| !it.is_empty()) {
        model::json::set(&mut parameters, "state", json!(state));
    }
    let mode = response_mode(input);
    json!({
        "redirectUri": input.text(&["redirect_uri"]),
        "responseMode": if RESPONSE_MODES.contains(&mode) { mode } else { "query" },
        "parameters": parameters,
    })
}

/// Says which client asks. Where its request is wrong in what it may be told, `answer` is to be sent to it.
pub(crate) async fn read(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let caller = permit.caller();
    let mut body = json!({ "client": { "id": caller.app_id, "name": caller.name } });
    if let Some((fault, sentence)) = fault(input, env) {
        let refused = token_denial(fault, sentence);
        let (word, number, _) = fault.codes();
        let told =
            json!({ "error": word, "error_description": format!("AADSTS{number}: {refused}") });
        model::json::set(&mut body, "answer", addressed(input, &told));
    }
    Ok(Reply::ok(body))
}

/// Gives a code to a client, for the person of a session.
///
/// # Errors
/// Denials of the token endpoint: what is wrong with the request, or that too many codes are out.
pub(crate) async fn issue(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    if let Some((fault, sentence)) = fault(input, env) {
        return Err(token_denial(fault, sentence));
    }
    let (person, client) = person_tokens::who(permit.caller())?;
    let facts = env.facts.load();
    let asks = asking(input);
    let (Some(kind), Asking::Code { redirect_uri, challenge, .. }) =
        (redirect_kind(&asks, &facts), asks)
    else {
        return Err(Error::Internal { message: "a code was let through to nowhere".into() });
    };
    // Read again: whoever ends a session has ended it for what is decided here, too.
    let session = sign_ins::key_of(input.text(&["session"]).unwrap_or(""));
    let Some(session) = session else { return Err(no_session()) };
    if !sign_ins::stands(env, &session).await? {
        return Err(no_session());
    }
    let code = hex(&env.random::<CODE_BYTES>());
    let kept = Kept {
        person,
        client,
        redirect_uri,
        is_proven: kind == RedirectKind::Web,
        challenge: Some(challenge).filter(|it| !it.is_empty()),
        scope: input.text(&["scope"]).unwrap_or("").to_owned(),
        nonce: input.text(&["nonce"]).filter(|it| !it.is_empty()).map(str::to_owned),
        session,
        ends: env.now().plus_seconds(CODE_S),
        was_used: false,
        gave: None,
    };
    let mut changes = room(env).await?;
    changes.push(control::put(tables::SIGN_IN_CODES, key(&code), Expect::Absent, &kept)?);
    let committed = env.store.commit(&ShardId::control(), changes).await;
    committed.map_err(|it| control::failed(&it))?;
    let mut body = addressed(input, &json!({ "code": code }));
    let name = Client::find(client, &facts).map(|it| it.name().to_owned());
    model::json::set(&mut body, "client", json!({ "id": client, "name": name }));
    Ok(Reply::ok(body).with_header("Cache-Control", "no-store"))
}

fn no_session() -> Error {
    token_denial(TokenFault::NoSession, "nobody is signed in with this session; sign in.")
}

/// Makes room for one more code.
async fn room(env: &Env) -> Result<Vec<Change>, Error> {
    let count = env.store.count(&ShardId::control(), tables::SIGN_IN_CODES).await;
    if count.map_err(|it| control::unread(&it))? < CODES_MAX {
        return Ok(Vec::new());
    }
    let now = env.now();
    let all: Vec<(String, Kept)> = control::all(env, tables::SIGN_IN_CODES, "").await?;
    let gone: Vec<Change> = all
        .into_iter()
        .filter(|(_, it)| it.ends.plus_seconds(REMEMBERED_S) <= now)
        .map(|(key, _)| control::delete(tables::SIGN_IN_CODES, key, Expect::Anything))
        .collect();
    match gone.is_empty() {
        true => {
            Err(token_denial(TokenFault::TooManyTries, "too many codes are out; try again later."))
        }
        false => Ok(gone),
    }
}

/// What a code has given.
pub(super) struct Redeemed {
    /// The first refresh token, where the client wants to come back.
    pub(super) refresh: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) is_proven: bool,
}

/// Uses a code that the gates have found right.
///
/// # Errors
/// A denial of the token endpoint where another was quicker, or its session has ended since.
pub(super) async fn redeem(env: &Env, code: &str, comes_back: bool) -> Result<Redeemed, Error> {
    let used = || token_denial(TokenFault::UsedCode, "the authorization code was used before.");
    let (mut kept, revision) = find(env, code).await?.ok_or_else(used)?;
    if kept.was_used {
        return Err(used());
    }
    if !sign_ins::stands(env, &kept.session).await? {
        let sentence = "the session that the authorization code is of has ended; sign in again.";
        return Err(token_denial(TokenFault::BadCode, sentence));
    }
    let mut changes = Vec::new();
    let mut refresh = None;
    if comes_back {
        let begun = sign_ins::beginning(env, kept.person, kept.client, kept.is_proven).await?;
        (kept.gave, refresh) = (Some(begun.key), Some(begun.token));
        changes = begun.changes;
    }
    kept.was_used = true;
    let expect = Expect::Revision(revision);
    changes.push(control::put(tables::SIGN_IN_CODES, key(code), expect, &kept)?);
    match env.store.commit(&ShardId::control(), changes).await {
        Ok(_) => Ok(Redeemed { refresh, nonce: kept.nonce, is_proven: kept.is_proven }),
        Err(CommitError::Conflict { .. }) => Err(used()),
        Err(other) => Err(control::failed(&other)),
    }
}
