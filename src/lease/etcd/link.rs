//! The way to a server: one request, one answer, and an end to waiting.

use core::time::Duration;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::Agent;

use crate::lease::LeaseError;

/// Room for 1024 nodes with labels of any length, many times over.
const LARGEST_ANSWER: u64 = 64 << 20;

/// What a transaction has answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Value,
    /// The server's clock in Unix milliseconds, rounded down to a second.
    pub(super) now: u64,
    /// The cluster that answers.
    pub(super) cluster: String,
    /// How many changes the cluster has made.
    pub(super) revision: u64,
}

/// A key as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    pub(super) revision: u64,
    pub(super) lease: u64,
}

#[derive(Debug)]
pub(super) struct Link {
    agent: Agent,
    endpoints: Vec<String>,
    /// The endpoint that answered last: others are tried after a failure.
    current: AtomicUsize,
    timeout: Duration,
}

impl Link {
    pub(super) fn new(urls: &str, agent: Option<Agent>, timeout: Duration) -> Result<Self, LeaseError> {
        let endpoints: Vec<String> = urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned()).collect();
        for url in &endpoints {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(LeaseError::Unavailable {
                    doing: "reading the etcd URL".into(),
                    source: format!("{url:?} does not start with http:// or https://").into(),
                });
            }
        }
        let agent = agent.unwrap_or_else(|| Agent::config_builder().proxy(None).build().into());
        Ok(Link { agent, endpoints, current: AtomicUsize::new(0), timeout })
    }

    pub(super) fn place(&self) -> &str {
        let index = self.current.load(Ordering::Relaxed) % self.endpoints.len().max(1);
        self.endpoints.get(index).map_or("etcd", String::as_str)
    }

    /// When a call that begins now must have ended.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// A transaction: if all that is compared holds, what is done is done.
    pub(super) fn transaction(
        &self,
        doing: &str,
        deadline: Instant,
        compare: &[Value],
        then: &[Value],
    ) -> Result<Answer, LeaseError> {
        let body = json!({ "compare": compare, "success": then });
        let (body, now) = self.post(doing, deadline, "kv/txn", &body)?;
        let header = &body["header"];
        let (Some(revision), Some(cluster)) = (number(&header["revision"]), header["cluster_id"].as_str()) else {
            return Err(self.unavailable(doing, "the answer has no revision or no cluster".into()));
        };
        let cluster = cluster.to_owned();
        Ok(Answer { body, now, cluster, revision })
    }

    /// One request; what it answered, and when by the server's clock.
    pub(super) fn post(
        &self,
        doing: &str,
        deadline: Instant,
        what: &str,
        body: &Value,
    ) -> Result<(Value, u64), LeaseError> {
        let index = self.current.load(Ordering::Relaxed);
        let answer = self.exchange(deadline, what, body);
        if answer.is_err() {
            // Whoever comes first moves on for all.
            let next = (index + 1) % self.endpoints.len().max(1);
            let _ = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        answer.map_err(|error| self.unavailable(doing, error))
    }

    fn exchange(&self, deadline: Instant, what: &str, body: &Value) -> Result<(Value, u64), String> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("no answer in time".into());
        }
        let mut response = self
            .agent
            .post(format!("{}/v3/{what}", self.place()))
            .config()
            .timeout_global(Some(left))
            .http_status_as_error(false)
            .build()
            .header("content-type", "application/json")
            .send(body.to_string())
            .map_err(|error| error.to_string())?;
        let status = response.status();
        let date = response.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
        let text =
            response.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec().map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        if !status.is_success() {
            let said = answer["message"].as_str().or(answer["error"].as_str()).unwrap_or("no reason was given");
            return Err(format!("{said} (HTTP {})", status.as_u16()));
        }
        if !answer.is_object() {
            return Err("what answers is not an etcd server with its JSON gateway".into());
        }
        let now = date
            .and_then(|date| httpdate::parse_http_date(&date).ok())
            .and_then(|date| u64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok())
            .ok_or("the answer has no date, which tells the server's clock")?;
        Ok((answer, now))
    }

    pub(super) fn unavailable(&self, doing: &str, what: String) -> LeaseError {
        LeaseError::Unavailable { doing: format!("{doing} at {}", self.place()), source: what.into() }
    }
}

impl Answer {
    pub(super) fn succeeded(&self) -> bool {
        self.body["succeeded"].as_bool() == Some(true)
    }

    /// What a range of the transaction has found.
    pub(super) fn range(&self, index: usize) -> Vec<Found> {
        let kvs = self.body["responses"][index]["response_range"]["kvs"].as_array();
        kvs.into_iter().flatten().filter_map(found).collect()
    }
}

fn found(kv: &Value) -> Option<Found> {
    let bytes = |field: &Value| STANDARD.decode(field.as_str().unwrap_or_default()).ok();
    Some(Found {
        key: String::from_utf8(bytes(&kv["key"])?).ok()?,
        value: bytes(&kv["value"])?,
        revision: number(&kv["mod_revision"])?,
        lease: number(&kv["lease"]).unwrap_or(0),
    })
}

/// A 64-bit number, which is a string in this JSON.
pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

fn encoded(text: &str) -> String {
    STANDARD.encode(text)
}

pub(super) fn get(key: &str) -> Value {
    json!({ "request_range": { "key": encoded(key) } })
}

/// All keys that begin so, which ends in a slash: `0` is the next character.
pub(super) fn get_all(prefix: &str, keys_only: bool) -> Value {
    let end = format!("{}0", prefix.trim_end_matches('/'));
    json!({ "request_range": { "key": encoded(prefix), "range_end": encoded(&end), "keys_only": keys_only } })
}

pub(super) fn put(key: &str, value: &Value, lease: u64) -> Value {
    json!({ "request_put": { "key": encoded(key), "value": encoded(&value.to_string()), "lease": lease.to_string() } })
}

pub(super) fn delete(key: &str) -> Value {
    json!({ "request_delete_range": { "key": encoded(key) } })
}

/// Holds as long as a key is as it was found; 0: as long as there is none.
pub(super) fn unchanged(key: &str, revision: u64) -> Value {
    json!({ "key": encoded(key), "target": "MOD", "result": "EQUAL", "mod_revision": revision.to_string() })
}
