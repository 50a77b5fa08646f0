//! The addresses of endpoints: no thread for an IP address, and no panic without threads.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How many addresses of a name are tried: as many as `ResolvedSocketAddrs` holds.
const MOST: usize = 16;

/// Resolves names on a thread that can be left behind.
///
/// `ureq`'s own resolver spawns a thread for every request, also for an IP address, and panics
/// where it cannot.
#[derive(Debug)]
pub(super) struct Names;

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return Err(Error::HostNotFound) };
        let name = DefaultResolver::host_and_port(scheme, authority).ok_or(Error::HostNotFound)?;
        let addresses = match name.parse::<SocketAddr>() {
            Ok(address) => vec![address],
            Err(_) => look_up(name, timeout)?,
        };
        let mut resolved = self.empty();
        for address in config.ip_family().keep_wanted(addresses.into_iter()).take(MOST) {
            resolved.push(address);
        }
        if resolved.is_empty() { Err(Error::HostNotFound) } else { Ok(resolved) }
    }
}

fn look_up(name: String, timeout: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let work = move || {
        // The receiver is gone if the answer is late.
        let _ = sender.send(name.to_socket_addrs().map(Iterator::collect));
    };
    // Kept apart from errors of a connection, which may be open.
    let unspawned = |error| io::Error::other(format!("{NO_THREAD}: {error}"));
    thread::Builder::new().name("pyflake-resolve".into()).spawn(work).map_err(unspawned)?;
    match receiver.recv_timeout(*timeout.after) {
        Ok(found) => Ok(found?),
        Err(RecvTimeoutError::Timeout) => Err(Error::Timeout(timeout.reason)),
        Err(RecvTimeoutError::Disconnected) => Err(Error::HostNotFound),
    }
}

/// How the error begins that says that a name could not be resolved for want of a thread.
pub(super) const NO_THREAD: &str = "no thread to resolve the name";
