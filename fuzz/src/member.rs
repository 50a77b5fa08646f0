//! A member of an etcd cluster with its JSON gateway, in this process: as much of it as `EtcdStore` uses.
//!
//! It keeps keys and compares them as etcd does, and an answer can be replaced by anything, from the body to the bytes.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A member; clones are the same one.
#[derive(Clone)]
pub struct Member(Arc<Mutex<State>>);

/// The data of the member, and the change of its next answer.
#[derive(Default)]
pub struct State {
    pub keys: BTreeMap<Vec<u8>, Vec<u8>>,
    pub revision: u64,
    pub cluster: String,
    /// The clock, in Unix seconds.
    pub clock: u64,
    pub tamper: Tamper,
    /// How many answers were tampered with.
    pub tampered: u64,
}

/// The change of the next answer.
#[derive(Clone, Default, PartialEq)]
pub struct Tamper {
    pub status: Option<u16>,
    pub date: Option<Vec<u8>>,
    pub body: Option<Vec<u8>>,
    /// All of the answer.
    pub bytes: Option<Vec<u8>>,
    /// The change is made, and there is no answer.
    pub lost: bool,
}

impl Member {
    /// Starts a member, and returns it with its URL.
    ///
    /// # Panics
    ///
    /// If no port can be had.
    #[must_use]
    pub fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let member = Member(Arc::default());
        let served = member.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let member = served.clone();
                // It ends when the client hangs up.
                thread::spawn(move || while matches!(member.serve(&stream), Ok(true)) {});
            }
        });
        (member, url)
    }

    /// The state of the member, which answers nothing meanwhile.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request; returns whether the connection can take another one.
    fn serve(&self, stream: &TcpStream) -> io::Result<bool> {
        let Some(body) = request(&mut BufReader::new(stream))? else { return Ok(false) };
        let mut state = self.state();
        let answer = state.answer(&serde_json::from_slice(&body)?);
        let tamper = std::mem::take(&mut state.tamper);
        let is_honest = tamper == Tamper::default();
        state.tampered += u64::from(!is_honest);
        let clock = state.clock;
        drop(state);

        let Tamper { status, date, body, bytes, lost } = tamper;
        if lost {
            return Ok(false);
        }
        let body = body.unwrap_or_else(|| answer.to_string().into_bytes());
        let date =
            date.unwrap_or_else(|| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(clock)).into_bytes());
        let bytes = bytes.unwrap_or_else(|| {
            let head = format!("HTTP/1.1 {} Fuzzed\r\ncontent-length: {}\r\ndate: ", status.unwrap_or(200), body.len());
            [head.as_bytes(), &date, b"\r\n\r\n", &body].concat()
        });
        let mut stream = stream;
        stream.write_all(&bytes)?;
        Ok(is_honest)
    }
}

/// Reads a request; returns its body, or `None` at the end of the connection.
fn request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}

impl State {
    /// The value of a key of the realm `default`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.keys.get(format!("pyflake/default/{key}").as_bytes()).map(Vec::as_slice)
    }

    fn answer(&mut self, transaction: &Value) -> Value {
        let revision = self.revision;
        let mut answer = self.transaction(transaction);
        // However much one request changes, it is one revision.
        self.revision = self.revision.min(revision.saturating_add(1));
        answer["header"] = json!({ "cluster_id": self.cluster, "revision": self.revision.to_string() });
        answer
    }

    fn transaction(&mut self, transaction: &Value) -> Value {
        let holds = array(&transaction["compare"]).all(|compare| self.holds(compare));
        let operations = &transaction[if holds { "success" } else { "failure" }];
        let responses: Vec<Value> = array(operations).map(|operation| self.operation(operation)).collect();
        // A field that is false is left out, as etcd does.
        if holds { json!({ "succeeded": true, "responses": responses }) } else { json!({ "responses": responses }) }
    }

    fn holds(&self, compare: &Value) -> bool {
        let found = self.keys.get(&decoded(&compare["key"]));
        match compare["target"].as_str() {
            Some("VALUE") => found == Some(&decoded(&compare["value"])),
            _ => found.is_none(),
        }
    }

    fn operation(&mut self, operation: &Value) -> Value {
        if let Some(put) = operation.get("request_put") {
            self.keys.insert(decoded(&put["key"]), decoded(&put["value"]));
            self.revision = self.revision.saturating_add(1);
            return json!({ "response_put": {} });
        }
        if let Some(nested) = operation.get("request_txn") {
            return json!({ "response_txn": self.transaction(nested) });
        }
        let range = &operation["request_range"];
        let (key, end) = (decoded(&range["key"]), decoded(&range["range_end"]));
        let found = self.keys.iter().filter(|(found, _)| **found == key || **found > key && **found < end);
        let kvs: Vec<Value> =
            found.map(|(key, value)| json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value) })).collect();
        json!({ "response_range": { "kvs": kvs } })
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default()
}
