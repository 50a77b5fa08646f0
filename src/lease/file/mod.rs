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

use crate::id::{Epoch, Node};
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
/// The store itself does not: in the child it returns [`LeaseError::Forked`], and the child opens the directory again.
/// Each node that is held takes two open files.
///
/// # No builder
///
/// The other stores have one for their realm, timeouts and TLS. A directory has nothing to set: it is its own realm.
#[derive(Debug)]
pub struct FileStore(Store<Os>);

impl FileStore {
    /// Opens a directory for an epoch, and creates it if it is missing.
    ///
    /// The path is resolved now, so that it stays the same directory when the process changes its own.
    ///
    /// # Errors
    ///
    /// - [`LeaseError::InvalidConfig`]: the path is empty, or is or leads through a file.
    /// - [`LeaseError::RealmMismatch`]: the directory was created for another epoch or bit layout.
    /// - [`LeaseError::Corrupt`]: the file `realm` is gone or changed.
    /// - [`LeaseError::Unavailable`]: the directory cannot be read or created, as for want of a right.
    pub fn open(dir: impl AsRef<Path>, epoch: Epoch) -> Result<Self, LeaseError> {
        Store::open(Os, &absolute(dir.as_ref())?, epoch).map(FileStore)
    }

    /// Opens an existing directory for whatever epoch it has, and creates nothing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`LeaseError::NotFound`] if there is no store in the directory.
    pub fn open_existing(dir: impl AsRef<Path>) -> Result<Self, LeaseError> {
        Store::existing(Os, &absolute(dir.as_ref())?).map(FileStore)
    }

    /// Returns the status of every node that was ever used, in order.
    ///
    /// A node that is not held is locked for a moment, and an `acquire` at that moment passes it over.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Unavailable`] if the directory or a file in it cannot be read.
    pub fn nodes(&self) -> Result<Vec<NodeStatus>, LeaseError> {
        self.0.nodes()
    }

    /// Ends the lease of a node without its holder, and returns the holder's label; `None` if nobody holds it.
    ///
    /// This is rarely needed, as a node is free as soon as its holder's process has ended. It frees a node from a process
    /// that is stopped, or from the child of a `fork` that keeps its parent's lock. It removes the lock file. No ID is
    /// issued twice by this: the next holder starts where the window of the last one ends, and so rests until then. A
    /// holder that lives loses its lease at its next renewal.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Unavailable`] if a file cannot be read or removed; [`LeaseError::Forked`] in the child of a `fork`.
    pub fn evict(&self, node: Node) -> Result<Option<String>, LeaseError> {
        self.0.evict(node)
    }
}

/// As [`LeaseStore`] says; [`LeaseError::Unavailable`] if a file cannot be read or written, as on a full disk,
/// [`LeaseError::Corrupt`] if a record cannot be relied on, and [`LeaseError::Forked`] in the child of a `fork`.
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
    path::absolute(dir).map_err(|error| LeaseError::InvalidConfig {
        setting: format!("the directory {:?}", dir.display()),
        reason: format!("has no absolute path ({error})"),
        remedy: "give the path of a directory".into(),
    })
}
