//! The operators by their names, which are case-sensitive, and the quantifiers that stand before them.

/// What an operator compares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    TextIgnoringCase,
    Number,
    Time,
    Bool,
    Guid,
}

/// How it compares the left with the right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Relation {
    Equals,
    NotEquals,
    StartsWith,
    NotStartsWith,
    Like,
    NotLike,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Operator {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) relation: Relation,
}

/// How many of the values on one side must take part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Each {
    Any,
    All,
}

/// `ForAnyOfAllValues` and the like: how many on the left, against how many on the right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Quantifier {
    pub(super) name: &'static str,
    pub(super) left: Each,
    pub(super) right: Each,
}

const fn operator(name: &'static str, kind: Kind, relation: Relation) -> Operator {
    Operator { name, kind, relation }
}

/// Source: Azure RBAC documentation, "Azure role assignment condition format and syntax", function operators.
pub(super) const OPERATORS: &[Operator] = &[
    operator("StringEquals", Kind::Text, Relation::Equals),
    operator("StringNotEquals", Kind::Text, Relation::NotEquals),
    operator("StringStartsWith", Kind::Text, Relation::StartsWith),
    operator("StringNotStartsWith", Kind::Text, Relation::NotStartsWith),
    operator("StringLike", Kind::Text, Relation::Like),
    operator("StringNotLike", Kind::Text, Relation::NotLike),
    operator("StringEqualsIgnoreCase", Kind::TextIgnoringCase, Relation::Equals),
    operator("StringNotEqualsIgnoreCase", Kind::TextIgnoringCase, Relation::NotEquals),
    operator("StringStartsWithIgnoreCase", Kind::TextIgnoringCase, Relation::StartsWith),
    operator("StringNotStartsWithIgnoreCase", Kind::TextIgnoringCase, Relation::NotStartsWith),
    operator("StringLikeIgnoreCase", Kind::TextIgnoringCase, Relation::Like),
    operator("StringNotLikeIgnoreCase", Kind::TextIgnoringCase, Relation::NotLike),
    operator("NumericEquals", Kind::Number, Relation::Equals),
    operator("NumericNotEquals", Kind::Number, Relation::NotEquals),
    operator("NumericLessThan", Kind::Number, Relation::Less),
    operator("NumericLessThanEquals", Kind::Number, Relation::LessOrEqual),
    operator("NumericGreaterThan", Kind::Number, Relation::Greater),
    operator("NumericGreaterThanEquals", Kind::Number, Relation::GreaterOrEqual),
    operator("DateTimeEquals", Kind::Time, Relation::Equals),
    operator("DateTimeNotEquals", Kind::Time, Relation::NotEquals),
    operator("DateTimeLessThan", Kind::Time, Relation::Less),
    operator("DateTimeLessThanEquals", Kind::Time, Relation::LessOrEqual),
    operator("DateTimeGreaterThan", Kind::Time, Relation::Greater),
    operator("DateTimeGreaterThanEquals", Kind::Time, Relation::GreaterOrEqual),
    operator("BoolEquals", Kind::Bool, Relation::Equals),
    operator("BoolNotEquals", Kind::Bool, Relation::NotEquals),
    operator("GuidEquals", Kind::Guid, Relation::Equals),
    operator("GuidNotEquals", Kind::Guid, Relation::NotEquals),
];

pub(super) const QUANTIFIERS: &[Quantifier] = &[
    Quantifier { name: "ForAnyOfAnyValues", left: Each::Any, right: Each::Any },
    Quantifier { name: "ForAllOfAnyValues", left: Each::All, right: Each::Any },
    Quantifier { name: "ForAnyOfAllValues", left: Each::Any, right: Each::All },
    Quantifier { name: "ForAllOfAllValues", left: Each::All, right: Each::All },
];
