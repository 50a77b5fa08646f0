//! The statements. Each is one transaction, and asks the server for all that it depends on.
//!
//! # Why the windows of a node do not overlap
//!
//! A node is a row, and its row lock orders all changes to it. `until_ms` rises with every `acquire` and `renew`, and the
//! floor of a grant is at least the `until_ms` that its own transaction has read under the lock. A `release` sets it to the
//! end of what was used, and a `renew` raises it, only while token and nonce are the caller's, that is before the next
//! `acquire`. A `release` may raise it too: on a server that went back, the row may have less than was used. Each answer comes
//! after the commit was flushed. So of any two tenures the later starts at or after the end of the earlier's last
//! acknowledged window. No clock has a part in it: `expires_at` says only who may try.
//!
//! # Why a server that went back changes nothing
//!
//! That needs a server that keeps what it has acknowledged. Three guards cover one that does not:
//!
//! - **Identity.** The realm's row names the server. On another one every statement does nothing until `fence` was run.
//!   To read the identity costs more than a renewal. So the caller passes the run of the server on which it has read it: while
//!   the run stays, the identity does.
//! - **Position.** The caller passes the generation of the realm and the flushed WAL position that it has seen. On a server
//!   that is before them a statement does nothing until `fence` was run. The position counts what is flushed, so a crash
//!   never takes it back. A row before the holder's own grant is found when the renewal does nothing, and fences too.
//! - **Start.** A restore that nobody remembers starts the server. A row that nobody has proven since the start is acquired
//!   with a floor of the start plus the longest window plus twice the skew. A holder proves its row by a renewal or a release
//!   with the nonce of the row, provided that the row had not expired when the server started. A matching nonce alone proves
//!   nothing: a later tenure may be what was lost. But a row that expires after the start cannot have been taken before it,
//!   as only an expired row is. A holder whose row had expired before the start is lost, and its node rests. Rows of a
//!   realm that is new on a cluster that is new are proven, as there was nothing to lose.
//!
//! The last guard compares the clock that has taken a node with the clock at the start. It needs no margin while one clock
//! does both. A snapshot that another machine starts must not start there, by that machine's clock, before the old server
//! ended by its own. A margin of the skew would take the lease of every holder at every restart, as it is longer than a
//! window. An eviction is not covered: it frees a row that has not expired. If a restore takes the eviction back within a
//! window of it, then the evicted holder renews, and the node has two holders until the other one renews.
//!
//! # Why a renewal in time asks less
//!
//! Parsing and planning are most of what a renewal costs the server. `renew_in_time` has fewer
//! conditions than `renew`, and each of them is as strong:
//!
//! - **`proven_at` is the start of the server.** So a statement that has checked the identity has
//!   written this row since the start. The timeline is still the same: it changes when a standby is
//!   promoted, and a standby writes no row before that.
//! - **The file of the table is the one that the caller has seen.** So database and table are the same.
//! - **`proven_in` is the generation that the caller has seen.** `acquire` and `renew` store the
//!   realm's. A fence leaves no nonce. So a row with a nonce is of the realm's generation, or it was
//!   taken with the floor that the fence has left.
//! - **The position** is compared as in `renew`.
//! - **The window grows by at most a window.** That is always admitted.
//!
//! Where it does nothing, `read` says why, and `renew` decides.
//!
//! # How a restore is fenced once
//!
//! `fence` compares and swaps `generation`: of two callers that notice one restore, one fences and the other finds a later
//! generation. It ends every tenure by its row, so that statements that have read the realm before it change nothing: they
//! find another nonce under the row's lock, or take the row with the floor that the fence has left.

use crate::lease::error::LeaseError;
use crate::lease::postgres::identity::{Identity, quoted};

/// The server's clock in Unix milliseconds, as it was when the statement came.
const NOW: &str = "floor(extract(epoch FROM now()) * 1000)::bigint";

/// True, and has the transaction flushed at its end whatever the server's default; one that asks for more stays as it
/// is. As a condition of a row that is written, so that none is written without it.
const FLUSHED: &str = "set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
    WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true) IS NOT NULL";

/// How long a row is held from now on.
const EXPIRES: &str = "expires_at = now() + n.window_ms * interval '1 ms'";

/// How many seconds after its creation a cluster that starts is new.
const NEW_WITHIN: u32 = 10;

/// Whether a window may be stored, by the names of the values: it ends no later than the stored one; or it starts near the
/// server's clock; or it grows by no more than a window and the server's time since the last renewal.
fn admitted(until: &str, skew: &str) -> String {
    format!(
        "({until} <= n.until_ms OR {until} - n.window_ms - {NOW} <= {skew} OR {until} - n.until_ms <= n.window_ms \
         + CASE WHEN isfinite(n.expires_at) THEN greatest(0, \
         {NOW} - floor(extract(epoch FROM n.expires_at) * 1000)::bigint + n.window_ms) ELSE 0 END)"
    )
}

/// `Statements::renew_in_time`.
fn renew_in_time(nodes: &str, identity: &Identity) -> String {
    let (started, position) = (identity.started(), identity.flushed_to());
    format!(
        "UPDATE {nodes} n SET owner_nonce = $6, until_ms = greatest(n.until_ms, $5), {EXPIRES} \
         WHERE n.realm = $1 AND n.node = $2 AND n.token = $3 AND n.owner_nonce IN ($4, $6) \
         AND n.proven_at = {started} AND $5 - n.until_ms <= n.window_ms AND n.proven_in = $7 \
         AND {position} >= $8 AND pg_relation_filepath(n.tableoid) = $9 AND {FLUSHED} \
         RETURNING n.until_ms, {position} AS position"
    )
}

/// The statements for the tables of a schema, and an identity. Their values are `$1, $2, ...` in the order given.
#[derive(Debug)]
pub(super) struct Statements {
    /// `realm, node` → the realm, the server, and that node's row: what could keep a statement from doing anything.
    pub(super) read: String,
    /// `realm, epoch, layout` → nothing. If two do so at once, the first one's realm stands.
    pub(super) create: String,
    /// `realm, window` → nothing: notes how long a window may be before the first of that length is given out.
    pub(super) lengthen: String,
    /// `realm, epoch, layout, now, window, max_skew, nonce, label, first, max_floor, generation, position, run` → `node, floor,
    /// until, token, position`, or nothing: every node is held or rests, or `read` tells what is wrong.
    ///
    /// Nodes that need no wait come first, from the index `first` on; then the one with the shortest wait. Rows that others
    /// are just taking are passed over. A row that changed since the search is read again under its lock, floor included.
    pub(super) acquire: String,
    /// `realm, max_skew` → the lowest floor of a free node, if there is one, and what it is made of.
    pub(super) rest: String,
    /// `realm, node, token, nonce, until, max_skew, next_nonce, generation, position, run` → `until, position`, or nothing.
    ///
    /// It stores what is `admitted`. So a holder goes on when the server's clock is set back, and one that jumps years ahead
    /// is refused.
    pub(super) renew: String,
    /// `realm, node, token, nonce, until, next_nonce, generation, position, file` → `until, position`,
    /// or nothing: a renewal in time, of a row that is proven. It does nothing that `renew` would not.
    pub(super) renew_in_time: String,
    /// As `renew`, for several: `realm, max_skew, generation, position, run, nodes, tokens, nonces, untils,
    /// next_nonces` → `node, until, next_nonce, position` of each that was renewed.
    pub(super) renew_all: String,
    /// `realm, node, token, nonce, used_until, floor, generation, position, run` → `position` if it was done.
    pub(super) release: String,
    /// `realm, node` → the holder's label, if it was held: ends a tenure without its holder, and leaves its window.
    pub(super) evict: String,
    /// `realm, server, generation, next_generation, window, slack, at_least, cause` → nothing: makes this the realm's server
    /// in the place of that one, of whose last windows nothing may be known here. Every tenure ends, and every node rests
    /// until those have passed by any clock that was admitted.
    pub(super) fence: String,
    /// `realm` → every node that was ever used.
    pub(super) nodes: String,
    /// Creates the tables.
    pub(super) migration: String,
}

impl Statements {
    pub(super) fn new(schema: &str, identity: &Identity) -> Result<Self, LeaseError> {
        identity.check()?;
        let schema = quoted(schema)?;
        let (realms, nodes) = (format!("{schema}.pyflake_realms"), format!("{schema}.pyflake_nodes"));
        let migration = super::MIGRATION.replace("public.", &format!("{schema}."));
        let (server, run, position) = (identity.server(&nodes), identity.run(&nodes), identity.flushed_to());
        let (started, started_ms, age) = (identity.started(), identity.started_ms(), identity.age_at_start());
        // The realm is as the caller has seen it, on the run of the server that it was seen on, which is not before that.
        let sound = |[generation, seen, run_seen]: [u8; 3]| {
            format!("generation = ${generation} AND {position} >= ${seen} AND {run} = ${run_seen}")
        };
        // The floor of a row, `skew` being a value's name.
        let floor = |skew: &str| {
            format!(
                "CASE WHEN n.proven_at = {started} THEN n.until_ms \
                 ELSE greatest(n.until_ms, {started_ms} + r.longest_window_ms + 2 * {skew}) END"
            )
        };
        // Whether a row with its holder's nonce is the latest one.
        let proves = format!("(n.proven_at = {started} OR n.expires_at > {started})");
        let renewed = |generation: u8| format!("{EXPIRES}, proven_at = {started}, proven_in = ${generation}");
        let (renewed_one, renewed_all) = (renewed(8), renewed(3));
        let (acquire_sound, renew_sound) = (sound([11, 12, 13]), sound([8, 9, 10]));
        let (all_sound, release_sound) = (sound([3, 4, 5]), sound([7, 8, 9]));
        let (acquire_floor, rest_floor) = (floor("$6"), floor("$2"));
        let (admitted_one, admitted_all) = (admitted("$5", "$6"), admitted("w.until", "$2"));
        Ok(Statements {
            read: format!(
                "SELECT r.epoch_ms, r.layout, r.server, {server} AS here, r.longest_window_ms, r.generation, \
                 {NOW} AS now_ms, {position} AS position, {run} AS run, current_setting('fsync') AS fsync, \
                 n.token, n.owner_nonce, n.owner_label, n.window_ms, n.until_ms, coalesce({proves}, false) AS proves \
                 FROM (SELECT $1 AS realm) one LEFT JOIN {realms} r USING (realm) \
                 LEFT JOIN {nodes} n ON n.realm = r.realm AND n.node = $2"
            ),
            create: format!(
                "WITH created AS (INSERT INTO {realms} (realm, epoch_ms, layout, server) SELECT $1, $2, $3, {server} \
                 WHERE {FLUSHED} ON CONFLICT DO NOTHING RETURNING realm) \
                 INSERT INTO {nodes} (realm, node, proven_at) SELECT realm, node, \
                 CASE WHEN {age} BETWEEN 0 AND {NEW_WITHIN} THEN {started} END FROM created, generate_series(0, 1023) node"
            ),
            lengthen: format!(
                "UPDATE {realms} SET longest_window_ms = $2 WHERE realm = $1 AND longest_window_ms < $2 AND {FLUSHED}"
            ),
            acquire: format!(
                "WITH free AS (SELECT n.node, {acquire_floor} AS floor_ms FROM {realms} r, {nodes} n \
                 WHERE r.realm = $1 AND r.epoch_ms = $2 AND r.layout = $3 AND {acquire_sound} \
                 AND r.longest_window_ms >= $5 AND abs({NOW} - $4) <= $6 AND current_setting('fsync') = 'on' \
                 AND n.realm = $1 AND n.expires_at <= now() AND {acquire_floor} <= $10 \
                 ORDER BY greatest({acquire_floor}, $4), (n.node - $9 + 1024) % 1024 LIMIT 1 FOR UPDATE OF n SKIP LOCKED) \
                 UPDATE {nodes} n SET token = n.token + 1, owner_nonce = $7, owner_label = $8, acquired_at = now(), \
                 window_ms = $5, expires_at = now() + $5 * interval '1 ms', \
                 until_ms = greatest(free.floor_ms, $4) + $5, proven_at = {started}, proven_in = $11 \
                 FROM free WHERE n.realm = $1 AND n.node = free.node AND {FLUSHED} \
                 RETURNING n.node, free.floor_ms, n.until_ms, n.token, {position} AS position"
            ),
            rest: format!(
                "SELECT {rest_floor} AS floor_ms, n.until_ms, r.rest_ms, r.rest_cause, {NOW} AS now_ms \
                 FROM {realms} r, {nodes} n WHERE r.realm = $1 AND n.realm = $1 AND n.expires_at <= now() \
                 ORDER BY 1 LIMIT 1"
            ),
            renew: format!(
                "UPDATE {nodes} n SET owner_nonce = $7, until_ms = greatest(n.until_ms, $5), {renewed_one} \
                 WHERE n.realm = $1 AND n.node = $2 AND n.token = $3 AND n.owner_nonce IN ($4, $7) AND {proves} \
                 AND {admitted_one} \
                 AND EXISTS (SELECT FROM {realms} WHERE realm = $1 AND {renew_sound}) AND {FLUSHED} \
                 RETURNING n.until_ms, {position} AS position"
            ),
            renew_in_time: renew_in_time(&nodes, identity),
            renew_all: format!(
                "UPDATE {nodes} n SET owner_nonce = w.next_nonce, until_ms = greatest(n.until_ms, w.until), {renewed_all} \
                 FROM unnest($6, $7, $8, $9, $10) w(node, token, nonce, until, next_nonce) \
                 WHERE n.realm = $1 AND n.node = w.node AND n.token = w.token \
                 AND n.owner_nonce IN (w.nonce, w.next_nonce) AND {proves} AND {admitted_all} \
                 AND EXISTS (SELECT FROM {realms} WHERE realm = $1 AND {all_sound}) AND {FLUSHED} \
                 RETURNING n.node, n.until_ms, w.next_nonce, {position} AS position"
            ),
            release: format!(
                "UPDATE {nodes} n SET until_ms = greatest($5, $6), owner_nonce = NULL, \
                 expires_at = '-infinity', proven_at = {started} \
                 WHERE n.realm = $1 AND n.node = $2 AND n.token = $3 AND n.owner_nonce = $4 AND {proves} \
                 AND EXISTS (SELECT FROM {realms} WHERE realm = $1 AND {release_sound}) AND {FLUSHED} \
                 RETURNING {position} AS position"
            ),
            evict: format!(
                "UPDATE {nodes} SET owner_nonce = NULL, expires_at = '-infinity' \
                 WHERE realm = $1 AND node = $2 AND owner_nonce IS NOT NULL AND expires_at > now() AND {FLUSHED} \
                 RETURNING owner_label"
            ),
            fence: format!(
                "WITH moved AS (UPDATE {realms} SET server = {server}, generation = $4, \
                 longest_window_ms = greatest(longest_window_ms, $5), \
                 rest_ms = greatest(rest_ms, {NOW} + greatest(longest_window_ms, $5) + $6, $7), rest_cause = $8 \
                 WHERE realm = $1 AND server = $2 AND generation = $3 AND {FLUSHED} RETURNING rest_ms) \
                 UPDATE {nodes} n SET owner_nonce = NULL, expires_at = '-infinity', proven_at = {started}, \
                 until_ms = greatest(n.until_ms, moved.rest_ms) FROM moved WHERE n.realm = $1"
            ),
            nodes: format!(
                "SELECT node, token, owner_nonce IS NOT NULL AND expires_at > now() AS held, owner_label, until_ms, \
                 floor(extract(epoch FROM acquired_at) * 1000)::bigint AS acquired_ms \
                 FROM {nodes} WHERE realm = $1 AND token > 0 ORDER BY node"
            ),
            migration,
        })
    }
}
