//! A page of text for people: sentences, labelled lines and tables, within a width.
//!
//! Everything that is shown enters through [`Page`], which escapes it: no text from outside reaches the
//! terminal raw. Knows no terminal: width and colours are arguments.

use crate::target;
use crate::text::{LongWord, escape, wrap};
use std::io::IsTerminal;

/// Where a terminal does not say how wide it is.
const WIDTH_DEFAULT: usize = 100;
/// Narrower than this, tables are no tables.
const WIDTH_MIN: usize = 40;
const WIDTH_MAX: usize = 400;
/// No column is squeezed below this.
const COLUMN_MIN: usize = 8;
/// Soft columns give way down to this before firm ones do.
const SOFT_MIN: usize = 16;
/// Between a table's columns.
const GAP: &str = "  ";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Colours {
    On,
    Off,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Warning,
}

impl Style {
    /// The SGR parameter of ECMA-48.
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Dim => Some("2"),
            Self::Good => Some("32"),
            Self::Bad => Some("31"),
            Self::Warning => Some("33"),
        }
    }
}

/// A column's heading, and whether the column gives way before others where the table is too wide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Column {
    /// Names and words, which are hard to read in pieces.
    Firm(&'static str),
    /// Sentences and values.
    Soft(&'static str),
}

impl Column {
    const fn heading(self) -> &'static str {
        match self {
            Self::Firm(heading) | Self::Soft(heading) => heading,
        }
    }
}

/// One field of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(style: Style, text: impl AsRef<str>) -> Self {
        Self { text: escape(text.as_ref()), style }
    }

    pub(crate) fn plain(text: impl AsRef<str>) -> Self {
        Self::new(Style::Plain, text)
    }

    fn chars(&self) -> usize {
        self.text.chars().count()
    }
}

pub(crate) struct Page {
    out: String,
    width: usize,
    colours: Colours,
}

impl Page {
    pub(crate) const fn new(width: usize, colours: Colours) -> Self {
        Self { out: String::new(), width, colours }
    }

    /// A page for standard output: colours only on a terminal and where `NO_COLOR` does not forbid them.
    pub(crate) fn for_stdout() -> Self {
        let wants_none = target::environment("NO_COLOR").is_some_and(|it| !it.is_empty());
        let colours = match std::io::stdout().is_terminal() && !wants_none {
            true => Colours::On,
            false => Colours::Off,
        };
        let width = target::environment("COLUMNS")
            .and_then(|it| it.parse().ok())
            .map_or(WIDTH_DEFAULT, |it: usize| it.clamp(WIDTH_MIN, WIDTH_MAX));
        Self::new(width, colours)
    }

    pub(crate) const fn colours(&self) -> Colours {
        self.colours
    }

    pub(crate) fn into_text(self) -> String {
        self.out
    }

    pub(crate) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// Text in as many lines as it needs; words longer than a line stay whole.
    pub(crate) fn paragraph(&mut self, indent: usize, style: Style, text: &str) {
        for line in wrap(&escape(text), self.width.saturating_sub(indent), LongWord::Whole) {
            self.line(indent, style, &line);
        }
    }

    /// Text on one line, however long: for commands that are copied.
    pub(crate) fn verbatim(&mut self, indent: usize, text: &str) {
        self.line(indent, Style::Plain, &escape(text));
    }

    /// A labelled text: `label_chars` wide is the column of labels.
    pub(crate) fn field(&mut self, indent: usize, label_chars: usize, label: &str, text: &str) {
        let hanging = indent + label_chars + GAP.len();
        let lines = wrap(&escape(text), self.width.saturating_sub(hanging), LongWord::Whole);
        for (index, line) in lines.iter().enumerate() {
            match index {
                0 => {
                    self.put(&" ".repeat(indent));
                    let label = escape(label);
                    let pad = label_chars.saturating_sub(label.chars().count());
                    self.paint(Style::Dim, &label);
                    self.put(&" ".repeat(pad));
                    self.put(GAP);
                    self.paint(Style::Plain, line);
                    self.end_line();
                }
                _ => self.line(hanging, Style::Plain, line),
            }
        }
    }

    /// A table. Columns without any text are left out; the widest give way until the table fits.
    pub(crate) fn table(&mut self, indent: usize, columns: &[Column], rows: &[Vec<Cell>]) {
        let is_used =
            |column: usize| rows.iter().any(|row| row.get(column).is_some_and(|it| it.chars() > 0));
        let used: Vec<(usize, Column)> =
            columns.iter().copied().enumerate().filter(|(index, _)| is_used(*index)).collect();
        let title: Vec<Cell> =
            used.iter().map(|(_, it)| Cell::new(Style::Dim, it.heading())).collect();
        let pick = |row: &Vec<Cell>| -> Vec<Cell> {
            used.iter()
                .map(|(index, _)| row.get(*index).cloned().unwrap_or_else(|| Cell::plain("")))
                .collect()
        };
        let all: Vec<Vec<Cell>> = std::iter::once(title).chain(rows.iter().map(pick)).collect();

        let mut widths: Vec<(Column, usize)> = used
            .iter()
            .enumerate()
            .map(|(place, (_, column))| {
                let widest = all.iter().filter_map(|row| row.get(place)).map(Cell::chars).max();
                (*column, widest.unwrap_or(0))
            })
            .collect();
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        squeeze(&mut widths, self.width.saturating_sub(indent + gaps));
        let widths: Vec<usize> = widths.into_iter().map(|(_, width)| width).collect();
        for row in &all {
            self.row(indent, row, &widths);
        }
    }

    fn row(&mut self, indent: usize, row: &[Cell], widths: &[usize]) {
        let columns: Vec<Vec<String>> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| wrap(&cell.text, *width, LongWord::Broken))
            .collect();
        let height = columns.iter().map(Vec::len).max().unwrap_or(0);
        for index in 0..height {
            self.put(&" ".repeat(indent));
            for ((cell, lines), width) in row.iter().zip(&columns).zip(widths) {
                let line = lines.get(index).map_or("", String::as_str);
                self.paint(cell.style, line);
                self.put(&" ".repeat(width.saturating_sub(line.chars().count())));
                self.put(GAP);
            }
            self.end_line();
        }
    }

    fn line(&mut self, indent: usize, style: Style, escaped: &str) {
        self.put(&" ".repeat(indent));
        self.paint(style, escaped);
        self.end_line();
    }

    fn paint(&mut self, style: Style, escaped: &str) {
        match (self.colours, style.code()) {
            (Colours::On, Some(code)) if !escaped.is_empty() => {
                self.out.push_str("\x1b[");
                self.out.push_str(code);
                self.out.push('m');
                self.put(escaped);
                self.out.push_str("\x1b[0m");
            }
            (Colours::On | Colours::Off, _) => self.put(escaped),
        }
    }

    fn put(&mut self, escaped: &str) {
        self.out.push_str(escaped);
    }

    fn end_line(&mut self) {
        let end = self.out.trim_end_matches(' ').len();
        self.out.truncate(end);
        self.out.push('\n');
    }
}

/// Takes from the widest until all fit: of the soft columns first, of the firm ones where that is not enough.
fn squeeze(widths: &mut [(Column, usize)], available: usize) {
    for (_, width) in widths.iter_mut() {
        *width = (*width).min(available.max(COLUMN_MIN));
    }
    while widths.iter().map(|(_, width)| width).sum::<usize>() > available {
        let soft = widths
            .iter_mut()
            .filter(|(it, width)| matches!(it, Column::Soft(_)) && *width > SOFT_MIN);
        let widest = match soft.max_by_key(|(_, width)| *width) {
            Some(widest) => Some(widest),
            None => widths
                .iter_mut()
                .filter(|(_, width)| *width > COLUMN_MIN)
                .max_by_key(|(_, width)| *width),
        };
        match widest {
            Some((_, width)) => *width -= 1,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_way_where_it_is_widest_and_drops_empty_columns() {
        let mut page = Page::new(40, Colours::Off);
        let row = |a: &str, b: &str| vec![Cell::plain(a), Cell::plain(""), Cell::plain(b)];
        page.table(
            2,
            &[Column::Firm("gate"), Column::Firm("took"), Column::Soft("reason")],
            &[row("policy", "the rule matches what the call would write"), row("access", "none")],
        );
        insta::assert_snapshot!(page.into_text(), @r"
          gate    reason
          policy  the rule matches what the call
                  would write
          access  none
        ");
    }

    #[test]
    fn colours_surround_text_and_never_its_padding() {
        let mut page = Page::new(40, Colours::On);
        page.table(
            0,
            &[Column::Firm("a"), Column::Soft("b")],
            &[vec![Cell::new(Style::Bad, "deny"), Cell::plain("x\x1b[0m")]],
        );
        assert_eq!(
            page.into_text(),
            "\x1b[2ma\x1b[0m     \x1b[2mb\x1b[0m\n\x1b[31mdeny\x1b[0m  x\\u{1b}[0m\n"
        );
    }
}
