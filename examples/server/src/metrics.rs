//! `/metrics`: the metrics for Prometheus, in its text format.
//!
//! A request reads numbers that the library counts anyway. Issuing an ID counts nothing for this
//! page.

use core::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use pyflake::lease::{LeaseState, LeasedGenerator};
use pyflake::{Clock, ClockStats, Info, Lifetime, PyflakeClient, Stats, SystemClock};

pub(crate) async fn metrics(State(client): State<Arc<PyflakeClient>>) -> impl IntoResponse {
    let (info, stats, clock) = (client.info(), client.stats(), SystemClock::new());
    let mut page = Page::default();
    page.counter("pyflake_ids_total", "IDs that were issued, over all nodes.", info.generated);
    page.generator(info, &stats);
    page.clock(clock.stats());
    if let Some(state) = client.lease().map(LeasedGenerator::state) {
        page.lease(state, stats.window_left.unwrap_or_default());
    }
    page.lifetime(info.epoch.lifetime(), clock.unix_millis());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.0)
}

/// The text of the page: families of metrics.
#[derive(Default)]
struct Page(String);

impl Page {
    /// The counters of the current node. They carry its labels, because each node has its own
    /// counters.
    fn generator(&mut self, info: Info, stats: &Stats) {
        let (Some(pid), Some(seed), true) = (info.pid, info.seed, info.generator) else { return };
        let node = format!("{{pid=\"{pid}\",seed=\"{seed}\"}}");
        self.family("pyflake_node", "gauge", "The node that issues.");
        self.sample("pyflake_node", &node, 1);
        self.family("pyflake_waits_total", "counter", "Waits for a later millisecond.");
        self.sample("pyflake_waits_total", &node, stats.waits);
        self.family("pyflake_wait_seconds_total", "counter", "The time of those waits.");
        self.sample("pyflake_wait_seconds_total", &node, seconds(stats.waited));
        self.family("pyflake_lost_races_total", "counter", "Claims that lost to another thread and were retried.");
        self.sample("pyflake_lost_races_total", &node, stats.lost_races);
        self.gauge("pyflake_lead_seconds", "How far the last ID is ahead of the clock.", seconds(stats.lead));
    }

    /// The clock of the process, which does not depend on the node.
    fn clock(&mut self, clock: ClockStats) {
        self.gauge("pyflake_clock_lead_seconds", "How far the clock is ahead of the wall clock.", seconds(clock.lead));
        self.counter("pyflake_clock_syncs_total", "Reads of the wall clock.", clock.syncs);
        self.counter("pyflake_clock_step_backs_total", "Times the wall clock was set back.", clock.step_backs);
    }

    fn lease(&mut self, state: LeaseState, left: Duration) {
        self.gauge("pyflake_lease_window_seconds", "The rest of the lease's window.", seconds(left));
        self.family("pyflake_lease", "gauge", "1 for the current state of the lease.");
        for (name, is) in [
            ("held", matches!(state, LeaseState::Held { .. })),
            ("degraded", matches!(state, LeaseState::Degraded { .. })),
            ("expired", matches!(state, LeaseState::Expired { .. })),
            ("lost", state == LeaseState::Lost),
        ] {
            self.sample("pyflake_lease", &format!("{{state=\"{name}\"}}"), u8::from(is));
        }
    }

    fn lifetime(&mut self, lifetime: Lifetime, now: u64) {
        let (all, bigint) = (lifetime.remaining(now), lifetime.i64_remaining(now));
        self.gauge("pyflake_lifetime_seconds", "The time until there are no more IDs.", seconds(all));
        self.gauge("pyflake_bigint_lifetime_seconds", "The time until IDs do not fit a BIGINT.", seconds(bigint));
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, "", value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a `String` cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// A time in seconds, the unit of Prometheus.
fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
