//! Takes the copies of replayed dead letters out of the dead-letter queue.
//!
//! A queue cannot be searched: its messages are taken, a few at a time, those whose requests were replayed are
//! acknowledged, and everything else goes back when the channel closes. That changes nothing of it but its count of
//! deliveries, which has no limit on this queue, and neither does a crash.

use crate::store::{Replaced, Store, StoreError};
use futures::StreamExt as _;
use lapin::{
    Channel, Connection,
    message::Delivery,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    types::FieldTable,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    broker::Broker,
    error_chain::Chain,
    link::{Frames, LinkError, connect, open_channel, outlived},
    message::{self, Incoming},
    request_id::RequestId,
};

/// The pauses between two passes: the first, and the longest while some copies are not found.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// How many copies one pass looks for; their ids are held in memory.
const MOST: u32 = 50_000;
/// Only one replica looks at a time: each hides from the others what it holds.
const LEASE: &str = "sweep";
/// Messages that are taken, and maybe acknowledged, at a time. RabbitMQ hands a quorum queue at most 32 commands at once
/// (`quorum_commands_soft_limit`), keeps what comes beyond them in the channel, and forgets that when the channel is
/// closed: of 100 acknowledgements before the end 33 counted.
const BATCH: u16 = 30;
/// Batches between two renewals of the lease.
const RENEW_AFTER: u32 = 30;
/// How long a connection may take to close.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a message that should be there may take: somebody else may have taken it.
const SILENCE: Duration = Duration::from_secs(5);

/// Where the copies are.
pub struct DeadLetterQueue {
    /// The broker.
    pub broker: Broker,
    /// The connection's name at the broker.
    pub connection: String,
    /// The queue.
    pub queue: String,
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Broker(#[from] lapin::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes copies out whenever there are some to be taken out, until `stop` is cancelled.
pub async fn sweep(store: Store, queue: DeadLetterQueue, stop: CancellationToken) {
    let owner = uuid::Uuid::now_v7().to_string();
    let mut pause = PAUSES[0];
    while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
        if store.health().failure().is_some() {
            continue;
        }
        let left = stop.run_until_cancelled(pass(&store, &queue, &owner)).await.unwrap_or(Ok(0));
        pause = match left {
            Ok(0) => PAUSES[0],
            Ok(_) => (pause * 2).min(PAUSES[1]),
            Err(error) => {
                tracing::debug!("replayed requests stay among the dead letters for now: {}", Chain(&error));
                (pause * 2).min(PAUSES[1])
            }
        };
    }
}

/// One pass; returns how many copies were not found.
async fn pass(store: &Store, queue: &DeadLetterQueue, owner: &str) -> Result<usize, SweepError> {
    let wanted = Wanted::new(store.to_sweep(MOST).await?);
    if wanted.is_empty() || !store.take_lease(LEASE, owner).await? {
        return Ok(0);
    }
    let connection = connect(&queue.broker, &queue.connection, Frames::Large).await?;
    let walked = tokio::select! {
        walked = walk(&connection, queue, store, owner, wanted) => walked,
        () = outlived(&connection) => Err(LinkError::ChannelClosed.into()),
    };
    // With its channel, which gives back what was not acknowledged.
    let _ = tokio::time::timeout(FAREWELL, connection.close(200, "done".into())).await;
    let (wanted, saw_all) = walked?;
    let (found, missed) = wanted.ends();
    tracing::info!(queue = queue.queue, copies = found.len(), "took replayed requests out of the dead letters");
    let left = missed.len();
    // What was not looked at may be there.
    store.swept(found, if saw_all { missed } else { Vec::new() }).await?;
    store.release_lease(LEASE, owner).await?;
    Ok(left)
}

/// Looks at every message that there is by now, for a dead letter may have more than one copy; whether these were all.
async fn walk(
    connection: &Connection,
    queue: &DeadLetterQueue,
    store: &Store,
    owner: &str,
    mut wanted: Wanted,
) -> Result<(Wanted, bool), SweepError> {
    let channel = open_channel(connection).await?;
    channel.basic_qos(BATCH, BasicQosOptions::default()).await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.queue.as_str().into(), options, FieldTable::default()).await?;
    let (mut left, mut batches) = (declared.message_count() as usize, 0_u32);
    while left > 0 {
        let batch = batch(&channel, &queue.queue, left.min(BATCH.into())).await?;
        if batch.is_empty() {
            break;
        }
        left -= batch.len();
        for delivery in batch {
            look(&channel, delivery, &mut wanted).await?;
        }
        batches += 1;
        if batches % RENEW_AFTER == 0 && !store.take_lease(LEASE, owner).await? {
            break;
        }
    }
    close(channel).await?;
    Ok((wanted, left == 0))
}

/// The next so many messages, fewer if somebody else took some. What a consumer was given and did not settle stays with
/// the channel, so that each one gets what the last one did not: asking for messages singly takes twenty times as long.
async fn batch(channel: &Channel, queue: &str, count: usize) -> lapin::Result<Vec<Delivery>> {
    let consume = channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
    let (mut consumer, mut batch) = (consume.await?, Vec::with_capacity(count));
    while batch.len() < count {
        match tokio::time::timeout(SILENCE, consumer.next()).await {
            Ok(Some(delivery)) => batch.push(delivery?),
            Ok(None) | Err(_) => break,
        }
    }
    channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
    Ok(batch)
}

/// The message's data is gone from memory after this.
async fn look(channel: &Channel, delivery: Delivery, wanted: &mut Wanted) -> lapin::Result<()> {
    let Ok(request_id) = message::read_id(&delivery.data) else { return Ok(()) };
    if wanted.take(&request_id, Incoming(&delivery.properties).replay()) {
        channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await?;
    }
    Ok(())
}

/// Acknowledgements are not confirmed, but the broker takes them before it closes the channel.
async fn close(channel: Channel) -> lapin::Result<()> {
    channel.close(200, "done".into()).await
}

/// The copies that are looked for.
struct Wanted {
    by_id: HashMap<RequestId, BTreeMap<u32, i64>>,
    found: HashSet<i64>,
}

impl Wanted {
    fn new(replaced: Vec<Replaced>) -> Self {
        let mut by_id = HashMap::<RequestId, BTreeMap<u32, i64>>::new();
        for Replaced { seq, id, replay } in replaced {
            by_id.entry(id).or_default().insert(replay, seq);
        }
        Self { by_id, found: HashSet::new() }
    }

    fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether a dead letter of this request may go. One that does not say of which replay it is stands for the oldest
    /// that was not found yet, and for one only: a newer one may look the same.
    fn take(&mut self, id: &RequestId, replay: Option<u32>) -> bool {
        let Some(replays) = self.by_id.get(id) else { return false };
        let seq = match replay {
            Some(replay) => replays.get(&replay).copied(),
            None => replays.values().copied().find(|seq| !self.found.contains(seq)),
        };
        if let Some(seq) = seq {
            self.found.insert(seq);
        }
        seq.is_some()
    }

    /// Found and missed.
    fn ends(self) -> (Vec<i64>, Vec<i64>) {
        let all = self.by_id.into_values().flat_map(BTreeMap::into_values);
        all.partition(|seq| self.found.contains(seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> RequestId {
        RequestId::from_text(text).expect("is an id")
    }

    fn wanted(these: &[(&str, u32)]) -> Wanted {
        let replaced = |(seq, (name, replay)): (i64, &(&str, u32))| Replaced { seq, id: id(name), replay: *replay };
        Wanted::new((0..).zip(these).map(replaced).collect())
    }

    #[test]
    fn only_the_replay_that_was_replayed_goes_and_each_of_its_copies() {
        let mut wanted = wanted(&[("a", 0), ("b", 1)]);
        let taken = [("a", 0), ("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0)]
            .map(|(name, replay)| wanted.take(&id(name), Some(replay)));
        assert_eq!(taken, [true, true, false, false, true, false]);
        assert_eq!(wanted.ends().1, [] as [i64; 0]);
    }

    #[test]
    fn what_does_not_say_its_replay_stands_for_one_only() {
        let mut wanted = wanted(&[("a", 0), ("a", 1), ("b", 0)]);
        assert_eq!([0; 3].map(|_| wanted.take(&id("a"), None)), [true, true, false]);
        let (found, missed) = wanted.ends();
        assert_eq!((found.len(), missed), (2, vec![2]));
    }
}
