//! Statements that are the same on both databases, for what is not in a hurry: replays, and what is read of them.

use super::StoreError;
use futures::future::{BoxFuture, FutureExt as _};
use sqlx::{AssertSqlSafe, FromRow, PgConnection, SqliteConnection, postgres::PgRow, sqlite::SqliteRow};
use std::sync::{Mutex, PoisonError};

/// A connection, mostly in a transaction.
pub(super) enum Statements<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// What takes the place of `$1`, `$2` and so on.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Number(Option<i64>),
    Text(Option<String>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

/// A row that reads the same from both.
pub(super) trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for R {}

/// Binds each value to a query of either kind.
macro_rules! bound {
    ($query:expr, $values:expr) => {
        $values.iter().cloned().fold($query, |query, value| match value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
        })
    };
}

impl Statements<'_> {
    /// Runs it; returns how many rows it changed. The text is ours, users' words are among the values.
    pub(super) async fn run(&mut self, sql: &str, values: &[Value]) -> sqlx::Result<u64> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => {
                let ran = bound!(sqlx::query(sql), values).execute(&mut **connection).await?;
                Ok(ran.rows_affected())
            }
            Self::Postgres(connection) => {
                let ran = bound!(sqlx::query(sql), values).execute(&mut **connection).await?;
                Ok(ran.rows_affected())
            }
        }
    }

    /// Its rows.
    pub(super) async fn rows<R: Row>(&mut self, sql: &str, values: &[Value]) -> sqlx::Result<Vec<R>> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => {
                bound!(sqlx::query_as::<sqlx::Sqlite, R>(sql), values).fetch_all(&mut **connection).await
            }
            Self::Postgres(connection) => {
                bound!(sqlx::query_as::<sqlx::Postgres, R>(sql), values).fetch_all(&mut **connection).await
            }
        }
    }

    /// Its first row.
    pub(super) async fn row<R: Row>(&mut self, sql: &str, values: &[Value]) -> sqlx::Result<Option<R>> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// A number that it always gives.
    pub(super) async fn number(&mut self, sql: &str, values: &[Value]) -> sqlx::Result<i64> {
        self.row::<(i64,)>(sql, values).await?.map(|(number,)| number).ok_or(sqlx::Error::RowNotFound)
    }

    /// Now, in microseconds, by a clock that all replicas share.
    pub(super) async fn now(&mut self) -> sqlx::Result<i64> {
        match self {
            Self::Sqlite(_) => Ok(jiff::Timestamp::now().as_microsecond()),
            Self::Postgres(_) => {
                self.number("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)", &[]).await
            }
        }
    }
}

/// `$4, $5, $6`: places for as many values, of which the first is `$first`.
pub(super) fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// Something to be done in one transaction. A connection that is lost may have committed it: it may be run again.
pub(super) trait Work: Send + Sync + 'static {
    /// What comes of it.
    type Answer: Send + 'static;

    fn run(&self, on: &mut Statements<'_>) -> impl Future<Output = sqlx::Result<Self::Answer>> + Send;
}

/// The same for a writer that does not care what comes of it.
pub(super) trait Transaction: Send + Sync {
    fn run<'a>(&'a self, on: &'a mut Statements<'_>) -> BoxFuture<'a, sqlx::Result<()>>;
}

/// Work that keeps its answer until it is asked for.
pub(super) struct Kept<W: Work> {
    work: W,
    answer: Mutex<Option<W::Answer>>,
}

impl<W: Work> Kept<W> {
    pub(super) fn new(work: W) -> Self {
        Self { work, answer: Mutex::new(None) }
    }

    pub(super) fn answer(&self) -> Option<W::Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<W: Work> Transaction for Kept<W> {
    fn run<'a>(&'a self, on: &'a mut Statements<'_>) -> BoxFuture<'a, sqlx::Result<()>> {
        async move {
            let answer = self.work.run(on).await?;
            *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            Ok(())
        }
        .boxed()
    }
}

impl super::Reader {
    /// Work that only reads.
    pub(super) async fn look<W: Work>(&self, work: W) -> Result<W::Answer, StoreError> {
        match self {
            Self::Sqlite(pool) => {
                let mut connection = pool.acquire().await.map_err(StoreError::read)?;
                work.run(&mut Statements::Sqlite(&mut connection)).await.map_err(StoreError::read)
            }
            Self::Postgres(postgres) => postgres
                .read(move |on| async move { work.run(&mut Statements::Postgres(on)).await }.boxed())
                .await
                .map_err(|error| postgres.explain(error).into()),
        }
    }
}
