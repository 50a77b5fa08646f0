//! IDs in a `BIGINT` through `postgres-types`, in a real PostgreSQL (see `ci/postgres.sh`).

use core::error::Error as _;

use crate::common::{EPOCH, NOW, node};
use crate::database::postgres_url;
use postgres_types::{FromSql, ToSql, Type};
use pyflake::{Generator, Snowflake};
use tokio_postgres::{Client, NoTls};

/// A connection with an empty table of IDs.
async fn table(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("CREATE TEMPORARY TABLE ids (id bigint PRIMARY KEY)").await.unwrap();
    client
}

fn cause(error: &tokio_postgres::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn ids_go_into_a_bigint_and_come_back_in_order() {
    let Some(url) = postgres_url() else { return };
    let client = table(&url).await;
    let mut ids: Vec<_> = Generator::new(EPOCH, node(30, 10)).unwrap().reserve(20).unwrap().rev().collect();
    ids.extend([i64::MAX.cast_unsigned(), 0, 473_032_512_445_898_752].map(Snowflake::from));
    for id in &ids {
        client.execute("INSERT INTO ids VALUES ($1)", &[id]).await.unwrap();
    }
    ids.sort();
    let rows = client.query("SELECT id FROM ids ORDER BY id", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<Snowflake>>(), ids);

    let range = Snowflake::range(EPOCH, NOW..NOW + 1).unwrap();
    let found = client.query_one("SELECT id FROM ids WHERE id BETWEEN $1 AND $2", &[range.start(), range.end()]).await;
    assert_eq!(found.unwrap().get::<_, Snowflake>(0).as_u64(), 473_032_512_445_898_752);
    let none = client.query_one("SELECT max(id) FROM ids WHERE false", &[]).await.unwrap();
    assert_eq!(none.get::<_, Option<Snowflake>>(0), None);
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_and_never_a_negative_number() {
    let Some(url) = postgres_url() else { return };
    let client = table(&url).await;
    let beyond = Snowflake::from(u64::MAX);
    let refused = client.execute("INSERT INTO ids VALUES ($1)", &[&beyond]).await.unwrap_err();
    assert!(cause(&refused).contains("18446744073709551615"), "{}", cause(&refused));
    assert_eq!(client.query_one("SELECT count(*) FROM ids", &[]).await.unwrap().get::<_, i64>(0), 0);
    let row = client.query_one("SELECT -7::bigint", &[]).await.unwrap();
    let refused = row.try_get::<_, Snowflake>(0).unwrap_err();
    assert!(cause(&refused).contains("-7"), "{}", cause(&refused));
}

#[test]
fn only_a_bigint_is_accepted() {
    for other in [Type::INT4, Type::TEXT, Type::NUMERIC, Type::OID] {
        assert!(!<Snowflake as ToSql>::accepts(&other) && !<Snowflake as FromSql>::accepts(&other), "{other}");
    }
    assert!(<Snowflake as ToSql>::accepts(&Type::INT8) && <Snowflake as FromSql>::accepts(&Type::INT8));
}
