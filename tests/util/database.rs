//! Where the database of the tests is, if there is one.

/// The PostgreSQL server that `ci/postgres.sh` has started, or `None` to skip the test.
pub(crate) fn postgres_url() -> Option<String> {
    let url = std::env::var("PYFLAKE_POSTGRES_URL").ok();
    if url.is_none() {
        assert!(std::env::var_os("PYFLAKE_REQUIRE_POSTGRES").is_none(), "PostgreSQL is required: run ci/postgres.sh");
        eprintln!("skipped: this test needs a PostgreSQL server; ci/postgres.sh COMMAND starts one for a command");
    }
    url
}
