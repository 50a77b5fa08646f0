//! `Refusal`: an error as an HTTP response.

use std::time::Duration;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use pyflake::Error;
use serde::Serialize;

/// A status and a message: `{"error": "..."}` in JSON.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    body: Body,
    /// When the caller should retry.
    retry_after: Option<Duration>,
}

#[derive(Debug, Serialize)]
struct Body {
    error: String,
    /// The position of the error in a text, in characters from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, error: String) -> Self {
        Refusal { status, body: Body { error, position: None }, retry_after: None }
    }

    /// A mistake of the caller.
    pub(crate) fn bad_request(error: String) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, error)
    }

    /// A mistake of the caller at a position in a text.
    pub(crate) fn at(mut self, position: usize) -> Self {
        self.body.position = Some(position);
        self
    }
}

/// An ID that could not be issued. The caller made no mistake, and a retry mostly succeeds.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let retry_after = match error {
            Error::Exhausted { retry_after: wait } | Error::WaitTooLong { wait, .. } => Some(wait),
            // The time until the store or the clock recovers is unknown. A second is a guess.
            Error::ClockStalled { .. } | Error::LeaseLost | Error::PastLease { .. } => Some(Duration::from_secs(1)),
            // The end of the epoch, a forked process: a retry does not help.
            _ => None,
        };
        Refusal { retry_after, ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up, so that the caller does not retry too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
