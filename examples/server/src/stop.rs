//! The signals to stop: `SIGTERM` from systemd or Kubernetes, `SIGINT` from the keyboard.

use std::io;

/// Listens from now on, and returns a future that ends with the first signal.
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

/// Other systems have only the signal from the keyboard.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as above")]
pub(crate) fn signal() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // A failure to listen to the keyboard is not a signal to stop.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}
