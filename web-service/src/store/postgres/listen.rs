//! Hearing from other replicas which requests have ended.
//!
//! Silence can mean that nothing ends, that the network swallows packets, or that a connection pooler in between passes
//! no notifications on. A heartbeat to ourselves tells them apart; while it does not come back, who waits is woken now
//! and then to look for itself.

use crate::waiters::Waiters;
use sqlx::postgres::{PgListener, PgPool};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use warren_messaging::request_id::RequestId;

/// Where ended requests are told.
pub(super) const CHANNEL: &str = "warren_ended";

/// What a notification can carry: PostgreSQL's limit is 8000 bytes, its end included.
const MAX_PAYLOAD: usize = 7999;
/// After how much silence a heartbeat is sent.
const SILENCE: Duration = Duration::from_secs(10);
/// How long it may take to come back.
const ECHO: Duration = Duration::from_secs(3);
/// How often who waits looks for itself while notifications do not come.
const POLL: Duration = Duration::from_secs(1);

/// Why notifications do not come.
#[derive(Debug, thiserror::Error)]
enum Deaf {
    #[error(transparent)]
    Failed(#[from] sqlx::Error),
    #[error("the connection was lost")]
    Lost,
    #[error("the database does not answer")]
    Silent,
    #[error("no notification comes back: a connection pooler in transaction mode passes none on")]
    NoEcho,
}

/// Wakes who waits for a request that has ended, until `stop` is cancelled.
pub(super) async fn listen(pool: impl Fn() -> PgPool, waiters: &Waiters, stop: &CancellationToken) {
    let mut told = false;
    while let Some(deaf) = stop.run_until_cancelled(hear(&pool(), waiters, &mut told)).await {
        if !std::mem::replace(&mut told, true) {
            tracing::warn!("not told of results that other replicas record; looking every {POLL:?} instead: {deaf}");
        }
        waiters.wake_all();
        if stop.run_until_cancelled(sleep(POLL)).await.is_none() {
            return;
        }
    }
}

/// Listens until it is deaf.
async fn hear(pool: &PgPool, waiters: &Waiters, told: &mut bool) -> Deaf {
    let mut listener = match open(pool).await {
        Ok(listener) => listener,
        Err(deaf) => return deaf,
    };
    if std::mem::take(told) {
        tracing::info!("told again of results that other replicas record");
    }
    // What ended before, nobody will tell again.
    waiters.wake_all();
    loop {
        let heard = match timeout(SILENCE, next(&mut listener)).await {
            Ok(heard) => heard,
            Err(_) => echo(&mut listener).await,
        };
        match heard {
            Ok(payload) => waiters.wake(&ids(&payload)),
            Err(deaf) => return deaf,
        }
    }
}

async fn open(pool: &PgPool) -> Result<PgListener, Deaf> {
    let mut listener = PgListener::connect_with(pool).await?;
    // Said here, and answered by a new listener.
    listener.eager_reconnect(false);
    timeout(ECHO, listener.listen(CHANNEL)).await.map_err(|_| Deaf::Silent)??;
    echo(&mut listener).await?;
    Ok(listener)
}

async fn next(listener: &mut PgListener) -> Result<String, Deaf> {
    let notification = listener.try_recv().await?.ok_or(Deaf::Lost)?;
    Ok(notification.payload().to_owned())
}

/// Tells itself that nothing ended, and waits until it, or anything, is heard.
async fn echo(listener: &mut PgListener) -> Result<String, Deaf> {
    let heard = async {
        sqlx::query("SELECT pg_notify($1, '[]')").bind(CHANNEL).execute(&mut *listener).await?;
        next(listener).await
    };
    timeout(ECHO, heard).await.unwrap_or(Err(Deaf::NoEcho))
}

/// JSON arrays of ids, as many as it takes for each to fit.
pub(super) fn payloads<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut payloads: Vec<String> = Vec::new();
    for id in ids {
        match payloads.last_mut() {
            // A comma, and the bracket at the end.
            Some(last) if last.len() + id.len() + 2 <= MAX_PAYLOAD => {
                last.push(',');
                last.push_str(id);
            }
            _ => payloads.push(format!("[{id}")),
        }
    }
    payloads.iter_mut().for_each(|payload| payload.push(']'));
    payloads
}

/// Somebody else's notification wakes nobody.
fn ids(payload: &str) -> Vec<RequestId> {
    serde_json::from_str(payload).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_they_went() {
        let given: Vec<_> = ["\"a\\\"b\"", "7", "-1"].map(|id| RequestId::from_json(id).expect("is an id")).into();
        let payloads = payloads(given.iter().map(RequestId::as_json));
        assert_eq!(payloads.len(), 1);
        assert_eq!(ids(&payloads[0]), given);
    }

    #[test]
    fn no_payload_is_longer_than_postgresql_takes() {
        let longest = RequestId::from_text(&"\"".repeat(255)).expect("is an id");
        let payloads = payloads(std::iter::repeat_n(longest.as_json(), 1000));
        assert!(payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD), "{:?}", payloads[0].len());
        assert_eq!(payloads.iter().map(|payload| ids(payload).len()).sum::<usize>(), 1000);
        assert!(payloads.len() < 100, "they are shared");
    }

    #[test]
    fn a_notification_of_somebody_else_is_passed_over() {
        for payload in ["", "hello", "{}", "[1.5]", "[]"] {
            assert!(ids(payload).is_empty(), "{payload}");
        }
    }
}
