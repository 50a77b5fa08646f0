//! `/inspect/{id}`: the fields of an ID.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use pyflake::{Epoch, ParseError, PyflakeClient, Snowflake};
use serde::Serialize;

use crate::refusal::Refusal;

/// An ID and its fields. In JSON the ID is a string, because JavaScript has no 64-bit integers.
#[derive(Serialize)]
pub(crate) struct Parts {
    id: Snowflake,
    /// Unix milliseconds.
    timestamp: u64,
    pid: u8,
    seed: u8,
    sequence: u16,
}

impl Parts {
    pub(crate) fn of(id: Snowflake, epoch: Epoch) -> Self {
        Parts { id, timestamp: id.timestamp(epoch), pid: id.pid(), seed: id.seed(), sequence: id.sequence() }
    }
}

pub(crate) async fn inspect(
    State(client): State<Arc<PyflakeClient>>,
    text: Result<Path<String>, PathRejection>,
) -> Result<Json<Parts>, Refusal> {
    let Path(text) = text.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let id = text.parse().map_err(|error: ParseError| {
        let refusal = Refusal::bad_request(error.to_string());
        if let ParseError::Id { position, .. } = error { refusal.at(position) } else { refusal }
    })?;
    Ok(Json(Parts::of(id, client.info().epoch)))
}
