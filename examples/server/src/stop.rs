//! When to stop: a `SIGTERM`, as systemd and Kubernetes send it, or a `SIGINT` from the keyboard.

use std::io;

/// Listens from now on, and answers a future that ends with the first signal.
#[cfg(unix)]
pub(crate) fn signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Other systems have the keyboard alone.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as above")]
pub(crate) fn signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Where the keyboard cannot be listened to, that is no reason to stop.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}
