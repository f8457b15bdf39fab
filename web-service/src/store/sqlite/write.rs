//! Writing to the file.

use crate::{
    record::Status,
    store::{
        StoreError,
        batch::{Batch, DeadLetter, Ended, Retrying, Started, Submitted, batches},
        statements::Statements,
        sweep::TRIES,
        write::{Database, Write},
    },
};
use sqlx::{
    ConnectOptions as _, Connection as _, QueryBuilder, SqliteConnection, SqlitePool, sqlite::SqliteConnectOptions,
};

/// The most rows in one statement: each has up to 9 of SQLite's 32,766 variables.
const MAX_ROWS: usize = 2048;

/// The writing connection. After an error it is opened anew: a failed write can leave a connection with a
/// transaction that neither it nor SQLite knows how to end.
pub(in crate::store) struct Sqlite {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    /// Closed before this one: only the last connection, if it may write, folds the write-ahead log back.
    readers: SqlitePool,
}

impl Sqlite {
    pub(in crate::store) fn new(options: SqliteConnectOptions, readers: SqlitePool) -> Self {
        Self { options, connection: None, readers }
    }

    async fn attempt(&mut self, what: Write<'_>) -> sqlx::Result<u64> {
        if self.connection.is_none() {
            self.connection = Some(self.options.connect().await?);
        }
        let connection = self.connection.as_mut().expect("was opened just now");
        match what {
            Write::Changes(changes) => apply(connection, &batches(changes)).await.map(|()| 0),
            Write::Forget { status, before, limit } => forget(connection, status, before, limit).await,
            Write::Transaction(work) => {
                let mut transaction = connection.begin().await?;
                work.run(&mut Statements::Sqlite(&mut transaction)).await?;
                transaction.commit().await.map(|()| 0)
            }
            Write::Probe => probe(connection).await.map(|()| 0),
        }
    }
}

impl Database for Sqlite {
    async fn write(&mut self, what: Write<'_>) -> Result<u64, StoreError> {
        let outcome = self.attempt(what).await.map_err(StoreError::write);
        if outcome.is_err() {
            self.connection = None;
        }
        outcome
    }

    /// Folds the write-ahead log back into the database file.
    async fn close(self) {
        self.readers.close().await;
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the store did not close cleanly; it recovers when it is opened again");
        }
    }
}

async fn apply(connection: &mut SqliteConnection, batches: &[Batch<'_>]) -> sqlx::Result<()> {
    // One statement is a transaction of its own, and saves two of three ways to SQLite's thread: the usual case.
    if let [Batch { submitted, started, retrying, ended, letters }] = batches {
        match (submitted.len(), ended.len(), started.len() + retrying.len() + letters.len()) {
            (1..=MAX_ROWS, 0, 0) => return submit(connection, submitted).await,
            (0, 1..=MAX_ROWS, 0) => return end(connection, ended).await,
            _ => {}
        }
    }
    let mut transaction = connection.begin().await?;
    for batch in batches {
        for rows in batch.submitted.chunks(MAX_ROWS) {
            submit(&mut transaction, rows).await?;
        }
        for row in &batch.started {
            start(&mut transaction, row).await?;
        }
        for row in &batch.retrying {
            retry(&mut transaction, row).await?;
        }
        for rows in batch.ended.chunks(MAX_ROWS) {
            end(&mut transaction, rows).await?;
        }
        for row in &batch.letters {
            keep(&mut transaction, row).await?;
        }
    }
    transaction.commit().await
}

async fn submit(connection: &mut SqliteConnection, rows: &[Submitted<'_>]) -> sqlx::Result<()> {
    // Few have a deadline; the others do not pay for it.
    let with_deadline = rows.iter().any(|row| row.deadline.is_some());
    let columns = if with_deadline { "id, status, submitted_at, deadline" } else { "id, status, submitted_at" };
    let mut insert = QueryBuilder::<sqlx::Sqlite>::new(format!("INSERT INTO requests ({columns}) "));
    insert.push_values(rows, |mut values, row| {
        values.push_bind(row.id).push("'queued'").push_bind(row.at);
        if with_deadline {
            values.push_bind(row.deadline);
        }
    });
    insert.push(" ON CONFLICT (id) DO UPDATE SET submitted_at = coalesce(submitted_at, excluded.submitted_at)");
    if with_deadline {
        insert.push(", deadline = coalesce(deadline, excluded.deadline)");
    }
    insert.build().persistent(rows.len() == 1).execute(connection).await?;
    Ok(())
}

/// The first end of the newest replay counts; others change nothing. One at attempt 0 is no end that was heard of. When
/// another attempt began than the one that ended is of no interest.
async fn end(connection: &mut SqliteConnection, rows: &[Ended<'_>]) -> sqlx::Result<()> {
    let columns = "id, status, attempts, finished_at, result, reason, error, replays";
    let mut insert = QueryBuilder::<sqlx::Sqlite>::new(format!("INSERT INTO requests ({columns}) "));
    insert.push_values(rows, |mut values, row| {
        values.push_bind(row.id).push_bind(row.status).push_bind(row.attempt).push_bind(row.at);
        values.push_bind(row.result).push_bind(row.reason).push_bind(row.error);
        match row.replay {
            Some(replay) => values.push_bind(replay),
            None => {
                values.push("coalesce((SELECT replays FROM requests WHERE id = ");
                values.push_bind_unseparated(row.id).push_unseparated("), 0)")
            }
        };
    });
    insert.push(
        " ON CONFLICT (id) DO UPDATE SET status = excluded.status, attempts = excluded.attempts,
          finished_at = excluded.finished_at, result = excluded.result, reason = excluded.reason,
          error = excluded.error, next_attempt_at = NULL, missed_at = NULL, spare = NULL, replays = excluded.replays,
          started_at = CASE WHEN requests.replays = excluded.replays AND requests.attempts = excluded.attempts
                       THEN requests.started_at END
          WHERE requests.replays < excluded.replays
             OR (requests.replays = excluded.replays AND (requests.finished_at IS NULL OR requests.attempts = 0))",
    );
    insert.build().persistent(rows.len() == 1).execute(connection).await?;
    Ok(())
}

/// A replay fails once; nothing that was kept of it is replaced. If it was replayed since, this is a second copy of the
/// dead letter, to be swept like the first.
async fn keep(connection: &mut SqliteConnection, row: &DeadLetter<'_>) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "INSERT INTO dead_letters (request_id, replay, attempts, failed_at, reason, error, body, traceparent, deadline)
         SELECT id, coalesce(?2, replays), ?3, ?4, ?5, ?6, ?7, ?8, ?9 FROM requests WHERE id = ?1
         ON CONFLICT (request_id, replay) DO UPDATE SET sweeps_left = ?10 WHERE dead_letters.body IS NULL",
    );
    let insert = insert.bind(row.id).bind(row.replay).bind(row.attempt).bind(row.at).bind(row.reason).bind(row.error);
    let insert = insert.bind(row.letter.body.as_slice()).bind(row.letter.traceparent.as_deref()).bind(row.deadline());
    let insert = insert.bind(i64::from(TRIES));
    insert.execute(connection).await?;
    Ok(())
}

/// Progress counts only while it is news: of a later replay or attempt, or a later step of the same one.
async fn start(connection: &mut SqliteConnection, row: &Started<'_>) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "INSERT INTO requests (id, status, attempts, started_at, replays)
         VALUES (?1, 'started', ?2, ?3, coalesce(?4, (SELECT replays FROM requests WHERE id = ?1), 0))
         ON CONFLICT (id) DO UPDATE SET status = 'started', attempts = ?2, started_at = ?3, next_attempt_at = NULL,
           missed_at = NULL, spare = NULL, finished_at = NULL, result = NULL, reason = NULL, replays = excluded.replays,
           error = CASE WHEN requests.replays < excluded.replays THEN NULL ELSE requests.error END
         WHERE requests.replays < excluded.replays
            OR (requests.replays = excluded.replays AND requests.finished_at IS NULL AND requests.attempts < ?2)",
    );
    insert.bind(row.id).bind(row.attempt).bind(row.since).bind(row.replay).execute(connection).await?;
    Ok(())
}

async fn retry(connection: &mut SqliteConnection, row: &Retrying<'_>) -> sqlx::Result<()> {
    let insert = sqlx::query(
        "INSERT INTO requests (id, status, attempts, next_attempt_at, error, replays, missed_at, spare)
         VALUES (?1, 'retrying', ?2, ?3, ?4, coalesce(?5, (SELECT replays FROM requests WHERE id = ?1), 0), ?6, ?7)
         ON CONFLICT (id) DO UPDATE SET status = 'retrying', attempts = ?2, next_attempt_at = ?3, error = ?4,
           missed_at = ?6, spare = ?7, put_back = 0,
           finished_at = NULL, result = NULL, reason = NULL, replays = excluded.replays,
           started_at = CASE WHEN requests.replays = excluded.replays AND requests.attempts = excluded.attempts
                        THEN requests.started_at END
         WHERE requests.replays < excluded.replays
            OR (requests.replays = excluded.replays AND requests.finished_at IS NULL
                AND (requests.attempts < ?2 OR (requests.attempts = ?2 AND requests.status = 'started')))",
    );
    let insert = insert.bind(row.id).bind(row.attempt).bind(row.next).bind(row.error).bind(row.replay);
    insert.bind(row.missed_at).bind(row.spare.as_deref()).execute(connection).await?;
    Ok(())
}

async fn forget(connection: &mut SqliteConnection, status: Status, before: i64, limit: u32) -> sqlx::Result<u64> {
    let delete = sqlx::query(
        "DELETE FROM requests WHERE seq IN
         (SELECT seq FROM requests WHERE status = ? AND finished_at < ? ORDER BY finished_at LIMIT ?)",
    );
    Ok(delete.bind(status.as_str()).bind(before).bind(limit).execute(connection).await?.rows_affected())
}

/// A write of the smallest kind, which needs what every write needs: the lock, and room for a page.
async fn probe(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO requests (id, status) VALUES ('probe', 'queued')").execute(&mut *transaction).await?;
    sqlx::query("DELETE FROM requests WHERE id = 'probe'").execute(&mut *transaction).await?;
    transaction.commit().await
}
