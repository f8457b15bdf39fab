//! A processor that counts how often it gets each request.

use futures::StreamExt as _;
use lapin::{
    BasicProperties, Connection,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::task::JoinHandle;
use warren_messaging::message::Incoming;
use warren_testkit::broker::Vhost;

/// It works until it is dropped.
pub struct Handled {
    counts: Arc<Mutex<HashMap<String, u32>>>,
    working: JoinHandle<()>,
    _connection: Connection,
}

impl Handled {
    pub async fn start(vhost: &Vhost) -> Self {
        let connection = vhost.connect().await;
        let channel = connection.create_channel().await.expect("opens");
        channel.basic_qos(1, BasicQosOptions::default()).await.expect("is set");
        let consume = channel.basic_consume(
            "p.requests".into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let (mut consumer, counts) = (consume.await.expect("consumes"), Arc::<Mutex<HashMap<String, u32>>>::default());
        let counted = counts.clone();
        let working = tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let body: Value = serde_json::from_slice(&delivery.data).expect("is JSON");
                let id = body["requestId"].as_str().expect("is text").to_owned();
                let answer = json!({"requestId": id, "processingResults": "done"}).to_string();
                *counted.lock().expect("is not poisoned").entry(id).or_default() += 1;
                let replay = Incoming(&delivery.properties).replay().expect("says which replay it is");
                let mut headers = FieldTable::default();
                headers.insert("x-replay".into(), AMQPValue::LongLongInt(replay.into()));
                let properties = BasicProperties::default().with_headers(headers).with_delivery_mode(2);
                let sent = channel.basic_publish(
                    "p".into(),
                    "result".into(),
                    Default::default(),
                    answer.as_bytes(),
                    properties,
                );
                sent.await.expect("is sent");
                delivery.ack(BasicAckOptions::default()).await.expect("is acked");
            }
        });
        Self { counts, working, _connection: connection }
    }

    pub fn ids(&self) -> usize {
        self.counts.lock().expect("is not poisoned").len()
    }

    /// How often one of so many was handled again. None of them may be lost.
    pub fn twice(&self, letters: usize) -> usize {
        let counts = self.counts.lock().expect("is not poisoned");
        assert_eq!(counts.len(), letters, "none is lost");
        counts.values().map(|count| *count as usize).sum::<usize>() - letters
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        self.working.abort();
    }
}
