//! A gateway that changes what it passes on: it makes naive variants of the store, and comes between its steps.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::server::url;

/// Looks at transactions, and changes them.
pub(crate) trait Change: Send + Sync + 'static {
    /// What is asked; not passed on before this returns.
    fn request(&self, _transaction: &mut Value) {}

    /// What is answered.
    fn answer(&self, _transaction: &mut Value) {}

    /// The server's clock, as it is shown.
    fn clock(&self, clock: SystemTime) -> SystemTime {
        clock
    }
}

/// A gateway to a server; its URL. Its threads end with the process.
pub(crate) fn gateway(to: &str, change: Arc<impl Change>) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (to, port) = (to.to_owned(), listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (to, change) = (to.clone(), Arc::clone(&change));
            thread::spawn(move || exchange(&client, &to, &*change));
        }
    });
    url(port)
}

/// One request and its answer.
fn exchange(mut client: &TcpStream, to: &str, change: &impl Change) {
    let mut reader = BufReader::new(client);
    let (mut head, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        head.push(std::mem::take(&mut line).to_lowercase());
    }
    if head.is_empty() {
        // A client that is gone has given up.
        return;
    }
    let length = head.iter().find_map(|line| line.strip_prefix("content-length:")).unwrap();
    let mut body = vec![0; length.trim().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let path = head[0].split(' ').nth(1).unwrap();
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    let transaction = path.ends_with("/txn");
    if transaction {
        change.request(&mut body);
    }
    let agent = ureq::Agent::config_builder().proxy(None).http_status_as_error(false);
    let agent: ureq::Agent = agent.timeout_global(Some(Duration::from_secs(5))).build().into();
    let mut answer = agent.post(format!("{to}{path}")).send(body.to_string()).unwrap();
    let mut body: Value = serde_json::from_slice(&answer.body_mut().read_to_vec().unwrap()).unwrap();
    if transaction {
        change.answer(&mut body);
    }
    let clock = httpdate::parse_http_date(answer.headers()["date"].to_str().unwrap()).unwrap();
    let (status, date, body) = (answer.status(), httpdate::fmt_http_date(change.clock(clock)), body.to_string());
    let head =
        format!("HTTP/1.1 {status}\r\ndate: {date}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // A client that is gone has given up.
    let _ = client.write_all((head + &body).as_bytes());
}
