//! The connection: calls that end, on a socket that is opened again after every failure.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::io::ErrorKind;
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::runtime::{self, Handle, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::{PgLsn, ToSql, Type};
use tokio_postgres::{CancelToken, Client, Config, Row, Socket};

use crate::fork::Process;
use crate::lease::error::LeaseError;

/// A value of a statement, with the type that it is sent as, so that the server need not be asked.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Number(i64),
    Numbers(&'a [i64]),
    Position(PgLsn),
    Text(&'a str),
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, tokio_postgres::Error>> + Send + 'a>>;

/// How to connect, with the kind of TLS forgotten.
pub(super) trait Connect: Send + Sync {
    /// Connects, and leaves the connection's own work to the current runtime.
    fn connect<'a>(&'a self, config: &'a Config) -> Answer<'a, Client>;

    /// Asks the server to give up what it is doing for a connection.
    fn cancel(&self, token: CancelToken) -> Answer<'_, ()>;
}

impl<T> Connect for T
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    fn connect<'a>(&'a self, config: &'a Config) -> Answer<'a, Client> {
        Box::pin(async move {
            let (client, connection) = config.connect(self.clone()).await?;
            // What ends the connection is told to whoever asks next.
            tokio::spawn(async { drop(connection.await) });
            Ok(client)
        })
    }

    fn cancel(&self, token: CancelToken) -> Answer<'_, ()> {
        Box::pin(async move { token.cancel_query(self.clone()).await })
    }
}

/// A server, and at most one connection to it.
pub(super) struct Link {
    config: Config,
    connect: Box<dyn Connect>,
    connect_timeout: Duration,
    statement_timeout: Duration,
    session: Mutex<Option<Session>>,
    /// The process that made it.
    process: Process,
}

/// An open connection, and the runtime that drives it while a call lasts.
struct Session {
    client: Client,
    runtime: Driver,
}

/// A runtime that is left without waiting for it: a name that is being resolved may take long, and a thread that runs
/// another runtime may not wait.
struct Driver(Option<Runtime>);

impl Driver {
    fn new() -> std::io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        Ok(Driver(Some(runtime)))
    }

    fn block_on<F: Future>(&self, future: F) -> std::io::Result<F::Output> {
        // It is there until it is dropped.
        self.0.as_ref().map(|runtime| runtime.block_on(future)).ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Long enough to ask for a statement's end on a network that works, and no use otherwise.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(500);

impl Link {
    pub(super) fn new(
        config: Config,
        connect: Box<dyn Connect>,
        connect_timeout: Duration,
        statement_timeout: Duration,
    ) -> Result<Self, LeaseError> {
        let (session, process) = (Mutex::default(), Process::current()?);
        Ok(Link { config, connect, connect_timeout, statement_timeout, session, process })
    }

    /// Runs one statement, which is one transaction; it is done for good when the answer is here.
    ///
    /// The statement is sent unnamed and with the types of its values, in one message: nothing of it outlives the
    /// answer, so that a pooler may give each call another connection.
    pub(super) fn query(&self, doing: &str, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, LeaseError> {
        self.call(doing, async |client| {
            let values: Vec<(&(dyn ToSql + Sync), Type)> = values
                .iter()
                .map(|value| match value {
                    Value::Number(number) => (number as &(dyn ToSql + Sync), Type::INT8),
                    Value::Numbers(numbers) => (numbers as &(dyn ToSql + Sync), Type::INT8_ARRAY),
                    Value::Position(position) => (position as &(dyn ToSql + Sync), Type::PG_LSN),
                    Value::Text(text) => (text as &(dyn ToSql + Sync), Type::TEXT),
                })
                .collect();
            loop {
                // It reads to the end of the answer, which the server sends after the commit; the rows come before.
                match client.query_typed(sql, &values).await {
                    // Nothing was done, because of another transaction that was: as servers with a stricter isolation
                    // than usual say. The timeout bounds this.
                    Err(error) if was_rolled_back(&error) => {}
                    answer => return answer,
                }
            }
        })
    }

    /// Runs a script.
    pub(super) fn run(&self, doing: &str, sql: &str) -> Result<(), LeaseError> {
        self.call(doing, async |client| client.batch_execute(sql).await)
    }

    fn call<T: Send>(
        &self,
        doing: &str,
        work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error> + Send,
    ) -> Result<T, LeaseError> {
        let unavailable = |source| LeaseError::Unavailable { doing: format!("{doing} at {}", self.place()), source };
        if !self.process.is_current() {
            return Err(unavailable("it was opened before this process was forked: open it again".into()));
        }
        // A runtime refuses to run on a thread that runs another one, as in async code. There a thread of its own does the
        // work; the keeper's thread does it itself.
        let answer = if Handle::try_current().is_ok() {
            thread::scope(|scope| {
                let thread = thread::Builder::new().name("pyflake-postgres".into());
                let thread = thread.spawn_scoped(scope, || self.blocking(work));
                thread
                    .map_err(Into::into)
                    .and_then(|thread| thread.join().unwrap_or_else(|_| Err("it panicked".into())))
            })
        } else {
            self.blocking(work)
        };
        answer.map_err(unavailable)
    }

    fn blocking<T>(
        &self,
        work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Box<dyn core::error::Error + Send + Sync>> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out, so that it comes back only if all goes well: what a failed call has left on the wire is unknown.
        let open = match session.take() {
            Some(open) if open.lives() => open,
            _ => self.open()?,
        };
        let Session { client, runtime } = &open;
        let answer = runtime.block_on(async {
            let answer = tokio::time::timeout(self.statement_timeout, work(client)).await;
            if answer.is_err() {
                // A statement that waits, as for a lock, must not be joined by the next one, and the next.
                let cancel = self.connect.cancel(client.cancel_token());
                let _ = tokio::time::timeout(CANCEL_TIMEOUT, cancel).await;
            }
            answer
        })?;
        match answer {
            Err(_) => Err(format!("no answer within {:?}", self.statement_timeout).into()),
            Ok(Err(error)) => Err(explain(&error).into()),
            Ok(Ok(answer)) => {
                *session = Some(open);
                Ok(answer)
            }
        }
    }

    fn open(&self) -> Result<Session, Box<dyn core::error::Error + Send + Sync>> {
        let runtime = Driver::new()?;
        let connect = async { tokio::time::timeout(self.connect_timeout, self.connect.connect(&self.config)).await };
        match runtime.block_on(connect)? {
            Err(_) => Err(format!("no connection within {:?}", self.connect_timeout).into()),
            Ok(Err(error)) => Err(explain(&error).into()),
            Ok(Ok(client)) => Ok(Session { client, runtime }),
        }
    }

    /// The server and its database, without the password.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<String> = self.config.get_hosts().iter().map(host).collect();
        let ports: Vec<String> = self.config.get_ports().iter().map(u16::to_string).collect();
        let (hosts, ports) = (hosts.join(","), ports.join(","));
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        let colon = if ports.is_empty() { "" } else { ":" };
        format!("postgres://{hosts}{colon}{ports}/{database}")
    }
}

impl Session {
    /// Whether the connection is open, as far as the socket tells.
    fn lives(&self) -> bool {
        // Nobody has looked at the socket since the last call: the first turn looks, the second does what it tells to.
        let looked = self.runtime.block_on(async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
        looked.is_ok() && !self.client.is_closed()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // The socket is the parent's: a goodbye from here would end it there.
            mem::forget(self.session.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

fn host(host: &tokio_postgres::config::Host) -> String {
    match host {
        tokio_postgres::config::Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    }
}

fn was_rolled_back(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_some_and(|code| *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED)
}

/// Whether a server does not say which one it is, for want of a right or of the function.
fn hides_functions(code: &SqlState, message: &str) -> bool {
    *code == SqlState::INSUFFICIENT_PRIVILEGE && message.contains("function")
        || *code == SqlState::UNDEFINED_FUNCTION && message.contains("pg_")
        || message.contains("WAL control functions cannot be executed when")
}

/// An error on one line, with what the server said, and the way out where we know one.
fn explain(error: &tokio_postgres::Error) -> String {
    let Some(said) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = core::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        return text;
    };
    let way_out = match said.code() {
        code if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::UNDEFINED_COLUMN => {
            "; create the tables with PostgresStore::migrate, or name their schema with schema(..)"
        }
        code if *code == SqlState::INVALID_SCHEMA_NAME => "; create the schema, or name another one with schema(..)",
        // Aurora hides its WAL: "WAL control functions cannot be executed when wal_level < logical".
        code if hides_functions(code, said.message()) => {
            "; if a failover and a restart of this server lose no write that was acknowledged, name it with \
             identity(Identity::Named(..)), else grant EXECUTE on the function"
        }
        // Reading only, or asked for what a server in recovery does not know.
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION || *code == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {
            "; connect to the primary, as with target_session_attrs=read-write"
        }
        _ => "",
    };
    format!("{} ({}){way_out}", said.message(), said.code().code())
}
