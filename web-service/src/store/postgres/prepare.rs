//! Before the first write: is it a database that can keep records, is its schema up to date, is it ours?

use super::{ANSWER, CONNECT, Postgres, PostgresError, PostgresUrl, Trouble};
use crate::store::{StoreHealth, additive};
use futures::FutureExt as _;
use sqlx::{
    Connection as _, PgConnection,
    migrate::Migrator,
    postgres::{PgPool, PgPoolOptions},
};
use std::{pin::pin, sync::LazyLock};

/// sqlx runs them under an advisory lock of the database, so that replicas that start together take turns.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| additive(sqlx::migrate!("migrations/postgres")));

/// As the server counts: 13.0.
const OLDEST: i32 = 130_000;

impl Postgres {
    /// A connection to a database that is ready to be written to.
    pub(super) async fn connect(&self, health: &StoreHealth) -> Result<PgConnection, PostgresError> {
        let connecting = tokio::time::timeout(CONNECT, PgConnection::connect_with(self.url.options()));
        let connected = connecting.await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        let mut connection = connected.map_err(|error| self.explain(error))?;
        self.answered(self.check(&mut connection)).await?;
        self.bring_up_to_date(&mut connection, health).await?;
        self.answered(self.claim(&mut connection)).await?;
        Ok(connection)
    }

    async fn answered<T>(&self, asked: impl Future<Output = Result<T, PostgresError>>) -> Result<T, PostgresError> {
        let silent = |_| self.explain(sqlx::Error::PoolTimedOut);
        tokio::time::timeout(ANSWER, asked).await.map_err(silent)?
    }

    /// Takes as long as it takes while the server answers: a change of a large table is not made in a moment.
    async fn bring_up_to_date(&self, idle: &mut PgConnection, health: &StoreHealth) -> Result<(), PostgresError> {
        let mut migrating = pin!(self.migrate());
        loop {
            if let Ok(migrated) = tokio::time::timeout(CONNECT, migrating.as_mut()).await {
                return migrated;
            }
            health.busy(&format!("the schema of {} is being brought up to date", self.url));
            let asked = async {
                let asked = sqlx::query("SELECT 1").execute(&mut *idle).await;
                asked.map(drop).map_err(|error| self.explain(error))
            };
            self.answered(asked).await?;
        }
    }

    async fn check(&self, connection: &mut PgConnection) -> Result<(), PostgresError> {
        let ask = sqlx::query_as(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                    current_setting('server_encoding')",
        );
        let (number, version, encoding) = ask.fetch_one(&mut *connection).await.map_err(|error| self.explain(error))?;
        judge(&self.url, number, version, encoding)?;
        // A commit that was answered survives a power cut, whatever the server's default is. What outlasts a client
        // that has given up on it ends some time, and so does a transaction of one that is gone or frozen: others wait
        // for its locks.
        let promise = sqlx::query(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
             UNION ALL SELECT set_config('statement_timeout', '15s', false)
             UNION ALL SELECT set_config('idle_in_transaction_session_timeout', '5s', false)",
        );
        promise.execute(connection).await.map(drop).map_err(|error| self.explain(error))
    }

    /// On a pool of one, since migrations on a bare connection make no future that can be spawned. It is closed
    /// whatever comes of them, for a connection that is left open after an error holds the lock. So does one whose client
    /// has vanished, until the server notices: in 25 seconds instead of the two hours that are usual.
    async fn migrate(&self) -> Result<(), PostgresError> {
        let one = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT).after_connect(|connection, _| {
            let watch = "SELECT set_config('tcp_keepalives_idle', '10', false),
                                set_config('tcp_keepalives_interval', '5', false),
                                set_config('tcp_keepalives_count', '3', false)";
            async move { sqlx::query(watch).execute(connection).await.map(drop) }.boxed()
        });
        let pool: PgPool = one.connect_lazy_with(self.url.options().clone());
        let migrated = MIGRATIONS.run(&pool).await;
        pool.close().await;
        migrated.map_err(|error| PostgresError::of_migration(&self.url, error))
    }

    /// Whoever comes first has the database.
    async fn claim(&self, connection: &mut PgConnection) -> Result<(), PostgresError> {
        let claimed = async {
            let insert = sqlx::query("INSERT INTO pipeline (exchange) VALUES ($1) ON CONFLICT DO NOTHING");
            insert.bind(&*self.exchange).execute(&mut *connection).await?;
            sqlx::query_scalar::<_, String>("SELECT exchange FROM pipeline").fetch_one(&mut *connection).await
        };
        let exchange = claimed.await.map_err(|error| self.explain(error))?;
        if *exchange == *self.exchange {
            return Ok(());
        }
        Err(PostgresError::found(&self.url, Trouble::Taken { exchange }))
    }
}

fn judge(url: &PostgresUrl, number: i32, version: String, encoding: String) -> Result<(), PostgresError> {
    if number < OLDEST {
        return Err(PostgresError::found(url, Trouble::TooOld { version }));
    }
    // In any other a single character of a handler's error could keep its whole batch from being recorded.
    if encoding != "UTF8" {
        return Err(PostgresError::found(url, Trouble::Encoding { encoding }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_and_another_encoding_are_refused() {
        let url: PostgresUrl = "postgres://u@h/d".parse().expect("an address");
        let judged = |number, version: &str, encoding: &str| {
            judge(&url, number, version.into(), encoding.into()).map_err(|error| error.to_string())
        };
        assert_eq!(judged(130_000, "13.0", "UTF8"), Ok(()));
        assert!(judged(120_022, "12.22", "UTF8").is_err_and(|text| text.contains("12.22") && text.contains("13")));
        assert!(judged(150_000, "15.0", "LATIN1").is_err_and(|text| text.contains("ENCODING 'UTF8'")));
    }
}
