//! Leases: a node of one's own, for as long as one can prove it.
//!
//! A lease gives a process a node and a window of time. The holder issues only IDs whose time lies in
//! `floor..until`; `until` is durably stored before it is used, and the next holder of the node gets the old `until`
//! as its floor. So the windows of all holders of a node are disjoint, whatever their clocks, pauses and crashes do:
//! no synchronised clocks and no timely renewals are needed, only that the store keeps what it has acknowledged.
//!
//! [`LeasedGenerator`] is what a server uses, and [`ShardedLeasedGenerator`] one that needs more than 4096 IDs a millisecond.
//! Two stores know nothing of each other, so all that issue IDs of one epoch
//! share one:
//!
//! | store                             | for whom                        | who is taken for dead                      |
//! |-----------------------------------|---------------------------------|--------------------------------------------|
//! | [`FileStore`]                     | the processes of a machine      | a process that has ended                   |
//! | `PostgresStore`, feature `lease-postgres` | a fleet of up to 1024 processes | a holder that has not renewed for a window |
//! | `EtcdStore`, feature `lease-etcd` | the same                        | the same                                   |
//! | your own [`LeaseStore`]           | whoever shares it               | as it says                                 |
//!
//! The module `conformance`, with the feature `lease-conformance`, has the contract as checks for a store of your own.
//!
//! # Why there is none on Redis
//!
//! A lease is as good as its store's memory, and Redis answers before its replicas have what it acknowledges: a failover
//! loses the last writes, `WAIT` narrows that and does not close it, and several independent masters do not help against
//! one that restarts without its last second. Two owners of one node were measured after a failover. A database that is
//! there for sessions and caches is the wrong place for the one fact that must not be forgotten.
//!
//! # In a server
//!
//! [`PyflakeClient::leased`](crate::PyflakeClient::leased) is what handlers share. `examples/server` in the repository is
//! a whole server, with its health, its metrics and its end.
//!
//! # In Kubernetes
//!
//! A lease needs no `StatefulSet`: any replica takes any node. What it needs is a `SIGTERM` that is answered by dropping
//! the generator, so that the node is free at once, and not a window later.
//!
//! ```yaml
//! apiVersion: apps/v1
//! kind: Deployment
//! metadata: { name: api }
//! spec:
//!   selector: { matchLabels: { app: api } }
//!   template:
//!     metadata: { labels: { app: api } }
//!     spec:
//!       terminationGracePeriodSeconds: 30
//!       containers:
//!         - name: api
//!           image: api
//!           env:
//!             - name: PYFLAKE_URL          # PostgresStore::open, or EtcdStore::open
//!               valueFrom: { secretKeyRef: { name: pyflake, key: url } }
//!             - name: POD_NAME             # LeasedGeneratorBuilder::label
//!               valueFrom: { fieldRef: { fieldPath: metadata.name } }
//!           readinessProbe:                # 200 while can_issue() is true, else 503
//!             httpGet: { path: /ready, port: 8080 }
//!             periodSeconds: 2
//! ```
//!
//! Leave the lease out of the liveness probe: a process that has lost its node is getting another one, and a new process
//! would do no better.
//!
//! # Under systemd
//!
//! ```ini
//! [Unit]
//! Wants=time-sync.target
//! After=time-sync.target
//!
//! [Service]
//! ExecStart=/usr/bin/api
//! # FileStore::open("/var/lib/pyflake", epoch): kept through restarts, and out of the reach of systemd-tmpfiles.
//! StateDirectory=pyflake
//! # SIGTERM, then time to give the node back.
//! TimeoutStopSec=30
//! Restart=always
//! ```
//!
#![doc = include_str!("scale.md")]

mod builder;
mod caught;
#[cfg(feature = "lease-conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "lease-etcd")]
mod etcd;
mod file;
#[cfg(any(feature = "lease-etcd", feature = "lease-postgres"))]
mod fleet;
mod generator;
mod hold;
mod keeper;
mod label;
mod pace;
mod pointer;
#[cfg(feature = "lease-postgres")]
mod postgres;
mod realm;
mod sharded;
mod shared;
mod state;
mod status;
mod store;
mod tenure;

pub use builder::LeasedGeneratorBuilder;
pub use error::LeaseError;
#[cfg(feature = "lease-etcd")]
pub use etcd::{EtcdStore, EtcdStoreBuilder};
pub use file::FileStore;
#[cfg(pyflake_fuzz)]
#[doc(hidden)]
pub use file::fuzzing;
pub use generator::LeasedGenerator;
#[cfg(feature = "lease-postgres")]
pub use postgres::{Identity, PostgresStore, PostgresStoreBuilder};
pub use sharded::ShardedLeasedGenerator;
pub use state::{LeaseState, OnLost};
pub use status::NodeStatus;
pub use store::{Grant, LeaseStore, Owner, Renewal, Request};
