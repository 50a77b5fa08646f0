//! The feature `sqlx`, against databases in memory and a real server.
#![cfg(feature = "sqlx")]

mod common;

use common::{EPOCH, NOW, postgres_url};
use pyflake::Snowflake;
use sqlx::{Connection, PgConnection, Row, SqliteConnection};

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

macro_rules! database {
    ($connection:ty, $url:expr, $prefix:ident) => {
        mod $prefix {
            use super::*;

            /// A connection with an empty table that only it sees.
            async fn connect() -> Option<$connection> {
                let mut db = <$connection>::connect(&$url?).await.unwrap();
                sqlx::query("CREATE TEMPORARY TABLE ids (id BIGINT PRIMARY KEY)").execute(&mut db).await.unwrap();
                Some(db)
            }

            async fn insert(db: &mut $connection, id: u64) -> Result<(), sqlx::Error> {
                sqlx::query("INSERT INTO ids VALUES ($1)").bind(Snowflake::from(id)).execute(db).await.map(|_| ())
            }

            #[test]
            fn ids_come_back_in_the_order_of_rust() {
                block_on(async {
                    let Some(mut db) = connect().await else { return };
                    let mut ids: Vec<_> = (0..63).map(|bit| 1_u64 << bit).collect();
                    ids.extend([0, i64::MAX.cast_unsigned()]);
                    for &id in ids.iter().rev() {
                        insert(&mut db, id).await.unwrap();
                    }
                    let mut ids: Vec<_> = ids.into_iter().map(Snowflake::from).collect();
                    ids.sort();
                    let up = sqlx::query_scalar::<_, Snowflake>("SELECT id FROM ids ORDER BY id");
                    assert_eq!(up.fetch_all(&mut db).await.unwrap(), ids);
                    // A control: the order comes from the query.
                    let down = sqlx::query_scalar::<_, Snowflake>("SELECT id FROM ids ORDER BY id DESC");
                    assert_ne!(down.fetch_all(&mut db).await.unwrap(), ids);
                });
            }

            #[test]
            fn what_is_no_bigint_is_an_error() {
                block_on(async {
                    let Some(mut db) = connect().await else { return };
                    for id in [1 << 63, u64::MAX] {
                        let error = insert(&mut db, id).await.unwrap_err().to_string();
                        assert!(error.contains(&id.to_string()), "{error}");
                    }
                    sqlx::query("INSERT INTO ids VALUES (-1)").execute(&mut db).await.unwrap();
                    let rows = sqlx::query("SELECT id FROM ids").fetch_all(&mut db).await.unwrap();
                    assert_eq!(rows.len(), 1);
                    assert_eq!(rows[0].get::<i64, _>(0), -1);
                    assert!(rows[0].try_get::<Snowflake, _>(0).is_err());
                });
            }

            #[test]
            fn a_range_of_times_is_between() {
                block_on(async {
                    let Some(mut db) = connect().await else { return };
                    let edges = [NOW, NOW + 9].map(|time| Snowflake::first_at(EPOCH, time).unwrap().as_u64());
                    for id in edges.iter().flat_map(|edge| [edge - 1, *edge]) {
                        insert(&mut db, id).await.unwrap();
                    }
                    let range = Snowflake::range(EPOCH, NOW..NOW + 9).unwrap();
                    let query =
                        sqlx::query_scalar::<_, Snowflake>("SELECT id FROM ids WHERE id BETWEEN $1 AND $2 ORDER BY id");
                    let ids = query.bind(*range.start()).bind(*range.end()).fetch_all(&mut db).await.unwrap();
                    assert_eq!(ids, [edges[0], edges[1] - 1].map(Snowflake::from));
                });
            }
        }
    };
}

database!(SqliteConnection, Some("sqlite::memory:".to_owned()), sqlite);
database!(PgConnection, postgres_url(), postgres);
