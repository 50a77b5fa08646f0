//! The file operations, each a single step that a crash or a full disk can come after: tests put a disk of their own
//! in the place of the real one.

use core::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::lease::file::text::MAX_BYTES;

/// A disk.
pub(super) trait Disk: Debug + Send + Sync {
    /// A file that is open for writing.
    type File;
    /// A file that is locked until this is dropped.
    type Lock: Debug + Send;

    /// Creates a directory and its parents, where they are missing.
    fn create_dirs(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files in a directory; those that are not Unicode are not ours.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// What a file holds, up to one byte more than any of ours.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Creates a file that must not exist.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Writes to a file.
    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    /// Makes what a file holds outlast a crash of the machine; its name is another matter.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Gives a file another name, which then stands for it alone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, which must not exist.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a name.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory outlast a crash of the machine.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file, which is created if it is missing; `None` if it is locked.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Self::Lock>>;

    /// Whether a file is locked; one that is missing is not.
    fn is_locked(&self, path: &Path) -> io::Result<bool>;
}

/// The disk of this machine.
#[derive(Debug)]
pub(super) struct Os;

impl Disk for Os {
    type File = File;
    /// Dropping it closes the file, and the last of its copies frees the lock. Unlocking would free it for all copies:
    /// a forked child has one, and must not take the parent's lock away.
    type Lock = File;

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// A directory cannot be synced by hand elsewhere: NTFS writes names to its journal in order.
    #[cfg(not(unix))]
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<File>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        // Shared, so that two who look do not see each other.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}
