//! A line on a terminal that says how far something is. None where anything is piped.

use std::io::{self, IsTerminal as _, Write as _};

/// How many characters a bar has.
const BAR_CHARS: usize = 30;

/// The line; dropping it clears it.
pub(crate) struct Progress {
    is_watched: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { is_watched: io::stdout().is_terminal() && io::stderr().is_terminal() }
    }
}

impl Progress {
    /// Puts the line in the place of the one before. It is no part of the answer, and may be lost.
    pub(crate) fn tell(&self, line: &str) {
        if self.is_watched {
            let _ = write!(io::stderr(), "\r\x1b[K{line}").and_then(|()| io::stderr().flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.tell("");
    }
}

/// How much of a whole is done: `[##########                    ]`.
pub(crate) fn bar(done: usize, all: usize) -> String {
    let filled = (done.min(all) * BAR_CHARS).checked_div(all).unwrap_or(BAR_CHARS);
    format!("[{}{}]", "#".repeat(filled), " ".repeat(BAR_CHARS - filled))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_fills_as_work_is_done() {
        let filled = |done, all| bar(done, all).matches('#').count();
        assert_eq!(filled(0, 3), 0);
        assert_eq!(filled(1, 3), 10);
        assert_eq!(filled(2, 3), 20);
        assert_eq!(filled(3, 3), BAR);
        assert_eq!(filled(4, 3), BAR);
        assert_eq!(filled(0, 0), BAR);
        assert_eq!(bar(1, 3).len(), BAR + 2);
    }

    const BAR: usize = super::BAR_CHARS;
}
