//! What a question about compliance asks for: `$filter`, `$orderby`, `$select`, `$top` and `$expand`.
//!
//! What is not understood is refused, never ignored: who asks for less must not take more for the answer.

use crate::input::Input;
use crate::resources::filter::{self, Comparison, Operator};
use gate::policy::Detail;
use model::Error;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// Members of a state that can be compared, ordered by and selected.
const FIELDS: [&str; 21] = [
    "timestamp",
    "resourceId",
    "resourceType",
    "resourceLocation",
    "resourceGroup",
    "resourceTags",
    "subscriptionId",
    "complianceState",
    "isCompliant",
    "policyAssignmentId",
    "policyAssignmentName",
    "policyAssignmentScope",
    "policyAssignmentParameters",
    "policyDefinitionId",
    "policyDefinitionName",
    "policyDefinitionAction",
    "policyDefinitionVersion",
    "policyDefinitionReferenceId",
    "policySetDefinitionId",
    "policySetDefinitionName",
    "policySetDefinitionVersion",
];
const DETAILS: &str = "policyEvaluationDetails";
/// Most fields that an answer is ordered by.
const ORDERS_MAX: usize = 4;
/// What clients of Azure can also say, and the reason why it is refused here.
const REFUSED: [(&str, &str); 4] = [
    ("$from", "states are those of now, and none are kept"),
    ("$to", "states are those of now, and none are kept"),
    ("$apply", "states are not aggregated; `summarize` counts them"),
    ("$skiptoken", "an answer has one page"),
];

/// A question, read.
#[derive(Debug)]
pub(super) struct Query {
    comparisons: Vec<Comparison>,
    orders: Vec<(&'static str, Direction)>,
    /// `None`: every member.
    selected: Option<Vec<&'static str>>,
    pub(super) top: usize,
    pub(super) detail: Detail,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Ascending,
    Descending,
}

impl Query {
    /// # Errors
    /// Names the part that is not offered.
    pub(super) fn read(input: &Input) -> Result<Self, Error> {
        for (name, because) in REFUSED {
            if input.query(name).is_some_and(|it| !it.trim().is_empty()) {
                return Err(Error::invalid(name, because));
            }
        }
        let text = |name: &str| input.query(name).map(str::trim).filter(|it| !it.is_empty());
        let comparisons = filter::parse(text("$filter").unwrap_or(""))?;
        if let Some(it) =
            comparisons.iter().find(|it| it.operator != Operator::Eq || field(&it.field).is_none())
        {
            return Err(filter::not_offered(it, &format!("{} with `eq`", FIELDS.join(", "))));
        }
        let (orders, selected) = (text("$orderby").map(orders), text("$select").map(selected));
        let (top, expand) = (text("$top").map(top), text("$expand").map(expand));
        Ok(Self {
            comparisons,
            orders: orders.transpose()?.unwrap_or_default(),
            selected: selected.transpose()?,
            top: top.transpose()?.unwrap_or(usize::MAX),
            detail: expand.transpose()?.unwrap_or(Detail::State),
        })
    }

    /// True where a state is asked for.
    pub(super) fn fits(&self, state: &Value) -> bool {
        self.comparisons.iter().all(|it| {
            field(&it.field).is_some_and(|name| shown(state, name).eq_ignore_ascii_case(&it.value))
        })
    }

    /// Which of two states comes first; equal ones stay as they came.
    pub(super) fn compare(&self, one: &Value, other: &Value) -> Ordering {
        let by = |(name, direction): &(&str, Direction)| {
            let ascending = shown(one, name).cmp(&shown(other, name));
            match direction {
                Direction::Ascending => ascending,
                Direction::Descending => ascending.reverse(),
            }
        };
        self.orders.iter().map(by).find(|it| it.is_ne()).unwrap_or(Ordering::Equal)
    }

    pub(super) fn select(&self, state: Value) -> Value {
        match (&self.selected, state) {
            (Some(names), Value::Object(members)) => {
                let kept = members
                    .into_iter()
                    .filter(|(name, _)| name.starts_with('@') || names.contains(&name.as_str()));
                Value::Object(kept.collect::<Map<_, _>>())
            }
            (_, state) => state,
        }
    }
}

/// A member of a state as text, in lower case where it is ordered or compared.
fn shown(state: &Value, name: &str) -> String {
    match state.get(name) {
        Some(Value::String(it)) => it.to_lowercase(),
        None | Some(Value::Null) => String::new(),
        Some(it) => it.to_string(),
    }
}

fn field(name: &str) -> Option<&'static str> {
    FIELDS.iter().copied().find(|it| it.eq_ignore_ascii_case(name))
}

fn unknown(at: &str, word: &str) -> Error {
    let word = word.chars().take(60).collect::<String>();
    let known = FIELDS.join(", ");
    Error::invalid(at, format!("`{}` is not one of {known}", word.escape_debug()))
}

fn orders(text: &str) -> Result<Vec<(&'static str, Direction)>, Error> {
    let at = "$orderby";
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (name, word) = part.split_once(' ').unwrap_or((part, "asc"));
        let direction = match word.trim().to_ascii_lowercase().as_str() {
            "asc" => Direction::Ascending,
            "desc" => Direction::Descending,
            _ => return Err(Error::invalid(at, "behind a field stands `asc` or `desc`")),
        };
        found.push((field(name).ok_or_else(|| unknown(at, name))?, direction));
    }
    match found.len() <= ORDERS_MAX {
        true => Ok(found),
        false => Err(Error::invalid(at, format!("more than {ORDERS_MAX} fields"))),
    }
}

fn selected(text: &str) -> Result<Vec<&'static str>, Error> {
    let one = |name: &str| match name.eq_ignore_ascii_case(DETAILS) {
        true => Ok(DETAILS),
        false => field(name).ok_or_else(|| unknown("$select", name)),
    };
    text.split(',').map(|it| one(it.trim())).collect()
}

fn top(text: &str) -> Result<usize, Error> {
    text.parse().map_err(|_| Error::invalid("$top", "this is a whole number, 0 or more"))
}

fn expand(text: &str) -> Result<Detail, Error> {
    match text.eq_ignore_ascii_case(DETAILS) {
        true => Ok(Detail::Conditions),
        false => Err(Error::invalid("$expand", format!("`{DETAILS}` is what can be expanded"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Scope;
    use model::trace::Channel;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn read(query: &[(&str, &str)]) -> Result<Query, Error> {
        Query::read(&Input {
            params: BTreeMap::new(),
            query: query.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            body: Value::Null,
            raw: bytes::Bytes::new(),
            received: None,
            scope: Scope::root(),
            path: String::new(),
            headers: crate::input::Headers::default(),
            channel: Channel::default(),
            certificates: None,
            correlation_id: String::new(),
        })
    }

    #[test]
    fn a_filter_compares_fields_without_regard_to_case_and_joins_with_and() {
        let state = json!({ "complianceState": "NonCompliant", "isCompliant": false,
            "policyAssignmentName": "Owned", "policyDefinitionReferenceId": "" });
        let check = |text: &str, expected: bool| {
            assert_eq!(read(&[("$filter", text)]).unwrap().fits(&state), expected, "{text}");
        };
        check("", true);
        check("ComplianceState eq 'noncompliant'", true);
        check("complianceState eq 'Compliant'", false);
        check("isCompliant eq false and policyAssignmentName eq 'owned'", true);
        check("isCompliant eq false and policyAssignmentName eq 'own'", false);
        check("policyDefinitionReferenceId eq ''", true);
    }

    #[test]
    fn states_are_ordered_and_cut_down_to_what_is_asked_for() {
        let (one, other) =
            (json!({ "resourceId": "B", "isCompliant": true }), json!({ "resourceId": "a" }));
        let check = |text: &str, expected: Ordering| {
            let query = read(&[("$orderby", text)]).unwrap();
            assert_eq!(query.compare(&one, &other), expected, "{text}");
        };
        check("", Ordering::Equal);
        check("resourceId", Ordering::Greater);
        check("ResourceId desc", Ordering::Less);
        check("timestamp asc, resourceId asc", Ordering::Greater);
        let query = read(&[("$select", "resourceid, policyEvaluationDetails")]).unwrap();
        assert_eq!(query.select(one), json!({ "resourceId": "B" }));
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        for (name, text) in [
            ("$filter", "complianceState ne 'Compliant'"),
            ("$filter", "complianceState eq 'Compliant' or isCompliant eq true"),
            ("$filter", "policyAssignmentOwner eq 'ana'"),
            ("$filter", "timestamp ge 2026-11-22"),
            ("$orderby", "owner"),
            ("$orderby", "timestamp up"),
            ("$orderby", "timestamp,timestamp,timestamp,timestamp,timestamp"),
            ("$select", "owner"),
            ("$top", "-1"),
            ("$top", "many"),
            ("$expand", "components"),
            ("$from", "2026-11-22T08:00:00Z"),
            ("$to", "2026-11-22T08:00:00Z"),
            ("$apply", "aggregate($count as Number)"),
            ("$skiptoken", "x"),
        ] {
            assert!(read(&[(name, text)]).is_err(), "{name} {text}");
        }
        assert_eq!(read(&[("$top", "0")]).unwrap().top, 0);
        assert_eq!(
            read(&[("$expand", "PolicyEvaluationDetails")]).unwrap().detail,
            Detail::Conditions
        );
    }
}
