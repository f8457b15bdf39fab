//! Writing to the database. Each statement is a transaction of its own: changes may be recorded in any order and any
//! of them twice, so nothing is gained by one around them all, and two replicas that hold rows of each other's next
//! statement would block each other.

use super::{ANSWER, Postgres, PostgresError, listen};
use crate::{
    record::Status,
    store::{
        StoreError, StoreHealth,
        batch::{Batch, DeadLetter, Ended, Retrying, Started, Submitted, batches},
        statements::Statements,
        sweep::TRIES,
        write::{Database, Write},
    },
};
use sqlx::{Connection as _, PgConnection};
use std::borrow::Cow;

/// The writing connection. After an error it is opened anew.
pub(in crate::store) struct Connection {
    postgres: Postgres,
    connection: Option<PgConnection>,
    health: StoreHealth,
}

impl Connection {
    pub(in crate::store) fn new(postgres: Postgres, health: StoreHealth) -> Self {
        Self { postgres, connection: None, health }
    }

    async fn attempt(&mut self, what: Write<'_>) -> Result<u64, PostgresError> {
        let silent = |_| self.postgres.explain(sqlx::Error::PoolTimedOut);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.postgres.connect(&self.health).await?,
        };
        let written = tokio::time::timeout(ANSWER, write(&mut connection, what)).await.map_err(silent)?;
        let rows = written.map_err(|error| self.postgres.explain(error))?;
        // Dropped on every way but this one.
        self.connection = Some(connection);
        Ok(rows)
    }
}

impl Database for Connection {
    async fn write(&mut self, what: Write<'_>) -> Result<u64, StoreError> {
        let was_open = self.connection.is_some();
        let outcome = self.attempt(what).await;
        match outcome {
            // The server may have restarted since the last write: what fails on an old connection may work on a new
            // one. Waiting for an answer once is enough.
            Err(error) if was_open && !error.is_silence() => {
                tracing::debug!(%error, "trying again on a new connection");
                Ok(self.attempt(what).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn close(self) {
        self.postgres.close().await;
        if let Some(connection) = self.connection {
            // The server ends the session either way.
            let _ = connection.close().await;
        }
    }
}

async fn write(connection: &mut PgConnection, what: Write<'_>) -> sqlx::Result<u64> {
    match what {
        Write::Changes(changes) => {
            for batch in batches(changes) {
                record(connection, &batch).await?;
            }
            Ok(0)
        }
        Write::Forget { status, before, limit } => forget(connection, status, before, limit).await,
        Write::Transaction(work) => {
            let mut transaction = connection.begin().await?;
            work.run(&mut Statements::Postgres(&mut transaction)).await?;
            transaction.commit().await.map(|()| 0)
        }
        Write::Probe => probe(connection).await.map(|()| 0),
    }
}

async fn record(connection: &mut PgConnection, batch: &Batch<'_>) -> sqlx::Result<()> {
    if !batch.submitted.is_empty() {
        submit(connection, &batch.submitted).await?;
    }
    if !batch.started.is_empty() {
        start(connection, &batch.started).await?;
    }
    if !batch.retrying.is_empty() {
        retry(connection, &batch.retrying).await?;
    }
    if !batch.ended.is_empty() {
        end(connection, &batch.ended).await?;
    }
    if !batch.letters.is_empty() {
        keep(connection, &batch.letters).await?;
    }
    Ok(())
}

/// One array per column.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// PostgreSQL's text cannot hold NUL, which a handler's error may.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

async fn submit(connection: &mut PgConnection, rows: &[Submitted<'_>]) -> sqlx::Result<()> {
    // Few have a deadline; the others do not pay for it.
    if rows.iter().any(|row| row.deadline.is_some()) {
        return submit_with_deadlines(connection, rows).await;
    }
    let insert = sqlx::query(
        "INSERT INTO requests (id, status, submitted_at)
         SELECT id, 'queued', at FROM unnest($1::text[], $2::bigint[]) AS given (id, at)
         ON CONFLICT (id) DO UPDATE SET submitted_at = excluded.submitted_at WHERE requests.submitted_at IS NULL",
    );
    insert.bind(column(rows, |row| row.id)).bind(column(rows, |row| row.at)).execute(connection).await?;
    Ok(())
}

async fn submit_with_deadlines(connection: &mut PgConnection, rows: &[Submitted<'_>]) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "INSERT INTO requests (id, status, submitted_at, deadline)
         SELECT id, 'queued', at, deadline
         FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS given (id, at, deadline)
         ON CONFLICT (id) DO UPDATE SET submitted_at = coalesce(requests.submitted_at, excluded.submitted_at),
           deadline = coalesce(requests.deadline, excluded.deadline)",
    );
    let insert = insert.bind(column(rows, |row| row.id)).bind(column(rows, |row| row.at));
    insert.bind(column(rows, |row| row.deadline)).execute(connection).await?;
    Ok(())
}

/// Progress counts only while it is news: of a later replay or attempt, or a later step of the same one.
async fn start(connection: &mut PgConnection, rows: &[Started<'_>]) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "INSERT INTO requests (id, status, attempts, started_at, replays)
         SELECT id, 'started', attempt, since,
           coalesce(replay, (SELECT replays FROM requests WHERE requests.id = given.id), 0)
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS given (id, attempt, since, replay)
         ON CONFLICT (id) DO UPDATE SET status = 'started', attempts = excluded.attempts,
           started_at = excluded.started_at, next_attempt_at = NULL,
           missed_at = NULL, spare = NULL, finished_at = NULL, result = NULL, reason = NULL, replays = excluded.replays,
           error = CASE WHEN requests.replays < excluded.replays THEN NULL ELSE requests.error END
         WHERE requests.replays < excluded.replays
            OR (requests.replays = excluded.replays AND requests.finished_at IS NULL
                AND requests.attempts < excluded.attempts)",
    );
    let insert = insert.bind(column(rows, |row| row.id)).bind(column(rows, |row| row.attempt));
    let insert = insert.bind(column(rows, |row| row.since)).bind(column(rows, |row| row.replay));
    insert.execute(connection).await?;
    Ok(())
}

async fn retry(connection: &mut PgConnection, rows: &[Retrying<'_>]) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "INSERT INTO requests (id, status, attempts, next_attempt_at, error, replays, missed_at, spare)
         SELECT id, 'retrying', attempt, next, error,
           coalesce(replay, (SELECT replays FROM requests WHERE requests.id = given.id), 0), missed_at, spare
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::text[])
           AS given (id, attempt, next, error, replay, missed_at, spare)
         ON CONFLICT (id) DO UPDATE SET status = 'retrying', attempts = excluded.attempts,
           next_attempt_at = excluded.next_attempt_at, error = excluded.error,
           missed_at = excluded.missed_at, spare = excluded.spare, put_back = 0,
           finished_at = NULL, result = NULL, reason = NULL, replays = excluded.replays,
           started_at = CASE WHEN requests.replays = excluded.replays AND requests.attempts = excluded.attempts
                        THEN requests.started_at END
         WHERE requests.replays < excluded.replays
            OR (requests.replays = excluded.replays AND requests.finished_at IS NULL
                AND (requests.attempts < excluded.attempts
                     OR (requests.attempts = excluded.attempts AND requests.status = 'started')))",
    );
    let insert = insert.bind(column(rows, |row| row.id)).bind(column(rows, |row| row.attempt));
    let insert = insert.bind(column(rows, |row| row.next)).bind(column(rows, |row| without_nul(row.error)));
    let insert = insert.bind(column(rows, |row| row.replay)).bind(column(rows, |row| row.missed_at));
    insert.bind(column(rows, |row| row.spare.as_deref())).execute(connection).await?;
    Ok(())
}

/// The first end of the newest replay counts; others change nothing. One at attempt 0 is no end that was heard of. When
/// another attempt began than the one that ended is of no interest. Every replica hears of it with the commit.
async fn end(connection: &mut PgConnection, rows: &[Ended<'_>]) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "WITH recorded AS (
           INSERT INTO requests (id, status, attempts, finished_at, result, reason, error, replays)
           SELECT id, status, attempt, at, result, reason, error,
             coalesce(replay, (SELECT replays FROM requests WHERE requests.id = given.id), 0)
           FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                       $10::bigint[]) AS given (id, status, attempt, at, result, reason, error, replay)
           ON CONFLICT (id) DO UPDATE SET status = excluded.status, attempts = excluded.attempts,
             finished_at = excluded.finished_at, result = excluded.result, reason = excluded.reason,
             error = excluded.error, next_attempt_at = NULL, missed_at = NULL, spare = NULL,
             replays = excluded.replays,
             started_at = CASE WHEN requests.replays = excluded.replays AND requests.attempts = excluded.attempts
                          THEN requests.started_at END
           WHERE requests.replays < excluded.replays
              OR (requests.replays = excluded.replays AND (requests.finished_at IS NULL OR requests.attempts = 0))
         )
         SELECT pg_notify($8, ids) FROM unnest($9::text[]) AS ids",
    );
    let insert = insert.bind(column(rows, |row| row.id)).bind(column(rows, |row| row.status));
    let insert = insert.bind(column(rows, |row| row.attempt)).bind(column(rows, |row| row.at));
    let insert = insert.bind(column(rows, |row| row.result)).bind(column(rows, |row| row.reason));
    let insert = insert.bind(column(rows, |row| row.error.map(without_nul)));
    let payloads = listen::payloads(rows.iter().map(|row| row.id));
    let insert = insert.bind(listen::CHANNEL).bind(payloads).bind(column(rows, |row| row.replay));
    insert.execute(connection).await?;
    Ok(())
}

/// A replay fails once; nothing that was kept of it is replaced. If it was replayed since, this is a second copy of the
/// dead letter, to be swept like the first.
async fn keep(connection: &mut PgConnection, rows: &[DeadLetter<'_>]) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "INSERT INTO dead_letters (request_id, replay, attempts, failed_at, reason, error, body, traceparent, deadline)
         SELECT requests.id, coalesce(given.replay, requests.replays), given.attempt, given.at, given.reason,
           given.error, given.body, given.traceparent, given.deadline
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bytea[],
                     $8::text[], $9::bigint[])
           AS given (id, replay, attempt, at, reason, error, body, traceparent, deadline)
         JOIN requests ON requests.id = given.id
         ON CONFLICT (request_id, replay) DO UPDATE SET sweeps_left = $10 WHERE dead_letters.body IS NULL",
    );
    let insert = insert.bind(column(rows, |row| row.id)).bind(column(rows, |row| row.replay));
    let insert = insert.bind(column(rows, |row| row.attempt)).bind(column(rows, |row| row.at));
    let insert = insert.bind(column(rows, |row| row.reason)).bind(column(rows, |row| without_nul(row.error)));
    let insert = insert.bind(column(rows, |row| row.letter.body.as_slice()));
    let insert = insert.bind(column(rows, |row| row.letter.traceparent.as_deref().map(without_nul)));
    insert.bind(column(rows, DeadLetter::deadline)).bind(i64::from(TRIES)).execute(connection).await?;
    Ok(())
}

/// Replicas that forget at the same time share the work.
async fn forget(connection: &mut PgConnection, status: Status, before: i64, limit: u32) -> sqlx::Result<u64> {
    let delete = sqlx::query(
        "DELETE FROM requests WHERE seq IN
         (SELECT seq FROM requests WHERE status = $1 AND finished_at < $2 ORDER BY finished_at LIMIT $3
          FOR UPDATE SKIP LOCKED)",
    );
    Ok(delete.bind(status.as_str()).bind(before).bind(i64::from(limit)).execute(connection).await?.rows_affected())
}

/// A write of the smallest kind: it fails where every write would, and touches no row.
async fn probe(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM requests WHERE id = 'probe'").execute(connection).await?;
    Ok(())
}
