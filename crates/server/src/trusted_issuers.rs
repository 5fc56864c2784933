//! The issuers that the operator trusts, a file for each in `trusted-issuers` of the data directory, read at
//! start.

use ops::entra::issuers::{self, FILE_BYTES_MAX, TrustedIssuer};
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

const FOLDER: &str = "trusted-issuers";
/// Most files.
const ISSUERS_MAX: usize = 100;

/// Reads them all; none where there is no such folder.
///
/// # Errors
/// A sentence that names the file. To start without it would turn away whom it lets in.
pub(crate) fn read(data: &Path) -> Result<Vec<TrustedIssuer>, String> {
    let folder = data.join(FOLDER);
    let told = |it: std::io::Error| format!("cannot read `{}`: {it}", folder.display());
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(told(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(told)?.path();
        if path.extension().is_some_and(|it| it == "json") {
            paths.push(path);
        }
        if paths.len() > ISSUERS_MAX {
            return Err(format!("`{}` has more than {ISSUERS_MAX} files", folder.display()));
        }
    }
    paths.sort();
    let mut all: Vec<TrustedIssuer> = Vec::with_capacity(paths.len());
    for path in paths {
        let fault =
            |it: String| format!("`{}` names no issuer that can be trusted: {it}", path.display());
        let issuer = bytes(&path).map_err(|it| it.to_string()).and_then(|it| issuers::parse(&it));
        let issuer = issuer.map_err(fault)?;
        if all.iter().any(|it| it.issuer == issuer.issuer) {
            return Err(fault("another file has the same `issuer`; put its keys into one".into()));
        }
        all.push(issuer);
    }
    Ok(all)
}

/// A file's bytes, and one more than may be where there are more.
fn bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ops::entra::signing::Signer;
    use serde_json::json;

    #[test]
    fn every_file_of_the_folder_is_an_issuer_or_the_server_does_not_start() {
        let data = tempfile::tempdir().unwrap();
        assert!(read(data.path()).unwrap().is_empty());
        let folder = data.path().join(FOLDER);
        fs::create_dir(&folder).unwrap();
        let key = Signer::from_pkcs8(&Signer::generate().unwrap()).unwrap().jwk("");
        let of = |issuer: &str| json!({ "issuer": issuer, "jwks": { "keys": [key] } }).to_string();
        fs::write(folder.join("b.json"), of("https://b.example")).unwrap();
        fs::write(folder.join("a.json"), of("https://a.example")).unwrap();
        fs::write(folder.join("note.txt"), "not one").unwrap();
        let names: Vec<String> =
            read(data.path()).unwrap().into_iter().map(|it| it.issuer).collect();
        assert_eq!(names, ["https://a.example", "https://b.example"]);
        fs::write(folder.join("c.json"), of("https://a.example")).unwrap();
        assert!(read(data.path()).unwrap_err().contains("same `issuer`"));
        fs::write(folder.join("c.json"), "{}").unwrap();
        assert!(read(data.path()).unwrap_err().contains("c.json"));
    }
}
