//! `/id` and `/ids`: what the server is for.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use pyflake::{PyflakeClient, Snowflake};
use serde::{Deserialize, Serialize};
use tokio::task::coop::consume_budget;

use crate::inspect::Parts;
use crate::refusal::Refusal;

/// How many IDs a request may ask for: what a node issues in two and a half milliseconds.
const MOST: usize = 10_000;

/// An ID with its parts.
pub(crate) async fn one(State(client): State<Arc<PyflakeClient>>) -> Result<Json<Parts>, Refusal> {
    let id = client.generate_async().await?;
    Ok(Json(Parts::of(id, client.info().epoch)))
}

#[derive(Deserialize)]
pub(crate) struct Batch {
    /// A text, so that this file says what is wrong with it.
    n: Option<String>,
}

impl Batch {
    fn n(self) -> Result<usize, Refusal> {
        let Some(n) = self.n else {
            return Err(Refusal::bad_request(format!("n is missing: ask for 1 to {MOST} IDs, as in /ids?n=100")));
        };
        n.parse().ok().filter(|n| (1..=MOST).contains(n)).ok_or_else(|| {
            // Cut, as it is the caller's, of any length.
            let n: String = n.chars().take(32).collect();
            Refusal::bad_request(format!(
                "n={n:?} is not a whole number from 1 to {MOST}: for more IDs send more requests, which may be at once"
            ))
        })
    }
}

#[derive(Serialize)]
pub(crate) struct Ids {
    ids: Vec<Snowflake>,
}

/// Many IDs, in increasing order.
pub(crate) async fn many(
    State(client): State<Arc<PyflakeClient>>,
    batch: Result<Query<Batch>, QueryRejection>,
) -> Result<Json<Ids>, Refusal> {
    let Query(batch) = batch.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let n = batch.n()?;
    let mut ids = Vec::with_capacity(n);
    for _ in 0..n {
        // After an error, or if the caller hangs up, those so far go to nobody. That is no loss: there are four million
        // a second.
        ids.push(client.generate_async().await?);
        // Lets the others have a turn every so often, also while there is nothing to wait for. Otherwise large batches
        // take millisecond after millisecond, and who comes last is refused for having waited too long.
        consume_budget().await;
    }
    Ok(Json(Ids { ids }))
}
