//! What becomes of requests in hand that will not be put on the queue after all: none stays `queued` for ever.

use super::ITEMS_AND_LETTERS;
use crate::store::statements::{Statements, Value, places};
use warren_messaging::message::FailureReason;

/// Why, in the record: it was read from a journal, or from a dead letter, that has it no longer.
pub(super) const GONE: &str = "it was to be replayed, but the journal, or its dead letter, has it no longer: its data is \
                               lost here, so it has to be submitted anew";
/// Or the replay was ended, by somebody or as it could not go on, at a time when nothing could be published.
pub(super) const ENDED: &str = "its replay was ended while it was not known whether the queue has it";

/// Lets go of these begun items of a job: dead letters of which the data is kept are that again, other records end as
/// failed. What was heard of is left as it is; what is heard later counts (attempt 0 is nobody's).
pub(super) async fn give_up(on: &mut Statements<'_>, job: &str, these: &[i64], why: &str) -> sqlx::Result<()> {
    if these.is_empty() {
        return Ok(());
    }
    let values: Vec<Value> = std::iter::once(job.into()).chain(these.iter().map(|place| (*place).into())).collect();
    let among = format!("i.begun = 1 AND i.place IN ({})", places(2, these.len()));
    restore(on, &among, &values).await?;
    end(on, &among, values, why).await
}

/// As if they had never been begun. A message about the replay that comes all the same is about a newer one than these
/// records, and replaces what they say.
async fn restore(on: &mut Statements<'_>, among: &str, values: &[Value]) -> sqlx::Result<()> {
    let records = format!(
        "UPDATE requests SET status = 'failed', replays = d.replay, attempts = d.attempts, finished_at = d.failed_at,
           reason = d.reason, error = d.error
         FROM {ITEMS_AND_LETTERS} AND {among} AND d.body IS NOT NULL AND requests.id = i.request_id
           AND requests.replays = i.replay AND requests.attempts = 0 AND requests.finished_at IS NULL"
    );
    on.run(&records, values).await?;
    let letters = format!(
        "UPDATE dead_letters SET replayed_at = NULL
         WHERE seq IN (SELECT d.seq FROM {ITEMS_AND_LETTERS} AND {among} AND d.body IS NOT NULL)
           AND replay = (SELECT r.replays FROM requests r WHERE r.id = dead_letters.request_id)"
    );
    on.run(&letters, values).await.map(drop)
}

async fn end(on: &mut Statements<'_>, among: &str, mut values: Vec<Value>, why: &str) -> sqlx::Result<()> {
    let (first, now) = (values.len() + 1, on.now().await?);
    values.extend([now.into(), FailureReason::Other.as_str().into(), why.into()]);
    let end = format!(
        "UPDATE requests SET status = 'failed', finished_at = ${first}, reason = ${}, error = ${}
         WHERE attempts = 0 AND finished_at IS NULL
           AND id IN (SELECT i.request_id FROM replay_items i WHERE i.job_id = $1 AND {among})
           AND EXISTS (SELECT 1 FROM replay_items i WHERE i.job_id = $1 AND {among} AND i.request_id = requests.id
                       AND i.replay > 0 AND i.replay = requests.replays)",
        first + 1,
        first + 2
    );
    on.run(&end, &values).await.map(drop)
}
