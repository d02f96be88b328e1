//! The folder that holds all that the server keeps: database, signing key, lock.
//!
//! A second process is kept out by a lock on a file, which the operating system lets go of when the
//! first process ends, however it ends.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
};

/// The folder, locked for this process until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Held, never read: closing the file lets go of the lock.
    _lock: File,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The folder cannot be made or written to.
    #[error(
        "cannot use the data folder {path} (`data_dir` must name a folder that this user can write \
         to)"
    )]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process serves from the folder.
    #[error(
        "the data folder {path} is in use by another matryx process{}; stop it first",
        .process.map(|id| format!(" (process id {id})")).unwrap_or_default()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The id of the other process, when it is known.
        process: Option<u32>,
    },
}

impl DataDir {
    /// Opens the folder, making it with mode 0700 when there is none, and locks it.
    ///
    /// # Errors
    /// When the folder cannot be made or written to, or another process has locked it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let unusable = |source| DataDirError::Unusable {
            path: path.to_owned(),
            source,
        };
        if !path.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(unusable)?;
        }
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let mut lock = options.open(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = lock.read_to_string(&mut holder);
                let process = read.ok().and_then(|_| holder.trim().parse().ok());
                return Err(DataDirError::Locked {
                    path: path.to_owned(),
                    process,
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        lock.set_len(0).map_err(unusable)?;
        lock.write_all(process::id().to_string().as_bytes())
            .map_err(unusable)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that holds the signing key.
    pub fn signing_key_file(&self) -> PathBuf {
        Self::signing_key_in(&self.path)
    }

    /// The file of a signing key that is about to take the place of the current one.
    pub fn next_signing_key_file(&self) -> PathBuf {
        self.path.join("signing.key.next")
    }

    /// The file of the signing key in a folder that somebody else may hold the lock of.
    pub fn signing_key_in(path: &Path) -> PathBuf {
        path.join("signing.key")
    }
}

/// Writes a file that only this user can read, all of it or nothing, and waits until it is on disk.
///
/// # Errors
/// What the operating system says.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_added_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn makes_a_private_folder_and_uses_it_again() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/data");
        drop(DataDir::open(&path).unwrap());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        fs::write(path.join("kept"), "x").unwrap();
        DataDir::open(&path).unwrap();
        assert!(path.join("kept").exists());
    }

    #[test]
    fn keeps_a_second_process_out_and_names_the_first() {
        let parent = tempfile::tempdir().unwrap();
        let first = DataDir::open(parent.path()).unwrap();
        let error = DataDir::open(parent.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process id {}", process::id())),
            "{error}"
        );
        drop(first);
        DataDir::open(parent.path()).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataDir::open(&file.path().join("data"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("`data_dir` must name a folder"), "{error}");
    }

    #[test]
    fn private_files_are_private_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
