//! The writer: gathers what is asked of it and commits it together.

use super::{Job, StoreError, StoreHealth};
use crate::record::{Change, Status, What};
use sqlx::{
    ConnectOptions as _, Connection as _, QueryBuilder, Sqlite, SqliteConnection, SqlitePool,
    sqlite::SqliteConnectOptions,
};
use tokio::sync::mpsc;

/// The most changes in one statement: each has up to 8 of SQLite's 32,766 variables.
const MAX_ROWS: usize = 2048;
/// The most jobs in one transaction, so that nobody waits for an endless one.
const MAX_JOBS: usize = 1024;

/// The writing connection. After an error it is opened anew: a failed write can leave a connection with a
/// transaction that neither it nor SQLite knows how to end.
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    /// Closed before this one: only the last connection, if it may write, folds the write-ahead log back.
    readers: SqlitePool,
    health: StoreHealth,
}

impl Writer {
    pub(super) fn new(options: SqliteConnectOptions, readers: SqlitePool, health: StoreHealth) -> Self {
        Self { options, connection: None, readers, health }
    }

    /// Works until every [`super::Store`] is gone.
    pub(super) async fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut gathered = Vec::with_capacity(MAX_JOBS);
        while jobs.recv_many(&mut gathered, MAX_JOBS).await > 0 {
            let (mut changes, mut answers) = (Vec::new(), Vec::new());
            for job in gathered.drain(..) {
                match job {
                    Job::Record(more, answer) => {
                        changes.push(more);
                        answers.push(answer);
                    }
                    Job::Forget { before, limit, answer } => {
                        // Who no longer waits for an answer does not need it, here and below.
                        let _ = answer.send(self.write(Write::Forget(before.as_microsecond(), limit)).await);
                    }
                    Job::Probe => drop(self.write(Write::Probe).await),
                }
            }
            if !answers.is_empty() {
                let outcome = self
                    .write(Write::Changes(&changes.iter().flat_map(|more| more.iter()).collect::<Vec<_>>()))
                    .await
                    .map(|_| ());
                for answer in answers {
                    let _ = answer.send(outcome.clone());
                }
            }
        }
        self.close().await;
    }

    /// Does it, and notes how that went. Returns the number of rows where that is of interest.
    async fn write(&mut self, what: Write<'_>) -> Result<u64, StoreError> {
        let outcome = self.attempt(what).await.map_err(StoreError::write);
        self.health.note(outcome.as_ref().err());
        if outcome.is_err() {
            self.connection = None;
        }
        outcome
    }

    async fn attempt(&mut self, what: Write<'_>) -> sqlx::Result<u64> {
        if self.connection.is_none() {
            self.connection = Some(self.options.connect().await?);
        }
        let connection = self.connection.as_mut().expect("was opened just now");
        match what {
            Write::Changes(changes) => apply(connection, changes).await.map(|()| 0),
            Write::Forget(before, limit) => forget(connection, before, limit).await,
            Write::Probe => probe(connection).await.map(|()| 0),
        }
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

/// One transaction.
enum Write<'a> {
    Changes(&'a [&'a Change]),
    /// Before a time in microseconds, at most so many.
    Forget(i64, u32),
    Probe,
}

/// Kinds may be applied apart from each other, since changes commute.
async fn apply(connection: &mut SqliteConnection, changes: &[&Change]) -> sqlx::Result<()> {
    let (submitted, rest): (Vec<_>, Vec<_>) =
        changes.iter().copied().partition(|change: &&Change| matches!(change.what, What::Submitted));
    let (ended, progress): (Vec<_>, Vec<_>) = rest.into_iter().partition(|change| change.is_final());
    // One statement is a transaction of its own, and saves two of three ways to SQLite's thread: the usual case.
    match (submitted.len(), ended.len(), progress.len()) {
        (1..=MAX_ROWS, 0, 0) => return submit(connection, &submitted).await,
        (0, 1..=MAX_ROWS, 0) => return end(connection, &ended).await,
        _ => {}
    }
    let mut transaction = connection.begin().await?;
    for rows in submitted.chunks(MAX_ROWS) {
        submit(&mut transaction, rows).await?;
    }
    for rows in ended.chunks(MAX_ROWS) {
        end(&mut transaction, rows).await?;
    }
    for change in progress {
        advance(&mut transaction, change).await?;
    }
    transaction.commit().await
}

async fn submit(connection: &mut SqliteConnection, rows: &[&Change]) -> sqlx::Result<()> {
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO requests (id, status, submitted_at) ");
    insert.push_values(rows, |mut row, change| {
        row.push_bind(change.id.as_json()).push_bind(Status::Queued.as_str()).push_bind(change.at.as_microsecond());
    });
    insert.push(" ON CONFLICT (id) DO UPDATE SET submitted_at = coalesce(submitted_at, excluded.submitted_at)");
    insert.build().persistent(rows.len() == 1).execute(connection).await?;
    Ok(())
}

/// The first end counts; later ones change nothing.
async fn end(connection: &mut SqliteConnection, rows: &[&Change]) -> sqlx::Result<()> {
    let columns = "id, status, attempts, finished_at, result, reason, error";
    let mut insert = QueryBuilder::<Sqlite>::new(format!("INSERT INTO requests ({columns}) "));
    insert.push_values(rows, |mut row, change| {
        let (status, attempt, result, reason, error) = match &change.what {
            What::Succeeded { attempt, result } => (Status::Succeeded, *attempt, Some(result.get()), None, None),
            What::Failed { attempt, reason, error } => {
                (Status::Failed, *attempt, None, Some(reason.as_str()), Some(error.as_str()))
            }
            What::Submitted | What::Started { .. } | What::Retrying { .. } => {
                unreachable!("`apply` passes ends only")
            }
        };
        row.push_bind(change.id.as_json()).push_bind(status.as_str()).push_bind(attempt);
        row.push_bind(change.at.as_microsecond()).push_bind(result).push_bind(reason).push_bind(error);
    });
    insert.push(
        " ON CONFLICT (id) DO UPDATE SET status = excluded.status, attempts = excluded.attempts,
          finished_at = excluded.finished_at, result = excluded.result, reason = excluded.reason,
          error = excluded.error, next_attempt_at = NULL
          WHERE requests.finished_at IS NULL",
    );
    insert.build().persistent(rows.len() == 1).execute(connection).await?;
    Ok(())
}

/// Progress counts only while it is news: of a later attempt, or a later step of the same one.
async fn advance(connection: &mut SqliteConnection, change: &Change) -> sqlx::Result<()> {
    let query = match &change.what {
        What::Started { attempt, since } => sqlx::query(
            "INSERT INTO requests (id, status, attempts, started_at) VALUES (?1, 'started', ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET status = 'started', attempts = ?2, started_at = ?3, next_attempt_at = NULL
             WHERE requests.finished_at IS NULL AND requests.attempts < ?2",
        )
        .bind(change.id.as_json())
        .bind(attempt)
        .bind(since.as_microsecond()),
        What::Retrying { attempt, next, error } => sqlx::query(
            "INSERT INTO requests (id, status, attempts, next_attempt_at, error) VALUES (?1, 'retrying', ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET status = 'retrying', attempts = ?2, next_attempt_at = ?3, error = ?4
             WHERE requests.finished_at IS NULL
               AND (requests.attempts < ?2 OR (requests.attempts = ?2 AND requests.status = 'started'))",
        )
        .bind(change.id.as_json())
        .bind(attempt)
        .bind(next.as_microsecond())
        .bind(error),
        What::Submitted | What::Succeeded { .. } | What::Failed { .. } => return Ok(()),
    };
    query.execute(connection).await?;
    Ok(())
}

async fn forget(connection: &mut SqliteConnection, before: i64, limit: u32) -> sqlx::Result<u64> {
    let oldest = "SELECT seq FROM requests WHERE finished_at < ? ORDER BY finished_at LIMIT ?";
    let query = format!("DELETE FROM requests WHERE seq IN ({oldest})");
    let deleted = sqlx::query(sqlx::AssertSqlSafe(query)).bind(before).bind(limit).execute(connection).await?;
    Ok(deleted.rows_affected())
}

/// A write of the smallest kind, which needs what every write needs: the lock, and room for a page.
async fn probe(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO requests (id, status) VALUES ('probe', 'queued')").execute(&mut *transaction).await?;
    sqlx::query("DELETE FROM requests WHERE id = 'probe'").execute(&mut *transaction).await?;
    transaction.commit().await
}
