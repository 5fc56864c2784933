//! The text of an expression to its tree, in which every name is known.

use super::functions::{self, Function, Run};
use super::{Current, EXPRESSION_CHARS_MAX, Expression, FUNCTIONS_MAX};
use crate::policy::fields::{self, Field};
use crate::policy::lacking::{API_VERSION, FUNCTIONS, LAYOUT, Lack, NEVER, lacking};
use crate::policy::parameters::Declared;
use ::expression::{NotAnExpression, Syntax, has_layout};
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
    let syntax =
        ::expression::parse(text, EXPRESSION_CHARS_MAX).map_err(|it| Lack::refused(it.0))?;
    Compiler { text, at: 0, scope }.expression(syntax)
}

struct Compiler<'t, 's, 'd> {
    text: &'t str,
    /// Behind the call that is compiled, in bytes.
    at: usize,
    scope: &'s mut Scope<'d>,
}

impl Compiler<'_, '_, '_> {
    fn refuse<T>(&self, because: &str) -> Result<T, Lack> {
        Err(Lack::refused(NotAnExpression::at(self.text, self.at, because).0))
    }

    fn expression(&mut self, syntax: Syntax) -> Result<Expression, Lack> {
        match syntax {
            Syntax::Literal(it) => Ok(Expression::Literal(it)),
            Syntax::Call { name, arguments, end } => {
                self.scope.functions += 1;
                if self.scope.functions > FUNCTIONS_MAX {
                    return Err(Lack::refused("more than 2,048 functions in one rule"));
                }
                let function = known(&name)?;
                let arguments = self.all(arguments)?;
                self.at = end;
                if self.scope.is_static && !function.is_static() {
                    return self.refuse(&format!(
                        "`{}` has no value here: only parameters have",
                        function.name()
                    ));
                }
                if let Some(misfit) = function.misfit(arguments.len()) {
                    return self.refuse(&misfit);
                }
                self.compile(function, arguments)
            }
            Syntax::Access { of, steps } => {
                let of = Box::new(self.expression(*of)?);
                let steps = self.all(steps)?;
                if let (
                    Expression::Call { function, .. },
                    Some(Expression::Literal(Value::String(name))),
                ) = (&*of, steps.first())
                    && function.name() == "requestContext"
                    && name.eq_ignore_ascii_case("apiVersion")
                {
                    return Err(Lack::of(
                        API_VERSION,
                        "the API version of a request is not known where policies are decided",
                    ));
                }
                Ok(Expression::Access { of, steps })
            }
        }
    }

    fn all(&mut self, all: Vec<Syntax>) -> Result<Vec<Expression>, Lack> {
        all.into_iter().map(|it| self.expression(it)).collect()
    }

    fn compile(
        &mut self,
        function: Function,
        arguments: Vec<Expression>,
    ) -> Result<Expression, Lack> {
        let own = match function {
            Function::Common(it) => {
                if it.name == "format"
                    && let Some(Expression::Literal(Value::String(text))) = arguments.first()
                    && has_layout(text)
                {
                    return Err(Lack::of(
                        LAYOUT,
                        "`format` puts values in for `{0}`, and knows no alignment or layout",
                    ));
                }
                return Ok(Expression::Call { function, arguments });
            }
            Function::Own(it) => it,
        };
        match own.run {
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
            Run::Alone(_) | Run::Around(_) => Ok(Expression::Call { function, arguments }),
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
}

fn known(name: &str) -> Result<Function, Lack> {
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
