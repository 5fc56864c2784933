//! As much of Rust's grammar as the other checks need: what is code, what is a test, what a test is called.

/// The code of a source: comments and the insides of texts are blank, and every line stays where it is.
pub(crate) fn code(source: &str) -> String {
    let letters: Vec<char> = source.chars().collect();
    let at = |index: usize| letters.get(index).copied().unwrap_or('\0');
    let mut code = String::with_capacity(source.len());
    let mut index = 0;
    while index < letters.len() {
        let end = match (at(index), at(index + 1)) {
            ('/', '/') => until(&letters, index, |it| it == '\n'),
            ('/', '*') => end_of_comment(&letters, index),
            ('"', _) => end_of_text(&letters, index),
            ('\'', '\\') => end_of_letter(&letters, index),
            ('\'', _) if at(index + 2) == '\'' => index + 3,
            ('r', '"' | '#')
                if !is_name(at(index.wrapping_sub(1))) || at(index.wrapping_sub(1)) == 'b' =>
            {
                end_of_raw_text(&letters, index)
            }
            _ => index,
        };
        if end == index {
            code.push(at(index));
            index += 1;
            continue;
        }
        for letter in letters.iter().take(end).skip(index) {
            code.push(if *letter == '\n' { '\n' } else { ' ' });
        }
        index = end;
    }
    code
}

/// The code without the tests behind it.
pub(crate) fn shipped(source: &str) -> String {
    let code = code(source);
    let end = code.find("#[cfg(test)]").unwrap_or(code.len());
    code.get(..end).unwrap_or("").to_owned()
}

/// True where `word` stands in `code` with no letter, digit or underscore on either side.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    places(code, word).next().is_some()
}

/// What stands before and behind each place of a word.
pub(crate) fn places<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    code.match_indices(word).filter_map(move |(at, _)| {
        let (before, behind) = (code.get(..at)?, code.get(at + word.len()..)?);
        let is_whole = !before.ends_with(is_name) && !behind.starts_with(is_name);
        is_whole.then_some((before, behind))
    })
}

/// A function that `cargo test` runs.
pub(crate) struct TestFunction {
    pub(crate) name: String,
    /// Its doc comment.
    pub(crate) doc: String,
    pub(crate) is_ignored: bool,
}

/// The tests of a source, in their order.
pub(crate) fn tests(source: &str) -> Vec<TestFunction> {
    let mut found = Vec::new();
    let (mut doc, mut attributes) = (String::new(), String::new());
    let mut is_attribute_open = false;
    for line in source.lines().map(str::trim) {
        if is_attribute_open || line.starts_with("#[") {
            attributes.push_str(line);
            is_attribute_open = !line.ends_with(']');
        } else if let Some(sentence) = line.strip_prefix("///") {
            doc.push_str(sentence);
            doc.push('\n');
        } else if !line.starts_with("//") {
            let is_test = attributes.contains("test]") || attributes.contains("test(");
            if let Some(name) = function(line).filter(|_| is_test) {
                found.push(TestFunction {
                    name: name.to_owned(),
                    doc: doc.clone(),
                    is_ignored: attributes.contains("#[ignore"),
                });
            }
            doc.clear();
            attributes.clear();
        }
    }
    found
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(|it| !is_name(it)).next()
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn until(letters: &[char], from: usize, ends: impl Fn(char) -> bool) -> usize {
    let length = letters.iter().skip(from).position(|it| ends(*it));
    length.map_or(letters.len(), |it| from + it)
}

fn end_of_comment(letters: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut index = from;
    while index < letters.len() {
        match (letters.get(index), letters.get(index + 1)) {
            (Some('/'), Some('*')) => (depth, index) = (depth + 1, index + 2),
            (Some('*'), Some('/')) => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            break;
        }
    }
    index
}

fn end_of_text(letters: &[char], from: usize) -> usize {
    let mut index = from + 1;
    while let Some(letter) = letters.get(index) {
        match letter {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    letters.len()
}

fn end_of_letter(letters: &[char], from: usize) -> usize {
    until(letters, from + 3, |it| it == '\'') + 1
}

/// `r"..."` and `r#"..."#`; a raw name such as `r#type` is no text.
fn end_of_raw_text(letters: &[char], from: usize) -> usize {
    let opening = until(letters, from + 1, |it| it != '#');
    if letters.get(opening) != Some(&'"') {
        return from;
    }
    let fences = opening - from - 1;
    let mut index = opening + 1;
    while index < letters.len() {
        let is_end = letters.get(index) == Some(&'"')
            && letters.iter().skip(index + 1).take(fences).filter(|it| **it == '#').count()
                == fences;
        index += 1;
        if is_end {
            return index + fences;
        }
    }
    letters.len()
}

#[test]
fn comments_and_texts_are_no_code() {
    let check = |source: &str, expected: &str| {
        let code = code(source);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{source}");
        assert_eq!(code.lines().count(), source.lines().count(), "{source}");
    };
    check("a // b\nc", "a c");
    check("a /* b /* c */ d\n */ e", "a e");
    check("a(\"b \\\" c\") d", "a( ) d");
    check("a(r#\"b \" c\"#) r#type", "a( ) r#type");
    check("a(br\"b\\\") c", "a(b ) c");
    check("a('\"', '\\'', 'b', '\\u{1F600}') <'life> \"x\"", "a( , , , ) <'life>");
    check("a \"b\n// c\n\" d", "a d");
}

#[test]
fn a_test_is_found_with_its_doc_comment() {
    let source = "
        /// Says it.
        /// Twice.
        #[tokio::test(
            flavor = \"current_thread\"
        )]
        async fn one() {}

        /// No test.
        fn two() {}

        #[test]
        #[ignore = \"slow\"]
        fn three() {}
    ";
    let found: Vec<_> =
        tests(source).into_iter().map(|it| (it.name, it.doc, it.is_ignored)).collect();
    let expected = [("one", " Says it.\n Twice.\n", false), ("three", "", true)];
    assert_eq!(found, expected.map(|(name, doc, ignored)| (name.into(), doc.into(), ignored)));
}
