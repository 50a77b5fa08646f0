//! The statements. Each is one transaction, and asks the server for all that it depends on.
//!
//! # Why the windows of a node do not overlap
//!
//! A node is a row, and its row lock orders all that is done to it. `until_ms` rises with every `ACQUIRE` and `RENEW`,
//! and the floor of a grant is the `until_ms` that its own transaction has found under the lock. A `RELEASE` lowers it,
//! and a `RENEW` raises it, only while token and nonce are the caller's, that is before the next `ACQUIRE`. What came
//! back to the caller was committed, and flushed, before. So of any two tenures the later starts where the earlier's
//! last acknowledged window ends, or later: no clock has a part in it, `expires_at` says only who may try.
//!
//! That needs a server that keeps what it has acknowledged: a realm knows which one has kept its windows, and all
//! statements do nothing on another one until `FENCE` has been run there.

/// Which server this is: its cluster, and the timeline, which a failover and a restore from a backup count up. As a query
/// of its own it is run once for a statement, not for each row.
macro_rules! server {
    () => {
        "(SELECT (SELECT system_identifier FROM pg_control_system())::text || '/' \
          || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))"
    };
}

/// The server's clock in Unix milliseconds, as it was when the statement came.
macro_rules! now_ms {
    () => {
        "floor(extract(epoch FROM now()) * 1000)::bigint"
    };
}

/// True, and has the transaction flushed at its end whatever the server's default; one that asks for more stays as it
/// is. As a condition of a row that is written, so that none is written without it.
macro_rules! flushed {
    () => {
        "set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
         WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true) IS NOT NULL"
    };
}

/// `realm` → what it is for, and what would keep its nodes from being acquired.
pub(super) const LOOK: &str = concat!(
    "SELECT r.epoch_ms, r.layout, r.server, ",
    server!(),
    " AS here, r.longest_window_ms, ",
    now_ms!(),
    " AS now_ms, current_setting('fsync') AS fsync \
     FROM (SELECT $1 AS realm) one LEFT JOIN pyflake_realms r USING (realm)"
);

/// `realm, epoch, layout` → nothing. If two do so at once, the first one's realm stands.
pub(super) const FOUND: &str = concat!(
    "WITH founded AS (INSERT INTO pyflake_realms (realm, epoch_ms, layout, server) SELECT $1, $2, $3, ",
    server!(),
    " WHERE ",
    flushed!(),
    " ON CONFLICT DO NOTHING RETURNING realm) \
     INSERT INTO pyflake_nodes (realm, node) SELECT realm, node FROM founded, generate_series(0, 1023) node"
);

/// `realm, window` → nothing: notes how long a window may be before the first of that length is given out.
pub(super) const LENGTHEN: &str = concat!(
    "UPDATE pyflake_realms SET longest_window_ms = $2 WHERE realm = $1 AND longest_window_ms < $2 AND ",
    flushed!()
);

/// `realm, epoch, layout, now, window, max_skew, nonce, label` → `node, floor, until, token`, or nothing: every node is
/// held, or `LOOK` tells what is wrong.
///
/// Rows that others are just taking are passed over. One that changed under the search is looked at again under its
/// lock, and so is the floor.
pub(super) const ACQUIRE: &str = concat!(
    "WITH free AS (SELECT n.node, n.until_ms AS floor_ms FROM pyflake_realms r, pyflake_nodes n \
     WHERE r.realm = $1 AND r.epoch_ms = $2 AND r.layout = $3 AND r.server = ",
    server!(),
    " AND r.longest_window_ms >= $5 AND abs(",
    now_ms!(),
    " - $4) <= $6 AND current_setting('fsync') = 'on' AND n.realm = $1 AND n.expires_at <= now() \
     ORDER BY n.until_ms, n.node LIMIT 1 FOR UPDATE OF n SKIP LOCKED) \
     UPDATE pyflake_nodes n SET token = n.token + 1, owner_nonce = $7, owner_label = $8, acquired_at = now(), \
     window_ms = $5, expires_at = now() + $5 * interval '1 ms', until_ms = greatest(free.floor_ms, $4) + $5 \
     FROM free WHERE n.realm = $1 AND n.node = free.node AND ",
    flushed!(),
    " RETURNING n.node, free.floor_ms, n.until_ms, n.token"
);

/// `realm, node, token, nonce, until, max_skew, next_nonce` → `until`, or nothing.
///
/// The holder's clock is what it asks for, less its window, if that is more than it has: a window that starts ahead of the
/// clock is renewed as it is. It is at fault only ahead of the server's: what is asked for by a clock that is behind
/// changes nothing.
pub(super) const RENEW: &str = concat!(
    "UPDATE pyflake_nodes SET owner_nonce = $7, until_ms = greatest(until_ms, $5), expires_at = now() + window_ms * interval '1 ms' \
     WHERE realm = $1 AND node = $2 AND token = $3 AND owner_nonce IN ($4, $7) AND ($5 <= until_ms OR $5 - window_ms - ",
    now_ms!(),
    " <= $6) AND (SELECT server FROM pyflake_realms WHERE realm = $1) = ",
    server!(),
    " AND ",
    flushed!(),
    " RETURNING until_ms"
);

/// `realm, node, token, nonce, used_until, floor` → a row if it was done.
pub(super) const RELEASE: &str = concat!(
    "UPDATE pyflake_nodes SET until_ms = least(until_ms, greatest($5, $6)), owner_nonce = NULL, \
     expires_at = '-infinity' WHERE realm = $1 AND node = $2 AND token = $3 AND owner_nonce = $4 \
     AND (SELECT server FROM pyflake_realms WHERE realm = $1) = ",
    server!(),
    " AND ",
    flushed!(),
    " RETURNING node"
);

/// `realm, node` → the holder's label, if it was held: ends a tenure without its holder, and leaves its window.
pub(super) const EVICT: &str = concat!(
    "UPDATE pyflake_nodes SET owner_nonce = NULL, expires_at = '-infinity' \
     WHERE realm = $1 AND node = $2 AND owner_nonce IS NOT NULL AND expires_at > now() AND ",
    flushed!(),
    " RETURNING owner_label"
);

/// `realm, server, slack` → nothing: makes this the realm's server in the place of that one, of whose last windows
/// nothing may be known here. Every tenure ends, and every node rests until those have passed by any clock that was
/// admitted.
pub(super) const FENCE: &str = concat!(
    "WITH moved AS (UPDATE pyflake_realms SET server = ",
    server!(),
    " WHERE realm = $1 AND server = $2 AND ",
    flushed!(),
    " RETURNING longest_window_ms) \
     UPDATE pyflake_nodes n SET owner_nonce = NULL, expires_at = '-infinity', until_ms = greatest(n.until_ms, ",
    now_ms!(),
    " + moved.longest_window_ms + $3) FROM moved WHERE n.realm = $1"
);

/// `realm, node` → who has it, for the message of a lost lease.
pub(super) const HOLDER: &str =
    "SELECT token, owner_nonce, owner_label, window_ms FROM pyflake_nodes WHERE realm = $1 AND node = $2";

/// `realm` → every node that was ever used.
pub(super) const NODES: &str = "SELECT node, token, owner_nonce IS NOT NULL AND expires_at > now() AS held, \
    owner_label, until_ms, floor(extract(epoch FROM acquired_at) * 1000)::bigint AS acquired_ms \
    FROM pyflake_nodes WHERE realm = $1 AND token > 0 ORDER BY node";
