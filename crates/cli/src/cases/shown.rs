//! Which of the files' own roles and policy rules the cases have shown at work.

use super::judge::Answer;
use gate::policy::{Effect, Rule, Then, parse_rules};
use model::trace::FindingResult;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Role {
        name: String,
    },
    /// With its text: cases may each bring a definition of one name.
    Rule {
        policy: String,
        index: usize,
        text: String,
    },
}

/// By file: what it holds, and whether a case has shown it.
#[derive(Default)]
pub(super) struct Shown(BTreeMap<(String, Part), bool>);

fn rule(policy: &str, rule: &Rule) -> Part {
    Part::Rule { policy: policy.to_owned(), index: rule.index, text: rule.source.to_string() }
}

impl Shown {
    /// What a file's worlds hold, whether or not a case comes to them.
    pub(super) fn expect(&mut self, file: &str, worlds: &Map<String, Value>) {
        let section = |world: &Value, name: &str| -> Map<String, Value> {
            world.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
        };
        for world in worlds.values() {
            for name in section(world, "roleDefinitions").keys() {
                self.put(file, Part::Role { name: name.clone() }, false);
            }
            for (name, definition) in section(world, "policyDefinitions") {
                for it in parse_rules(&definition).into_iter().flatten() {
                    self.put_rule(file, &name, &it, false);
                }
            }
        }
    }

    /// What a case brought along, and what of all that it showed: a role that granted, a rule that matched.
    pub(super) fn note(&mut self, file: &str, answer: &Answer) {
        let (Some(world), Some(trace)) = (&answer.world, &answer.trace) else { return };
        for name in world.roles.values() {
            self.put(file, Part::Role { name: name.clone() }, false);
        }
        for definition in &world.definitions {
            for it in &definition.rules {
                self.put_rule(file, &definition.name, it, false);
            }
        }
        for found in trace.steps.iter().flat_map(|it| &it.findings) {
            let granted = matches!(found.result, FindingResult::Allow | FindingResult::Match);
            if let Some(place) = found.role.as_ref().filter(|_| granted) {
                let own = world.roles.iter().find(|(id, _)| id.to_string() == place.role_id);
                if let Some((_, name)) = own {
                    self.put(file, Part::Role { name: name.clone() }, true);
                }
            }
            let matched = granted
                || matches!(
                    found.result,
                    FindingResult::Deny
                        | FindingResult::WouldDeny
                        | FindingResult::Audit
                        | FindingResult::Change
                        | FindingResult::WouldChange
                );
            if let Some(place) = found.rule.as_ref().filter(|_| matched) {
                let definition = world.definitions.iter().find(|it| it.id == place.definition_id);
                if let Some(it) = definition.and_then(|it| it.rules.get(place.index)) {
                    self.put_rule(file, &place.definition_name, it, true);
                }
            }
        }
    }

    fn put_rule(&mut self, file: &str, policy: &str, it: &Rule, is_shown: bool) {
        // A rule that is switched off has nothing to show.
        if !matches!(it.then, Then::Is(Effect::Disabled)) {
            self.put(file, rule(policy, it), is_shown);
        }
    }

    fn put(&mut self, file: &str, part: Part, is_shown: bool) {
        *self.0.entry((file.to_owned(), part)).or_default() |= is_shown;
    }

    /// A sentence for each that no case has shown.
    pub(super) fn missing(&self) -> Vec<String> {
        let missing = self.0.iter().filter(|(_, is_shown)| !**is_shown);
        missing
            .map(|((file, part), _)| match part {
                Part::Role { name } => format!("{file}: role `{name}` grants nothing in any case"),
                Part::Rule { policy, index, .. } => {
                    format!("{file}: rule {index} of policy `{policy}` matches in no case")
                }
            })
            .collect()
    }
}
