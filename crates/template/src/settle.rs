//! The values of parameters and variables, which may speak of each other.

use crate::evaluate::{Context, Evaluator};
use crate::{NotATemplate, Stop, parameters};
use expression::Steps;
use model::json::{member, text};
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What parameters and variables say of themselves, while they are settled.
pub(crate) struct Settling<'a> {
    pub(crate) parameters: &'a Map<String, Value>,
    pub(crate) given: &'a Map<String, Value>,
    pub(crate) variables: &'a Map<String, Value>,
    pub(crate) new_guid: &'a dyn Fn() -> Uuid,
    pub(crate) settled: RefCell<(BTreeMap<String, Value>, BTreeMap<String, Value>)>,
    /// Those that are being settled: one that speaks of itself is found here.
    pub(crate) under_way: RefCell<BTreeSet<String>>,
}

pub(crate) type Values = BTreeMap<String, Value>;

/// The values of all parameters and variables.
pub(crate) fn settle(
    blank: &Context,
    steps: &Steps,
    settling: &Settling<'_>,
) -> Result<(Values, Values), NotATemplate> {
    let at = Evaluator { settling: Some(settling), ..Evaluator::new(blank, steps) };
    for name in settling.parameters.keys() {
        at.settle_parameter(settling, &name.to_ascii_lowercase()).map_err(Stop::before_it_runs)?;
    }
    for (name, it) in settling.variables {
        if let (true, Value::Array(loops)) = (name.eq_ignore_ascii_case("copy"), it) {
            for it in loops {
                let key = text(it, &["name"]).unwrap_or("").to_ascii_lowercase();
                at.settle_variable(settling, &key).map_err(Stop::before_it_runs)?;
            }
            continue;
        }
        at.settle_variable(settling, &name.to_ascii_lowercase()).map_err(Stop::before_it_runs)?;
    }
    Ok(settling.settled.take())
}

impl Evaluator<'_> {
    pub(crate) fn settle_parameter(
        &self,
        settling: &Settling<'_>,
        key: &str,
    ) -> Result<Value, Stop> {
        if let Some(it) = settling.settled.borrow().0.get(key) {
            expression::charge(it, self.steps)?;
            return Ok(it.clone());
        }
        let found = settling.parameters.iter().find(|(it, _)| it.eq_ignore_ascii_case(key));
        let Some((name, declared)) = found else {
            return Stop::fault(format!(
                "the template declares no parameter `{}`",
                key.escape_debug()
            ));
        };
        let value = match (settling.given.get(name), member(declared, "defaultValue")) {
            (Some(it), _) => it.clone(),
            (None, Some(default)) => {
                let place = format!("parameters.{name}");
                self.guarded(settling, &place, |it| it.value(default))
                    .map_err(|it| it.at(&place))?
            }
            (None, None) => Value::Null,
        };
        parameters::check(name, declared, &value).map_err(|it| Stop::Fault(it.0))?;
        settling.settled.borrow_mut().0.insert(key.to_owned(), value.clone());
        Ok(value)
    }

    pub(crate) fn settle_variable(
        &self,
        settling: &Settling<'_>,
        key: &str,
    ) -> Result<Value, Stop> {
        if let Some(it) = settling.settled.borrow().1.get(key) {
            expression::charge(it, self.steps)?;
            return Ok(it.clone());
        }
        let place = format!("variables.{key}");
        let plain =
            settling.variables.iter().find(|(it, _)| it.eq_ignore_ascii_case(key) && key != "copy");
        let value = match plain {
            Some((_, written)) => self.guarded(settling, &place, |it| it.value(written)),
            None => {
                let loops =
                    settling.variables.iter().find(|(it, _)| it.eq_ignore_ascii_case("copy"));
                let own =
                    loops.and_then(|(_, it)| it.as_array()).into_iter().flatten().find(|it| {
                        text(it, &["name"]).is_some_and(|it| it.eq_ignore_ascii_case(key))
                    });
                let Some(own) = own else {
                    return Stop::fault(format!(
                        "the template has no variable `{}`",
                        key.escape_debug()
                    ));
                };
                let whole = json!({ "copy": [own] });
                self.guarded(settling, &place, |it| {
                    let made = it.value(&whole)?;
                    Ok(made
                        .as_object()
                        .and_then(|it| it.values().next())
                        .cloned()
                        .unwrap_or(Value::Null))
                })
            }
        };
        let value = value.map_err(|it| it.at(&place))?;
        settling.settled.borrow_mut().1.insert(key.to_owned(), value.clone());
        Ok(value)
    }

    /// Evaluates what may speak of others that speak of it: such a circle is named.
    fn guarded(
        &self,
        settling: &Settling<'_>,
        place: &str,
        then: impl FnOnce(&Evaluator<'_>) -> Result<Value, Stop>,
    ) -> Result<Value, Stop> {
        {
            let mut under_way = settling.under_way.borrow_mut();
            if !under_way.insert(place.to_ascii_lowercase()) {
                return Stop::fault("it speaks of itself");
            }
        }
        let at = Evaluator {
            settling: self.settling,
            is_default: place.starts_with("parameters."),
            ..Evaluator::new(self.context, self.steps)
        };
        let found = then(&at);
        settling.under_way.borrow_mut().remove(&place.to_ascii_lowercase());
        found
    }
}
