//! The common part of the fuzz targets: a simulated member of an etcd cluster.

pub mod member;
