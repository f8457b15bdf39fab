//! Looking requests up: the same queries on both databases.

use super::{StoreError, postgres::Postgres, row::COLUMNS, row::Row};
use crate::record::{Record, Status};
use futures::FutureExt as _;
use sqlx::{Database, Encode, QueryBuilder, SqlitePool, Type};
use warren_messaging::request_id::RequestId;

/// Which requests to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Only those with this status.
    pub status: Option<Status>,
    /// Only those that arrived before this place in the order of arrival: a page's `next`.
    pub before: Option<i64>,
    /// At most this many.
    pub limit: u32,
}

/// Some requests, newest first.
#[derive(Debug)]
pub struct Page {
    /// Without their results.
    pub records: Vec<Record>,
    /// Where the next page begins, if there is one.
    pub next: Option<i64>,
}

/// Connections for reading.
#[derive(Clone)]
pub(super) enum Reader {
    Sqlite(SqlitePool),
    Postgres(Postgres),
}

impl Reader {
    pub(super) async fn find(&self, id: &RequestId) -> Result<Option<Record>, StoreError> {
        let found: sqlx::Result<Option<Row>> = match self {
            Self::Sqlite(pool) => find::<sqlx::Sqlite>(id).build_query_as().fetch_optional(pool).await,
            Self::Postgres(postgres) => {
                let mut query = find::<sqlx::Postgres>(id);
                postgres.read(move |on| async move { query.build_query_as().fetch_optional(on).await }.boxed()).await
            }
        };
        found.and_then(|row| row.map(Row::record).transpose()).map_err(|error| self.explain(error))
    }

    pub(super) async fn list(&self, filter: &Filter) -> Result<Page, StoreError> {
        let listed: sqlx::Result<Vec<Row>> = match self {
            Self::Sqlite(pool) => list::<sqlx::Sqlite>(filter).build_query_as().fetch_all(pool).await,
            Self::Postgres(postgres) => {
                let mut query = list::<sqlx::Postgres>(filter);
                postgres.read(move |on| async move { query.build_query_as().fetch_all(on).await }.boxed()).await
            }
        };
        listed.and_then(|rows| page(rows, filter.limit)).map_err(|error| self.explain(error))
    }

    fn explain(&self, error: sqlx::Error) -> StoreError {
        match self {
            Self::Sqlite(_) => StoreError::read(error),
            Self::Postgres(postgres) => postgres.explain(error).into(),
        }
    }
}

fn find<DB: Database>(id: &RequestId) -> QueryBuilder<DB>
where
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
{
    let mut select = QueryBuilder::new(format!("SELECT {COLUMNS}, result FROM requests WHERE id = "));
    select.push_bind(id.as_json());
    select
}

fn list<DB: Database>(filter: &Filter) -> QueryBuilder<DB>
where
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
{
    let mut select = QueryBuilder::new(format!("SELECT {COLUMNS} FROM requests WHERE seq < "));
    select.push_bind(filter.before.unwrap_or(i64::MAX));
    if let Some(status) = filter.status {
        select.push(" AND status = ").push_bind(status.as_str());
    }
    // One more than asked for tells whether there is a next page.
    select.push(" ORDER BY seq DESC LIMIT ").push_bind(i64::from(filter.limit) + 1);
    select
}

fn page(mut rows: Vec<Row>, limit: u32) -> sqlx::Result<Page> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.seq);
    Ok(Page { records: rows.into_iter().map(Row::record).collect::<sqlx::Result<_>>()?, next })
}
