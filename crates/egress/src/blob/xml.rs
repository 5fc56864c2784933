//! What is read of the answers in XML: the texts of a few elements. Nothing in them is resolved but the five entities.

/// The text of the first element of a name; `None` where there is none, or it has elements itself.
pub(super) fn text(xml: &str, name: &str) -> Option<String> {
    let inside = element(xml, name)?.0;
    (!inside.contains('<')).then(|| plain(inside))
}

/// The insides of all elements of a name, in their order.
pub(super) fn all<'a>(mut xml: &'a str, name: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    while let Some((inside, rest)) = element(xml, name) {
        found.push(inside);
        xml = rest;
    }
    found
}

/// What stands between the tags of the first element of a name, and behind it.
fn element<'a>(xml: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let mut rest = xml;
    loop {
        let (_, behind) = rest.split_once(&open)?;
        rest = behind;
        // `<Name` begins `<NameOfAnother>`, too.
        if !behind.starts_with(['>', ' ', '/']) {
            continue;
        }
        let (attributes, inside) = behind.split_once('>')?;
        if attributes.ends_with('/') {
            return Some(("", inside));
        }
        return inside.split_once(&close);
    }
}

/// Without entities.
fn plain(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_their_names() {
        let xml = "<?xml version=\"1.0\"?><List a=\"b\"><Blobs><Blob><Names>x</Names><Name>a&amp;lt;b</Name></Blob>\
                   <Blob><Name Encoded=\"false\">c</Name></Blob></Blobs><NextMarker /></List>";
        let blobs = all(xml, "Blob");
        let names: Vec<_> = blobs.iter().map(|it| text(it, "Name")).collect();
        assert_eq!(names, [Some("a&lt;b".to_owned()), Some("c".to_owned())]);
        assert_eq!(text(xml, "NextMarker").as_deref(), Some(""));
        assert_eq!(text(xml, "Blobs"), None);
        for broken in ["", "<Name", "<Name>", "<Name>a", "</Name>", "<Name>a</Names>"] {
            assert_eq!(text(broken, "Name"), None, "{broken}");
        }
    }
}
