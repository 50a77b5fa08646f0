//! `/id` and `/ids`: issue IDs.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use pyflake::{PyflakeClient, Snowflake};
use serde::{Deserialize, Serialize};
use tokio::task::coop::consume_budget;

use crate::inspect::Parts;
use crate::refusal::Refusal;

/// The most IDs of a request. A node issues them in two and a half milliseconds.
const MOST: usize = 10_000;

/// Issues one ID, and returns it with its fields.
pub(crate) async fn one(State(client): State<Arc<PyflakeClient>>) -> Result<Json<Parts>, Refusal> {
    let id = client.generate_async().await?;
    Ok(Json(Parts::of(id, client.info().epoch)))
}

#[derive(Deserialize)]
pub(crate) struct Batch {
    /// A text, so that `n` below returns this file's own message for a wrong one.
    n: Option<String>,
}

impl Batch {
    fn n(self) -> Result<usize, Refusal> {
        let Some(n) = self.n else {
            return Err(Refusal::bad_request(format!("n is missing: ask for 1 to {MOST} IDs, as in /ids?n=100")));
        };
        n.parse().ok().filter(|n| (1..=MOST).contains(n)).ok_or_else(|| {
            // Cut it: the caller's text may have any length.
            let n: String = n.chars().take(32).collect();
            Refusal::bad_request(format!(
                "n={n:?} is not a whole number from 1 to {MOST}: for more IDs send more requests, also at the same time"
            ))
        })
    }
}

#[derive(Serialize)]
pub(crate) struct Ids {
    ids: Vec<Snowflake>,
}

/// Issues `n` IDs, in increasing order.
pub(crate) async fn many(
    State(client): State<Arc<PyflakeClient>>,
    batch: Result<Query<Batch>, QueryRejection>,
) -> Result<Json<Ids>, Refusal> {
    let Query(batch) = batch.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let n = batch.n()?;
    let mut ids = Vec::with_capacity(n);
    for _ in 0..n {
        // After an error, or if the caller hangs up, the IDs so far are lost. A node has four
        // million a second.
        ids.push(client.generate_async().await?);
        // Yield now and then, also without a wait. Otherwise large batches would take one
        // millisecond after another, and the last request would fail because it waited too long.
        consume_budget().await;
    }
    Ok(Json(Ids { ids }))
}
