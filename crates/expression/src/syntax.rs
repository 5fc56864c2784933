//! The text of an expression to its tree. One pass, no backtracking; nesting is counted, so that no text makes it
//! recurse without bound.

use crate::{ARGUMENTS_MAX, EXPRESSION_DEPTH_MAX};
use serde_json::Value;

/// An expression as it is written: nothing says yet that its functions exist.
#[derive(Clone, PartialEq, Debug)]
pub enum Syntax {
    Literal(Value),
    Call {
        /// As it is written: names compare without regard to case.
        name: String,
        arguments: Vec<Syntax>,
        /// Where the call ends, in bytes.
        end: usize,
    },
    /// `.name`, `['name']` and `[0]`, one behind the other.
    Access {
        of: Box<Syntax>,
        steps: Vec<Syntax>,
    },
}

/// Why a text is no expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAnExpression(pub String);

impl NotAnExpression {
    /// The same of a place in the text, in bytes.
    pub fn at(text: &str, place: usize, because: &str) -> Self {
        // One more for the bracket in front, and people count from 1.
        let place = text.get(..place).map_or(0, |it| it.chars().count()) + 2;
        Self(format!("at character {place} of the expression: {because}"))
    }
}

/// Reads what stands between the brackets.
///
/// # Errors
/// Names the place that is no expression; or the limit, of characters with both brackets, that it is not within.
pub fn parse(text: &str, characters_max: usize) -> Result<Syntax, NotAnExpression> {
    if text.len() > characters_max && text.chars().count() + 2 > characters_max {
        return Err(NotAnExpression(format!(
            "the expression is longer than {},{:03} characters",
            characters_max / 1_000,
            characters_max % 1_000
        )));
    }
    let mut reader = Reader { text, at: 0 };
    let found = reader.expression(0)?;
    match reader.peek() {
        None => Ok(found),
        Some(_) => reader.refuse("the expression ends here, and something follows"),
    }
}

/// How many arguments a function takes, and how many it was given.
pub fn arity_fault(name: &str, least: usize, most: usize, given: usize) -> String {
    let wanted = match (least, most) {
        (least, most) if least == most => format!("{least}"),
        (least, usize::MAX) => format!("{least} or more"),
        (least, most) => format!("{least} to {most}"),
    };
    format!("`{name}` takes {wanted} arguments, and has {given}")
}

struct Reader<'t> {
    text: &'t str,
    /// In bytes.
    at: usize,
}

impl<'t> Reader<'t> {
    fn refuse<T>(&self, because: &str) -> Result<T, NotAnExpression> {
        Err(NotAnExpression::at(self.text, self.at, because))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.at += wanted.len_utf8();
        }
        is_there
    }

    fn expect(&mut self, wanted: char) -> Result<(), NotAnExpression> {
        match self.take(wanted) {
            true => Ok(()),
            false => self.refuse(&format!("`{wanted}` is expected")),
        }
    }

    fn while_true(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|it| !is_part(it)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or("")
    }

    fn expression(&mut self, depth: usize) -> Result<Syntax, NotAnExpression> {
        if depth >= EXPRESSION_DEPTH_MAX {
            return self.refuse(&format!("nested deeper than {EXPRESSION_DEPTH_MAX} levels"));
        }
        match self.peek() {
            Some('\'') => Ok(Syntax::Literal(Value::String(self.quoted()?))),
            Some(it) if it.is_ascii_digit() || it == '-' || it == '+' => self.number(),
            Some(it) if it.is_ascii_alphabetic() || it == '_' => {
                let name = self.while_true(|it| it.is_ascii_alphanumeric() || it == '_');
                let found = self.call(name, depth)?;
                self.accesses(found, depth)
            }
            _ => self.refuse("a function, a text in `'` or a whole number is expected"),
        }
    }

    /// A text in quotes; `''` stands for one of them.
    fn quoted(&mut self) -> Result<String, NotAnExpression> {
        self.expect('\'')?;
        let mut found = String::new();
        loop {
            found.push_str(self.while_true(|it| it != '\''));
            if self.rest().is_empty() {
                return self.refuse("the text has no closing `'`");
            }
            self.at += 1;
            match self.rest().starts_with('\'') {
                true => self.at += 1,
                false => return Ok(found),
            }
            found.push('\'');
        }
    }

    fn number(&mut self) -> Result<Syntax, NotAnExpression> {
        let text = self.while_true(|it| it.is_ascii_digit() || "+-.".contains(it));
        match text.parse::<i64>() {
            Ok(it) => Ok(Syntax::Literal(it.into())),
            Err(_) => {
                self.refuse("a number is whole and has 64 bits; others come from `float('1.5')`")
            }
        }
    }

    /// What follows the name of a function.
    fn call(&mut self, name: &str, depth: usize) -> Result<Syntax, NotAnExpression> {
        if !self.take('(') {
            return match name.to_ascii_lowercase().as_str() {
                "true" | "false" | "null" => {
                    self.refuse(&format!("this value is written `{name}()`"))
                }
                _ => self.refuse("a function is followed by `(`"),
            };
        }
        let mut arguments = Vec::new();
        if !self.take(')') {
            loop {
                if arguments.len() >= ARGUMENTS_MAX {
                    return self.refuse(&format!("more than {ARGUMENTS_MAX} arguments"));
                }
                arguments.push(self.expression(depth + 1)?);
                if self.take(')') {
                    break;
                }
                self.expect(',')?;
            }
        }
        Ok(Syntax::Call { name: name.to_owned(), arguments, end: self.at })
    }

    /// `.name`, `['name']` and `[0]`, as many as follow.
    fn accesses(&mut self, of: Syntax, depth: usize) -> Result<Syntax, NotAnExpression> {
        let mut steps = Vec::new();
        loop {
            if self.take('.') {
                if self.peek().is_none_or(|it| !it.is_ascii_alphabetic() && it != '_') {
                    return self.refuse("the name of a member is expected");
                }
                let name = self.while_true(|it| it.is_ascii_alphanumeric() || "_-".contains(it));
                steps.push(Syntax::Literal(Value::String(name.to_owned())));
            } else if self.take('[') {
                steps.push(self.expression(depth + 1)?);
                self.expect(']')?;
            } else {
                break;
            }
        }
        match steps.is_empty() {
            true => Ok(of),
            false => Ok(Syntax::Access { of: Box::new(of), steps }),
        }
    }
}
