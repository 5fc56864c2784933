//! Changes that need two shards.
//!
//! Nothing commits across shards. A call that must change two writes an intent in the first,
//! together with its change there; does the second; then clears the intent. Start-up finishes those
//! still [`open`]. An intent carries all it takes to finish, and finishing twice must be finishing
//! once. This module keeps intents; who finishes which kind is decided in `ops`.

use bytes::Bytes;

use crate::tables::INTENTS;
use crate::{Change, Engine, Expect, SCAN_LIMIT_MAX, Scan, ShardId, StoreError, Write};

/// A change begun in one shard and to be finished in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The idempotency key: unique in its shard while the intent is open.
    pub name: String,
    /// Which code finishes it.
    pub kind: String,
    /// Of the call that began it; the traces of finishing carry the same.
    pub tracking_id: String,
    /// What the finishing code needs to know, in its own form.
    pub body: Bytes,
}

/// Records that `intent` has begun. Conflicts where one of that name is open already.
pub fn change_begin(intent: &Intent) -> Change {
    Change {
        table: INTENTS,
        key: intent.name.clone(),
        expect: Expect::Absent,
        write: Write::Put(encode(intent)),
    }
}

/// Records that the intent is finished. Conflicts where none of that name is open.
pub fn change_clear(name: &str) -> Change {
    Change { table: INTENTS, key: name.to_owned(), expect: Expect::Present, write: Write::Delete }
}

/// Every open intent of a shard, in the order of their names.
///
/// # Errors
/// [`StoreError::UnreadableIntent`] where one was written in a form this program does not know;
/// otherwise as [`Engine::scan`].
pub async fn open(engine: &Engine, shard: &ShardId) -> Result<Vec<Intent>, StoreError> {
    let mut intents = Vec::new();
    let mut after = None;
    loop {
        let range = Scan { prefix: String::new(), after, limit: SCAN_LIMIT_MAX };
        let page = engine.scan(shard, INTENTS, range).await?;
        let full = page.len() == SCAN_LIMIT_MAX;
        after = page.last().map(|(name, _)| name.clone());
        for (name, document) in page {
            match decode(name, document.body) {
                Ok(intent) => intents.push(intent),
                Err(name) => {
                    return Err(StoreError::UnreadableIntent { shard: shard.clone(), name });
                }
            }
        }
        if !full {
            return Ok(intents);
        }
    }
}

/// The form's version, then kind and tracking id, each ended by a line feed and with `\` and line
/// feeds escaped, then the body as it is.
fn encode(intent: &Intent) -> Bytes {
    let head = format!("{FORM}\n{}\n{}\n", escape(&intent.kind), escape(&intent.tracking_id));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&intent.body);
    bytes.into()
}

/// The inverse of [`encode`]; gives the name back where `document` is not in that form.
fn decode(name: String, document: Bytes) -> Result<Intent, String> {
    let mut rest = document;
    let mut line = || {
        let end = rest.iter().position(|it| *it == b'\n')?;
        let line = rest.split_to(end.saturating_add(1));
        String::from_utf8(line.get(..end)?.to_vec()).ok()
    };
    let (form, kind, tracking_id) = (line(), line(), line());
    match (form.as_deref(), kind, tracking_id) {
        (Some(FORM), Some(kind), Some(tracking_id)) => Ok(Intent {
            name,
            kind: unescape(&kind),
            tracking_id: unescape(&tracking_id),
            body: rest,
        }),
        _ => Err(name),
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace('\n', r"\n")
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' if letters.as_str().starts_with('n') => '\n',
            _ => letter,
        });
        if letter == '\\' {
            letters.next();
        }
    }
    plain
}

const FORM: &str = "intent 1";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, tracking_id: &str, body: &'static [u8]) {
        let intent = Intent {
            name: "delete hub".to_owned(),
            kind: kind.to_owned(),
            tracking_id: tracking_id.to_owned(),
            body: Bytes::from_static(body),
        };
        assert_eq!(decode(intent.name.clone(), encode(&intent)), Ok(intent));
    }

    #[test]
    fn an_intent_reads_back_as_it_was_written() {
        check("hub_delete", "4f1c", br#"{"hub":"plant"}"#);
        check("", "", b"");
        check("two\nlines", r"back\slash \n \\", b"\n\n\xff\0");
    }

    #[test]
    fn what_is_not_an_intent_is_not_read_as_one() {
        for document in ["", "intent 1", "intent 1\nkind\n", "intent 2\nkind\nid\nbody", "{}"] {
            let bytes = Bytes::from_static(document.as_bytes());
            assert_eq!(decode("name".to_owned(), bytes), Err("name".to_owned()), "{document}");
        }
        let not_text = Bytes::from_static(b"intent 1\n\xff\nid\n");
        assert_eq!(decode("name".to_owned(), not_text), Err("name".to_owned()));
    }
}
