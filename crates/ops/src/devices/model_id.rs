//! The model that a device says it follows when it connects.

use model::Error;

/// Longest id of a model. Source: IoT Plug and Play conventions, "Model ID".
const BYTES_MAX: usize = 128;

/// Reads a digital twin model identifier, as `dtmi:com:example:Pump;1`.
///
/// Source: Digital Twin Model Identifier, version 2, "Syntax"; a version is required here, as in hubs.
///
/// # Errors
/// [`Error::DeviceInvalid`] for what is none.
pub(crate) fn parse(text: &str) -> Result<&str, Error> {
    let is_segment = |it: &str| {
        it.starts_with(|it: char| it.is_ascii_alphabetic())
            && !it.ends_with('_')
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
    };
    let is_version = |it: &str| {
        (1..=9).contains(&it.len())
            && !it.starts_with('0')
            && it.bytes().all(|it| it.is_ascii_digit())
    };
    let parts = text.strip_prefix("dtmi:").and_then(|it| it.split_once(';'));
    match parts {
        Some((path, version))
            if text.len() <= BYTES_MAX
                && path.split(':').all(is_segment)
                && is_version(version) =>
        {
            Ok(text)
        }
        Some(_) | None => Err(Error::DeviceInvalid {
            at: "model-id".into(),
            message: format!(
                "a model is named like `dtmi:com:example:Pump;1`, in at most {BYTES_MAX} characters"
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_a_path_and_a_version() {
        for good in ["dtmi:com:example:Pump;1", "dtmi:a;999999999", "dtmi:a_b:c9;10"] {
            assert_eq!(parse(good), Ok(good));
        }
        let long = format!("dtmi:{};1", "a".repeat(BYTES_MAX));
        let wrong = [
            "",
            "Pump",
            "dtmi:com:example:Pump",
            "dtmi:;1",
            "dtmi:a::b;1",
            "dtmi:_a;1",
            "dtmi:a_;1",
            "dtmi:9;1",
            "dtmi:a;0",
            "dtmi:a;01",
            "dtmi:a;1000000000",
            "dtmi:a;1;2",
            "dtmi:a b;1",
            "DTMI:a;1",
            long.as_str(),
        ];
        for wrong in wrong {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
