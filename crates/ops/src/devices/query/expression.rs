//! Conditions and values, from tokens to a tree. `NOT` binds closer than `AND`, `AND` closer than `OR`, signs
//! of arithmetic as usual.

use super::functions::Function;
use super::parse::Parser;
use super::token::{Token, Wrong, constant};
use super::{Arithmetic, Expression, Relation};
use serde_json::{Number, Value};

const VALUE: &str = "a name, a function, a text in quotes, a number, true, false, null or a list";

impl Parser<'_> {
    pub(super) fn any(&mut self, depth: usize) -> Result<Expression, Wrong> {
        self.check_depth(depth)?;
        let mut all = vec![self.all(depth)?];
        while self.takes_keyword("OR")? {
            all.push(self.all(depth)?);
        }
        Ok(alone(all, Expression::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, Wrong> {
        let mut all = vec![self.not(depth)?];
        while self.takes_keyword("AND")? {
            all.push(self.not(depth)?);
        }
        Ok(alone(all, Expression::All))
    }

    fn not(&mut self, depth: usize) -> Result<Expression, Wrong> {
        self.check_depth(depth)?;
        self.count()?;
        match self.takes_keyword("NOT")? {
            true => Ok(Expression::Not(Box::new(self.not(depth + 1)?))),
            false => self.comparison(depth),
        }
    }

    fn comparison(&mut self, depth: usize) -> Result<Expression, Wrong> {
        let left = Box::new(self.sum(depth)?);
        if let Token::Sign(sign) = self.token
            && let Some(relation) = relation_of(sign)
        {
            self.take()?;
            let right = Box::new(self.sum(depth)?);
            if matches!(self.token, Token::Sign(it) if relation_of(it).is_some()) {
                return Err(Wrong::new(self.at, "put one of the comparisons into parentheses"));
            }
            return Ok(Expression::Compare(left, relation, right));
        }
        for (word, is_in) in [("IN", true), ("NIN", false)] {
            if self.takes_keyword(word)? {
                if self.token != Token::OpenList {
                    return self.expected("`[` with values");
                }
                return Ok(Expression::In(left, is_in, self.list(depth + 1)?));
            }
        }
        Ok(*left)
    }

    fn sum(&mut self, depth: usize) -> Result<Expression, Wrong> {
        let signs = [("+", Arithmetic::Add), ("-", Arithmetic::Subtract)];
        self.chain(depth, &signs, Self::product)
    }

    fn product(&mut self, depth: usize) -> Result<Expression, Wrong> {
        let signs =
            [("*", Arithmetic::Multiply), ("/", Arithmetic::Divide), ("%", Arithmetic::Remainder)];
        self.chain(depth, &signs, Self::signed)
    }

    fn chain(
        &mut self,
        depth: usize,
        signs: &[(&'static str, Arithmetic)],
        part: fn(&mut Self, usize) -> Result<Expression, Wrong>,
    ) -> Result<Expression, Wrong> {
        let first = part(self, depth)?;
        let mut rest = Vec::new();
        while let Token::Sign(sign) = self.token
            && let Some((_, arithmetic)) = signs.iter().find(|(it, _)| *it == sign)
        {
            self.take()?;
            rest.push((*arithmetic, part(self, depth)?));
        }
        Ok(match rest.is_empty() {
            true => first,
            false => Expression::Arithmetic(Box::new(first), rest),
        })
    }

    fn signed(&mut self, depth: usize) -> Result<Expression, Wrong> {
        self.check_depth(depth)?;
        if !self.takes(&Token::Sign("-"))? {
            return self.primary(depth);
        }
        let of = self.signed(depth + 1)?;
        if let Expression::Constant(Some(Value::Number(it))) = &of {
            return Ok(Expression::Constant(negated(it).map(Value::Number)));
        }
        let zero = Expression::Constant(Some(Value::from(0)));
        Ok(Expression::Arithmetic(Box::new(zero), vec![(Arithmetic::Subtract, of)]))
    }

    fn primary(&mut self, depth: usize) -> Result<Expression, Wrong> {
        self.count()?;
        if self.takes(&Token::Open)? {
            let inner = self.any(depth + 1)?;
            self.needs(&Token::Close, "`AND`, `OR` or the `)` of an earlier `(`")?;
            return Ok(inner);
        }
        if let Token::Path { .. } = self.token {
            let at = self.at;
            let (text, steps) = self.path(VALUE)?;
            return match self.token == Token::Open {
                true => self.call(at, text, depth),
                false => Ok(Expression::Path(self.place(at, text, &steps)?)),
            };
        }
        self.constant(depth, VALUE).map(Expression::Constant)
    }

    fn call(&mut self, at: usize, name: &str, depth: usize) -> Result<Expression, Wrong> {
        let Some(function) = Function::named(name) else {
            return Err(Wrong::new(at, format!("there is no function `{name}`")));
        };
        self.take()?;
        let mut arguments = Vec::new();
        if self.token != Token::Close {
            arguments.push(self.any(depth + 1)?);
            while self.takes(&Token::Comma)? {
                arguments.push(self.any(depth + 1)?);
            }
        }
        self.needs(&Token::Close, "`,` or `)`")?;
        let takes = function.takes();
        if !takes.contains(&arguments.len()) {
            let because = match (takes.start(), takes.end()) {
                (least, most) if least == most => format!("`{name}` takes {least} values"),
                (least, most) => format!("`{name}` takes {least} to {most} values"),
            };
            return Err(Wrong::new(at, because));
        }
        let is_place = |it: &Expression| matches!(it, Expression::Path(_));
        match function == Function::IsDefined && !arguments.iter().all(is_place) {
            true => Err(Wrong::new(at, format!("`{name}` is asked about a name"))),
            false => Ok(Expression::Call(function, arguments)),
        }
    }

    /// `[a, b]`.
    fn list(&mut self, depth: usize) -> Result<Vec<Option<Value>>, Wrong> {
        self.check_depth(depth)?;
        self.needs(&Token::OpenList, "`[`")?;
        let mut all = Vec::new();
        if self.takes(&Token::CloseList)? {
            return Ok(all);
        }
        loop {
            self.count()?;
            all.push(self.constant(depth, "a text in quotes, a number, true, false or null")?);
            if !self.takes(&Token::Comma)? {
                self.needs(&Token::CloseList, "`,` or `]`")?;
                return Ok(all);
            }
        }
    }

    /// A value that needs no document; `None` is `undefined`.
    fn constant(&mut self, depth: usize, what: &str) -> Result<Option<Value>, Wrong> {
        if self.token == Token::OpenList {
            // What is undefined is no element of a list.
            let all = self.list(depth + 1)?.into_iter().flatten();
            return Ok(Some(Value::Array(all.collect())));
        }
        let is_negative = self.takes(&Token::Sign("-"))?;
        let found = match &mut self.token {
            Token::Number(it) if is_negative => Some(negated(it).map(Value::Number)),
            _ if is_negative => None,
            Token::Number(it) => Some(Some(Value::Number(it.clone()))),
            Token::Text(it) => Some(Some(Value::String(std::mem::take(it)))),
            Token::Keyword(it) => constant(it),
            Token::Open
            | Token::Close
            | Token::OpenList
            | Token::CloseList
            | Token::Comma
            | Token::Sign(_)
            | Token::Path { .. }
            | Token::End => None,
        };
        match found {
            Some(found) => self.take().map(|_| found),
            None => self.expected(what),
        }
    }
}

fn relation_of(sign: &str) -> Option<Relation> {
    Some(match sign {
        "=" => Relation::Equal,
        "!=" | "<>" => Relation::Unequal,
        "<" => Relation::Less,
        "<=" => Relation::LessOrEqual,
        ">" => Relation::Greater,
        ">=" => Relation::GreaterOrEqual,
        _ => return None,
    })
}

/// The number with the other sign.
fn negated(it: &Number) -> Option<Number> {
    match it.as_i64().and_then(i64::checked_neg) {
        Some(whole) => Some(whole.into()),
        None => it.as_f64().and_then(|it| Number::from_f64(-it)),
    }
}

fn alone(mut all: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    match (all.len(), all.pop()) {
        (1, Some(one)) => one,
        (_, last) => several(all.into_iter().chain(last).collect()),
    }
}
