//! The realm: what a directory is for, written once.

use core::fmt;
use std::io::ErrorKind;
use std::path::Path;

use crate::id::{Epoch, generate_seed};
use crate::lease::error::LeaseError;
use crate::lease::file::disk::{Disk, create, read, unavailable};
use crate::lease::file::names;
use crate::lease::file::text::{Fields, Text};
use crate::lease::realm::Realm;

impl Text for Realm {
    const TITLE: &str = "pyflake realm";
    const VERSION: &str = "1";

    fn read(fields: &mut Fields<'_>) -> Result<Self, String> {
        Ok(Realm { epoch: Epoch::from_unix_millis(fields.next("epoch")?), layout: fields.next("layout")? })
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "epoch {}\nlayout {}", self.epoch, self.layout)
    }
}

/// Reads the realm of a directory; `None` if nothing of a store is there.
pub(super) fn find<D: Disk>(disk: &D, dir: &Path) -> Result<Option<Realm>, LeaseError> {
    // Listed first: a node is used only when the realm is there, so if a node is listed, the realm is found.
    let names = match disk.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Err(no_directory(dir)),
        names => names.map_err(|error| unavailable("listing", dir, error))?,
    };
    let path = names::realm(dir);
    let realm = read(disk, &path, Realm::parse, |reason| corrupt(&path, reason))?;
    if realm.is_none() && !names::sort(names.iter().map(String::as_str)).is_empty() {
        return Err(missing(dir));
    }
    Ok(realm)
}

/// Makes a directory a store, but for syncing it; if two do so at once, the first one's realm stands.
pub(super) fn found<D: Disk>(disk: &D, dir: &Path, epoch: Epoch) -> Result<(), LeaseError> {
    disk.create_dirs(dir).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => no_directory(dir),
        _ => unavailable("creating the directory", dir, error),
    })?;
    // The way to the realm must be there for good before the realm is. What this process may not even read, it has not
    // made; and some file systems know no syncing of a directory.
    for parent in dir.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
        match disk.sync_dir(parent) {
            Err(error) if !matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput) => {
                return Err(unavailable("syncing", parent, error));
            }
            _ => {}
        }
    }
    let temp = names::realm_temp(dir, generate_seed(64)?);
    create(disk, &temp, Realm::new(epoch).to_text().as_bytes())?;
    let path = names::realm(dir);
    let linked = disk.link(&temp, &path);
    // If it stays, it is 80 bytes of rubbish.
    let _ = disk.remove(&temp);
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(unavailable("creating", &path, error)),
        _ => Ok(()),
    }
}

fn no_directory(dir: &Path) -> LeaseError {
    LeaseError::InvalidConfig {
        setting: format!("the path {:?}", dir.display()),
        reason: "is or leads through a file".into(),
        remedy: "give the path of a directory".into(),
    }
}

pub(super) fn missing(dir: &Path) -> LeaseError {
    corrupt(&names::realm(dir), "is missing from a directory that was in use".into())
}

fn corrupt(path: &Path, reason: String) -> LeaseError {
    let remedy = "restore it, or use a new directory once the clock is past the time of every ID that was issued from \
                  this one, as those may be issued again otherwise";
    LeaseError::Corrupt { record: path.display().to_string(), reason, remedy: remedy.into() }
}
