//! Which server is meant: `--data`, else the environment, else `./hubward-data`.
//!
//! The only place where the client reads the environment. Opens no connection.

use crate::Failure;
use model::Secret;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where a server keeps its data unless told otherwise.
const DATA_DEFAULT: &str = "hubward-data";
/// The file in it that says how to reach the server.
pub const FILE: &str = "connection.env";
/// Largest such file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What must be there for a client to sign in.
const REQUIRED: [&str; 6] = [ARM, AUTHORITY, TENANT_ID, CA_FILE, ADMIN_APP_ID, ADMIN_SECRET];
const ARM: &str = "HUBWARD_ARM";
const AUTHORITY: &str = "HUBWARD_AUTHORITY";
const TENANT_ID: &str = "HUBWARD_TENANT_ID";
const CA_FILE: &str = "HUBWARD_CA_FILE";
const ADMIN_APP_ID: &str = "HUBWARD_ADMIN_APP_ID";
const ADMIN_SECRET: &str = "HUBWARD_ADMIN_SECRET";
/// What may be there besides.
const OPTIONAL: [&str; 6] =
    [SUBSCRIPTION_ID, HUB, DATA, DEVICE_CONNECTION_STRING, HUB_CONNECTION_STRING, MQTT_PORT];
const SUBSCRIPTION_ID: &str = "HUBWARD_SUBSCRIPTION_ID";
const HUB: &str = "HUBWARD_HUB";
const DATA: &str = "HUBWARD_DATA";
const DEVICE_CONNECTION_STRING: &str = "HUBWARD_DEVICE_CONNECTION_STRING";
const HUB_CONNECTION_STRING: &str = "HUBWARD_HUB_CONNECTION_STRING";
const MQTT_PORT: &str = "HUBWARD_MQTT_PORT";

/// Which server.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Target {
    /// The server's data directory. Without it, the HUBWARD_* environment variables say where the
    /// server is, and without those ./hubward-data does
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Target {
    pub(crate) fn connection(&self) -> Result<Connection, Failure> {
        let found = match &self.data {
            Some(data) => Connection::read(data),
            None => Connection::from_environment(environment)
                .unwrap_or_else(|| Connection::read(Path::new(DATA_DEFAULT))),
        };
        found.map_err(|it| Failure::Failed(it.to_string()))
    }

    /// The data directory, for what is read from files and not from the server.
    pub(crate) fn data_dir(&self) -> PathBuf {
        let elsewhere = || environment(DATA).filter(|it| !it.is_empty()).map(PathBuf::from);
        self.data.clone().or_else(elsewhere).unwrap_or_else(|| PathBuf::from(DATA_DEFAULT))
    }
}

/// One variable of the environment, where it is set and is text.
#[expect(clippy::disallowed_methods, reason = "the client's configuration enters here")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How to reach a server and sign in to it: a parsed `connection.env`.
///
/// The file has lines `KEY=VALUE`. Empty lines and lines that begin with `#` say nothing; a value goes to
/// the end of its line and needs no quotes, but may stand in one pair of them; of two lines with the same
/// key the later counts.
#[derive(Clone)]
pub struct Connection {
    values: BTreeMap<String, Secret<String>>,
    ca_file: PathBuf,
    secret: Secret<String>,
    /// Absent where the environment said it all.
    data: Option<PathBuf>,
}

/// The text does not say how to reach a server; the sentence says what is missing and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotAConnection(String);

impl fmt::Display for NotAConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAConnection {}

impl Connection {
    /// Reads `connection.env` in a server's data directory.
    ///
    /// # Errors
    /// Where there is no such file, or it lacks something.
    pub fn read(data: &Path) -> Result<Self, NotAConnection> {
        let path = data.join(FILE);
        let text = read_bounded(&path).map_err(|error| match error.kind() == io::ErrorKind::NotFound {
            true => NotAConnection(format!(
                "no server has its data in `{0}`: there is no `{1}`; start one with `hubward up --data {0}`, \
                 or name the directory of another with `--data DIR`",
                data.display(),
                path.display()
            )),
            false => NotAConnection(format!("cannot read `{}`: {error}", path.display())),
        })?;
        Self::parse(&text, data)
    }

    /// Parses the text of a `connection.env` that lies in `data`: a relative CA file is looked for there.
    ///
    /// # Errors
    /// Names the line that is none, or the key that is missing.
    pub fn parse(text: &str, data: &Path) -> Result<Self, NotAConnection> {
        let file = data.join(FILE);
        let mut values = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // INVARIANT: no line is ever quoted in an error, for it may hold a secret.
            let Some((key, value)) = line.split_once('=') else {
                return Err(NotAConnection(format!(
                    "line {} of `{}` is not `KEY=VALUE`; `hubward up --data {}` writes the file anew",
                    index + 1,
                    file.display(),
                    data.display()
                )));
            };
            values.insert(key.trim().to_owned(), Secret::new(unquoted(value.trim()).to_owned()));
        }
        if let Some(missing) = missing(&values) {
            return Err(NotAConnection(format!(
                "`{}` does not say `{missing}`; `hubward up --data {}` writes the file anew",
                file.display(),
                data.display()
            )));
        }
        Self::checked(values, Some(data.to_owned()))
    }

    /// Takes the values from `environment`. `None` where it holds none of those that are required.
    pub(crate) fn from_environment(
        environment: impl Fn(&str) -> Option<String>,
    ) -> Option<Result<Self, NotAConnection>> {
        let mut values = BTreeMap::new();
        for key in REQUIRED.into_iter().chain(OPTIONAL) {
            if let Some(value) = environment(key) {
                values.insert(key.to_owned(), Secret::new(value));
            }
        }
        let given = REQUIRED.into_iter().find(|it| values.contains_key(*it))?;
        // Half of it given and the rest guessed would reach another server than was meant.
        Some(match missing(&values) {
            Some(missing) => Err(NotAConnection(format!(
                "the environment has `{given}` but not `{missing}`; set all of {}, or name the server's \
                 data directory with `--data DIR`",
                REQUIRED.join(", ")
            ))),
            None => Self::checked(values, None),
        })
    }

    fn checked(
        values: BTreeMap<String, Secret<String>>,
        data: Option<PathBuf>,
    ) -> Result<Self, NotAConnection> {
        let value = |key: &str| values.get(key).map_or("", |it| it.reveal().as_str());
        for key in [ARM, AUTHORITY] {
            if !value(key).starts_with("https://") {
                return Err(NotAConnection(format!(
                    "`{key}` must be an address that begins with `https://`"
                )));
            }
        }
        let ca_file = data.as_deref().unwrap_or(Path::new("")).join(value(CA_FILE));
        let secret = Secret::new(value(ADMIN_SECRET).to_owned());
        let data = data.or_else(|| values.get(DATA).map(|it| PathBuf::from(it.reveal())));
        Ok(Self { ca_file, secret, values, data })
    }

    /// Any value of the file, by its key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|it| it.reveal().as_str())
    }

    fn required(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// `https://host:port` of the management origin, without a trailing slash.
    pub fn arm(&self) -> &str {
        self.required(ARM).trim_end_matches('/')
    }

    /// `https://host:port` under which tenants sign in, without a trailing slash.
    pub fn authority(&self) -> &str {
        self.required(AUTHORITY).trim_end_matches('/')
    }

    pub fn tenant_id(&self) -> &str {
        self.required(TENANT_ID)
    }

    /// The certificate of the server's own CA, PEM: the only one that its clients trust.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    pub fn admin_app_id(&self) -> &str {
        self.required(ADMIN_APP_ID)
    }

    pub const fn admin_secret(&self) -> &Secret<String> {
        &self.secret
    }

    pub fn subscription_id(&self) -> Option<&str> {
        self.get(SUBSCRIPTION_ID)
    }

    /// The hub that the first start made.
    pub fn hub(&self) -> Option<&str> {
        self.get(HUB)
    }

    /// How the device that the first start made says who it is.
    pub(crate) fn device_connection_string(&self) -> Option<&str> {
        self.get(DEVICE_CONNECTION_STRING)
    }

    /// By which key that hub's service API is called.
    pub(crate) fn hub_connection_string(&self) -> Option<&str> {
        self.get(HUB_CONNECTION_STRING)
    }

    /// Where devices speak MQTT over TLS; `None` where it is the port that device SDKs know.
    pub(crate) fn mqtt_port(&self) -> Option<&str> {
        self.get(MQTT_PORT)
    }

    /// The server's data directory, where it is known.
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("data", &self.data)
            .field("values", &self.values)
            .finish()
    }
}

fn missing(values: &BTreeMap<String, Secret<String>>) -> Option<&'static str> {
    REQUIRED.into_iter().find(|key| values.get(*key).is_none_or(|it| it.reveal().is_empty()))
}

fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value)
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other(format!("it is larger than {FILE_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# written by the server
HUBWARD_ARM=https://127.71.3.1:8443/
HUBWARD_AUTHORITY=https://127.71.3.1:8443

HUBWARD_TENANT_ID=72f988bf-0000-4000-8000-000000000001
  HUBWARD_CA_FILE = ca.pem
HUBWARD_ADMIN_APP_ID=11111111-0000-4000-8000-000000000001
HUBWARD_ADMIN_SECRET=a=b#c d
HUBWARD_HUB='first-hub'
HUBWARD_DEVICE_CONNECTION_STRING=HostName=127.71.3.2;DeviceId=d1;SharedAccessKey=c2VzYW1l
";

    fn parse(text: &str) -> Result<Connection, NotAConnection> {
        Connection::parse(text, Path::new("data"))
    }

    #[test]
    fn comments_and_blanks_say_nothing_and_values_go_to_the_end_of_the_line() {
        let it = parse(GOOD).unwrap();
        assert_eq!(
            (it.arm(), it.authority()),
            ("https://127.71.3.1:8443", "https://127.71.3.1:8443")
        );
        assert_eq!(it.ca_file(), Path::new("data/ca.pem"));
        assert_eq!(it.admin_secret().reveal(), "a=b#c d");
        assert_eq!(it.hub(), Some("first-hub"));
        assert_eq!(it.subscription_id(), None);
        assert_eq!(
            it.get("HUBWARD_DEVICE_CONNECTION_STRING"),
            Some("HostName=127.71.3.2;DeviceId=d1;SharedAccessKey=c2VzYW1l")
        );
        assert_eq!(parse(&GOOD.replace('\n', "\r\n")).unwrap().hub(), Some("first-hub"));
        assert_eq!(parse(&format!("{GOOD}HUBWARD_HUB=second\n")).unwrap().hub(), Some("second"));
    }

    #[test]
    fn each_missing_key_is_named() {
        for key in REQUIRED {
            let without = GOOD.replace(key, "OTHER");
            let said = parse(&without).unwrap_err().to_string();
            assert!(said.contains(&format!("`{key}`")) && said.contains("hubward up"), "{said}");
            let empty: String = GOOD
                .lines()
                .map(|it| match it.trim().starts_with(key) {
                    true => format!("{key}=\n"),
                    false => format!("{it}\n"),
                })
                .collect();
            assert!(parse(&empty).unwrap_err().to_string().contains(key));
        }
    }

    #[test]
    fn an_error_names_the_line_and_never_what_it_holds() {
        let said = parse(&GOOD.replace("HUBWARD_ADMIN_SECRET=", "")).unwrap_err().to_string();
        assert!(!said.contains("b#c d"), "{said}");
        let said =
            parse(&GOOD.replace("HUBWARD_ADMIN_SECRET=a=b#c d", "sesame")).unwrap_err().to_string();
        assert!(said.contains("line 8") && !said.contains("sesame"), "{said}");
        let said = parse(&GOOD.replace("ARM=https", "ARM=http")).unwrap_err().to_string();
        assert!(said.contains("`HUBWARD_ARM`") && said.contains("https://"), "{said}");
    }

    #[test]
    fn debug_prints_no_value() {
        let printed = format!("{:?}", parse(GOOD).unwrap());
        assert!(printed.contains("HUBWARD_ADMIN_SECRET"), "{printed}");
        assert!(!printed.contains("b#c d") && !printed.contains("c2VzYW1l"), "{printed}");
    }

    #[test]
    fn the_environment_counts_whole_or_not_at_all() {
        let given = |keys: &'static [&'static str]| {
            move |name: &str| {
                let of_file =
                    GOOD.lines().find_map(|it| it.trim().strip_prefix(name)?.split_once('='));
                keys.contains(&name).then(|| of_file.map(|it| it.1.trim().to_owned())).flatten()
            }
        };
        assert!(Connection::from_environment(given(&[])).is_none());
        assert!(Connection::from_environment(given(&[HUB])).is_none());
        let it = Connection::from_environment(given(&REQUIRED)).unwrap().unwrap();
        assert_eq!((it.ca_file(), it.data()), (Path::new("ca.pem"), None));
        let said = Connection::from_environment(given(&[ARM])).unwrap().unwrap_err().to_string();
        assert!(said.contains("`HUBWARD_ARM` but not `HUBWARD_AUTHORITY`"), "{said}");
    }

    #[test]
    fn a_directory_without_the_file_says_the_next_step() {
        let empty = tempfile::tempdir().unwrap();
        let said = Connection::read(empty.path()).unwrap_err().to_string();
        assert!(said.contains("hubward up --data") && said.contains("--data DIR"), "{said}");
        std::fs::write(empty.path().join(FILE), GOOD).unwrap();
        assert_eq!(Connection::read(empty.path()).unwrap().data(), Some(empty.path()));
        let beyond = format!("{GOOD}#{}", "x".repeat(64 << 10));
        std::fs::write(empty.path().join(FILE), beyond).unwrap();
        assert!(
            Connection::read(empty.path())
                .unwrap_err()
                .to_string()
                .contains("larger than 65536 bytes")
        );
    }
}
