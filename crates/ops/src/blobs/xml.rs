//! The little XML that this service speaks: what it writes, and the flat lists that it reads.

use std::fmt::Write as _;

/// Most elements of a list.
pub(super) const ELEMENTS_MAX: usize = 50_000;

/// A document being written.
pub(super) struct Xml(String);

impl Xml {
    pub(super) fn new() -> Self {
        // Some clients tell the encoding by the mark, all take it without.
        Self("<?xml version=\"1.0\" encoding=\"utf-8\"?>".to_owned())
    }

    /// `<name>text</name>`.
    pub(super) fn text(&mut self, name: &str, text: impl std::fmt::Display) -> &mut Self {
        // Writing to a `String` cannot fail.
        let _ = write!(self.0, "<{name}>{}</{name}>", escaped(&text.to_string()));
        self
    }

    /// The same where there is a text.
    pub(super) fn known(&mut self, name: &str, text: Option<impl std::fmt::Display>) -> &mut Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// An element with what stands in it.
    pub(super) fn within(&mut self, name: &str, inner: impl FnOnce(&mut Self)) -> &mut Self {
        self.with(name, &[], inner)
    }

    /// The same with attributes.
    pub(super) fn with(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        inner: impl FnOnce(&mut Self),
    ) -> &mut Self {
        let _ = write!(self.0, "<{name}");
        for (key, value) in attributes {
            let _ = write!(self.0, " {key}=\"{}\"", escaped(value));
        }
        self.0.push('>');
        inner(self);
        let _ = write!(self.0, "</{name}>");
        self
    }

    pub(super) fn done(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

/// Text as XML has it; what no XML can carry becomes `U+FFFD`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(it),
            it if it < ' ' || matches!(it, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            it => out.push(it),
        }
    }
    out
}

/// Reads `<list><name>text</name>...</list>`, where `list` is the root: the elements in their order, each with its text. Nothing else is taken: no
/// attributes, no comments, no entities of one's own.
///
/// # Errors
/// What is wrong, in a few words.
pub(super) fn read_flat(bytes: &[u8], root: &str) -> Result<Vec<(String, String)>, &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let mut rest = text.trim_start_matches('\u{feff}').trim();
    if rest.starts_with("<?xml") {
        rest = rest.split_once("?>").ok_or("its declaration does not end")?.1.trim_start();
    }
    let (name, mut rest) = opened(rest)?;
    if name == format!("{root}/") && rest.trim().is_empty() {
        return Ok(Vec::new());
    }
    if name != root {
        return Err("its root is another one");
    }
    let mut all = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(end) = rest.strip_prefix("</") {
            let (name, behind) = end.split_once('>').ok_or("an element does not end")?;
            return match name.trim_end() == root && behind.trim().is_empty() {
                true => Ok(all),
                false => Err("it does not end with its root"),
            };
        }
        if all.len() == ELEMENTS_MAX {
            return Err("it has too many elements");
        }
        let (name, behind) = opened(rest)?;
        if let Some(empty) = name.strip_suffix('/') {
            all.push((empty.to_owned(), String::new()));
            rest = behind;
            continue;
        }
        let (inner, behind) = behind.split_once('<').ok_or("an element does not end")?;
        let behind =
            behind.strip_prefix('/').and_then(|it| it.strip_prefix(name)).map(str::trim_start);
        rest = behind
            .and_then(|it| it.strip_prefix('>'))
            .ok_or("an element does not end as it began")?;
        all.push((name.to_owned(), unescaped(inner)?));
    }
}

fn opened(text: &str) -> Result<(&str, &str), &'static str> {
    let (name, rest) =
        text.strip_prefix('<').and_then(|it| it.split_once('>')).ok_or("an element is expected")?;
    let plain = name.strip_suffix('/').unwrap_or(name);
    // Declarations of namespaces say nothing here.
    let mut words = plain.split_ascii_whitespace();
    let tag = words.next().unwrap_or_default();
    let is_name = !tag.is_empty() && tag.bytes().all(|it| it.is_ascii_alphanumeric());
    match is_name && words.all(|it| it.starts_with("xmlns")) {
        true if plain.len() == tag.len() => Ok((name.trim_end(), rest)),
        true => Ok((tag, rest)),
        false => Err("an element is expected"),
    }
}

fn unescaped(text: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (entity, rest) = part.split_once(';').ok_or("an entity does not end")?;
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => return Err("an entity is not known"),
        });
        out.push_str(rest);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_escaped() {
        let mut xml = Xml::new();
        xml.with("a", &[("b", "\"<")], |it| {
            it.text("c", "1 < 2 & \u{1}").known("d", None::<&str>);
        });
        assert!(xml.done().ends_with("<a b=\"&quot;&lt;\"><c>1 &lt; 2 &amp; \u{fffd}</c></a>"));
    }

    #[test]
    fn a_flat_list_is_read_in_its_order() {
        let text = "\u{feff}<?xml version='1.0' encoding='utf-8'?>\n<BlockList>\n <Latest>QQ==</Latest><Committed>Qg==</Committed>\n</BlockList>\n";
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            read_flat(text.as_bytes(), "BlockList"),
            Ok(vec![pair("Latest", "QQ=="), pair("Committed", "Qg==")])
        );
        assert_eq!(read_flat(b"<BlockList/>", "BlockList"), Ok(vec![]));
        assert_eq!(read_flat(b"<BlockList></BlockList>", "BlockList"), Ok(vec![]));
        assert_eq!(
            read_flat(b"<K xmlns=\"u\"><S>a&amp;b</S><E/></K>", "K"),
            Ok(vec![pair("S", "a&b"), pair("E", "")])
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for hostile in [
            "",
            "<",
            "<A>",
            "<B></B>",
            "<A><B></A>",
            "<A><B>x</C></A>",
            "<A><B>x</B></A><A/>",
            "<A><!-- --></A>",
            "<A>&x;</A>",
            "<A><B>&x;</B></A>",
            "<A><B>&#60;</B></A>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><A/>",
            "<A b=\"c\"></A>",
            "<?xml",
            "<A><B",
        ] {
            assert!(read_flat(hostile.as_bytes(), "A").is_err(), "{hostile}");
        }
        assert!(read_flat(b"<A>\xff</A>", "A").is_err());
        for element in ["<B/>", "<B></B>"] {
            let many = |count: usize| format!("<A>{}</A>", element.repeat(count));
            assert!(read_flat(many(ELEMENTS_MAX).as_bytes(), "A").is_ok());
            assert!(read_flat(many(ELEMENTS_MAX + 1).as_bytes(), "A").is_err(), "{element}");
        }
    }
}
