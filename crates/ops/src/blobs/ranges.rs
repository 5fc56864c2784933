//! Which bytes of a blob are asked for.

/// A stretch of bytes, from the first to behind the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stretch {
    pub(super) from: u64,
    pub(super) until: u64,
}

/// What a header says of a blob of some length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Whole,
    Part(Stretch),
    /// Nothing of it is there.
    Outside,
}

/// Reads `bytes=first-last` or `bytes=first-`; anything else asks for the whole, as HTTP has it. A range that ends
/// behind the blob ends with it. Source: RFC 9110, section 14; Azure Storage, "Specifying the range header".
pub(super) fn read(header: Option<&str>, length: u64) -> Asked {
    let Some((first, last)) =
        header.and_then(|it| it.trim().strip_prefix("bytes=")?.split_once('-'))
    else {
        return Asked::Whole;
    };
    let number = |it: &str| match it.bytes().all(|it| it.is_ascii_digit()) {
        true => it.parse::<u64>().ok(),
        false => None,
    };
    let (from, last) = match (number(first), last.is_empty(), number(last)) {
        (Some(from), true, _) => (from, u64::MAX),
        (Some(from), false, Some(last)) if from <= last => (from, last),
        (_, _, _) => return Asked::Whole,
    };
    match from < length {
        true => Asked::Part(Stretch { from, until: last.saturating_add(1).min(length) }),
        false => Asked::Outside,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_to_their_edges() {
        let part = |from, until| Asked::Part(Stretch { from, until });
        for (header, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-9", part(0, 10)),
            ("bytes=0-10", part(0, 10)),
            ("bytes=9-", part(9, 10)),
            ("bytes=9-18446744073709551615", part(9, 10)),
            ("bytes=10-", Asked::Outside),
            ("bytes=10-11", Asked::Outside),
            ("bytes=3-2", Asked::Whole),
            ("bytes=-5", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=99999999999999999999-", Asked::Whole),
            ("lines=0-1", Asked::Whole),
        ] {
            assert_eq!(read(Some(header), 10), expected, "{header}");
        }
        assert_eq!(read(None, 10), Asked::Whole);
        assert_eq!(read(Some("bytes=0-"), 0), Asked::Outside);
    }
}
