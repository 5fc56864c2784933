//! What is to be written: a device's id and its policy, from files, a directory or lines of JSON.
//!
//! A line is `{"deviceId": "pump-1", "policy": {...}}`; with `null` as its policy the device's is deleted. A file that
//! ends with `.json` holds one such object or a list of them, or a policy alone, whose device the file is named after;
//! of a directory each file counts that ends with `.json`, `.jsonl` or `.ndjson`, in the order of their names.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// Longest line, and largest file that is read as a whole.
const LINE_BYTES_MAX: u64 = 1 << 20;
const FILE_BYTES_MAX: u64 = 64 << 20;

/// One policy to be written, or deleted.
#[derive(Debug)]
pub struct Item {
    pub device: String,
    /// None to delete it. As it was given, to the last digit.
    pub policy: Option<Box<RawValue>>,
}

/// Something that is no policy of a device, where it stands, and what is expected there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAnItem {
    pub place: String,
    pub because: String,
}

impl fmt::Display for NotAnItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.because)
    }
}

impl std::error::Error for NotAnItem {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Given {
    device_id: String,
    policy: Box<RawValue>,
}

impl Given {
    fn item(self) -> Result<Item, String> {
        let device = self.device_id;
        if device.is_empty() {
            return Err("`deviceId` is empty".to_owned());
        }
        match self.policy.get().as_bytes().first() {
            Some(b'{') => Ok(Item { device, policy: Some(self.policy) }),
            Some(b'n') => Ok(Item { device, policy: None }),
            _ => Err(format!("the `policy` of `{device}` is neither an object nor `null`")),
        }
    }
}

/// Every item of the places that were named, one after the other. A line that is none does not end it.
pub struct Items {
    /// Files that were not begun, the next first.
    files: VecDeque<PathBuf>,
    lines: Option<Lines>,
    /// Of a file that was read as a whole.
    read: VecDeque<Result<Item, NotAnItem>>,
}

struct Lines {
    name: String,
    number: u64,
    from: Box<dyn BufRead + Send>,
}

impl Items {
    /// `-` stands for the standard input.
    ///
    /// # Errors
    /// A place that is not there or holds nothing that is read.
    pub fn open(places: &[PathBuf]) -> Result<Self, NotAnItem> {
        let mut files = VecDeque::new();
        for place in places {
            match place.is_dir() {
                true => files.extend(within(place)?),
                false => files.push_back(place.clone()),
            }
        }
        Ok(Self { files, lines: None, read: VecDeque::new() })
    }

    /// From lines of JSON, whose source has this name.
    pub fn of_lines(name: &str, from: impl BufRead + Send + 'static) -> Self {
        let lines = Lines { name: name.to_owned(), number: 0, from: Box::new(from) };
        Self { files: VecDeque::new(), lines: Some(lines), read: VecDeque::new() }
    }

    fn begin(&mut self, path: &Path) -> Result<(), NotAnItem> {
        if path == Path::new("-") {
            let from = Box::new(BufReader::new(io::stdin()));
            self.lines = Some(Lines { name: "standard input".to_owned(), number: 0, from });
            return Ok(());
        }
        let name = path.display().to_string();
        let refuse = |because: &dyn fmt::Display| NotAnItem {
            place: name.clone(),
            because: because.to_string(),
        };
        let file = File::open(path).map_err(|it| refuse(&it))?;
        if has_extension(path, &LINES) {
            let from = Box::new(BufReader::new(file));
            self.lines = Some(Lines { name, number: 0, from });
            return Ok(());
        }
        let mut text = String::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        let bytes = read.map_err(|it| refuse(&it))?;
        if u64::try_from(bytes).is_ok_and(|it| it > FILE_BYTES_MAX) {
            let because = format!(
                "it is larger than {} MiB; lines of JSON (`.jsonl`) may be as many as you like",
                FILE_BYTES_MAX >> 20
            );
            return Err(refuse(&because));
        }
        let stem = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
        self.read = whole(&text, stem)
            .map_err(|it| refuse(&it))?
            .into_iter()
            .map(|it| it.map_err(|because| refuse(&because)))
            .collect();
        Ok(())
    }
}

impl Iterator for Items {
    type Item = Result<Item, NotAnItem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.read.pop_front() {
                return Some(item);
            }
            if let Some(lines) = &mut self.lines {
                if let Some(item) = lines.next() {
                    return Some(item);
                }
                self.lines = None;
            }
            let path = self.files.pop_front()?;
            if let Err(because) = self.begin(&path) {
                return Some(Err(because));
            }
        }
    }
}

impl Lines {
    fn next(&mut self) -> Option<Result<Item, NotAnItem>> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            let read = (&mut self.from).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
            let place = format!("{}, line {}", self.name, self.number);
            let refuse = |because: String| Some(Err(NotAnItem { place, because }));
            match read {
                Ok(0) => return None,
                // Nothing can be told of what comes behind it.
                Err(error) => {
                    self.from = Box::new(io::empty());
                    return refuse(error.to_string());
                }
                Ok(_) => {}
            }
            if u64::try_from(line.len()).is_ok_and(|it| it > LINE_BYTES_MAX) {
                let because = match self.skip_line() {
                    Ok(()) => format!("the line is longer than {LINE_BYTES_MAX} bytes"),
                    Err(error) => error.to_string(),
                };
                return refuse(because);
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let given = serde_json::from_slice::<Given>(&line).map_err(|it| it.to_string());
            return given.and_then(Given::item).map_or_else(refuse, |it| Some(Ok(it)));
        }
    }

    /// Reads on to the end of a line without keeping it.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let there = self.from.fill_buf()?;
            let (read, is_over) = match there.iter().position(|it| *it == b'\n') {
                Some(at) => (at + 1, true),
                None => (there.len(), there.is_empty()),
            };
            self.from.consume(read);
            if is_over {
                return Ok(());
            }
        }
    }
}

const LINES: [&str; 2] = ["jsonl", "ndjson"];

fn has_extension(path: &Path, those: &[&str]) -> bool {
    let own = path.extension().and_then(|it| it.to_str());
    own.is_some_and(|own| those.iter().any(|it| own.eq_ignore_ascii_case(it)))
}

fn within(directory: &Path) -> Result<Vec<PathBuf>, NotAnItem> {
    let refuse = |because: String| NotAnItem { place: directory.display().to_string(), because };
    let all = std::fs::read_dir(directory).map_err(|it| refuse(it.to_string()))?;
    let mut files = Vec::new();
    for entry in all {
        let path = entry.map_err(|it| refuse(it.to_string()))?.path();
        if path.is_file() && has_extension(&path, &["json", "jsonl", "ndjson"]) {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(refuse("there is no file in it that ends with `.json` or `.jsonl`".into())),
        false => Ok(files),
    }
}

/// The items of a file of JSON that is named after `stem`.
fn whole(text: &str, stem: &str) -> Result<Vec<Result<Item, String>>, String> {
    if text.trim_start().starts_with('[') {
        let all: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(|it| it.to_string())?;
        let item = |(at, it): (usize, Box<RawValue>)| {
            let given = serde_json::from_str::<Given>(it.get());
            given
                .map_err(|it| it.to_string())
                .and_then(Given::item)
                .map_err(|because| format!("[{at}]: {because}"))
        };
        return Ok(all.into_iter().enumerate().map(item).collect());
    }
    /// Whether a file holds an item or a policy.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Peek {
        device_id: Option<Box<RawValue>>,
    }
    let peek: Peek = serde_json::from_str(text).map_err(|it| it.to_string())?;
    if peek.device_id.is_some() {
        let given = serde_json::from_str::<Given>(text).map_err(|it| it.to_string())?;
        return Ok(vec![given.item()]);
    }
    let policy = serde_json::from_str(text).map_err(|it| it.to_string())?;
    Ok(vec![Given { device_id: stem.to_owned(), policy }.item()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(items: Items) -> Vec<String> {
        items
            .map(|it| match it {
                Ok(Item { device, policy: Some(policy) }) => format!("{device} {policy}"),
                Ok(Item { device, policy: None }) => format!("{device} goes"),
                Err(because) => because.to_string(),
            })
            .collect()
    }

    #[test]
    fn lines_are_read_one_by_one_and_one_that_is_none_is_passed_over() {
        let long = format!("{{\"deviceId\":\"{}\"}}", "x".repeat(2 << 20));
        let text = format!(
            "{{\"deviceId\":\"pump-1\",\"policy\":{{\"a\":1.10}}}}\n\n  \n{long}\nno\n\
             {{\"deviceId\":\"pump-2\",\"policy\":null}}\n{{\"deviceId\":\"pump-3\"}}\n\
             {{\"deviceId\":\"\",\"policy\":{{}}}}\n{{\"deviceId\":\"d\",\"policy\":[]}}\n\
             {{\"deviceId\":\"d\",\"policy\":{{}},\"polciy\":1}}\n{{\"deviceId\":\"last\",\"policy\":{{}}}}"
        );
        let told = told(Items::of_lines("these", io::Cursor::new(text.into_bytes())));
        assert_eq!(told.first().unwrap(), "pump-1 {\"a\":1.10}");
        assert_eq!(told.get(1).unwrap(), "these, line 4: the line is longer than 1048576 bytes");
        assert!(told.get(2).unwrap().starts_with("these, line 5: expected"), "{told:?}");
        assert_eq!(told.get(3).unwrap(), "pump-2 goes");
        for (at, said) in [
            (4, "missing field `policy`"),
            (5, "`deviceId` is empty"),
            (6, "neither"),
            (7, "polciy"),
        ] {
            assert!(told.get(at).unwrap().contains(said), "{told:?}");
        }
        assert_eq!(told.get(8).unwrap(), "last {}");
        assert_eq!(told.len(), 9);
    }

    #[test]
    fn files_and_directories_are_read_in_their_order() {
        let home = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
        put("b.jsonl", "{\"deviceId\":\"two\",\"policy\":{}}\n");
        put("one.json", "{\"maxKeyAgeDays\":1}");
        put("a.json", "[{\"deviceId\":\"zero\",\"policy\":{}},{\"deviceId\":\"00\"}]");
        put("c.json", "{\"deviceId\":\"three\",\"policy\":{\"b\":2}}");
        put("notes.txt", "not this");
        let all = told(Items::open(&[home.path().to_owned()]).unwrap());
        assert_eq!(all.len(), 5, "{all:?}");
        assert_eq!(all.first().unwrap(), "zero {}");
        assert!(all.get(1).unwrap().contains("a.json: [1]: missing field `policy`"), "{all:?}");
        assert_eq!(
            all.get(2..).unwrap(),
            ["two {}", "three {\"b\":2}", "one {\"maxKeyAgeDays\":1}"]
        );
        let missing = told(Items::open(&[home.path().join("none.json")]).unwrap());
        assert!(missing.first().unwrap().contains("none.json"), "{missing:?}");
        let empty = tempfile::tempdir().unwrap();
        assert!(Items::open(&[empty.path().to_owned()]).is_err());
    }
}
