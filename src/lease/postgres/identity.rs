//! How a store tells one server from another, and a server from its own past.

use crate::lease::error::LeaseError;
use crate::lease::fleet::check_name;

/// How a realm knows that the server is the one that has kept its windows.
///
/// All that open a realm use the same identity; another one is refused with [`LeaseError::RealmMismatch`]. To change it,
/// stop all holders and run `UPDATE pyflake_realms SET server = '' WHERE realm = '...'`: the next to open the realm fences
/// it, as after a failover.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// The server's own: cluster, timeline, database and table, with the WAL position and the server's start.
    ///
    /// A failover, a restored backup, a restored dump and a recreated table are noticed. This is the default. It needs
    /// `EXECUTE` on `pg_control_system`, `pg_walfile_name`, `pg_current_wal_insert_lsn`, `pg_current_wal_flush_lsn` and
    /// `pg_postmaster_start_time`, which every role has unless it was revoked.
    #[default]
    Server,
    /// A name of your own, with database and table, for a server that hides its WAL functions, such as Amazon Aurora.
    ///
    /// With it you vouch for the engine: **no failover, restart or crash loses a write that was acknowledged**, and nobody
    /// restores an earlier state under this name. Nothing rests after a start of the server, and a server that goes back
    /// is noticed only by a holder whose row went back. After a restore, open the realm by a new name (see above).
    Named(String),
}

/// The identity as the realm's row has it: what the fleet chose, then what changes with the server.
const NAMED: &str = "named:";

impl Identity {
    pub(super) fn check(&self) -> Result<(), LeaseError> {
        match self {
            Identity::Server => Ok(()),
            Identity::Named(name) => check_name(name),
        }
    }

    /// SQL for the text that identifies the server. As a query of its own it is run once for a statement.
    pub(super) fn server(&self, nodes: &str) -> String {
        let place = format!(
            "'/' || (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || {}::regclass::oid",
            literal(nodes)
        );
        match self {
            Identity::Server => format!(
                "(SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' \
                 || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) || {place})"
            ),
            Identity::Named(name) => format!("(SELECT {} || {place})", literal(&format!("{NAMED}{name}"))),
        }
    }

    /// SQL for the position up to which the server has flushed: a crash takes back nothing before it.
    pub(super) fn flushed_to(&self) -> &'static str {
        match self {
            Identity::Server => "pg_current_wal_flush_lsn()",
            Identity::Named(_) => "'0/0'::pg_lsn",
        }
    }

    /// SQL for a text that stays as long as the server runs and has the table, so that its identity need not be read again.
    /// It is cheaper than the identity: start of the server, timeline, and the table's file, with the database in its path.
    /// [`file_of`] reads the last part of it.
    pub(super) fn run(&self, nodes: &str) -> String {
        let file = format!("pg_relation_filepath({}::regclass)", literal(nodes));
        match self {
            Identity::Server => format!(
                "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint || '/' \
                 || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8) || '/' || {file}"
            ),
            Identity::Named(_) => format!("'//' || {file}"),
        }
    }

    /// SQL for the start of the server; a constant where no start is a reason to rest.
    pub(super) fn started(&self) -> &'static str {
        match self {
            Identity::Server => "pg_postmaster_start_time()",
            Identity::Named(_) => "'-infinity'::timestamptz",
        }
    }

    /// SQL for the Unix millisecond of that start.
    pub(super) fn started_ms(&self) -> &'static str {
        match self {
            Identity::Server => "floor(extract(epoch FROM pg_postmaster_start_time()) * 1000)::bigint",
            // As early as no window changes it.
            Identity::Named(_) => "(-4611686018427387904)::bigint",
        }
    }

    /// SQL for the seconds between the cluster's creation, which its identifier has in its upper half, and this start.
    pub(super) fn age_at_start(&self) -> &'static str {
        match self {
            Identity::Server => {
                "(extract(epoch FROM pg_postmaster_start_time()) \
                 - ((SELECT system_identifier FROM pg_control_system()) >> 32))"
            }
            Identity::Named(_) => "0",
        }
    }

    /// Whether a stored identity was written by a fleet with this one, on whichever server.
    pub(super) fn made(&self, stored: &str) -> bool {
        match self {
            _ if stored.is_empty() => true,
            Identity::Server => !stored.starts_with(NAMED),
            Identity::Named(name) => stored.strip_prefix(NAMED).and_then(named).is_some_and(|stored| stored == name),
        }
    }

    /// The identity in words, for messages.
    pub(super) fn words(&self) -> String {
        format!("{self:?}")
    }
}

/// The file of the table, in a run of the server; empty before one was read.
pub(super) fn file_of(run: &str) -> &str {
    run.splitn(3, '/').nth(2).unwrap_or_default()
}

/// A stored identity in words, for messages.
pub(super) fn words(stored: &str) -> String {
    let identity = match stored.strip_prefix(NAMED) {
        Some(named_so) => Identity::Named(named(named_so).unwrap_or(named_so).into()),
        None => Identity::Server,
    };
    identity.words()
}

/// The name in front of database and table.
fn named(stored: &str) -> Option<&str> {
    stored.rsplitn(3, '/').nth(2)
}

/// A text as SQL, whatever is in it and whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('\'', "''");
    format!("E'{escaped}'")
}

/// An identifier as SQL. The server would cut a longer one short.
pub(super) fn quoted(schema: &str) -> Result<String, LeaseError> {
    const LONGEST: usize = 63;
    let reason = match schema.len() {
        0 => "is empty".into(),
        1..=LONGEST if !schema.contains('\0') => return Ok(format!("\"{}\"", schema.replace('"', "\"\""))),
        1..=LONGEST => "contains '\\0'".into(),
        bytes => format!("has {bytes} bytes, and the limit is {LONGEST}"),
    };
    let start: String = schema.chars().take(LONGEST).collect();
    Err(LeaseError::InvalidConfig {
        setting: format!("the schema's name {start:?}"),
        reason,
        remedy: format!("use 1 to {LONGEST} bytes without NUL, or `public`"),
    })
}

#[cfg(test)]
mod tests {
    use super::{Identity, file_of, literal, quoted, words};
    use crate::lease::error::LeaseError;

    #[test]
    fn a_stored_identity_is_known_by_those_who_chose_it() {
        let (server, orders) = (Identity::Server, Identity::Named("orders".into()));
        for own in ["7/00000001", "7/00000001/5/16384", ""] {
            assert!(server.made(own), "{own}");
        }
        assert!(orders.made("named:orders/5/16384") && orders.made(""));
        for other in ["7/00000001/5/16384", "named:order/5/16384", "named:orders/16384"] {
            assert!(!orders.made(other), "{other}");
        }
        assert!(!server.made("named:orders/5/16384"));
        assert_eq!(words("named:orders/5/16384"), "Named(\"orders\")");
        assert_eq!(words("7/00000001/5/16384"), "Server");
    }

    #[test]
    fn a_run_ends_with_the_file_of_the_table() {
        assert_eq!(file_of("1700000000000000/00000001/base/5/16384"), "base/5/16384");
        assert_eq!(file_of("//base/5/16384"), "base/5/16384");
        assert_eq!(file_of(""), "");
    }

    #[test]
    fn text_in_sql_stays_text() {
        assert_eq!(literal(r"it's \' "), r"E'it''s \\'' '");
        assert_eq!(quoted("a\"b").unwrap(), "\"a\"\"b\"");
        for (bad, part) in [("", "is empty"), ("a\0", r"contains '\0'"), (&"x".repeat(64), "has 64 bytes")] {
            let error = quoted(bad).unwrap_err();
            assert!(matches!(error, LeaseError::InvalidConfig { .. }), "{error:?}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
