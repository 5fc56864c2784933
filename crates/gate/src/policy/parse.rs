//! Reads a definition's rules, once, when it is written. What cannot be evaluated exactly is refused here
//! with its place, and never ignored: a condition that is skipped would change who may do what.

use super::effects::guarded;
use super::lacking::{EFFECTS, EXPRESSIONS, OPERATORS, lacking};
use super::{Effect, Field, FieldTest, Operator, Place, Rule, Test};
use model::json::member;
use serde_json::Value;
use std::fmt;

/// Most rules in a definition.
pub const RULES_MAX: usize = 100;
/// Most conditions in one rule.
pub const CONDITIONS_MAX: usize = 4_096;
/// Deepest nesting of `allOf`, `anyOf` and `not`.
pub const DEPTH_MAX: usize = 64;
/// Longest text of a pattern.
const PATTERN_BYTES_MAX: usize = 4_096;

/// The rules cannot be taken: where, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAPolicy {
    pub at: String,
    pub because: String,
    /// What Azure's policies have and these do not, where that is the reason.
    pub lacks: Option<&'static str>,
}

impl fmt::Display for NotAPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.because)
    }
}

impl std::error::Error for NotAPolicy {}

fn refuse<T>(at: &str, because: impl Into<String>) -> Result<T, NotAPolicy> {
    Err(NotAPolicy { at: at.to_owned(), because: because.into(), lacks: None })
}

/// Refuses what could be meant, but cannot be evaluated here.
fn lack<T>(at: &str, feature: &'static str, because: impl Into<String>) -> Result<T, NotAPolicy> {
    Err(NotAPolicy { at: at.to_owned(), because: because.into(), lacks: Some(feature) })
}

/// Reads the rules from a definition's `properties`: `policyRule`, an object or an ordered array of such,
/// or `policyRules`, the same array under its own name.
pub fn parse_rules(properties: &Value) -> Result<Vec<Rule>, NotAPolicy> {
    let (at, value) = match (member(properties, "policyRule"), member(properties, "policyRules")) {
        (Some(_), Some(_)) => {
            return refuse("properties", "give `policyRule` or `policyRules`, not both");
        }
        (Some(it), None) => ("policyRule", it),
        (None, Some(it)) => ("policyRules", it),
        (None, None) => {
            return refuse(
                "properties",
                "`policyRule` is required: {\"if\": ..., \"then\": {\"effect\": ...}}",
            );
        }
    };
    match value {
        Value::Array(rules) if rules.is_empty() => refuse(at, "the list holds no rule"),
        Value::Array(rules) if rules.len() > RULES_MAX => {
            refuse(at, format!("more than {RULES_MAX} rules"))
        }
        Value::Array(rules) => rules
            .iter()
            .enumerate()
            .map(|(index, it)| rule(&format!("{at}[{index}]"), index, it))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Ok(vec![rule(at, 0, value)?])
        }
    }
}

fn rule(at: &str, index: usize, value: &Value) -> Result<Rule, NotAPolicy> {
    let Some(object) = value.as_object() else {
        return refuse(at, "a rule is an object with `if` and `then`");
    };
    for key in object.keys() {
        if !["if", "then"].iter().any(|it| key.eq_ignore_ascii_case(it)) {
            return refuse(&format!("{at}.{key}"), "a rule has `if` and `then`, nothing else");
        }
    }
    let Some(condition) = member(value, "if") else {
        return refuse(at, "`if` is missing");
    };
    let Some(then) = member(value, "then") else {
        return refuse(at, "`then` is missing");
    };
    let mut count = 0;
    let condition = test(&format!("{at}.if"), condition, 0, &mut count)?;
    Ok(Rule { index, condition, effect: effect(&format!("{at}.then"), then)? })
}

fn effect(at: &str, then: &Value) -> Result<Effect, NotAPolicy> {
    let place = format!("{at}.effect");
    let Some(word) = member(then, "effect").and_then(Value::as_str) else {
        return refuse(&place, "`effect` is a text that is required");
    };
    if word.starts_with('[') {
        return lack(
            &place,
            EXPRESSIONS,
            "expressions and parameters cannot be evaluated yet; write the effect itself",
        );
    }
    let known = Effect::ALL.iter().find(|it| it.as_str().eq_ignore_ascii_case(word));
    let Some(effect) = known else {
        let possible: Vec<&str> = Effect::ALL.iter().map(|it| it.as_str()).collect();
        return Err(NotAPolicy {
            at: place,
            because: format!(
                "`{}` is not an effect that can be applied here; possible are {}",
                word.escape_debug(),
                possible.join(", ")
            ),
            lacks: lacking(EFFECTS, word),
        });
    };
    let place = format!("{at}.details");
    match (effect, member(then, "details")) {
        (Effect::DenyAction(_), details) => Ok(Effect::DenyAction(guarded(&place, details)?)),
        (_, None | Some(Value::Null)) => Ok(*effect),
        (_, Some(_)) => {
            refuse(&place, format!("the effect `{}` takes no details", effect.as_str()))
        }
    }
}

fn test(at: &str, value: &Value, depth: usize, count: &mut usize) -> Result<Test, NotAPolicy> {
    if depth >= DEPTH_MAX {
        return refuse(at, format!("nested deeper than {DEPTH_MAX} levels"));
    }
    *count += 1;
    if *count > CONDITIONS_MAX {
        return refuse(at, format!("more than {CONDITIONS_MAX} conditions in one rule"));
    }
    let Some(object) = value.as_object() else {
        return refuse(at, "a condition is an object");
    };
    for (key, inner) in object {
        let place = format!("{at}.{key}");
        let lower = key.to_ascii_lowercase();
        let several = |count: &mut usize| -> Result<Vec<Test>, NotAPolicy> {
            let Some(items) = inner.as_array() else {
                return refuse(&place, "this is a list of conditions");
            };
            items
                .iter()
                .enumerate()
                .map(|(index, it)| test(&format!("{place}[{index}]"), it, depth + 1, count))
                .collect()
        };
        let found = match lower.as_str() {
            "allof" => Test::AllOf(several(count)?),
            "anyof" => Test::AnyOf(several(count)?),
            "not" => Test::Not(Box::new(test(&place, inner, depth + 1, count)?)),
            "value" | "count" => {
                return lack(
                    &place,
                    if lower == "count" { "policy count" } else { "policy value" },
                    format!("conditions on `{lower}` cannot be evaluated yet; use `field`"),
                );
            }
            _ => continue,
        };
        return match object.len() {
            1 => Ok(found),
            _ => refuse(at, format!("`{key}` stands alone in its object")),
        };
    }
    field_test(at, value)
}

fn field_test(at: &str, value: &Value) -> Result<Test, NotAPolicy> {
    let Some(text) = member(value, "field").and_then(Value::as_str) else {
        return refuse(at, "a condition has `field` and one operator, or one of allOf, anyOf, not");
    };
    let place = format!("{at}.field");
    let field = field(&place, text)?;
    let mut operator = None;
    for (key, expected) in value.as_object().into_iter().flatten() {
        if key.eq_ignore_ascii_case("field") {
            continue;
        }
        let known = Operator::ALL.iter().find(|(_, it)| it.eq_ignore_ascii_case(key));
        match (known, operator) {
            (Some((found, _)), None) => operator = Some((*found, expected.clone())),
            (Some(_), Some(_)) => {
                return refuse(&format!("{at}.{key}"), "a condition has one operator");
            }
            (None, _) => {
                let possible: Vec<&str> = Operator::ALL.iter().map(|(_, it)| *it).collect();
                return Err(NotAPolicy {
                    at: format!("{at}.{key}"),
                    because: format!(
                        "this is not an operator that can be evaluated; possible are {}",
                        possible.join(", ")
                    ),
                    lacks: lacking(OPERATORS, key),
                });
            }
        }
    }
    let Some((operator, expected)) = operator else {
        return refuse(at, "the condition has no operator");
    };
    let expected = operand(&format!("{at}.{}", operator.as_str()), operator, &expected)?;
    Ok(Test::Field(FieldTest {
        path: at.to_owned(),
        text: text.to_owned(),
        field,
        operator,
        expected,
    }))
}

/// Checks that an operator can work with what it is given, and takes `[[` back to `[`.
fn operand(at: &str, operator: Operator, value: &Value) -> Result<Value, NotAPolicy> {
    let plain = |it: &Value| -> Result<Value, NotAPolicy> {
        match it {
            Value::String(text) if text.starts_with("[[") => {
                Ok(Value::String(text.get(1..).unwrap_or("").to_owned()))
            }
            Value::String(text) if text.starts_with('[') => lack(
                at,
                EXPRESSIONS,
                "expressions and parameters cannot be evaluated yet; write the value itself (`[[` stands for a leading `[`)",
            ),
            Value::String(text) if text.len() > PATTERN_BYTES_MAX => {
                refuse(at, "the text is longer than 4,096 bytes")
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(it.clone()),
            Value::Array(_) | Value::Object(_) => {
                refuse(at, "a text, a number, true, false or null is expected")
            }
        }
    };
    let text = |it: Value| match it.is_string() {
        true => Ok(it),
        false => refuse(at, "this operator takes a text"),
    };
    match operator {
        Operator::In | Operator::NotIn => match value.as_array() {
            Some(items) => Ok(Value::Array(items.iter().map(plain).collect::<Result<_, _>>()?)),
            None => refuse(at, "this operator takes a list"),
        },
        Operator::Exists => match (value.as_bool(), value.as_str()) {
            (Some(word), _) => Ok(Value::Bool(word)),
            (None, Some(word)) if word.eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
            (None, Some(word)) if word.eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
            (None, _) => refuse(at, "`exists` takes true or false"),
        },
        Operator::Like | Operator::NotLike => {
            let pattern = text(plain(value)?)?;
            match pattern.as_str().map_or(0, |it| it.matches('*').count()) {
                0 | 1 => Ok(pattern),
                _ => refuse(at, "the pattern holds more than one `*`"),
            }
        }
        Operator::Match
        | Operator::NotMatch
        | Operator::MatchInsensitively
        | Operator::NotMatchInsensitively
        | Operator::ContainsKey
        | Operator::NotContainsKey => text(plain(value)?),
        Operator::Equals | Operator::NotEquals | Operator::Contains | Operator::NotContains => {
            plain(value)
        }
    }
}

/// Words in a property's path that name secrets: such a property has no alias.
const SECRET_WORDS: &[&str] = &[
    "authorizationpolicies",
    "symmetrickey",
    "primarykey",
    "secondarykey",
    "connectionstring",
    "sastoken",
];

fn field(at: &str, text: &str) -> Result<Field, NotAPolicy> {
    let lower = text.to_ascii_lowercase();
    let field = match lower.as_str() {
        "type" => Field::Type,
        "name" => Field::Name,
        "fullname" => Field::FullName,
        "id" => Field::Id,
        "kind" => Field::Kind,
        "location" => Field::Location,
        "identity.type" => Field::IdentityType,
        "identity.principalid" => Field::PrincipalId,
        "identity.principaltype" => Field::PrincipalType,
        "identity.appid" => Field::AppId,
        "identity.authtype" => Field::AuthType,
        "identity.resourceid" => Field::CallerResource,
        "identity.servicename" => Field::CallerService,
        "request.action" => Field::Action,
        "request.endpoint" => Field::Endpoint,
        "request.protocol" => Field::Protocol,
        "tags" => Field::Tags,
        _ if text.contains("[*]") => {
            return lack(
                at,
                "policy fields over lists",
                "fields over the members of a list (`[*]`) cannot be evaluated yet",
            );
        }
        _ if lower.starts_with("tags") => match tag(text) {
            Some(name) => Field::Tag(name),
            None => return refuse(at, "a tag is written `tags.name` or `tags['name']`"),
        },
        _ => return property(at, text),
    };
    Ok(field)
}

fn tag(text: &str) -> Option<String> {
    let rest = text.get(4..)?;
    let name = match rest.strip_prefix('.') {
        Some(name) => name,
        None => rest.strip_prefix('[')?.strip_suffix(']')?.trim_matches('\''),
    };
    (!name.is_empty()).then(|| name.to_owned())
}

fn property(at: &str, text: &str) -> Result<Field, NotAPolicy> {
    let known =
        ["type", "name", "id", "location", "tags.x", "identity.principalId", "request.action"]
            .join(", ");
    let parts: Vec<&str> = text.split('/').collect();
    let Some((path, kind)) = parts
        .split_last()
        .filter(|(_, kind)| kind.len() >= 2 && kind.iter().all(|it| !it.is_empty()))
    else {
        return refuse(
            at,
            format!(
                "`{}` is not a field; fields are {known} and aliases such as `Microsoft.Devices/IotHubs/disableLocalAuth`",
                text.escape_debug()
            ),
        );
    };
    let path: Vec<String> = path.split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        return refuse(at, "the alias has an empty step");
    }
    if path.iter().any(|it| SECRET_WORDS.contains(&it.to_ascii_lowercase().as_str())) {
        return refuse(at, "this property is secret: it has no alias, and policies never see it");
    }
    let kind = kind.join("/");
    let place = place_of(&kind, path.first().map_or("", String::as_str));
    Ok(Field::Property { kind, place, path })
}

/// Members that stand beside `properties` in every ARM resource that has them.
const TOP_MEMBERS: &[&str] = &[
    "sku",
    "identity",
    "kind",
    "location",
    "tags",
    "plan",
    "zones",
    "managedBy",
    "extendedLocation",
];

fn place_of(kind: &str, first: &str) -> Place {
    let is_data =
        model::OPERATIONS.iter().filter_map(|it| it.object).any(|it| it.eq_ignore_ascii_case(kind));
    match is_data || TOP_MEMBERS.iter().any(|it| it.eq_ignore_ascii_case(first)) {
        true => Place::Top,
        false => Place::Properties,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(rule: Value) -> Result<Vec<Rule>, NotAPolicy> {
        parse_rules(&json!({ "policyRule": rule }))
    }

    /// S0-14: the document of the source, as it stands there.
    #[test]
    fn the_document_of_the_source_is_taken() {
        let rules = parse_rules(&json!({
            "policyRule": {
                "if": { "allOf": [
                    { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
                    { "field": "identity.principalId", "equals": "<DPS-managed-identity-id>" }
                ] },
                "then": { "effect": "allow" }
            }
        }))
        .unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].effect, Effect::Allow);
    }

    #[test]
    fn what_cannot_be_evaluated_is_refused_with_its_place() {
        let check = |rule: Value, at: &str| assert_eq!(parse(rule).unwrap_err().at, at);
        let ok = json!({ "field": "type", "equals": "x" });
        check(json!({ "if": ok, "then": { "effect": "permit" } }), "policyRule.then.effect");
        check(json!({ "if": ok, "then": { "effect": "denny" } }), "policyRule.then.effect");
        check(
            json!({ "if": ok, "then": { "effect": "[parameters('e')]" } }),
            "policyRule.then.effect",
        );
        check(json!({ "if": ok }), "policyRule");
        check(json!({ "then": { "effect": "deny" } }), "policyRule");
        check(
            json!({ "if": { "allOf": [ok, { "field": "type" }] }, "then": { "effect": "deny" } }),
            "policyRule.if.allOf[1]",
        );
        check(
            json!({ "if": { "field": "type", "is": "x" }, "then": { "effect": "deny" } }),
            "policyRule.if.is",
        );
        check(
            json!({ "if": { "field": "colour", "equals": "x" }, "then": { "effect": "deny" } }),
            "policyRule.if.field",
        );
        check(
            json!({ "if": { "field": "type", "like": "a*b*" }, "then": { "effect": "deny" } }),
            "policyRule.if.like",
        );
        check(
            json!({ "if": { "field": "type", "in": "x" }, "then": { "effect": "deny" } }),
            "policyRule.if.in",
        );
        check(
            json!({ "if": { "value": "x", "equals": "x" }, "then": { "effect": "deny" } }),
            "policyRule.if.value",
        );
        check(
            json!({ "if": { "allOf": [], "field": "type" }, "then": { "effect": "deny" } }),
            "policyRule.if",
        );
        check(json!([{ "if": ok, "then": { "effect": "deny" } }, { "if": ok }]), "policyRule[1]");
        check(
            json!({ "if": { "field": "Microsoft.Devices/IotHubs/authorizationPolicies.primaryKey", "exists": true }, "then": { "effect": "deny" } }),
            "policyRule.if.field",
        );
    }

    #[test]
    fn what_azure_has_beyond_this_is_told_from_what_nobody_has() {
        let check = |condition: Value, effect: &str, lacks: Option<&str>| {
            let fault =
                parse(json!({ "if": condition, "then": { "effect": effect } })).unwrap_err();
            assert_eq!(fault.lacks, lacks, "{fault}");
        };
        let ok = json!({ "field": "type", "equals": "x" });
        check(ok.clone(), "Modify", Some("policy effect modify"));
        check(ok.clone(), "DenyAction", None);
        check(ok.clone(), "[parameters('e')]", Some(EXPRESSIONS));
        check(ok, "denny", None);
        let count = json!({ "count": { "field": "a/b/c[*]" }, "equals": 0 });
        check(count, "deny", Some("policy count"));
        let less = json!({ "field": "type", "Less": 1 });
        check(less, "deny", Some("policy operator less"));
        check(json!({ "field": "type", "fewer": 1 }), "deny", None);
    }

    #[test]
    fn one_past_each_limit_is_refused() {
        let ok = json!({ "field": "type", "equals": "x" });
        let nested = |depth: usize| {
            let mut inner = ok.clone();
            for _ in 1..depth {
                inner = json!({ "not": inner });
            }
            json!({ "if": inner, "then": { "effect": "deny" } })
        };
        assert!(parse(nested(DEPTH_MAX)).is_ok());
        assert!(parse(nested(DEPTH_MAX + 1)).is_err());
        let wide = |count: usize| json!({ "if": { "allOf": vec![ok.clone(); count - 1] }, "then": { "effect": "deny" } });
        assert!(parse(wide(CONDITIONS_MAX)).is_ok());
        assert!(parse(wide(CONDITIONS_MAX + 1)).is_err());
        let rule = json!({ "if": ok, "then": { "effect": "audit" } });
        assert!(parse(Value::Array(vec![rule.clone(); RULES_MAX])).is_ok());
        assert!(parse(Value::Array(vec![rule; RULES_MAX + 1])).is_err());
        assert!(parse(json!([])).is_err());
    }
}
