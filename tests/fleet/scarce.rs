//! A process that gets no thread, or no file, for a while.

use pyflake::lease::LeasedGenerator;

use crate::fleet::{own_epoch, unique};
use crate::scarce_worker::{Lack, WINDOW, serve};
use crate::server::{open, shared};

/// Starts a worker for a store at a URL.
pub(crate) fn run(lack: Lack, url: &str) {
    crate::scarce_worker::run("fleet::scarce::worker", lack, url);
}

/// Not a test by itself: the others start this program again as a worker.
#[test]
fn worker() {
    serve(|url| LeasedGenerator::builder(open(url, &unique("scarce"), own_epoch())).window(WINDOW).build().unwrap());
}

#[test]
fn an_address_needs_no_thread() {
    let Some(url) = shared() else { return };
    run(Lack::NeedlessThreads, &url);
}
