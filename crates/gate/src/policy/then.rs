//! Reads what follows from a rule: `then`, with the details that its effect takes.

use super::changes::{Changes, read_append, read_modify};
use super::effects::guarded;
use super::expression::{Scope, Template};
use super::lacking::{EFFECTS, Lack, lacking};
use super::parse::at;
use super::selectors::refuse;
use super::{Effect, NotAPolicy, Then};
use model::json::member;
use serde_json::Value;

/// The effect of that name.
pub(super) fn effect(word: &str) -> Result<Effect, Lack> {
    let known = Effect::ALL.iter().find(|it| it.as_str().eq_ignore_ascii_case(word));
    known.copied().ok_or_else(|| {
        let possible: Vec<&str> = Effect::ALL.iter().map(|it| it.as_str()).collect();
        Lack {
            because: format!(
                "`{}` is not an effect that can be applied here; possible are {}",
                word.escape_debug(),
                possible.join(", ")
            ),
            lacks: lacking(EFFECTS, word),
        }
    })
}

/// Reads `then`: the effect, and what it would change.
pub(super) fn read(
    place: &str,
    then: &Value,
    scope: &mut Scope<'_>,
) -> Result<(Then, Option<Changes>), NotAPolicy> {
    let below = format!("{place}.effect");
    let Some(word) = member(then, "effect").filter(|it| it.is_string()) else {
        return refuse(&below, "`effect` is a text that is required");
    };
    scope.is_static = true;
    let template = Template::parse(word, scope).map_err(at(&below))?;
    // Details speak of the object, too.
    scope.is_static = false;
    let place = format!("{place}.details");
    let details = member(then, "details").filter(|it| !it.is_null());
    let Template::Literal(word) = template else {
        let (guard, changes) = match details {
            None => (None, None),
            // Parameters say which details are asked for; their form says for which effect they are.
            Some(it) if it.is_array() => (None, Some(read_append(&place, Some(it), scope)?)),
            Some(it) if member(it, "operations").is_some() => {
                (None, Some(read_modify(&place, Some(it), scope)?))
            }
            Some(it) => (Some(guarded(&place, Some(it))?), None),
        };
        return Ok((Then::Computed { at: below, template, guard }, changes));
    };
    match (effect(word.as_str().unwrap_or("")).map_err(at(&below))?, details) {
        (Effect::DenyAction(_), it) => {
            Ok((Then::Is(Effect::DenyAction(guarded(&place, it)?)), None))
        }
        (Effect::Append, it) => {
            Ok((Then::Is(Effect::Append), Some(read_append(&place, it, scope)?)))
        }
        (Effect::Modify, it) => {
            Ok((Then::Is(Effect::Modify), Some(read_modify(&place, it, scope)?)))
        }
        (effect, Some(_)) => {
            refuse(&place, format!("the effect `{}` takes no details", effect.as_str()))
        }
        (effect, None) => Ok((Then::Is(effect), None)),
    }
}
