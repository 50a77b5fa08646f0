//! A network that fails: what goes through it can be swallowed, with the connections left open.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;

/// What happens to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Network {
    Works,
    /// What clients say arrives, and no answer comes back.
    LosesAnswers,
    /// Nothing arrives.
    Partitioned,
}

pub(crate) struct Proxy {
    port: u16,
    network: Arc<AtomicU8>,
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
                // Once bytes are lost a connection is of no use: it stays mute for good.
                let mute = Arc::new(AtomicBool::new(false));
                pass(&client, &server, Network::Partitioned, &network, &mute);
                pass(&server, &client, Network::LosesAnswers, &network, &mute);
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

/// Passes bytes on, unless the network is as bad as that.
fn pass(from: &TcpStream, to: &TcpStream, lost_from: Network, network: &Arc<AtomicU8>, mute: &Arc<AtomicBool>) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let (network, mute) = (Arc::clone(network), Arc::clone(mute));
    thread::spawn(move || {
        let mut bytes = [0; 16384];
        while let Ok(n @ 1..) = from.read(&mut bytes) {
            if network.load(Ordering::SeqCst) >= lost_from as u8 {
                mute.store(true, Ordering::SeqCst);
            }
            if !mute.load(Ordering::SeqCst) && to.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}
