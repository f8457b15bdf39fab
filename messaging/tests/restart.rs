//! A link across a restart of the broker, under traffic.

use crate::publishing::{request, start};
use futures::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use warren_messaging::{
    link::{Frames, Link, LinkError, Opened, Session, connect},
    topology::{Topology, declare::declare},
};
use warren_testkit::{broker, eventually};

type Seen = Arc<Mutex<BTreeSet<String>>>;

/// Notes the id of every request, then acknowledges it.
struct Collect(Seen);

impl Session for Collect {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        let channel = opened.connection.create_channel().await?;
        let options = BasicConsumeOptions::default();
        let mut consumer = channel.basic_consume("p.requests".into(), "".into(), options, Default::default()).await?;
        opened.ready();
        while let Some(Some(delivery)) = opened.stop.run_until_cancelled(consumer.next()).await {
            let delivery = delivery?;
            let id = delivery.properties.message_id().clone().expect("has an id").to_string();
            self.0.lock().expect("is not poisoned").insert(id);
            delivery.ack(BasicAckOptions::default()).await?;
        }
        if opened.stop.is_cancelled() { Ok(()) } else { Err(LinkError::Cancelled { queue: "p.requests".into() }) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publisher_and_consumer_come_back_and_every_confirmed_message_arrives() {
    let mut node = broker::private().await;
    let url = node.url().parse::<warren_messaging::broker::Broker>().expect("is an address");
    let topology = Topology::named("p");
    let connection = connect(&url, "test", Frames::Small).await.expect("connects");
    declare(&connection, &topology.plan()).await.expect("is declared");
    drop(connection);

    let (seen, stop) = (Seen::default(), CancellationToken::new());
    let link = Link::new(url.clone(), "test consumer", Some(topology.plan()));
    let consuming = tokio::spawn(link.keep(Collect(seen.clone()), stop.clone()));
    let (publisher, stop_publishing) = start(url, &topology);
    let confirmed = Seen::default();
    let publishing = tokio::spawn({
        let (confirmed, stop) = (confirmed.clone(), stop.clone());
        async move {
            for number in 0.. {
                if stop.is_cancelled() {
                    break;
                }
                let id = format!("{number}");
                match publisher.publish(&request(&id)).await {
                    Ok(()) => {
                        confirmed.lock().expect("is not poisoned").insert(id);
                    }
                    Err(_) => publisher.ready().await,
                }
            }
        }
    });

    let more_confirmed = async |than: usize| {
        eventually("more confirmed messages", Duration::from_secs(30), async || {
            let now = confirmed.lock().expect("is not poisoned").len();
            if now > than { Ok(now) } else { Err(format!("{now} confirmed")) }
        })
        .await
    };
    let before = more_confirmed(200).await;
    node.stop().await.expect("stops");
    node.start_again().await.expect("starts");
    let between = more_confirmed(before + 200).await;
    node.kill();
    node.start_again().await.expect("starts");
    more_confirmed(between + 200).await;

    stop_publishing.cancel();
    eventually("every confirmed message to arrive", Duration::from_secs(30), async || {
        let lost: Vec<_> = {
            let (confirmed, seen) = (confirmed.lock().expect("is not poisoned"), seen.lock().expect("is not poisoned"));
            confirmed.difference(&seen).cloned().collect()
        };
        if lost.is_empty() { Ok(()) } else { Err(format!("{} have not arrived", lost.len())) }
    })
    .await;
    stop.cancel();
    publishing.abort();
    consuming.await.expect("ends");
}
