//! Files that are not as they were written.
