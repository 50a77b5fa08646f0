//! IDs over HTTP: the routes of a server that shares one [`PyflakeClient`] among its handlers.
//!
//! The routes take any client, so tests bring their own. Handlers are `async` and never block:
//! while a caller waits for the next millisecond, or for the renewal of a lease, the worker runs
//! other tasks.

mod health;
mod ids;
mod inspect;
mod metrics;
mod refusal;

use std::sync::Arc;

use axum::Router;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use pyflake::PyflakeClient;

use crate::refusal::Refusal;

/// The routes, as a service to run or to nest in another one.
pub fn router(client: Arc<PyflakeClient>) -> Router {
    Router::new()
        .route("/id", get(ids::one))
        .route("/ids", get(ids::many))
        .route("/inspect/{id}", get(inspect::inspect))
        .route("/health", get(health::health))
        .route("/metrics", get(metrics::metrics))
        .fallback(no_route)
        .layer(map_response(not_stored))
        .with_state(client)
}

/// Forbids caches to store a response: they would return an ID a second time.
async fn not_stored(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn no_route(uri: Uri) -> Refusal {
    let path = uri.path();
    let message = format!("there is no {path}: use /id, /ids?n=100, /inspect/473032512445898752, /health or /metrics");
    Refusal::new(StatusCode::NOT_FOUND, message)
}
