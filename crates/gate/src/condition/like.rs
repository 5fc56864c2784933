//! Patterns of `StringLike`, matched without going back further than to the latest `*`.

use super::STEPS_MAX;

/// What one comparison may still do.
pub(super) struct Steps(usize);

impl Steps {
    pub(super) const fn new() -> Self {
        Self(STEPS_MAX)
    }

    /// Takes `count` of them; `None` where too few are left.
    pub(super) fn take(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.checked_sub(count)?;
        Some(())
    }
}

enum Piece {
    Run,
    One,
    Character(char),
}

/// True where the whole text fits: `*` is any run of characters, `?` exactly one, and a backslash before
/// either or before another backslash takes its meaning away. `None` where it takes too many steps.
pub(super) fn like(text: &str, pattern: &str, steps: &mut Steps) -> Option<bool> {
    steps.take(text.len().saturating_add(pattern.len()))?;
    let text: Vec<char> = text.chars().collect();
    let pattern = pieces(pattern);
    let (mut at_text, mut at_pattern) = (0, 0);
    let mut latest: Option<(usize, usize)> = None;
    while let Some(character) = text.get(at_text) {
        steps.take(1)?;
        let fits = match pattern.get(at_pattern) {
            Some(Piece::Run) => {
                at_pattern += 1;
                latest = Some((at_pattern, at_text));
                continue;
            }
            Some(Piece::One) => true,
            Some(Piece::Character(it)) => it == character,
            None => false,
        };
        match (fits, latest) {
            (true, _) => (at_text, at_pattern) = (at_text + 1, at_pattern + 1),
            // The run takes one character more, and what stands behind it is tried again.
            (false, Some((behind, taken))) => {
                latest = Some((behind, taken + 1));
                (at_text, at_pattern) = (taken + 1, behind);
            }
            (false, None) => return Some(false),
        }
    }
    Some(pattern.iter().skip(at_pattern).all(|it| matches!(it, Piece::Run)))
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut all = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        all.push(match letter {
            '*' => Piece::Run,
            '?' => Piece::One,
            '\\' => Piece::Character(
                letters.next_if(|it| matches!(it, '*' | '?' | '\\')).unwrap_or('\\'),
            ),
            other => Piece::Character(other),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_the_whole_text() {
        let check = |pattern: &str, text: &str, expected: bool| {
            let found = like(text, pattern, &mut Steps::new());
            assert_eq!(found, Some(expected), "{pattern} ~ {text}");
        };
        check("", "", true);
        check("", "a", false);
        check("*", "", true);
        check("?", "", false);
        check("?", "ä", true);
        check("??", "ä", false);
        check("a*c?", "abcd", true);
        check("a*c?", "acd", true);
        check("a*c?", "abc", false);
        check("*ab", "aab", true);
        check("pump-*", "pump", false);
        check("pump-*-?", "pump-1-2-3", true);
        check("pump", "pump10", false);
        check(r"a\*b", "a*b", true);
        check(r"a\*b", "axb", false);
        check(r"a\?", "a?", true);
        check(r"a\?", "ab", false);
        check(r"a\\*", r"a\tail", true);
        check(r"a\n", r"a\n", true);
        check("a.b", "axb", false);
    }

    #[test]
    fn a_pattern_that_would_go_back_for_ever_takes_bounded_time() {
        let text = "a".repeat(60);
        let found = like(&text, &"*a".repeat(61), &mut Steps::new());
        assert_eq!(found, Some(false));
        let pattern = format!("*{}b", "a".repeat(4_000));
        assert_eq!(like(&"a".repeat(8_000), &pattern, &mut Steps::new()), None);
    }
}
