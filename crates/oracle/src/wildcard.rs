//! What a pattern of a role matches.

/// True where `pattern` matches `action`, without regard to case.
///
/// `*` stands for any run of characters, `/` included, and for none. Where `*` is a whole segment inside the
/// pattern, the segment may be missing altogether. Everything else stands for itself.
/// Source: Azure RBAC documentation, "Understand Azure role definitions"; the missing segment is seen in the
/// built-in role Managed Identity Operator.
///
/// This follows the definition letter by letter, so its time grows with the text's length to the power of the
/// number of `*`. Those who ask keep to few.
pub fn matches(pattern: &str, action: &str) -> bool {
    fits(pattern.as_bytes(), action.as_bytes())
}

fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let as_written = match (pattern, text) {
        ([], []) => true,
        ([], _) => false,
        ([b'*', rest @ ..], []) => fits(rest, text),
        ([b'*', rest @ ..], [_, behind @ ..]) => fits(rest, text) || fits(pattern, behind),
        (_, []) => false,
        ([wanted, rest @ ..], [it, behind @ ..]) => {
            wanted.eq_ignore_ascii_case(it) && fits(rest, behind)
        }
    };
    match pattern {
        // `/*/` read as `/`.
        [b'/', b'*', without @ ..] if without.starts_with(b"/") => {
            as_written || fits(without, text)
        }
        _ => as_written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        let check = |pattern, action, expected| {
            assert_eq!(matches(pattern, action), expected, "{pattern} ~ {action}");
        };
        check("*", "Microsoft.Devices/IotHubs/write", true);
        check("*/read", "Microsoft.Devices/IotHubs/devices/READ", true);
        check("Microsoft.Devices/IotHubs/*", "Microsoft.Devices/IotHubs2/read", false);
        check("Microsoft.Devices/IotHubs/devices", "Microsoft.Devices/IotHubs/devices/read", false);
        check("A/*/delete", "A/delete", true);
        check("A/*/b/*/delete", "A/b/x/delete", true);
        check("A/*/*/delete", "A/delete", true);
        check("A/*/*/delete", "A/x/delete", true);
        check("A*/delete", "A/delete", true);
        check("A/*delete", "Adelete", false);
        check("a.b/c", "axb/c", false);
        check("", "a", false);
    }
}
