//! A process that gets no thread for a name, or no file for a connection.

use std::sync::Arc;

use crate::fleet::scarce::run;
use crate::gateway::{Change, gateway};
use crate::scarce_worker::Lack;
use crate::server::shared;

/// Passes all on, and ends each connection, so that each request needs a file.
struct Closes;

impl Change for Closes {}

#[test]
fn a_name_without_threads_is_an_outage_that_ends() {
    let Some(url) = shared() else { return };
    run(Lack::Threads, &url.replace("127.0.0.1", "localhost"));
}

#[test]
fn a_lack_of_files_is_an_outage_that_ends() {
    let Some(url) = shared() else { return };
    run(Lack::Files, &gateway(&url, Arc::new(Closes)));
}
