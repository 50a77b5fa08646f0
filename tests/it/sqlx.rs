//! IDs in a `BIGINT` through sqlx: in SQLite always, in PostgreSQL where a server is given (see `ci/postgres.sh`).

use crate::common::{EPOCH, NOW, node};
use crate::database::postgres_url;
use pyflake::{Generator, Snowflake};
use sqlx::{Connection, Executor, PgConnection, Row, SqliteConnection};

/// IDs of all sizes that fit, out of order.
fn ids() -> Vec<Snowflake> {
    let mut ids: Vec<_> =
        [i64::MAX.cast_unsigned(), 0, 1, 4095, 1 << 22, 473_032_512_445_898_752, 1 << 62].map(Snowflake::from).into();
    let generator = Generator::new(EPOCH, node(30, 9)).unwrap();
    ids.extend(generator.reserve(20).unwrap().rev());
    ids
}

/// The same for each database; its placeholders differ, and so do its types.
macro_rules! database {
    ($connection:ident) => {
        $connection.execute("CREATE TEMPORARY TABLE ids (id BIGINT PRIMARY KEY)").await.unwrap();
        let mut ids = ids();
        for id in &ids {
            sqlx::query("INSERT INTO ids VALUES ($1)").bind(id).execute(&mut $connection).await.unwrap();
        }

        // What comes back is what went in, and the database sorts as Rust does.
        ids.sort();
        let rows = sqlx::query("SELECT id FROM ids ORDER BY id").fetch_all(&mut $connection).await.unwrap();
        let read: Vec<Snowflake> = rows.iter().map(|row| row.get("id")).collect();
        assert_eq!(read, ids);
        let last: Option<Snowflake> =
            sqlx::query_scalar("SELECT max(id) FROM ids").fetch_one(&mut $connection).await.unwrap();
        assert_eq!(last, ids.last().copied());

        // The IDs of a span of time.
        let range = Snowflake::range(EPOCH, NOW..NOW + 1).unwrap();
        let found: Vec<Snowflake> = sqlx::query_scalar("SELECT id FROM ids WHERE id BETWEEN $1 AND $2")
            .bind(range.start())
            .bind(range.end())
            .fetch_all(&mut $connection)
            .await
            .unwrap();
        assert_eq!(found, [Snowflake::from(473_032_512_445_898_752)]);

        // Past i64 nothing is written, least of all a negative number.
        let beyond = Snowflake::from(1 << 63);
        let refused = sqlx::query("INSERT INTO ids VALUES ($1)").bind(beyond).execute(&mut $connection).await;
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(&beyond.to_string()), "{message}");
        // The control: a plain number would have been the first of all.
        let plain = beyond.as_u64().cast_signed();
        sqlx::query("INSERT INTO ids VALUES ($1)").bind(plain).execute(&mut $connection).await.unwrap();
        let first = sqlx::query("SELECT id FROM ids ORDER BY id").fetch_one(&mut $connection).await.unwrap();
        assert!(first.get::<i64, _>("id") < 0);
        let message = first.try_get::<Snowflake, _>("id").unwrap_err().to_string();
        assert!(message.contains("-9223372036854775808"), "{message}");

        let none: Option<Snowflake> = sqlx::query_scalar("SELECT max(id) FROM ids WHERE id > 0 AND id < 0")
            .fetch_one(&mut $connection)
            .await
            .unwrap();
        assert_eq!(none, None);
    };
}

#[tokio::test]
async fn sqlite() {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    database!(connection);
}

#[tokio::test]
async fn postgres() {
    let Some(url) = postgres_url() else { return };
    let mut connection = PgConnection::connect(&url).await.unwrap();
    database!(connection);
}
