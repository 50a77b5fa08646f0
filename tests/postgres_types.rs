//! The feature `postgres-types`, against a real server.
#![cfg(feature = "postgres-types")]

mod common;

use common::{EPOCH, NOW, postgres_url};
use postgres::{Client, NoTls};
use pyflake::Snowflake;

/// A connection with an empty table that only it sees.
fn connect() -> Option<Client> {
    let mut client = Client::connect(&postgres_url()?, NoTls).unwrap();
    client.batch_execute("CREATE TEMPORARY TABLE ids (id BIGINT PRIMARY KEY)").unwrap();
    Some(client)
}

fn select(client: &mut Client, rest: &str) -> Vec<Snowflake> {
    client.query(&format!("SELECT id FROM ids {rest}"), &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

#[test]
fn ids_come_back_in_the_order_of_rust() {
    let Some(mut client) = connect() else { return };
    let mut ids: Vec<_> = (0..63).map(|bit| Snowflake::from(1_u64 << bit)).collect();
    ids.extend([0, i64::MAX.cast_unsigned()].map(Snowflake::from));
    for id in ids.iter().rev() {
        client.execute("INSERT INTO ids VALUES ($1)", &[id]).unwrap();
    }
    ids.sort();
    assert_eq!(select(&mut client, "ORDER BY id"), ids);
    // A control: the order comes from the query.
    assert_ne!(select(&mut client, "ORDER BY id DESC"), ids);
}

#[test]
fn what_is_no_bigint_is_an_error() {
    let Some(mut client) = connect() else { return };
    for id in [1 << 63, u64::MAX] {
        let error = client.execute("INSERT INTO ids VALUES ($1)", &[&Snowflake::from(id)]).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(&id.to_string()), "{source}");
    }
    assert_eq!(select(&mut client, ""), []);
    client.execute("INSERT INTO ids VALUES (-1)", &[]).unwrap();
    let row = client.query_one("SELECT id FROM ids", &[]).unwrap();
    assert_eq!(row.get::<_, i64>(0), -1);
    assert!(row.try_get::<_, Snowflake>(0).is_err());
}

#[test]
fn a_range_of_times_is_between() {
    let Some(mut client) = connect() else { return };
    let edges = [NOW, NOW + 9].map(|time| Snowflake::first_at(EPOCH, time).unwrap().as_u64());
    for id in edges.iter().flat_map(|edge| [edge - 1, *edge]) {
        client.execute("INSERT INTO ids VALUES ($1)", &[&Snowflake::from(id)]).unwrap();
    }
    let range = Snowflake::range(EPOCH, NOW..NOW + 9).unwrap();
    let rows = client
        .query("SELECT id FROM ids WHERE id BETWEEN $1 AND $2 ORDER BY id", &[range.start(), range.end()])
        .unwrap();
    let ids: Vec<u64> = rows.iter().map(|row| row.get::<_, Snowflake>(0).as_u64()).collect();
    assert_eq!(ids, [edges[0], edges[1] - 1]);
}
