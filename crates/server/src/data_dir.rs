//! The data directory: made for its owner alone, refused where others could read it, held by one server.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A data directory that this process alone serves from.
pub(crate) struct DataDir {
    pub(crate) path: PathBuf,
    /// Held as long as the server runs; the system lets go of it when the process ends, however it ends.
    _lock: File,
}

/// Deepest folder below the data directory whose files are checked.
const DEPTH_MAX: usize = 3;

impl DataDir {
    /// Makes or opens the directory.
    ///
    /// # Errors
    /// A sentence with the next step: not writable, readable by others, or served by another process.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let told = |it: std::io::Error| {
            format!("cannot use the data directory `{}`: {it}", path.display())
        };
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(told)?;
        }
        let path = path.canonicalize().map_err(told)?;
        check(&path, 0)?;
        let mut options = OpenOptions::new();
        let lock = options
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(told)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "another server runs on `{}`; stop it, or give this one its own with `--data`",
                path.display()
            )),
            Err(TryLockError::Error(error)) => Err(told(error)),
        }
    }

    /// Writes a file for the owner alone, whole or not at all.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf, String> {
        let path = self.path.join(name);
        let fresh = self.path.join(format!("{name}.new"));
        let written = || -> std::io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file =
                options.create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.path)?.sync_all()
        };
        written().map_err(|it| format!("cannot write `{}`: {it}", path.display()))?;
        Ok(path)
    }
}

/// Refuses a directory or file that anybody but its owner can read or change.
fn check(path: &Path, depth: usize) -> Result<(), String> {
    let told = |it: std::io::Error| format!("cannot look at `{}`: {it}", path.display());
    let found = fs::symlink_metadata(path).map_err(told)?;
    if found.is_symlink() {
        return Ok(());
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let wanted = if found.is_dir() { "700" } else { "600" };
        return Err(format!(
            "`{}` has the mode {mode:o}, so others could read keys in it; run `chmod {wanted} {}`",
            path.display(),
            path.display()
        ));
    }
    if found.is_dir() && depth < DEPTH_MAX {
        for entry in fs::read_dir(path).map_err(told)? {
            check(&entry.map_err(told)?.path(), depth + 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_can_read_is_refused_with_the_fix() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        drop(DataDir::open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        let refusal = DataDir::open(&path).err().unwrap();
        assert!(refusal.contains("chmod 700"), "{refusal}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(path.join("lock"), fs::Permissions::from_mode(0o644)).unwrap();
        let refusal = DataDir::open(&path).err().unwrap();
        assert!(refusal.contains("chmod 600"), "{refusal}");
    }

    #[test]
    fn one_directory_serves_one_process() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        let _held = DataDir::open(&path).unwrap();
        let refusal = DataDir::open(&path).err().unwrap();
        assert!(refusal.contains("another server runs"), "{refusal}");
    }

    #[test]
    fn a_written_file_is_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&home.path().join("data")).unwrap();
        let path = dir.write("connection.env", "A=B\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "A=B\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
