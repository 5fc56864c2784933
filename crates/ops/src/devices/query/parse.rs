//! Queries, from a text to what it selects of what; conditions within are in `expression.rs`. What cannot be
//! answered exactly is refused with its place, and never ignored.

use super::message::{Asks, MessageCondition};
use super::names::resolved;
use super::token::{Dialect, Token, Tokens, Wrong};
use super::{
    Aggregate, COLUMNS_MAX, Cell, Column, Condition, DEPTH_MAX, NODES_MAX, NotAQuery, Of, Path,
    Query, Select, Source, Step, TEXT_BYTES_MAX,
};

pub(super) fn query(text: &str) -> Result<Query, NotAQuery> {
    begun(text, Dialect::Documents).and_then(Parser::query).map_err(|it| it.placed(text))
}

pub(super) fn condition(text: &str) -> Result<Condition, NotAQuery> {
    begun(text, Dialect::Documents).and_then(Parser::condition).map_err(|it| it.placed(text))
}

pub(super) fn message_condition(text: &str) -> Result<MessageCondition, NotAQuery> {
    begun(text, Dialect::Messages).and_then(Parser::message_condition).map_err(|it| it.placed(text))
}

fn begun(text: &str, dialect: Dialect) -> Result<Parser<'_>, Wrong> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Wrong::new(0, format!("the query is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let mut tokens = Tokens::of(text, dialect);
    let (at, token) = tokens.next()?;
    let from = From { source: Source::Devices, alias: None };
    let asks = Asks::default();
    Ok(Parser { tokens, at, token, nodes: 0, from, dialect, asks })
}

pub(super) struct Parser<'a> {
    tokens: Tokens<'a>,
    /// The token that is looked at, and its place.
    pub(super) token: Token<'a>,
    pub(super) at: usize,
    nodes: usize,
    from: From,
    dialect: Dialect,
    /// What a condition about messages needs of one, as far as it is read.
    asks: Asks,
}

/// What the names of a query belong to.
struct From {
    source: Source,
    alias: Option<Box<str>>,
}

/// A column before it is known of what.
struct Item {
    at: usize,
    /// The number of the column, from 1.
    number: usize,
    of: ItemOf,
    alias: Option<Box<str>>,
}

enum ItemOf {
    Path(Vec<Step>),
    /// `None` for `COUNT()`.
    Aggregate(Option<Vec<Step>>, fn(Path) -> Aggregate),
}

const ITEM: &str = "`*`, a name, `COUNT()`, or `SUM`, `AVG`, `MIN` or `MAX` of a name";

impl<'a> Parser<'a> {
    /// Takes the token that is looked at.
    pub(super) fn take(&mut self) -> Result<Token<'a>, Wrong> {
        let (at, token) = self.tokens.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    /// Takes it if it is this one.
    pub(super) fn takes(&mut self, wanted: &Token<'_>) -> Result<bool, Wrong> {
        let is_it = self.token == *wanted;
        if is_it {
            self.take()?;
        }
        Ok(is_it)
    }

    pub(super) fn takes_keyword(&mut self, word: &'static str) -> Result<bool, Wrong> {
        self.takes(&Token::Keyword(word))
    }

    pub(super) fn needs(&mut self, wanted: &Token<'_>, else_: &str) -> Result<(), Wrong> {
        match self.takes(wanted)? {
            true => Ok(()),
            false => self.expected(else_),
        }
    }

    pub(super) fn expected<T>(&self, what: &str) -> Result<T, Wrong> {
        let found = self.token.shown();
        Err(Wrong::new(self.at, format!("{what} is expected, but here stands {found}")))
    }

    pub(super) fn count(&mut self) -> Result<(), Wrong> {
        self.nodes += 1;
        match self.nodes > NODES_MAX {
            true => Err(Wrong::new(self.at, format!("more than {NODES_MAX} tests and values"))),
            false => Ok(()),
        }
    }

    /// Trees are walked by calls that call themselves, here and wherever they are used.
    pub(super) fn check_depth(&self, depth: usize) -> Result<(), Wrong> {
        match depth > DEPTH_MAX {
            true => Err(Wrong::new(self.at, format!("nested deeper than {DEPTH_MAX} levels"))),
            false => Ok(()),
        }
    }

    pub(super) fn resolved(&self, steps: &[Step]) -> Path {
        resolved(steps, self.from.source, self.from.alias.as_deref())
    }

    /// A name within a condition, which begins at `at`.
    pub(super) fn place(&mut self, at: usize, text: &str, steps: &[Step]) -> Result<Path, Wrong> {
        match self.dialect {
            Dialect::Documents => Ok(self.resolved(steps)),
            Dialect::Messages => self.asks.place(at, text, steps),
        }
    }

    fn message_condition(mut self) -> Result<MessageCondition, Wrong> {
        let test = self.any(0)?;
        self.end("the end, `AND` or `OR`")?;
        Ok(MessageCondition { test, asks: self.asks })
    }

    fn query(mut self) -> Result<Query, Wrong> {
        self.needs(&Token::Keyword("SELECT"), "`SELECT`")?;
        let top = match self.takes_keyword("TOP")? {
            true => Some(self.top()?),
            false => None,
        };
        let items = self.items()?;
        self.from()?;
        let test = match self.takes_keyword("WHERE")? {
            true => Some(self.any(0)?),
            false => None,
        };
        let group_at = self.at;
        let by = match self.takes_keyword("GROUP")? {
            true => self.group()?,
            false => Vec::new(),
        };
        self.end("the end, `WHERE`, `GROUP BY`, `AND` or `OR`")?;
        let select = self.select(items, by, group_at)?;
        Ok(Query { select, top, condition: Condition { source: self.from.source, test } })
    }

    fn condition(mut self) -> Result<Condition, Wrong> {
        if self.token == Token::Keyword("FROM") {
            self.from()?;
            if self.token != Token::End {
                self.needs(&Token::Keyword("WHERE"), "`WHERE`")?;
            }
        } else if self.takes(&Token::Sign("*"))? {
            self.end("nothing behind `*`")?;
        } else if self.token == Token::End {
            return self.expected("`*` or a condition");
        }
        let test = match self.token == Token::End {
            true => None,
            false => Some(self.any(0)?),
        };
        self.end("the end, `AND` or `OR`")?;
        Ok(Condition { source: self.from.source, test })
    }

    fn end(&self, else_: &str) -> Result<(), Wrong> {
        if self.token == Token::End {
            return Ok(());
        }
        if self.token == Token::Close {
            return Err(Wrong::new(self.at, "this `)` closes nothing"));
        }
        if self.token == Token::Keyword("ORDER") {
            let because = "`ORDER BY` is not supported; answers come by device id";
            return Err(Wrong::new(self.at, because));
        }
        self.expected(else_)
    }

    fn top(&mut self) -> Result<u64, Wrong> {
        let most = if let Token::Number(it) = &self.token { it.as_u64() } else { None };
        match most.filter(|it| *it > 0) {
            Some(most) => self.take().map(|_| most),
            None => self.expected("a whole number from 1 on"),
        }
    }

    /// The columns; none for `*`.
    fn items(&mut self) -> Result<Vec<Item>, Wrong> {
        if self.takes(&Token::Sign("*"))? {
            return Ok(Vec::new());
        }
        let mut all = vec![self.item(1)?];
        while self.takes(&Token::Comma)? {
            if all.len() == COLUMNS_MAX {
                return Err(Wrong::new(self.at, format!("more than {COLUMNS_MAX} columns")));
            }
            all.push(self.item(all.len() + 1)?);
        }
        Ok(all)
    }

    fn item(&mut self, number: usize) -> Result<Item, Wrong> {
        let at = self.at;
        self.count()?;
        let (text, steps) = self.path(ITEM)?;
        let of = match self.token == Token::Open {
            false => ItemOf::Path(steps),
            true => self.aggregate(at, text)?,
        };
        let alias = match self.takes_keyword("AS")? {
            true => Some(self.alias()?),
            false => None,
        };
        Ok(Item { at, number, of, alias })
    }

    fn aggregate(&mut self, at: usize, name: &str) -> Result<ItemOf, Wrong> {
        let makes: fn(Path) -> Aggregate = match name.to_ascii_uppercase().as_str() {
            "COUNT" => |_| Aggregate::Count,
            "SUM" => Aggregate::Sum,
            "AVG" => Aggregate::Average,
            "MIN" => Aggregate::Least,
            "MAX" => Aggregate::Greatest,
            _ => return Err(Wrong::new(at, "what is called here is COUNT, SUM, AVG, MIN or MAX")),
        };
        self.take()?;
        let of = match name.eq_ignore_ascii_case("COUNT") {
            true => None,
            false => Some(self.path("a name")?.1),
        };
        self.needs(&Token::Close, "`)`")?;
        Ok(ItemOf::Aggregate(of, makes))
    }

    /// A name, or names with dots between them.
    pub(super) fn path(&mut self, what: &str) -> Result<(&'a str, Vec<Step>), Wrong> {
        let Token::Path { text, steps } = &self.token else { return self.expected(what) };
        let found = (*text, steps.clone());
        self.take()?;
        Ok(found)
    }

    /// One name without a dot.
    fn alias(&mut self) -> Result<Box<str>, Wrong> {
        let at = self.at;
        let (text, steps) = self.path("a name")?;
        match steps.as_slice() {
            [Step::Name(name)] => Ok(name.clone()),
            _ => Err(Wrong::new(at, format!("`{text}` is no name but a path"))),
        }
    }

    fn from(&mut self) -> Result<(), Wrong> {
        self.needs(&Token::Keyword("FROM"), "`,` or `FROM`")?;
        let sources = [Source::Devices, Source::Modules, Source::Jobs];
        let found = if let Token::Path { text, .. } = self.token {
            sources.into_iter().find(|it| it.as_str().eq_ignore_ascii_case(text))
        } else {
            None
        };
        let Some(source) = found else {
            return self.expected("`devices`, `devices.modules` or `devices.jobs`");
        };
        self.take()?;
        let is_named = self.takes_keyword("AS")? || matches!(self.token, Token::Path { .. });
        let alias = if is_named { Some(self.alias()?) } else { None };
        self.from = From { source, alias };
        Ok(())
    }

    fn group(&mut self) -> Result<Vec<Path>, Wrong> {
        self.needs(&Token::Keyword("BY"), "`BY`")?;
        let mut all = Vec::new();
        loop {
            self.count()?;
            if all.len() == COLUMNS_MAX {
                return Err(Wrong::new(self.at, format!("more than {COLUMNS_MAX} names")));
            }
            let (_, steps) = self.path("a name")?;
            all.push(self.resolved(&steps));
            if !self.takes(&Token::Comma)? {
                return Ok(all);
            }
        }
    }

    /// What the columns are, now that it is known of which documents.
    fn select(&self, items: Vec<Item>, by: Vec<Path>, group_at: usize) -> Result<Select, Wrong> {
        let gathers = items.iter().any(|it| matches!(it.of, ItemOf::Aggregate(..)));
        let first_at = items.first().map_or(group_at, |it| it.at);
        match self.from.source {
            Source::Jobs if !items.is_empty() || !by.is_empty() => {
                return Err(Wrong::new(first_at, "of `devices.jobs` only `SELECT *` is supported"));
            }
            Source::Modules if gathers || !by.is_empty() => {
                let only = "`GROUP BY` and aggregates are supported of `devices` only";
                return Err(Wrong::new(first_at, only));
            }
            Source::Devices | Source::Modules | Source::Jobs => {}
        }
        if items.is_empty() {
            return match by.is_empty() {
                true => Ok(Select::All),
                false => {
                    Err(Wrong::new(group_at, "with `GROUP BY`, name the columns after `SELECT`"))
                }
            };
        }
        let mut names: Vec<Box<str>> = Vec::new();
        for item in &items {
            let name = item.name();
            if names.contains(&name) {
                let because = format!("two columns are called `{name}`; name one with `AS`");
                return Err(Wrong::new(item.at, because));
            }
            names.push(name);
        }
        if !gathers && by.is_empty() {
            let columns = items.into_iter().zip(names).filter_map(|(item, name)| match item.of {
                ItemOf::Path(steps) => Some(Column { name, path: self.resolved(&steps) }),
                ItemOf::Aggregate(..) => None,
            });
            return Ok(Select::Columns(columns.collect()));
        }
        let mut columns = Vec::new();
        for (item, name) in items.into_iter().zip(names) {
            let of = match item.of {
                ItemOf::Aggregate(steps, makes) => {
                    Of::Aggregate(makes(self.resolved(&steps.unwrap_or_default())))
                }
                ItemOf::Path(steps) => {
                    let path = self.resolved(&steps);
                    let key = by.iter().position(|it| *it == path).ok_or_else(|| {
                        Wrong::new(item.at, "this name must stand after `GROUP BY` as well")
                    })?;
                    Of::Key(key)
                }
            };
            columns.push(Cell { name, of });
        }
        Ok(Select::Rows { columns, by })
    }
}

impl Item {
    /// The alias, or what the path ends in, or the number of the column.
    fn name(&self) -> Box<str> {
        let last = match &self.of {
            ItemOf::Path(steps) => steps.last(),
            ItemOf::Aggregate(..) => None,
        };
        match (&self.alias, last) {
            (Some(alias), _) => alias.clone(),
            (None, Some(Step::Name(name))) => name.clone(),
            (None, Some(Step::Index(_)) | None) => format!("${}", self.number).into(),
        }
    }
}
