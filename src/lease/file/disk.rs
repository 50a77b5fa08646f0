//! The file operations, each a single step that a crash or a full disk can come after: tests put a disk of their own
//! in the place of the real one.

use core::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use crate::lease::error::LeaseError;

/// No file is longer: what is read past it would be refused anyway.
pub(super) const MAX_BYTES: u64 = 8192;

/// A disk.
pub(super) trait Disk: Debug + Send + Sync {
    /// A file that is open for writing.
    type File: Debug + Send + Sync;
    /// A file that is locked until this is dropped.
    type Lock: Debug + Send + Sync;

    /// Creates a directory and its parents, where they are missing.
    fn create_dirs(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files in a directory; those that are not Unicode are not ours.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// What a file holds, up to one byte more than any of ours.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Creates a file that must not exist.
    fn create(&self, path: &Path) -> io::Result<Self::File>;

    /// Writes to a file, from an offset on.
    fn write(&self, file: &Self::File, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes the content of a file outlast a crash of the machine; its name is another matter.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Whether there is a file of this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Whether a name stands for this open file.
    fn names(&self, path: &Path, file: &Self::File) -> io::Result<bool>;

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

    /// Whether a name stands for this locked file.
    fn names_lock(&self, path: &Path, lock: &Self::Lock) -> io::Result<bool>;

    /// Sets the time of a locked file to now, for programs that remove files by their age.
    fn touch(&self, lock: &Self::Lock) -> io::Result<()>;
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
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    #[cfg(unix)]
    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
    }

    #[cfg(not(unix))]
    fn write(&self, mut file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        use std::io::{Seek, SeekFrom, Write};

        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            metadata => metadata.map(|_| true),
        }
    }

    #[cfg(unix)]
    fn names(&self, path: &Path, file: &File) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;

        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            named => {
                let (named, open) = (named?, file.metadata()?);
                Ok((named.dev(), named.ino()) == (open.dev(), open.ino()))
            }
        }
    }

    /// std has no number of a file elsewhere. Its content does as well: a record has its holder's random number.
    #[cfg(not(unix))]
    fn names(&self, path: &Path, mut file: &File) -> io::Result<bool> {
        use std::io::{Seek, SeekFrom};

        let named = match self.read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            named => named?,
        };
        let mut open = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.take(MAX_BYTES + 1).read_to_end(&mut open)?;
        Ok(named == open)
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
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        // Shared, so that two who look do not see each other.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    #[cfg(unix)]
    fn names_lock(&self, path: &Path, lock: &File) -> io::Result<bool> {
        self.names(path, lock)
    }

    /// std has no number of a file elsewhere, and a locked file cannot be read.
    #[cfg(not(unix))]
    fn names_lock(&self, path: &Path, _: &File) -> io::Result<bool> {
        self.exists(path)
    }

    fn touch(&self, lock: &File) -> io::Result<()> {
        lock.set_modified(SystemTime::now())
    }
}

/// Creates a file, and syncs it.
pub(super) fn create<D: Disk>(disk: &D, path: &Path, bytes: &[u8]) -> Result<D::File, LeaseError> {
    let file = disk.create(path).map_err(|error| unavailable("creating", path, error))?;
    let written = disk.write(&file, 0, bytes).and_then(|()| disk.sync(&file));
    written.map(|()| file).map_err(|error| {
        let _ = disk.remove(path);
        unavailable("writing", path, error)
    })
}

/// Reads a file, if it is there.
pub(super) fn read<T>(
    disk: &impl Disk,
    path: &Path,
    parse: impl Fn(&[u8]) -> Result<T, String>,
    corrupt: impl Fn(String) -> LeaseError,
) -> Result<Option<T>, LeaseError> {
    match disk.read(path) {
        Ok(bytes) => parse(&bytes).map(Some).map_err(corrupt),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unavailable("reading", path, error)),
    }
}

pub(super) fn unavailable(doing: &str, path: &Path, error: io::Error) -> LeaseError {
    LeaseError::Unavailable { doing: format!("{doing} {}", path.display()), source: error.into() }
}
