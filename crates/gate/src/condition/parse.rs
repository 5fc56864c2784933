//! From a text to a tree. `AND` binds closer than `OR`; what cannot be evaluated exactly is refused with
//! its place, and never ignored: a comparison that is skipped would change who may do what.

use super::operators::{Kind, OPERATORS, Operator, QUANTIFIERS, Quantifier};
use super::token::{Token, Tokens};
use super::{
    Comparison, DEPTH_MAX, Literal, NODES_MAX, NotACondition, Operand, Position, TEXT_BYTES_MAX,
    Test,
};
use model::{ActionPattern, ObjectId, Timestamp};

const START: Position = Position { line: 1, character: 1 };

pub(super) fn parse(text: &str) -> Result<Test, NotACondition> {
    if text.len() > TEXT_BYTES_MAX {
        return refuse(START, format!("the condition is longer than {TEXT_BYTES_MAX} bytes"));
    }
    let mut tokens = Tokens::of(text);
    let (at, token) = tokens.next()?;
    if token == Token::End {
        return refuse(START, "the condition is empty");
    }
    let mut parser = Parser { tokens, at, token, nodes: 0 };
    let test = parser.any(0)?;
    match (parser.token == Token::End, parser.token == Token::Close) {
        (true, _) => Ok(test),
        (false, true) => refuse(parser.at, "this `)` closes nothing"),
        (false, false) => parser.expected("`AND`, `OR` or the end"),
    }
}

fn refuse<T>(at: Position, because: impl Into<String>) -> Result<T, NotACondition> {
    Err(NotACondition { at, because: because.into() })
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    /// The token that is looked at, and its place.
    token: Token<'a>,
    at: Position,
    nodes: usize,
}

impl<'a> Parser<'a> {
    /// Takes the token that is looked at.
    fn take(&mut self) -> Result<(Position, Token<'a>), NotACondition> {
        let (at, token) = self.tokens.next()?;
        Ok((std::mem::replace(&mut self.at, at), std::mem::replace(&mut self.token, token)))
    }

    /// Takes it if it is this one.
    fn takes(&mut self, wanted: &Token<'_>) -> Result<bool, NotACondition> {
        let is_it = self.token == *wanted;
        if is_it {
            self.take()?;
        }
        Ok(is_it)
    }

    fn expected<T>(&self, what: &str) -> Result<T, NotACondition> {
        refuse(self.at, format!("{what} is expected, but here stands {}", self.token.shown()))
    }

    fn count(&mut self, at: Position) -> Result<(), NotACondition> {
        self.nodes += 1;
        match self.nodes > NODES_MAX {
            true => refuse(at, format!("more than {NODES_MAX} tests and values")),
            false => Ok(()),
        }
    }

    fn any(&mut self, depth: usize) -> Result<Test, NotACondition> {
        let mut all = vec![self.all(depth)?];
        while self.takes(&Token::Or)? {
            all.push(self.all(depth)?);
        }
        Ok(alone(all, Test::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Test, NotACondition> {
        let mut all = vec![self.one(depth)?];
        while self.takes(&Token::And)? {
            all.push(self.one(depth)?);
        }
        Ok(alone(all, Test::All))
    }

    fn one(&mut self, depth: usize) -> Result<Test, NotACondition> {
        // The tree is walked by calls that call themselves, here and wherever it is used.
        if depth > DEPTH_MAX {
            return refuse(self.at, format!("nested deeper than {DEPTH_MAX} levels"));
        }
        let at = self.at;
        self.count(at)?;
        if self.takes(&Token::Not)? {
            return Ok(Test::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes(&Token::Open)? {
            let inner = self.any(depth + 1)?;
            return match self.takes(&Token::Close)? {
                true => Ok(inner),
                false => self.expected("`AND`, `OR` or the `)` of an earlier `(`"),
            };
        }
        let word = if let Token::Word(it) = self.token { it } else { "" };
        match word {
            "ActionMatches" => {
                let pattern = ActionPattern::new(&self.matched()?);
                Ok(Test::ActionMatches { at, pattern })
            }
            "SubOperationMatches" => {
                Ok(Test::SubOperationMatches { at, name: self.matched()?.into() })
            }
            "Exists" => {
                self.take()?;
                let Token::Attribute(attribute) = self.token.clone() else {
                    return self.expected("an attribute");
                };
                self.take()?;
                Ok(Test::Exists { at, attribute })
            }
            _ => self.comparison(),
        }
    }

    /// The `{'...'}` of `ActionMatches` and `SubOperationMatches`.
    fn matched(&mut self) -> Result<String, NotACondition> {
        self.take()?;
        if !self.takes(&Token::OpenSet)? {
            return self.expected("`{` with a text in quotes");
        }
        let Token::Text(text) = self.token.clone() else {
            return self.expected("a text in quotes");
        };
        if text.is_empty() {
            return refuse(self.at, "the text is empty");
        }
        self.take()?;
        match self.takes(&Token::CloseSet)? {
            true => Ok(text),
            false => self.expected("`}`"),
        }
    }

    fn comparison(&mut self) -> Result<Test, NotACondition> {
        let at = self.at;
        let left = self.operand()?;
        let (quantifier, operator) = self.operator()?;
        let right = self.operand()?;
        let left = left.typed(quantifier, operator)?;
        let right = right.typed(quantifier, operator)?;
        Ok(Test::Compare(Comparison { at, left, quantifier, operator, right }))
    }

    fn operator(&mut self) -> Result<(Option<Quantifier>, Operator), NotACondition> {
        let Token::Word(word) = self.token else { return self.expected("an operator") };
        let (quantifier, name) = match word.split_once(':') {
            None => (None, word),
            Some((before, name)) => {
                let known = QUANTIFIERS.iter().find(|it| it.name == before);
                let Some(known) = known else {
                    let all: Vec<&str> = QUANTIFIERS.iter().map(|it| it.name).collect();
                    return refuse(
                        self.at,
                        format!("before `:` stands one of {}, in this casing", all.join(", ")),
                    );
                };
                (Some(*known), name)
            }
        };
        let Some(operator) = OPERATORS.iter().find(|it| it.name == name) else {
            let meant = OPERATORS.iter().find(|it| it.name.eq_ignore_ascii_case(name));
            return match meant {
                Some(it) => {
                    refuse(self.at, format!("casing counts in operators; write `{}`", it.name))
                }
                None => self.expected("an operator such as `StringEquals`"),
            };
        };
        self.take()?;
        Ok((quantifier, *operator))
    }

    fn operand(&mut self) -> Result<Found, NotACondition> {
        let at = self.at;
        if !self.takes(&Token::OpenSet)? {
            if let Token::Attribute(it) = &self.token {
                let found = Found::Attribute(it.clone());
                self.take()?;
                return Ok(found);
            }
            return Ok(Found::Values { at, all: vec![self.literal()?] });
        }
        let mut all = vec![self.literal()?];
        while self.takes(&Token::Comma)? {
            all.push(self.literal()?);
        }
        match self.takes(&Token::CloseSet)? {
            true => Ok(Found::Values { at, all }),
            false => self.expected("`,` or `}`"),
        }
    }

    fn literal(&mut self) -> Result<(Position, Literal), NotACondition> {
        self.count(self.at)?;
        let found = if let Token::Text(it) = &self.token {
            Some(Literal::Text(it.as_str().into()))
        } else if let Token::Word(it) = self.token {
            word(it)
        } else {
            None
        };
        match found {
            Some(it) => Ok((self.take()?.0, it)),
            None => self.expected(OPERAND),
        }
    }
}

const OPERAND: &str = "an attribute, a text in quotes, an integer, a GUID, true or false";

/// A value without quotes.
fn word(text: &str) -> Option<Literal> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(Literal::Bool(true)),
        "false" => Some(Literal::Bool(false)),
        _ => ObjectId::parse(text)
            .map(Literal::Guid)
            .or_else(|| text.parse().ok().map(Literal::Number)),
    }
}

fn alone(mut all: Vec<Test>, several: fn(Vec<Test>) -> Test) -> Test {
    match (all.len(), all.pop()) {
        (1, Some(one)) => one,
        (_, last) => several(all.into_iter().chain(last).collect()),
    }
}

/// One side of a comparison before its operator is known.
enum Found {
    Attribute(super::Attribute),
    Values { at: Position, all: Vec<(Position, Literal)> },
}

impl Found {
    fn typed(
        self,
        quantifier: Option<Quantifier>,
        operator: Operator,
    ) -> Result<Operand, NotACondition> {
        match self {
            Self::Attribute(it) => Ok(Operand::Attribute(it)),
            Self::Values { at, all } if quantifier.is_none() && all.len() > 1 => refuse(
                at,
                format!("several values need `ForAnyOfAnyValues:{}` or its like", operator.name),
            ),
            Self::Values { all, .. } => {
                let typed = all.into_iter().map(|(at, it)| typed(at, it, operator));
                Ok(Operand::Values(typed.collect::<Result<_, _>>()?))
            }
        }
    }
}

/// The value as its operator compares it: times are written as texts, and GUIDs may be.
fn typed(at: Position, literal: Literal, operator: Operator) -> Result<Literal, NotACondition> {
    let wants = match operator.kind {
        Kind::Text | Kind::TextIgnoringCase => "a text in quotes",
        Kind::Number => "an integer",
        Kind::Time => "a time in quotes such as '2026-11-22T08:00:00Z'",
        Kind::Bool => "true or false",
        Kind::Guid => "a GUID",
    };
    let fitting = match (operator.kind, literal) {
        (Kind::Text | Kind::TextIgnoringCase, it @ Literal::Text(_))
        | (Kind::Number, it @ Literal::Number(_))
        | (Kind::Bool, it @ Literal::Bool(_))
        | (Kind::Guid, it @ Literal::Guid(_)) => Some(it),
        (Kind::Time, Literal::Text(it)) => Timestamp::parse(&it).map(Literal::Time),
        (Kind::Guid, Literal::Text(it)) => ObjectId::parse(&it).map(Literal::Guid),
        (_, _) => None,
    };
    fitting.map_or_else(|| refuse(at, format!("`{}` compares with {wants}", operator.name)), Ok)
}
