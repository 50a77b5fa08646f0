//! A process that gets no file for a connection.

use crate::fleet::scarce::run;
use crate::scarce_worker::Lack;
use crate::server::shared;

#[test]
fn a_connection_that_lives_needs_no_file() {
    let Some(url) = shared() else { return };
    run(Lack::NeedlessFiles, &url);
}

/// The server ends each connection before the next renewal, so that each renewal needs a file.
#[test]
fn a_lack_of_files_is_an_outage_that_ends() {
    let Some(url) = shared() else { return };
    run(Lack::Files, &format!("{url}?options=-c%20idle_session_timeout%3D300"));
}
