//! `pyflake-server`: IDs over HTTP, on a node that it holds under a lease.

mod args;
mod limit;
mod stop;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use axum::serve::Listener;
use clap::Parser;
use pyflake::lease::{FileStore, LeasedGenerator};
use pyflake::{CachePolicy, PyflakeClient};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::args::Args;
use crate::limit::Limited;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    // Acquiring and releasing a lease writes and syncs files, which blocks. So both happen outside
    // the runtime, and no worker waits for a disk.
    let client = Arc::new(lease(args)?);
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(args, Arc::clone(&client)));
    // Ends the tasks that outlasted the grace period. Then `client` is the last reference.
    drop(runtime);
    // Dropping the client would release the node too, but discard the error. The node is free at
    // once, and its next holder starts at the millisecond after the last ID.
    let released =
        Arc::into_inner(client).ok_or("a task still uses the client, so the node is not released")?.release();
    served?;
    Ok(released?)
}

/// Acquires a node, and makes the client that all handlers share.
fn lease(args: &Args) -> Result<PyflakeClient, Box<dyn Error>> {
    let store = FileStore::open(&args.lease, args.epoch())?;
    let mut generator = LeasedGenerator::builder(store).window(args.window());
    if let Some(label) = &args.label {
        generator = generator.label(label);
    }
    // A server runs for long, and no route reads earlier IDs.
    Ok(PyflakeClient::leased(generator.build()?, CachePolicy::Off))
}

/// Serves until a signal, then finishes the open requests, for at most the grace period.
async fn serve(args: &Args, client: Arc<PyflakeClient>) -> io::Result<()> {
    // Before the address is printed: its reader may send the signal at once.
    let stop = stop::signal()?;
    let listener = Limited::new(TcpListener::bind(args.listen).await?, args.connections);
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;

    let (stopping, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, pyflake_server_example::router(client)).with_graceful_shutdown(async {
        stop.await;
        drop(stopping);
    });
    let grace = async {
        // The sender is dropped, and sends nothing.
        let _ = stopped.await;
        sleep(args.grace()).await;
    };
    tokio::select! {
        served = server => served,
        // A caller who sends half a request must not delay the release of the node.
        () = grace => {
            say("note: some connections did not end within the grace period, and are closed");
            Ok(())
        }
    }
}

/// Writes a line to stderr, and ignores a failure.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
