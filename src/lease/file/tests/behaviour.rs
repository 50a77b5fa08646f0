//! What the store does, on this machine's disk.
