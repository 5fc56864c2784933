//! The text of an expression to its tree. One pass, no backtracking; nesting is counted, so that no text
//! makes it recurse without bound.

use super::functions::{self, Function, Run};
use super::{
    ARGUMENTS_MAX, Current, EXPRESSION_CHARS_MAX, EXPRESSION_DEPTH_MAX, Expression, FUNCTIONS_MAX,
};
use crate::policy::fields::{self, Field};
use crate::policy::lacking::{API_VERSION, FUNCTIONS, LAYOUT, Lack, NEVER, lacking};
use crate::policy::parameters::Declared;
use serde_json::Value;
use std::collections::BTreeSet;

/// A count around an expression.
#[derive(Clone, Debug)]
pub(in crate::policy) enum Counted {
    Field(Field),
    /// By its name.
    Values(String),
}

/// What an expression can speak of where it stands, and what the rule has used up so far.
pub(in crate::policy) struct Scope<'a> {
    pub(in crate::policy) declared: &'a Declared,
    /// The counts around it, the outermost first.
    pub(in crate::policy) counts: Vec<Counted>,
    /// True where only parameters have values: in `then`, and in what an initiative passes on.
    pub(in crate::policy) is_static: bool,
    /// Calls of functions in the rule.
    pub(in crate::policy) functions: usize,
    /// Names in lower case.
    pub(in crate::policy) used: BTreeSet<String>,
}

impl<'a> Scope<'a> {
    pub(in crate::policy) fn new(declared: &'a Declared) -> Self {
        Self { declared, counts: Vec::new(), is_static: false, functions: 0, used: BTreeSet::new() }
    }
}

/// Reads what stands between the brackets.
pub(super) fn parse(text: &str, scope: &mut Scope<'_>) -> Result<Expression, Lack> {
    if text.len() > EXPRESSION_CHARS_MAX && text.chars().count() + 2 > EXPRESSION_CHARS_MAX {
        return Err(Lack::refused("the expression is longer than 81,920 characters"));
    }
    let mut reader = Reader { text, at: 0, scope };
    let found = reader.expression(0)?;
    match reader.peek() {
        None => Ok(found),
        Some(_) => reader.refuse("the expression ends here, and something follows"),
    }
}

struct Reader<'t, 's, 'd> {
    text: &'t str,
    /// In bytes.
    at: usize,
    scope: &'s mut Scope<'d>,
}

impl<'t> Reader<'t, '_, '_> {
    fn refuse<T>(&self, because: &str) -> Result<T, Lack> {
        // One more for the bracket in front, and people count from 1.
        let place = self.text.get(..self.at).map_or(0, |it| it.chars().count()) + 2;
        Err(Lack::refused(format!("at character {place} of the expression: {because}")))
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

    fn expect(&mut self, wanted: char) -> Result<(), Lack> {
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

    fn expression(&mut self, depth: usize) -> Result<Expression, Lack> {
        if depth >= EXPRESSION_DEPTH_MAX {
            return self.refuse(&format!("nested deeper than {EXPRESSION_DEPTH_MAX} levels"));
        }
        match self.peek() {
            Some('\'') => Ok(Expression::Literal(Value::String(self.quoted()?))),
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
    fn quoted(&mut self) -> Result<String, Lack> {
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

    fn number(&mut self) -> Result<Expression, Lack> {
        let text = self.while_true(|it| it.is_ascii_digit() || "+-.".contains(it));
        match text.parse::<i64>() {
            Ok(it) => Ok(Expression::Literal(it.into())),
            Err(_) => {
                self.refuse("a number is whole and has 64 bits; others come from `float('1.5')`")
            }
        }
    }

    /// What follows the name of a function.
    fn call(&mut self, name: &str, depth: usize) -> Result<Expression, Lack> {
        if !self.take('(') {
            return match name.to_ascii_lowercase().as_str() {
                "true" | "false" | "null" => {
                    self.refuse(&format!("this value is written `{name}()`"))
                }
                _ => self.refuse("a function is followed by `(`"),
            };
        }
        self.scope.functions += 1;
        if self.scope.functions > FUNCTIONS_MAX {
            return Err(Lack::refused("more than 2,048 functions in one rule"));
        }
        let function = known(name)?;
        if self.scope.is_static && !function.is_static() {
            return self
                .refuse(&format!("`{}` has no value here: only parameters have", function.name));
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
        if !(function.least..=function.most).contains(&arguments.len()) {
            return self.refuse(&arity(function, arguments.len()));
        }
        self.compile(function, arguments)
    }

    fn compile(
        &mut self,
        function: &'static Function,
        arguments: Vec<Expression>,
    ) -> Result<Expression, Lack> {
        match function.run {
            Run::Parameters => match arguments.as_slice() {
                [Expression::Literal(Value::String(name))] => self.parameter(name),
                _ => self.refuse("`parameters` takes the name of a parameter, written out"),
            },
            Run::Field => match arguments.as_slice() {
                [Expression::Literal(Value::String(name))] => {
                    Ok(Expression::Field(Box::new(fields::parse(name)?)))
                }
                _ => Ok(Expression::Call { function, arguments }),
            },
            Run::Current => match arguments.as_slice() {
                [] => self.current(None),
                [Expression::Literal(Value::String(name))] => self.current(Some(name)),
                _ => self.refuse("`current` takes a name, written out"),
            },
            Run::If => match <[Expression; 3]>::try_from(arguments) {
                Ok(three) => Ok(Expression::If(Box::new(three))),
                Err(_) => self.refuse("`if` takes a condition and two values"),
            },
            Run::Whole(_) | Run::Part(_) | Run::Around(_) => {
                if function.name == "format"
                    && let Some(Expression::Literal(Value::String(text))) = arguments.first()
                    && functions::has_layout(text)
                {
                    return Err(Lack::of(
                        LAYOUT,
                        "`format` puts values in for `{0}`, and knows no alignment or layout",
                    ));
                }
                Ok(Expression::Call { function, arguments })
            }
        }
    }

    fn parameter(&mut self, name: &str) -> Result<Expression, Lack> {
        if self.scope.declared.get(name).is_none() {
            return self.refuse(&format!(
                "the definition declares no parameter `{}`",
                name.escape_debug()
            ));
        }
        let key = name.to_ascii_lowercase();
        self.scope.used.insert(key.clone());
        Ok(Expression::Parameter(key))
    }

    /// Finds the count that `current` speaks of among those around it.
    fn current(&mut self, name: Option<&str>) -> Result<Expression, Lack> {
        let Some(name) = name else {
            return match self.scope.counts.len() {
                1 => Ok(Expression::Current(Current::Only)),
                0 => self.refuse("`current()` has a value only inside the `where` of a count"),
                _ => self.refuse("inside nested counts `current` takes the name of one"),
            };
        };
        let named = self.scope.counts.iter().rev().find_map(|it| match it {
            Counted::Values(mine) if mine.eq_ignore_ascii_case(name) => Some(mine.clone()),
            Counted::Values(_) | Counted::Field(_) => None,
        });
        if let Some(mine) = named {
            return Ok(Expression::Current(Current::Named(mine)));
        }
        let alias = fields::parse(name).ok().filter(|alias| {
            self.scope.counts.iter().any(|it| match it {
                Counted::Field(list) => {
                    let depth = list.steps().len();
                    list.leads_to(depth, alias)
                }
                Counted::Values(_) => false,
            })
        });
        match alias {
            Some(alias) => Ok(Expression::Current(Current::Alias(Box::new(alias)))),
            None => {
                self.refuse(&format!("no count around this is named `{}`", name.escape_debug()))
            }
        }
    }

    /// `.name`, `['name']` and `[0]`, as many as follow.
    fn accesses(&mut self, of: Expression, depth: usize) -> Result<Expression, Lack> {
        let is_request =
            matches!(&of, Expression::Call { function, .. } if function.name == "requestContext");
        let mut steps = Vec::new();
        loop {
            if self.take('.') {
                if self.peek().is_none_or(|it| !it.is_ascii_alphabetic() && it != '_') {
                    return self.refuse("the name of a member is expected");
                }
                let name = self.while_true(|it| it.is_ascii_alphanumeric() || "_-".contains(it));
                steps.push(Expression::Literal(Value::String(name.to_owned())));
            } else if self.take('[') {
                steps.push(self.expression(depth + 1)?);
                self.expect(']')?;
            } else {
                break;
            }
            if let (true, [Expression::Literal(Value::String(name))]) =
                (is_request, steps.as_slice())
                && name.eq_ignore_ascii_case("apiVersion")
            {
                return Err(Lack::of(
                    API_VERSION,
                    "the API version of a request is not known where policies are decided",
                ));
            }
        }
        match steps.is_empty() {
            true => Ok(of),
            false => Ok(Expression::Access { of: Box::new(of), steps }),
        }
    }
}

fn known(name: &str) -> Result<&'static Function, Lack> {
    if let Some(found) = functions::find(name) {
        return Ok(found);
    }
    if NEVER.iter().any(|it| it.eq_ignore_ascii_case(name)) {
        return Err(Lack::refused(format!("no policy can use the function `{name}`")));
    }
    match lacking(FUNCTIONS, name) {
        Some(feature) => {
            Err(Lack::of(feature, format!("the function `{name}` cannot be evaluated")))
        }
        None => Err(Lack::refused(format!("there is no function `{name}`"))),
    }
}

fn arity(function: &Function, given: usize) -> String {
    let wanted = match (function.least, function.most) {
        (least, most) if least == most => format!("{least}"),
        (least, usize::MAX) => format!("{least} or more"),
        (least, most) => format!("{least} to {most}"),
    };
    format!("`{}` takes {wanted} arguments, and has {given}", function.name)
}
