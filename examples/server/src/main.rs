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
    // A lease is acquired and given back with files that are written and synced. That blocks, so it comes before the
    // runtime and after it, and no worker ever waits for a disk.
    let client = Arc::new(lease(args)?);
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(args, Arc::clone(&client)));
    // Ends what has outlasted the grace period, so that this is the last one to have the client.
    drop(runtime);
    // Said aloud, where dropping the client would do the same in silence: the node is free at once, and its next holder
    // starts at the millisecond after the last ID.
    let released =
        Arc::into_inner(client).ok_or("somebody still has the client, so its node is not given back")?.release();
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
    // A server runs for long, and nobody asks it for the IDs of before.
    Ok(PyflakeClient::leased(generator.build()?, CachePolicy::Off))
}

/// Serves until a signal says stop, then finishes the requests that are under way, for as long as the grace period.
async fn serve(args: &Args, client: Arc<PyflakeClient>) -> io::Result<()> {
    // Before the address is known: whoever reads it may send the signal at once.
    let stop = stop::signal()?;
    let listener = Limited::new(TcpListener::bind(args.listen).await?, args.connections);
    writeln!(io::stdout(), "listening on http://{}", listener.local_addr()?)?;

    let (stopping, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, pyflake_server_example::router(client)).with_graceful_shutdown(async {
        stop.await;
        drop(stopping);
    });
    let grace = async {
        // The other end says nothing, it goes.
        let _ = stopped.await;
        sleep(args.grace()).await;
    };
    tokio::select! {
        served = server => served,
        // Somebody who sends half a request must not keep the node from its next holder.
        () = grace => {
            say("note: some connections were not done within the grace period, and are closed");
            Ok(())
        }
    }
}

/// Writes a line on stderr. Where even that fails there is nobody left to tell.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
