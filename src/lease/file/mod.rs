//! The store that needs no server: a directory.

mod disk;
#[cfg(pyflake_fuzz)]
pub mod fuzzing;
mod names;
mod realm;
mod record;
mod store;
#[cfg(test)]
mod tests;
mod text;

use std::path::{self, Path, PathBuf};

use crate::id::Epoch;
use crate::lease::error::LeaseError;
use crate::lease::file::disk::Os;
use crate::lease::file::store::Store;
use crate::lease::status::NodeStatus;
use crate::lease::store::{Grant, LeaseStore, Renewal, Request};

/// Gives each process of a machine a node of its own: a [`LeaseStore`] in a directory, with no server.
///
/// All processes that open one directory share its 1024 nodes, and so do all stores and generators within a process.
/// A node is held by a locked file, so it is free as soon as its holder is dead, and its record says until when IDs
/// may have been issued, so the next holder starts after that. Both outlast a crash of the machine.
///
/// ```
/// use pyflake::Epoch;
/// use pyflake::lease::{FileStore, LeasedGenerator};
///
/// # let dir = std::env::temp_dir().join(format!("pyflake-file-doc-{}", std::process::id()));
/// let one = LeasedGenerator::new(FileStore::open(&dir, Epoch::TWITTER)?)?;
/// let two = LeasedGenerator::new(FileStore::open(&dir, Epoch::TWITTER)?)?;
/// assert_ne!(one.next_id()?.node(), two.next_id()?.node());
///
/// let nodes = FileStore::open(&dir, Epoch::TWITTER)?.nodes()?;
/// assert_eq!(nodes.iter().filter(|node| node.held).count(), 2);
/// # drop((one, two));
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # The directory
///
/// It must be on a local file system that has hard links, and where what is synced stays: a disk, not `tmpfs`, if IDs
/// are to stay unique through a restart of the machine with its clock set back. Over NFS and the like a lock may not
/// keep others out; that costs lost leases, as long as all see the directory alike.
///
/// | file               | what it is                                                                        |
/// |--------------------|-----------------------------------------------------------------------------------|
/// | `realm`            | the epoch and the bit layout, for all time                                        |
/// | `node-PP-SS.lock`  | empty, and locked while the node with pid `PP` and seed `SS` is held              |
/// | `node-PP-SS.TOKEN` | the record of the node's last tenure: its holder and the end of its window, in two slots |
/// | `*.tmp`            | a file that a process was writing when it was killed; the node's next holder removes it |
///
/// Leave the files alone, and out of the reach of what cleans up old files: to delete a node's record is to say that no
/// ID was issued on it in the clock's future, and to restore one from a backup, that none was issued since. A renewal
/// overwrites one slot of the record and leaves the other. If one slot is unreadable, the next holder starts at the latest
/// end that its window may have had. A node whose slots are both unreadable is never started anew: it is passed over while
/// others are free (see [`NodeStatus::problem`]), and then [`LeaseError::Corrupt`] is returned. The records that version
/// 0.1.0 wrote are read, and count; a process with that version passes over the nodes that a newer one has used.
///
/// A holder whose lock file is deleted or replaced is [`Lost`](LeaseError::Lost) at its next renewal. The lock files' times
/// are set every hour, so that programs that remove old files leave those of the holders.
///
/// # Not promised
///
/// - A directory that is restored from a backup or a snapshot, or a record that is deleted by hand: nothing notices it.
/// - Two copies of a machine that have a disk each have two directories, and both copies renew for ever. Acquire the lease
///   after the copy was made.
///
/// # Processes
///
/// A lock passes to the child of a `fork`, so the node stays held until the child has ended too, or has called `exec`.
/// The store itself does not: what is asked of it in the child is refused, and the child opens the directory again.
/// Each node that is held takes two open files.
#[derive(Debug)]
pub struct FileStore(Store<Os>);

impl FileStore {
    /// Opens a directory for an epoch, and creates it if it is missing.
    ///
    /// The path is resolved now, so that it stays the same directory when the process changes its own.
    ///
    /// # Errors
    ///
    /// [`LeaseError::RealmMismatch`] if it was created for another epoch or bit layout; [`LeaseError::Corrupt`] if its
    /// `realm` is gone or changed; [`LeaseError::Unavailable`] if it cannot be read or created.
    pub fn open(dir: impl AsRef<Path>, epoch: Epoch) -> Result<Self, LeaseError> {
        Store::open(Os, &absolute(dir.as_ref())?, epoch).map(FileStore)
    }

    /// Looks at every node that was ever used, in order.
    ///
    /// To see whether a node is held this locks it for a moment if it is not, and an `acquire` at that moment passes
    /// it over.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Unavailable`] if the directory or a file in it cannot be read.
    pub fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError> {
        self.0.nodes()
    }

    /// Looks at an existing directory without knowing its epoch, and creates nothing: answers the epoch, and what
    /// [`nodes`](Self::nodes) does.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`nodes`](Self::nodes), and [`LeaseError::Unavailable`] if there is no store in the
    /// directory.
    pub fn inspect(dir: impl AsRef<Path>) -> Result<(Epoch, Vec<NodeStatus>), LeaseError> {
        let store = Store::existing(Os, &absolute(dir.as_ref())?)?;
        Ok((store.epoch(), store.nodes()?))
    }
}

/// As [`LeaseStore`] says; [`LeaseError::Unavailable`] if a file cannot be read or written, as on a full disk, and
/// [`LeaseError::Corrupt`] if a record cannot be relied on.
impl LeaseStore for FileStore {
    fn epoch(&self) -> Epoch {
        self.0.epoch()
    }

    fn acquire(&self, request: &Request) -> Result<Grant, LeaseError> {
        self.0.acquire(request)
    }

    fn renew(&self, renewal: &Renewal) -> Result<Grant, LeaseError> {
        self.0.renew(renewal)
    }

    fn release(&self, grant: &Grant, used_until: u64) -> Result<(), LeaseError> {
        self.0.release(grant, used_until)
    }
}

fn absolute(dir: &Path) -> Result<PathBuf, LeaseError> {
    path::absolute(dir).map_err(|error| LeaseError::Unavailable {
        doing: format!("resolving {}", dir.display()),
        source: error.into(),
    })
}
