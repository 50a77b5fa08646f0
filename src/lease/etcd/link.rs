//! The way to a server: one request, one answer, and an end to waiting.

use core::time::Duration;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Timeout};

use crate::fork::Process;
use crate::lease::error::LeaseError;
use crate::lease::etcd::names::{NO_THREAD, Names};

/// How many transactions fit into one request: etcd takes 128 operations, the nested ones' among
/// them.
pub(super) const MOST_AT_ONCE: usize = 100;

/// Room for 1024 nodes with labels of any length, many times over.
const LARGEST_ANSWER: u64 = 64 << 20;

/// The answer to one transaction or several.
#[derive(Debug)]
pub(super) struct Answer {
    /// One for each transaction, in their order.
    pub(super) parts: Vec<Part>,
    /// The server's clock in Unix milliseconds, rounded down to a second.
    pub(super) now: u64,
    /// The cluster that answers.
    pub(super) cluster: String,
    /// How many changes the cluster has made.
    pub(super) revision: u64,
}

/// The answer to one transaction.
#[derive(Debug)]
pub(super) struct Part {
    /// Whether all that was compared held.
    pub(super) succeeded: bool,
    responses: Value,
}

/// A key as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: String,
    pub(super) value: String,
}

/// What is done for a caller, and when it must have ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    doing: &'static str,
    end: Instant,
}

#[derive(Debug)]
pub(super) struct Link {
    agent: Agent,
    endpoints: Vec<String>,
    /// The endpoint that answered last: others are tried after a failure.
    current: AtomicUsize,
    timeout: Duration,
    /// The process that made it.
    process: Process,
}

impl Link {
    pub(super) fn new(urls: &str, agent: Option<Agent>, timeout: Duration) -> Result<Self, LeaseError> {
        let endpoints: Vec<String> = urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned()).collect();
        for url in &endpoints {
            // Without a password, which the part before `@` may have.
            let shown = url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host);
            let (reason, remedy) = if url.contains('@') {
                ("has a user or a password", "use a client certificate: etcd's users are not supported")
            } else if !url.starts_with("http://") && !url.starts_with("https://") {
                ("does not start with http:// or https://", "give the URL of a member's client port")
            } else if url.starts_with("https://") && agent.is_none() {
                ("has no agent that knows whom to trust", "give one to EtcdStoreBuilder::agent")
            } else {
                continue;
            };
            return Err(LeaseError::InvalidConfig {
                setting: format!("the etcd URL {shown:?}"),
                reason: reason.into(),
                remedy: remedy.into(),
            });
        }
        // No call is worth waiting longer for, and a clock has an end.
        let timeout = timeout.min(Duration::from_secs(24 * 3600));
        let config = match agent {
            Some(agent) => agent.config().clone(),
            None => Agent::config_builder().proxy(None).build(),
        };
        let agent = Agent::with_parts(config, DefaultConnector::default(), Names);
        Ok(Link { agent, endpoints, current: AtomicUsize::new(0), timeout, process: Process::current()? })
    }

    /// The endpoint that is asked now.
    pub(super) fn place(&self) -> &str {
        self.endpoint(self.current.load(Ordering::Relaxed))
    }

    fn endpoint(&self, index: usize) -> &str {
        self.endpoints.get(index).map_or("etcd", String::as_str)
    }

    /// Begins a call, which ends in time whatever it asks.
    pub(super) fn begin(&self, doing: &'static str) -> Result<Call, LeaseError> {
        let call = Call { doing, end: Instant::now() + self.timeout };
        // Connections are the parent's, and so may be the locks that its threads held.
        if self.process.is_current() {
            Ok(call)
        } else {
            Err(LeaseError::Forked { store: format!("the store at {}", self.place()) })
        }
    }

    /// Sends transactions as one request: each compares for itself, and all see one state of the
    /// cluster.
    ///
    /// Together they may have [`MOST_AT_ONCE`].
    pub(super) fn transactions(&self, call: Call, mut transactions: Vec<Value>) -> Result<Answer, LeaseError> {
        let count = transactions.len();
        let one = count == 1;
        let request = match transactions.pop() {
            Some(transaction) if one => transaction,
            last => {
                let nested = |transaction| json!({ "request_txn": transaction });
                json!({ "success": transactions.into_iter().chain(last).map(nested).collect::<Vec<_>>() })
            }
        };
        let (mut body, now) = self.post(call, "kv/txn", &request)?;
        let header = &body["header"];
        let (Some(revision), Some(cluster)) = (number(&header["revision"]), header["cluster_id"].as_str()) else {
            return Err(self.unavailable(call, "the answer has no revision or no cluster".into()));
        };
        let cluster = cluster.to_owned();
        let part = |body: &mut Value| Part {
            succeeded: body["succeeded"].as_bool() == Some(true),
            responses: body["responses"].take(),
        };
        let parts: Vec<Part> = if one {
            vec![part(&mut body)]
        } else {
            let nested = body["responses"].as_array_mut().into_iter().flatten();
            nested.map(|response| part(&mut response["response_txn"])).collect()
        };
        if parts.len() != count {
            let what = format!("{count} transactions were sent, and {} are in the answer", parts.len());
            return Err(self.unavailable(call, what));
        }
        Ok(Answer { parts, now, cluster, revision })
    }

    /// One request; what it answered, and when by the server's clock.
    ///
    /// What has not been sent is sent to another endpoint; whatever else fails leaves it open what
    /// was done.
    fn post(&self, call: Call, what: &str, body: &Value) -> Result<(Value, u64), LeaseError> {
        let mut untried = self.endpoints.len();
        loop {
            let index = self.current.load(Ordering::Relaxed);
            let failure = match self.exchange(index, untried, call.end, what, body) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let error = self.unavailable(call, failure.why);
            // Whoever comes first moves on for all.
            let next = (index + 1) % self.endpoints.len().max(1);
            let _ = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
            untried = untried.saturating_sub(1);
            if failure.sent || untried == 0 {
                return Err(error);
            }
        }
    }

    fn exchange(
        &self,
        index: usize,
        untried: usize,
        end: Instant,
        what: &str,
        body: &Value,
    ) -> Result<(Value, u64), Failure> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("it was not done within {:?}", self.timeout).into());
        }
        let share = Some(left / u32::try_from(untried.max(1)).unwrap_or(1));
        let mut response = self
            .agent
            .post(format!("{}/v3/{what}", self.endpoint(index)))
            .config()
            .timeout_global(Some(left))
            .timeout_resolve(share)
            .timeout_connect(share)
            .http_status_as_error(false)
            // A member redirects nobody.
            .max_redirects(0)
            .build()
            .header("content-type", "application/json")
            .send(body.to_string())?;
        let status = response.status();
        let date = response.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
        let text = response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()?;
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        if status.as_u16() == 404 {
            let why = "there is no JSON gateway (HTTP 404): start etcd without --enable-grpc-gateway=false, and use the \
                       URL of its client port";
            return Err(why.to_owned().into());
        }
        if !status.is_success() {
            let said = answer["message"].as_str().or(answer["error"].as_str()).unwrap_or("no reason was given");
            return Err(format!("{said} (HTTP {})", status.as_u16()).into());
        }
        if !answer.is_object() {
            return Err("what answers is not an etcd server with its JSON gateway".to_owned().into());
        }
        let now = date
            .and_then(|date| httpdate::parse_http_date(&date).ok())
            .and_then(|date| u64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok())
            .ok_or_else(|| "the answer has no date, which tells the server's clock".to_owned())?;
        Ok((answer, now))
    }

    pub(super) fn unavailable(&self, call: Call, what: String) -> LeaseError {
        LeaseError::Unavailable { doing: format!("{} at {}", call.doing, self.place()), source: what.into() }
    }
}

/// Why there is no answer.
struct Failure {
    why: String,
    /// Whether the request may have arrived.
    sent: bool,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Failure { why, sent: true }
    }
}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        let sent = match &error {
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => false,
            ureq::Error::Timeout(timeout) => !matches!(timeout, Timeout::Resolve | Timeout::Connect),
            ureq::Error::Io(error) => !is_of_connecting(error),
            _ => true,
        };
        Failure { why: error.to_string(), sent }
    }
}

/// Whether there was no connection yet.
fn is_of_connecting(error: &io::Error) -> bool {
    match error.kind() {
        // The kernel may say so of an open connection too, but only once it has sent the same for minutes.
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => true,
        // A name that is not found has a kind that cannot be named. Where the words are others, the next call goes on
        // to the next endpoint.
        _ => {
            let text = if error.raw_os_error().is_none() { error.to_string() } else { String::new() };
            text.starts_with("failed to lookup address information") || text.starts_with(NO_THREAD)
        }
    }
}

impl Part {
    /// What a range of the transaction has found.
    pub(super) fn range(&self, index: usize) -> Vec<Found> {
        let kvs = self.responses[index]["response_range"]["kvs"].as_array();
        kvs.into_iter().flatten().filter_map(found).collect()
    }
}

/// A key and its value; one that is no text cannot be read either way.
fn found(kv: &Value) -> Option<Found> {
    let bytes = |field: &Value| STANDARD.decode(field.as_str().unwrap_or_default()).ok();
    Some(Found {
        key: String::from_utf8(bytes(&kv["key"])?).ok()?,
        value: String::from_utf8_lossy(&bytes(&kv["value"])?).into_owned(),
    })
}

/// A 64-bit number, which is a string in this JSON.
fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

pub(super) fn get(key: &str) -> Value {
    json!({ "request_range": { "key": encoded(key) } })
}

/// The keys from one to another, without that.
pub(super) fn get_range(start: &str, end: &str) -> Value {
    json!({ "request_range": { "key": encoded(start), "range_end": encoded(end) } })
}

pub(super) fn put(key: &str, value: &str) -> Value {
    json!({ "request_put": { "key": encoded(key), "value": encoded(value) } })
}

/// Holds as long as a key has this value; without one, as long as there is no such key.
pub(super) fn unchanged(key: &str, stored: Option<&str>) -> Value {
    match stored {
        Some(value) => json!({ "key": encoded(key), "target": "VALUE", "result": "EQUAL", "value": encoded(value) }),
        None => json!({ "key": encoded(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0" }),
    }
}
