//! What a caller is told who gets nothing.

use std::time::Duration;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use pyflake::Error;
use serde::Serialize;

/// A status and a sentence; in JSON, as `{"error": "..."}`.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: Body,
    /// After how long it is worth to try again.
    retry_after: Option<Duration>,
}

#[derive(Debug, Serialize)]
struct Body {
    error: String,
    /// Where a text is wrong, in characters from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: String) -> Self {
        Refusal { status, body: Body { error, position: None }, retry_after: None }
    }

    /// The caller's mistake.
    pub(crate) fn bad_request(error: String) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, error)
    }

    /// The caller's mistake, at a place in a text.
    pub(crate) fn at(mut self, position: usize) -> Self {
        self.body.position = Some(position);
        self
    }
}

/// An ID that could not be issued. It is never the caller's mistake, and mostly over soon.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let retry_after = match error {
            Error::Exhausted { retry_after: wait } | Error::WaitTooLong { wait, .. } => Some(wait),
            // A store is back, or another node is there, when it is: a second is as good a guess as any.
            Error::ClockStalled { .. } | Error::LeaseLost | Error::PastLease { .. } => Some(Duration::from_secs(1)),
            // An epoch at its end, a forked process: not a matter of time.
            _ => None,
        };
        Refusal { retry_after, ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(wait) = self.retry_after {
            // Whole seconds, and never so few that the caller is back too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
