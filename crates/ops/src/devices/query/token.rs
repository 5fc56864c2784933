//! The text of a query as tokens, each with the byte at which it begins.

use super::{NotAQuery, PATH_STEPS_MAX, Position, Step};
use serde_json::{Number, Value};

/// Longest name in a path. Source: IoT Hub developer guide, "Device twin JSON format": keys have up to 1 KB.
const NAME_BYTES_MAX: usize = 1 << 10;
/// How much of what was found a refusal shows.
const SHOWN_CHARS: usize = 40;

/// What is wrong, and at which byte of the text.
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) because: String,
}

impl Wrong {
    pub(super) fn new(at: usize, because: impl Into<String>) -> Self {
        Self { at, because: because.into() }
    }

    /// The same with the place in lines and characters.
    pub(super) fn placed(self, text: &str) -> NotAQuery {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let character = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        NotAQuery { at: Position { line, character }, because: self.because }
    }
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token<'a> {
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
    /// A comparison or a sign of arithmetic: `=`, `<>`, `*`.
    Sign(&'static str),
    /// In capitals.
    Keyword(&'static str),
    /// As written, which is `text`, and its steps.
    Path {
        text: &'a str,
        steps: Vec<Step>,
    },
    Text(String),
    Number(Number),
    End,
}

/// Words that are no names where a path begins.
const KEYWORDS: &[&str] = &[
    "SELECT",
    "TOP",
    "FROM",
    "WHERE",
    "GROUP",
    "ORDER",
    "BY",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "NIN",
    "TRUE",
    "FALSE",
    "NULL",
    "UNDEFINED",
];

/// The longer before those that they begin with.
const SIGNS: &[&str] = &["!=", "<>", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%"];

impl Token<'_> {
    /// For "... is expected, but here stands ...".
    pub(super) fn shown(&self) -> String {
        let short = |it: &str| it.chars().take(SHOWN_CHARS).collect::<String>();
        match self {
            Self::Open => "`(`".into(),
            Self::Close => "`)`".into(),
            Self::OpenList => "`[`".into(),
            Self::CloseList => "`]`".into(),
            Self::Comma => "`,`".into(),
            Self::Sign(it) | Self::Keyword(it) => format!("`{it}`"),
            Self::Path { text, .. } => format!("`{}`", short(text)),
            Self::Text(it) => format!("the text '{}'", short(it)),
            Self::Number(it) => format!("`{it}`"),
            Self::End => "the end".into(),
        }
    }
}

/// What the names of a text are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    /// Members of a twin or a job.
    Documents,
    /// Properties of a message, whose names may hold a `-`, or members of its body or its sender's twin.
    Messages,
}

/// Reads tokens from the front.
pub(super) struct Tokens<'a> {
    text: &'a str,
    rest: &'a str,
    dialect: Dialect,
}

impl<'a> Tokens<'a> {
    pub(super) const fn of(text: &'a str, dialect: Dialect) -> Self {
        Self { text, rest: text, dialect }
    }

    /// The name that the rest begins with. A `-` between its letters belongs to the name of a property: there is
    /// nothing to subtract from a text.
    fn split_name(&self, is_property: bool) -> (&'a str, &'a str) {
        let (first, mut behind) = split_name(self.rest);
        while is_property && !first.is_empty() {
            let Some(rest) = behind.strip_prefix('-').filter(|it| it.starts_with(is_of_name))
            else {
                break;
            };
            behind = split_name(rest).1;
        }
        self.rest.split_at(self.rest.len() - behind.len())
    }

    /// The byte at which the rest begins.
    const fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or("");
    }

    pub(super) fn next(&mut self) -> Result<(usize, Token<'a>), Wrong> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let at = self.at();
        let fixed = [
            ('(', Token::Open),
            (')', Token::Close),
            ('[', Token::OpenList),
            (']', Token::CloseList),
            (',', Token::Comma),
        ];
        let Some(first) = self.rest.chars().next() else { return Ok((at, Token::End)) };
        if let Some((_, token)) = fixed.into_iter().find(|(it, _)| *it == first) {
            self.skip(1);
            return Ok((at, token));
        }
        if let Some(sign) = SIGNS.iter().find(|it| self.rest.starts_with(**it)) {
            self.skip(sign.len());
            return Ok((at, Token::Sign(sign)));
        }
        let token = match first {
            '\'' | '"' => self.text(first)?,
            '0'..='9' | '.' => self.number()?,
            it if is_of_name(it) => self.word()?,
            it => {
                return Err(Wrong::new(at, format!("`{}` has no meaning here", it.escape_debug())));
            }
        };
        Ok((at, token))
    }

    /// A keyword, or a path. Behind a dot a keyword is a name like any other.
    fn word(&mut self) -> Result<Token<'a>, Wrong> {
        let (first, _) = split_name(self.rest);
        let is_document = ["$body", "$twin"].iter().any(|it| it.eq_ignore_ascii_case(first));
        let is_property = self.dialect == Dialect::Messages && !is_document;
        let (word, behind) = self.split_name(is_property);
        let keyword = KEYWORDS.iter().find(|it| it.eq_ignore_ascii_case(word));
        if let Some(keyword) = keyword
            && !behind.starts_with('.')
        {
            self.rest = behind;
            return Ok(Token::Keyword(keyword));
        }
        let start = self.rest;
        let mut steps = Vec::new();
        self.name(&mut steps, is_property)?;
        loop {
            if self.rest.starts_with("[[") {
                self.bracketed(&mut steps)?;
            } else if let Some(behind) = self.rest.strip_prefix('.') {
                self.rest = behind;
                match behind.starts_with("[[") {
                    true => self.bracketed(&mut steps)?,
                    false => self.name(&mut steps, is_property)?,
                }
            } else if !self.index(&mut steps)? {
                break;
            }
        }
        let text = start.get(..start.len() - self.rest.len()).unwrap_or("");
        Ok(Token::Path { text, steps })
    }

    fn push(&self, steps: &mut Vec<Step>, step: Step) -> Result<(), Wrong> {
        steps.push(step);
        match steps.len() > PATH_STEPS_MAX {
            true => {
                Err(Wrong::new(self.at(), format!("a path has at most {PATH_STEPS_MAX} steps")))
            }
            false => Ok(()),
        }
    }

    fn name(&mut self, steps: &mut Vec<Step>, is_property: bool) -> Result<(), Wrong> {
        let (name, behind) = self.split_name(is_property);
        if name.is_empty() {
            return Err(Wrong::new(self.at(), "a name is expected behind the `.`"));
        }
        self.push(steps, checked(name, self.at())?)?;
        self.rest = behind;
        Ok(())
    }

    /// `[[name]]`, which may hold everything but `]]`.
    fn bracketed(&mut self, steps: &mut Vec<Step>) -> Result<(), Wrong> {
        let at = self.at();
        let inner = self.rest.get(2..).unwrap_or("");
        let Some((name, behind)) = inner.split_once("]]") else {
            return Err(Wrong::new(at, "the `]]` of this `[[` is missing"));
        };
        self.push(steps, checked(name, at + 2)?)?;
        self.rest = behind;
        Ok(())
    }

    /// `[3]`. False where none stands here: a list begins with the same sign.
    fn index(&mut self, steps: &mut Vec<Step>) -> Result<bool, Wrong> {
        let digits = self.rest.strip_prefix('[').and_then(|it| it.split_once(']'));
        let Some((digits, behind)) = digits else { return Ok(false) };
        let Ok(index) = digits.trim().parse() else { return Ok(false) };
        self.push(steps, Step::Index(index))?;
        self.rest = behind;
        Ok(true)
    }

    /// A text between quotes, single or double. Escapes are `\'`, `\"`, `\\` and `\uXXXX`.
    fn text(&mut self, quote: char) -> Result<Token<'a>, Wrong> {
        let start = self.at();
        let mut text = String::new();
        self.skip(1);
        loop {
            let at = self.at();
            let mut letters = self.rest.chars();
            match letters.next() {
                None => return Err(Wrong::new(start, "the text's closing quote is missing")),
                Some(it) if it == quote => {
                    self.skip(1);
                    return Ok(Token::Text(text));
                }
                Some('\\') => match letters.next() {
                    Some(it @ ('\'' | '"' | '\\')) => {
                        text.push(it);
                        self.skip(2);
                    }
                    Some('u') => text.push(self.escaped()?),
                    Some(_) | None => {
                        let known = r#"a `\` in a text stands before `'`, `"`, `\` or `uXXXX`"#;
                        return Err(Wrong::new(at, known));
                    }
                },
                Some(it) => {
                    text.push(it);
                    self.skip(it.len_utf8());
                }
            }
        }
    }

    /// `\uXXXX`, or two of them that are one character.
    fn escaped(&mut self) -> Result<char, Wrong> {
        let wrong = Wrong::new(self.at(), r"`\uXXXX` with four hexadecimal digits is expected");
        let Some(first) = self.unit() else { return Err(wrong) };
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) {
            units.extend(self.unit());
        }
        let mut decoded = char::decode_utf16(units);
        match (decoded.next(), decoded.next()) {
            (Some(Ok(it)), None) => Ok(it),
            (_, _) => Err(Wrong { because: "this is half of a character".into(), ..wrong }),
        }
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.rest.strip_prefix("\\u")?.get(..4)?;
        let is_hex = digits.bytes().all(|it| it.is_ascii_hexdigit());
        let unit = u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
        self.skip(6);
        Some(unit)
    }

    /// A decimal number or `0x` and hexadecimal digits, without a sign.
    fn number(&mut self) -> Result<Token<'a>, Wrong> {
        let wrong = Wrong::new(self.at(), "this is no number");
        let bytes = self.rest.as_bytes();
        let mut end = 0;
        while let Some(byte) = bytes.get(end) {
            let is_sign_of_exponent = matches!(byte, b'+' | b'-')
                && matches!(bytes.get(end.wrapping_sub(1)), Some(b'e' | b'E'))
                && !matches!(bytes.get(1), Some(b'x' | b'X'));
            match byte.is_ascii_alphanumeric() || *byte == b'.' || is_sign_of_exponent {
                true => end += 1,
                false => break,
            }
        }
        let (digits, behind) = self.rest.split_at(end);
        if behind.starts_with(is_of_name) {
            return Err(wrong);
        }
        let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
        let number = match hexadecimal {
            Some(digits) => hexadecimal_number(digits),
            None => decimal_number(digits),
        };
        self.rest = behind;
        number.map(Token::Number).ok_or(wrong)
    }
}

fn hexadecimal_number(digits: &str) -> Option<Number> {
    let is_hex = digits.bytes().all(|it| it.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| is_hex).map(Number::from)
}

fn decimal_number(digits: &str) -> Option<Number> {
    if digits.bytes().all(|it| it.is_ascii_digit())
        && let Ok(whole) = digits.parse::<u64>()
    {
        return Some(Number::from(whole));
    }
    let is_decimal = digits
        .bytes()
        .all(|it| it.is_ascii_digit() || matches!(it, b'.' | b'e' | b'E' | b'+' | b'-'));
    digits.parse().ok().filter(|_| is_decimal).and_then(Number::from_f64)
}

fn checked(name: &str, at: usize) -> Result<Step, Wrong> {
    match name.is_empty() || name.len() > NAME_BYTES_MAX {
        true => Err(Wrong::new(at, format!("a name has 1 to {NAME_BYTES_MAX} bytes"))),
        false => Ok(Step::Name(name.into())),
    }
}

/// What may stand in a name without brackets.
fn is_of_name(it: char) -> bool {
    it.is_alphanumeric() || matches!(it, '_' | '$')
}

fn split_name(text: &str) -> (&str, &str) {
    text.split_at(text.find(|it| !is_of_name(it)).unwrap_or(text.len()))
}

/// A constant without quotes.
pub(super) fn constant(keyword: &str) -> Option<Option<Value>> {
    match keyword {
        "TRUE" => Some(Some(Value::Bool(true))),
        "FALSE" => Some(Some(Value::Bool(false))),
        "NULL" => Some(Some(Value::Null)),
        "UNDEFINED" => Some(None),
        _ => None,
    }
}
