//! Callers of the server: kept-alive connections, with one request after another on each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderMap};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use pyflake::Snowflake;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

/// A connection that is kept alive.
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    address: SocketAddr,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("connecting: {error}"))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // `send_request` returns the errors of the connection.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, address })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.request(Method::GET, path).await
    }

    pub(crate) async fn request(&mut self, method: Method, path: &str) -> Result<Answer, String> {
        let request = Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        let response = self.sender.send_request(request.body(Empty::new()).unwrap()).await;
        let (head, body) = response.map_err(|error| format!("{path}: {error}"))?.into_parts();
        let body = body.collect().await.map_err(|error| format!("{path}, in its body: {error}"))?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Sends a request, and returns the IDs of its response, which must be a 200.
    pub(crate) async fn ids(&mut self, path: &str) -> Result<Vec<Snowflake>, String> {
        let answer = self.get(path).await?;
        if answer.status != StatusCode::OK {
            return Err(format!("{path}: {answer:?}"));
        }
        let json = answer.json();
        let ids = json["ids"].as_array().map_or_else(|| vec![&json["id"]], |ids| ids.iter().collect());
        ids.into_iter()
            .map(|id| id.as_str().ok_or("not a string")?.parse().map_err(|_| "not an ID"))
            .collect::<Result<_, _>>()
            .map_err(|error: &str| format!("{path}: {error}"))
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Sends one request on its own connection.
pub(crate) fn get(runtime: &Runtime, address: SocketAddr, path: &str) -> Answer {
    runtime.block_on(async { Connection::open(address).await?.get(path).await }).unwrap()
}

/// Callers that send requests until they are stopped.
pub(crate) struct Load {
    done: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Tally>>,
}

/// The IDs, latencies and errors of callers.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) ids: Vec<Snowflake>,
    /// One for each response.
    pub(crate) latencies: Vec<Duration>,
    /// The errors that ended a caller too early.
    pub(crate) errors: Vec<String>,
}

impl Load {
    pub(crate) fn start(runtime: &Runtime, address: SocketAddr, connections: usize, path: &'static str) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let callers = (0..connections).map(|_| runtime.spawn(call(address, path, Arc::clone(&done)))).collect();
        Load { done, callers }
    }

    /// Lets each caller finish its request, and adds up the tallies.
    pub(crate) fn stop(self, runtime: &Runtime) -> Tally {
        self.done.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for caller in self.callers {
            let tally = runtime.block_on(caller).unwrap();
            sum.ids.extend(tally.ids);
            sum.latencies.extend(tally.latencies);
            sum.errors.extend(tally.errors);
        }
        sum
    }
}

async fn call(address: SocketAddr, path: &str, done: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    let mut connection = match Connection::open(address).await {
        Ok(connection) => connection,
        Err(error) => return Tally { errors: vec![error], ..tally },
    };
    while !done.load(Ordering::Relaxed) {
        let start = Instant::now();
        match connection.ids(path).await {
            Ok(ids) => tally.ids.extend(ids),
            Err(error) => return Tally { errors: vec![error], ..tally },
        }
        tally.latencies.push(start.elapsed());
    }
    tally
}

/// Sends `size` requests for an ID at the same time, each on its own open connection.
pub(crate) fn herd(runtime: &Runtime, address: SocketAddr, size: usize) -> Tally {
    let ready = Arc::new(Barrier::new(size));
    let callers: Vec<_> = (0..size)
        .map(|_| {
            let ready = Arc::clone(&ready);
            runtime.spawn(async move {
                let connection = Connection::open(address).await;
                ready.wait().await;
                let start = Instant::now();
                Ok::<_, String>((connection?.ids("/id").await?, start.elapsed()))
            })
        })
        .collect();
    let mut sum = Tally::default();
    for caller in callers {
        match runtime.block_on(caller).unwrap() {
            Ok((ids, latency)) => {
                sum.ids.extend(ids);
                sum.latencies.push(latency);
            }
            Err(error) => sum.errors.push(error),
        }
    }
    sum
}

/// Sorts IDs, and returns the number of repeated ones.
pub(crate) fn duplicates(ids: &mut [Snowflake]) -> usize {
    ids.sort_unstable();
    ids.windows(2).filter(|pair| pair[0] == pair[1]).count()
}
