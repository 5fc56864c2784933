//! Who can do something at a place, and through what: the question of a single decision, asked for everybody.
//!
//! Each principal is judged by the gates as if it called, see [`crate::standing`]; `access` is the same table read the
//! other way round. Decides nothing itself, and looks at nobody who holds
//! no role near the place: nothing could grant it anything.

use crate::env::Env;
use crate::input::{Input, Reply};
use crate::questions::{caller_as, head, objects_named, row_named};
use crate::standing::{Asker, Question, by_keys, opens, who};
use gate::Permit;
use gate::standing::{Standing, Survey};
use model::Error;
use model::operations::operation;
use serde_json::json;

/// Most principals that an answer names; it says how many more there are.
const NAMED_MAX: usize = 1_000;
/// Principals that are judged before others get their turn.
const BETWEEN_PAUSES: usize = 100;

/// `POST /decisions/whoCan`.
pub(crate) async fn ask(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let action = input.required_text(&["action"])?;
    let row = row_named(action)?;
    let scope = permit.scope();
    let objects = objects_named(row, action, scope, input, env).await?;
    let head = head(action, env);
    let question = Question { row, scope, objects: &objects, head: &head };
    let keys = by_keys(row, scope, &facts).map(|(by, op)| {
        let question = Question { row: operation(op), objects: &[], ..question };
        (by, question)
    });
    let keys: Vec<(&str, Question<'_>)> = keys.collect();
    let survey = Survey::new(&facts);
    let asker = Asker { permit, env, facts: &facts, is_own: false };
    let mut near: Vec<_> = facts
        .principals
        .values()
        .filter(|it| it.is_enabled && facts.has_any_role_near(it.id, scope))
        .collect();
    near.sort_by(|a, b| (&a.display_name, a.id).cmp(&(&b.display_name, b.id)));
    let (mut can, mut stopped, mut with_keys) = (Vec::new(), Vec::new(), Vec::new());
    for (index, principal) in near.into_iter().enumerate() {
        if index % BETWEEN_PAUSES == BETWEEN_PAUSES - 1 {
            // Others wait for this thread, too.
            tokio::task::yield_now().await;
        }
        let caller = caller_as(principal);
        let mut told = who(&caller);
        match question.standing(&caller, &survey) {
            Standing::Can { through } => {
                model::json::set(&mut told, "through", asker.through(&through));
                can.push(told);
                continue;
            }
            Standing::Stopped { through, gate, against } => {
                let mut told = told.clone();
                model::json::set(&mut told, "through", asker.through(&through));
                model::json::set(&mut told, "gate", gate.as_str());
                model::json::set(&mut told, "against", asker.against(&against));
                stopped.push(told);
            }
            Standing::Cannot => {}
        }
        for (by, question) in &keys {
            if let Standing::Can { through } = question.standing(&caller, &survey) {
                model::json::set(&mut told, "through", asker.through(&through));
                model::json::set(&mut told, "by", *by);
                with_keys.push(told);
                break;
            }
        }
    }
    let mut more = 0;
    for list in [&mut can, &mut stopped, &mut with_keys] {
        more += list.len().saturating_sub(NAMED_MAX);
        list.truncate(NAMED_MAX);
    }
    Ok(Reply::ok(json!({
        "action": action,
        "scope": scope,
        "can": can,
        "stopped": stopped,
        "withKeys": with_keys,
        "more": more,
        "opens": opens(row, scope, &facts),
    })))
}
