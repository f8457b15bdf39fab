//! The limit for processing: lapin alone takes a request, publishes a result, and acknowledges after the confirm. On
//! two connections, as the processor does it: a broker short of memory reads nothing from one that publishes.

use crate::{bare_publisher, broker::Broker, sample};
use futures::{StreamExt as _, TryStreamExt as _};
use lapin::{
    Channel, Connection, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use std::sync::Arc;
use tokio::task::JoinHandle;
use warren_messaging::topology::RESULT_KEY;

/// A bare worker, running.
pub struct BareWorker {
    /// Ends only by an error.
    pub running: JoinHandle<anyhow::Result<()>>,
    connections: [Connection; 2],
    // Kept until the connections are closed: a channel that nobody holds closes itself, in the midst of that.
    _channels: [Channel; 2],
}

struct Publishing {
    channel: Channel,
    exchange: String,
    body: Vec<u8>,
}

impl BareWorker {
    /// Starts it.
    pub async fn start(broker: &Broker, concurrency: u16) -> anyhow::Result<Self> {
        let (publishing, channel) = broker.confirming("bench worker publishing").await?;
        let body = sample::result_body();
        let exchange = broker.topology.exchange.clone();
        let consuming = broker.connect("bench worker consuming").await?;
        let acks = consuming.create_channel().await?;
        acks.basic_qos(concurrency, BasicQosOptions::default()).await?;
        let (queue, options) = (broker.topology.requests(), BasicConsumeOptions::default());
        let requests = acks.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await?;
        let channels = [channel.clone(), acks.clone()];
        let publish = Arc::new(Publishing { channel, exchange, body });
        let running = tokio::spawn(work(requests, acks, publish, concurrency.into()));
        Ok(Self { running, connections: [publishing, consuming], _channels: channels })
    }

    /// Stops it, with nothing in work.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.running.abort();
        for connection in self.connections {
            connection.close(200, "measured".into()).await?;
        }
        Ok(())
    }
}

/// Prefetch is what bounds the tasks.
async fn work(
    requests: Consumer,
    channel: Channel,
    publishing: Arc<Publishing>,
    concurrency: usize,
) -> anyhow::Result<()> {
    let tasks = requests.map(|request| {
        let settling = settle(request, channel.clone(), Arc::clone(&publishing));
        Ok(async move { tokio::spawn(settling).await? })
    });
    tasks.try_buffer_unordered(concurrency).try_for_each(async |()| Ok(())).await
}

async fn settle(request: lapin::Result<Delivery>, channel: Channel, publishing: Arc<Publishing>) -> anyhow::Result<()> {
    let Publishing { channel: results, exchange, body } = &*publishing;
    bare_publisher::publish(results, exchange, RESULT_KEY, body, bare_publisher::persistent()).await?;
    channel.basic_ack(request?.delivery_tag, BasicAckOptions::default()).await?;
    Ok(())
}
