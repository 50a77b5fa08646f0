//! `/health`: whether the server can issue IDs, for a load balancer and for people.
//!
//! Use it as a readiness check, and not as a liveness check: a server that has lost its node
//! acquires another one, and a new process would do no better. Restart a server that stays
//! unavailable for many windows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use pyflake::lease::{LeaseState, LeasedGenerator};
use pyflake::{Clock, Lifetime, PyflakeClient, SystemClock};
use serde::Serialize;

const DAY: u64 = 24 * 60 * 60;

#[derive(Debug, Serialize)]
pub(crate) struct Health {
    status: Status,
    /// `null` for a client without a lease.
    lease: Option<Lease>,
    lifetime: Left,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// IDs are issued, but the lease cannot be renewed or IDs no longer fit a `BIGINT`: alert
    /// somebody.
    Degraded,
    /// No ID can be issued.
    Unavailable,
}

#[derive(Debug, Serialize)]
struct Lease {
    #[serde(flatten)]
    state: LeaseState,
    /// The rest of the window. IDs are issued for so long even if the store fails.
    window_millis: u128,
    /// The last error of the store, also if later calls succeeded.
    last_error: Option<String>,
}

/// The time until IDs run out.
#[derive(Debug, Serialize)]
struct Left {
    days: u64,
    /// Days until IDs no longer fit a `BIGINT`.
    bigint_days: u64,
}

pub(crate) async fn health(State(client): State<Arc<PyflakeClient>>) -> (StatusCode, Json<Health>) {
    let (lifetime, now) = (client.info().epoch.lifetime(), SystemClock::new().unix_millis());
    // Read once: the keeper of the lease may change it at any moment.
    let state = client.lease().map(LeasedGenerator::state);
    let window = client.stats().window_left;
    let status = status(state, lifetime, now);
    let health = Health {
        status,
        lease: state.map(|state| Lease {
            state,
            window_millis: window.unwrap_or_default().as_millis(),
            last_error: client.lease().and_then(LeasedGenerator::last_error).map(|error| error.to_string()),
        }),
        lifetime: Left {
            days: lifetime.remaining(now).as_secs() / DAY,
            bigint_days: lifetime.i64_remaining(now).as_secs() / DAY,
        },
    };
    let code = if status == Status::Unavailable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(health))
}

fn status(lease: Option<LeaseState>, lifetime: Lifetime, now: u64) -> Status {
    if lease.is_some_and(|lease| !lease.can_issue()) || lifetime.remaining(now).is_zero() {
        Status::Unavailable
    } else if matches!(lease, Some(LeaseState::Degraded { .. })) || lifetime.i64_remaining(now).is_zero() {
        Status::Degraded
    } else {
        Status::Ok
    }
}

#[cfg(test)]
mod tests {
    use pyflake::{Epoch, Node};

    use super::*;

    #[test]
    fn no_ids_is_unavailable_and_a_risk_of_no_ids_is_degraded() {
        let (lifetime, node) = (Epoch::TWITTER.lifetime(), Node::from_index(7).unwrap());
        let held = Some(LeaseState::Held { node, until: 0 });
        let degraded = Some(LeaseState::Degraded { node, until: 0, since: 0 });
        let expired = Some(LeaseState::Expired { node, until: 0, since: 0 });
        let (now, late, over) = (lifetime.i64_ends - 1, lifetime.i64_ends, lifetime.ends);
        for (lease, now, expected) in [
            (held, now, Status::Ok),
            (None, now, Status::Ok),
            (degraded, now, Status::Degraded),
            (held, late, Status::Degraded),
            (held, over - 1, Status::Degraded),
            (expired, now, Status::Unavailable),
            (Some(LeaseState::Lost), now, Status::Unavailable),
            (held, over, Status::Unavailable),
            (None, over, Status::Unavailable),
        ] {
            assert_eq!(status(lease, lifetime, now), expected, "{lease:?}, {now}");
        }
    }
}
