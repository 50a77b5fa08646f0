//! What the fuzz targets share: a member of an etcd cluster that answers as it is told.

pub mod member;
