//! Many enrollments of a kind in one call: up to 10 entries, each with its own verdict. Each is a write of its own,
//! in the order of the call; what cannot be read refuses the call as a whole, before anything is written.

use super::enrollment::Kind;
use super::enrollment_body::{Draft, checked_id};
use super::enrollments::{self, Wanted, kind_of};
use super::register;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::resources::fields::Fields;
use gate::Permit;
use gate::facts::Dps;
use model::operations::operation;
use model::trace::{Object, Verb};
use model::{Error, Op, Operation};
use serde_json::{Value, json};

/// Most entries of a call. Source: the published contract of the service API.
const BULK_MAX: usize = 10;

/// What a call asks for each of its entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Create,
    Update,
    UpdateIfMatch,
    Delete,
}

/// A call, read.
struct Bulk<'a> {
    kind: Kind,
    mode: Mode,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    id: &'a str,
    etag: Option<&'a str>,
    /// `None` where it is to be deleted.
    draft: Option<Draft>,
}

impl<'a> Bulk<'a> {
    /// # Errors
    /// [`Error::Invalid`] with the place in the call.
    fn read(kind: Kind, body: &'a Value) -> Result<Self, Error> {
        let fields = Fields::of(body)?;
        let mode = read_mode(&fields)?;
        let entries = fields.objects(kind.collection(), BULK_MAX)?.unwrap_or_default();
        if entries.is_empty() {
            let because = format!("a list of 1 to {BULK_MAX} is required");
            return Err(fields.refuse(kind.collection(), because));
        }
        let entries =
            entries.iter().map(|it| Entry::read(kind, mode, it)).collect::<Result<_, _>>()?;
        Ok(Self { kind, mode, entries })
    }
}

impl<'a> Entry<'a> {
    fn read(kind: Kind, mode: Mode, fields: &Fields<'a>) -> Result<Self, Error> {
        let id = fields.text(kind.id_member())?.unwrap_or("");
        let id = checked_id(&fields.place(kind.id_member()), id)?;
        let etag = fields.text("etag")?.map(|it| it.trim_matches('"')).filter(|it| !it.is_empty());
        if mode == Mode::UpdateIfMatch && etag.is_none() {
            return Err(fields.refuse("etag", "required in the mode `updateIfMatchETag`"));
        }
        let draft = match mode {
            Mode::Delete => None,
            Mode::Create | Mode::Update | Mode::UpdateIfMatch => {
                Some(Draft::read(kind, id, fields.value()).map_err(|it| placed(it, fields.at()))?)
            }
        };
        Ok(Self { id, etag, draft })
    }

    fn wanted(&self, mode: Mode) -> Wanted {
        match (mode, self.etag) {
            (Mode::Create, _) => Wanted::New,
            (Mode::Update, _) | (Mode::UpdateIfMatch | Mode::Delete, None | Some("*")) => {
                Wanted::Existing
            }
            (Mode::UpdateIfMatch | Mode::Delete, Some(tag)) => Wanted::Version(tag.to_owned()),
        }
    }
}

fn read_mode(fields: &Fields<'_>) -> Result<Mode, Error> {
    match fields.word("mode", &["create", "update", "updateIfMatchETag", "delete"])? {
        Some("create") => Ok(Mode::Create),
        Some("update") => Ok(Mode::Update),
        Some("updateIfMatchETag") => Ok(Mode::UpdateIfMatch),
        Some(_) => Ok(Mode::Delete),
        None => Err(fields.refuse("mode", "required: create, update, updateIfMatchETag or delete")),
    }
}

fn placed(error: Error, entry: &str) -> Error {
    let Error::Invalid { code, at, message } = error else { return error };
    let at = at.map_or_else(|| entry.to_owned(), |it| format!("{entry}.{it}"));
    Error::Invalid { code, at: Some(at), message }
}

/// The row by which a call is judged: one that deletes takes the right to delete, too.
///
/// # Errors
/// [`Error::Invalid`] where the body names no mode.
pub(crate) fn judged(row: &'static Operation, body: &Value) -> Result<&'static Operation, Error> {
    if row.op != Op::BulkEnrollments && row.op != Op::BulkEnrollmentGroups {
        return Ok(row);
    }
    let deleting = match kind_of(row.op) {
        Kind::Individual => Op::BulkDeleteEnrollments,
        Kind::Group => Op::BulkDeleteEnrollmentGroups,
    };
    Ok(match read_mode(&Fields::of(body)?)? {
        Mode::Delete => operation(deleting),
        Mode::Create | Mode::Update | Mode::UpdateIfMatch => row,
    })
}

/// What policy judges: each enrollment as it would be written and, where deletions are guarded, each that would be
/// deleted.
pub(crate) async fn objects(
    row: &Operation,
    input: &Input,
    dps: &Dps,
    env: &Env,
) -> Result<Vec<Object>, Error> {
    let (Op::BulkEnrollments | Op::BulkEnrollmentGroups, Some(object)) = (row.op, row.object)
    else {
        return Ok(Vec::new());
    };
    let bulk = Bulk::read(kind_of(row.op), &input.body)?;
    let guards_deletions = gate::policy::guards_deletions(&env.facts.load(), &dps.scope);
    let shard = register::shard(dps)?;
    let mut found = Vec::new();
    for entry in &bulk.entries {
        let (body, verb) = match &entry.draft {
            Some(draft) => (draft.judged(), Verb::Write),
            None if guards_deletions => {
                let stored = enrollments::read(env, &shard, bulk.kind, entry.id).await?;
                (stored.map_or_else(|| json!({}), |(it, _)| it.judged()), Verb::Delete)
            }
            None => continue,
        };
        found.push(Object {
            kind: object.to_owned(),
            name: entry.id.to_owned(),
            id: format!("{}/{}/{}", dps.scope, bulk.kind.collection(), entry.id),
            body,
            verb,
        });
    }
    Ok(found)
}

/// `POST /enrollments` and `POST /enrollmentGroups`.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Unavailable`] and [`Error::Internal`], after which a part may be written.
pub(crate) async fn run(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let bulk = Bulk::read(kind_of(permit.operation().op), &input.body)?;
    let dps = enrollments::dps_of(permit, env)?;
    let mut errors = Vec::new();
    for entry in &bulk.entries {
        let wanted = entry.wanted(bulk.mode);
        let done = match &entry.draft {
            Some(draft) => enrollments::write(env, &dps, draft, &wanted).await.map(|_| ()),
            None => enrollments::remove(env, &dps, bulk.kind, entry.id, &wanted).await,
        };
        match done {
            Ok(()) => {}
            Err(error @ (Error::Unavailable { .. } | Error::Internal { .. })) => return Err(error),
            Err(error) => {
                let wire = error.wire();
                errors.push(json!({ bulk.kind.id_member(): entry.id, "errorCode": wire.hub_code,
                    "errorStatus": wire.message }));
            }
        }
    }
    Ok(Reply::ok(json!({ "isSuccessful": errors.is_empty(), "errors": errors })))
}
