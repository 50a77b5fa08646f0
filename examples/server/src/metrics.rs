//! `/metrics`: what Prometheus pulls, in its text format.
//!
//! All of it is read here, of numbers that the library keeps anyway; on the way of an ID nothing is counted for it.

use core::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use pyflake::lease::{LeaseState, LeasedGenerator};
use pyflake::{Clock, Info, Lifetime, PyflakeClient, Stats, SystemClock};

pub(crate) async fn metrics(State(client): State<Arc<PyflakeClient>>) -> impl IntoResponse {
    let (info, now) = (client.info(), SystemClock::new().unix_millis());
    let mut page = Page::default();
    page.client(info);
    page.generator(&client.stats());
    if let Some(state) = client.lease().map(LeasedGenerator::state) {
        page.lease(state);
    }
    page.lifetime(info.epoch.lifetime(), now);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.0)
}

/// Families of metrics, one after the other.
#[derive(Default)]
struct Page(String);

impl Page {
    fn client(&mut self, info: Info) {
        self.counter("pyflake_ids_total", "IDs that were issued, over all nodes.", info.generated);
        if let (Some(pid), Some(seed), true) = (info.pid, info.seed, info.generator) {
            self.family("pyflake_node", "gauge", "The node that issues.");
            self.sample("pyflake_node", &format!("{{pid=\"{pid}\",seed=\"{seed}\"}}"), 1);
        }
    }

    /// Its counters begin anew on another node, which Prometheus takes for a restart, as it should.
    fn generator(&mut self, stats: &Stats) {
        self.counter("pyflake_waits_total", "Waits for a later millisecond.", stats.waits);
        self.counter("pyflake_wait_seconds_total", "The time of those waits.", seconds(stats.waited));
        self.counter("pyflake_lost_races_total", "Claims that another thread was faster than.", stats.lost_races);
        self.gauge("pyflake_lead_seconds", "How far the last ID is ahead of the clock.", seconds(stats.lead));
        if let Some(left) = stats.window {
            self.gauge("pyflake_lease_window_seconds", "What is left of the lease's window.", seconds(left));
        }
        let clock = stats.clock;
        self.gauge("pyflake_clock_lead_seconds", "How far the clock is ahead of the wall clock.", seconds(clock.lead));
        self.counter("pyflake_clock_syncs_total", "Looks at the wall clock.", clock.syncs);
        self.counter("pyflake_clock_step_backs_total", "Times the wall clock was set back.", clock.step_backs);
    }

    fn lease(&mut self, state: LeaseState) {
        self.family("pyflake_lease", "gauge", "1 for the state that the lease is in.");
        for (name, is) in [
            ("held", matches!(state, LeaseState::Held { .. })),
            ("degraded", matches!(state, LeaseState::Degraded { .. })),
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
        // A string takes whatever is written to it, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// Prometheus counts in seconds.
fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
