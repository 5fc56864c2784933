//! The language of expressions that templates and policies share: its text, its functions, and how much one may
//! take.
//!
//! [`parse`] reads a text into a [`Syntax`]; who evaluates it says what its names stand for, and has the functions
//! that need nothing but their arguments from here ([`find`]). Pure: no clock, no chance, nothing outside.
//! Source: Azure Resource Manager documentation, "Template functions" and "Template structure and syntax".

mod functions;
mod syntax;
mod value;

pub use functions::{FUNCTIONS, Function, Given, compare_numbers, find, has_layout, universal};
pub use syntax::{NotAnExpression, Syntax, arity_fault, parse};
pub use value::{Steps, below, brief, charge, checked, owned};

/// Deepest nesting of calls and brackets in an expression.
pub const EXPRESSION_DEPTH_MAX: usize = 64;
/// Most arguments of one call.
pub const ARGUMENTS_MAX: usize = 128;
/// Longest text that an evaluation may make, in characters.
pub const TEXT_CHARS_MAX: usize = 131_072;
/// Deepest nesting of a value that an evaluation may make.
pub const VALUE_DEPTH_MAX: usize = 128;
/// Most values in one that an evaluation may make.
pub const VALUE_NODES_MAX: usize = 32_768;
/// Most steps of one evaluation: a condition, a call of a function, a value that is read or made, 64 bytes of a
/// text are one each.
pub const STEPS_MAX: usize = 1_000_000;

/// Deepest nesting of an evaluation that goes from one text into another, as templates do.
pub const EVALUATION_DEPTH_MAX: usize = 160;

/// Why an expression has no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault(pub String);

impl Fault {
    /// # Errors
    /// Always: the fault itself.
    pub fn new<T>(because: impl Into<String>) -> Result<T, Self> {
        Err(Self(because.into()))
    }
}
