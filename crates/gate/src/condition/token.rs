//! The text of a condition as tokens, each with its place.

use super::{Attribute, NotACondition, Position, Source};

/// Longest name of an attribute, with its key.
const NAME_BYTES_MAX: usize = 512;
/// How much of what was found a refusal shows.
const SHOWN_CHARS: usize = 40;

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token<'a> {
    Open,
    Close,
    OpenSet,
    CloseSet,
    Comma,
    And,
    Or,
    Not,
    Attribute(Attribute),
    Text(String),
    /// The name of an operator, a number, a GUID, a boolean.
    Word(&'a str),
    End,
}

impl Token<'_> {
    /// For "... is expected, but here stands ...".
    pub(super) fn shown(&self) -> String {
        let short = |it: &str| it.chars().take(SHOWN_CHARS).collect::<String>();
        match self {
            Self::Open => "`(`".into(),
            Self::Close => "`)`".into(),
            Self::OpenSet => "`{`".into(),
            Self::CloseSet => "`}`".into(),
            Self::Comma => "`,`".into(),
            Self::And => "`AND`".into(),
            Self::Or => "`OR`".into(),
            Self::Not => "`NOT`".into(),
            Self::Attribute(it) => format!("`{}`", short(&it.to_string())),
            Self::Text(it) => format!("the text '{}'", short(it)),
            Self::Word(it) => format!("`{}`", short(it)),
            Self::End => "the end".into(),
        }
    }
}

/// Reads tokens from the front.
pub(super) struct Tokens<'a> {
    text: &'a str,
    rest: &'a str,
    /// How far places were counted, and the place there: each character is counted once.
    counted: usize,
    place: Position,
}

impl<'a> Tokens<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self { text, rest: text, counted: 0, place: Position { line: 1, character: 1 } }
    }

    /// The place where `rest`, which is what is left of the text or a later part of it, begins.
    fn place(&mut self, rest: &str) -> Position {
        let until = self.text.len() - rest.len();
        for letter in self.text.get(self.counted..until).unwrap_or("").chars() {
            self.place = match letter {
                '\n' => Position { line: self.place.line + 1, character: 1 },
                _ => Position { character: self.place.character + 1, ..self.place },
            };
        }
        self.counted = until;
        self.place
    }

    fn refuse<T>(&mut self, rest: &str, because: impl Into<String>) -> Result<T, NotACondition> {
        Err(NotACondition { at: self.place(rest), because: because.into() })
    }

    pub(super) fn next(&mut self) -> Result<(Position, Token<'a>), NotACondition> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let at = self.place(self.rest);
        let fixed = [
            ("(", Token::Open),
            (")", Token::Close),
            ("{", Token::OpenSet),
            ("}", Token::CloseSet),
            (",", Token::Comma),
            ("&&", Token::And),
            ("||", Token::Or),
            ("!", Token::Not),
        ];
        for (sign, token) in fixed {
            if let Some(behind) = self.rest.strip_prefix(sign) {
                self.rest = behind;
                return Ok((at, token));
            }
        }
        let token = match self.rest.chars().next() {
            None => Token::End,
            Some('@') => self.attribute()?,
            Some('\'') => self.text()?,
            Some(it) if is_of_word(it) => self.word(),
            Some(it) => {
                let found = it.escape_debug();
                return self.refuse(self.rest, format!("`{found}` has no meaning here"));
            }
        };
        Ok((at, token))
    }

    fn word(&mut self) -> Token<'a> {
        let end = self.rest.find(|it| !is_of_word(it)).unwrap_or(self.rest.len());
        let (word, behind) = self.rest.split_at(end);
        self.rest = behind;
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        match () {
            () if is("AND") => Token::And,
            () if is("OR") => Token::Or,
            () if is("NOT") => Token::Not,
            () => Token::Word(word),
        }
    }

    /// `@Request[name]`, whose name may hold everything but brackets, quotes and control characters.
    fn attribute(&mut self) -> Result<Token<'a>, NotACondition> {
        let start = self.rest;
        let behind = start.strip_prefix('@').unwrap_or(start);
        let Some((source, rest)) = behind.split_once('[') else {
            return self.refuse(start, "an attribute is written `@Source[name]`");
        };
        let Some(source) = Source::ALL.into_iter().find(|it| it.as_str() == source) else {
            let all = Source::ALL.map(Source::as_str).join(", @");
            return self.refuse(start, format!("attributes begin with one of @{all}, and `[`"));
        };
        let Some((name, behind)) = rest.split_once(']') else {
            return self.refuse(start, "the attribute's `]` is missing");
        };
        if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
            return self.refuse(rest, format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        if name.contains(|it: char| it.is_control() || matches!(it, '[' | '\'' | '@')) {
            return self.refuse(rest, "the name holds what no attribute's name does");
        }
        self.rest = behind;
        Ok(Token::Attribute(Attribute { source, name: name.trim().into() }))
    }

    /// A text between single quotes. `\'` is a quote within; every other backslash stays, for the patterns
    /// that give it a meaning.
    fn text(&mut self) -> Result<Token<'a>, NotACondition> {
        let start = self.rest;
        let mut text = String::new();
        let mut letters = start.char_indices().skip(1).peekable();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\'' => {
                    self.rest = start.get(at + 1..).unwrap_or("");
                    return Ok(Token::Text(text));
                }
                '\\' if letters.next_if(|(_, it)| *it == '\'').is_some() => text.push('\''),
                it if it.is_control() => {
                    let rest = start.get(at..).unwrap_or("");
                    return self.refuse(rest, "a text holds no control characters");
                }
                it => text.push(it),
            }
        }
        self.refuse(start, "the text's closing quote is missing")
    }
}

fn is_of_word(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '-' | ':' | '_' | '.')
}
