//! A network that fails: what goes through it can be swallowed, with the connections left open.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;

use crate::server::WRITE;

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Network {
    Works,
    /// What clients say arrives, and once they have asked for a change, no answer comes back.
    LosesAcknowledgements,
    /// Nothing arrives.
    Partitioned,
}

pub(crate) struct Proxy {
    port: u16,
    network: Arc<AtomicU8>,
}

/// Once bytes are lost a connection is of no use: it stays mute for good.
#[derive(Default)]
struct Mute {
    requests: AtomicBool,
    answers: AtomicBool,
}

impl Proxy {
    /// A proxy to a port of this machine. Its threads end with the process.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy { port: listener.local_addr().unwrap().port(), network: Arc::default() };
        let network = Arc::clone(&proxy.network);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is down is a connection that ends.
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let mute = Arc::new(Mute::default());
                pass(&client, &server, {
                    let (network, mute, mut end) = (Arc::clone(&network), Arc::clone(&mute), Vec::new());
                    move |bytes| {
                        if asks_for_a_change(&mut end, bytes) && is(&network, Network::LosesAcknowledgements) {
                            mute.answers.store(true, Ordering::SeqCst);
                        }
                        mute.requests.fetch_or(is(&network, Network::Partitioned), Ordering::SeqCst);
                        !mute.requests.load(Ordering::SeqCst)
                    }
                });
                let network = Arc::clone(&network);
                pass(&server, &client, move |_| {
                    mute.answers.fetch_or(is(&network, Network::Partitioned), Ordering::SeqCst);
                    !mute.answers.load(Ordering::SeqCst) && !mute.requests.load(Ordering::SeqCst)
                });
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn set(&self, network: Network) {
        self.network.store(network as u8, Ordering::SeqCst);
    }
}

fn is(network: &AtomicU8, state: Network) -> bool {
    network.load(Ordering::SeqCst) == state as u8
}

/// Whether a client asks for a change. `end` is the end of what it said before, as the word for it may come in pieces.
fn asks_for_a_change(end: &mut Vec<u8>, bytes: &[u8]) -> bool {
    end.extend_from_slice(bytes);
    let found = end.windows(WRITE.len()).any(|window| window == WRITE.as_bytes());
    end.drain(..end.len().saturating_sub(WRITE.len() - 1));
    found
}

/// Passes bytes on, if they arrive.
fn pass(from: &TcpStream, to: &TcpStream, mut arrive: impl FnMut(&[u8]) -> bool + Send + 'static) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let mut bytes = [0; 16384];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            if arrive(&bytes[..n]) && to.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}
