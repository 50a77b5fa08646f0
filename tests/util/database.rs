//! The database of the tests, if there is one.

use crate::skip::needed;

/// The PostgreSQL server that `ci/postgres.sh` has started, or `None` to skip the test.
pub(crate) fn postgres_url() -> Option<String> {
    let what = "a PostgreSQL server: ci/postgres.sh COMMAND starts one for a command";
    needed(std::env::var("PYFLAKE_POSTGRES_URL").ok(), "PYFLAKE_REQUIRE_POSTGRES", what)
}
