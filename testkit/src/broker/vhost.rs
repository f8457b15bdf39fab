//! A virtual host of a test's own.

use super::{
    Binding, QueueState, SharedBroker, User, leftovers,
    management::Management,
    queue::{Consumer, Description},
    shared::shared,
};
use crate::{
    away::away_from_this_runtime,
    eventually::{eventually, when},
};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    message::Delivery,
    options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions},
};
use std::{thread, time::Duration};
use tokio::{sync::OnceCell, task::spawn_blocking};

/// How long queues may take to tell their figures: RabbitMQ does every 5 s if it is not one of our own.
const FIGURES: Duration = Duration::from_secs(15);

/// A virtual host of a test's own, on the shared broker; deleted when dropped. When the test fails, what its queues
/// hold is printed.
#[derive(Debug)]
pub struct Vhost {
    name: String,
    broker: &'static SharedBroker,
    management: Management,
    /// Of [`Vhost::publish`] and [`Vhost::get`], made when first needed.
    channel: OnceCell<(Connection, Channel)>,
}

/// A fresh virtual host; the label, such as the test's name, is for people who look at the broker.
///
/// # Panics
/// When there is no broker, or it refuses.
pub async fn vhost(label: &str) -> Vhost {
    let broker = spawn_blocking(shared).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    let (name, management) = (leftovers::name(label), Management::new(broker.management_url().clone()));
    if let Err(error) = management.create_vhost(&name, broker.user()).await {
        panic!("no virtual host {name:?}: {error}");
    }
    Vhost { name, broker, management, channel: OnceCell::new() }
}

impl Vhost {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The broker's AMQP address with this virtual host.
    #[must_use]
    pub fn url(&self) -> String {
        self.broker.url_of(&self.name)
    }

    /// A user of its own who may do everything here.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn user(&self) -> User {
        User::new(self, self.url(), self.broker.management_url().clone()).await
    }

    /// Deletes the virtual host with everything on it, or makes it anew, empty.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn exists(&self, wanted: bool) {
        let done = match wanted {
            true => self.management.create_vhost(&self.name, self.broker.user()).await,
            false => self.management.delete_vhost(&self.name).await,
        };
        if let Err(error) = done {
            panic!("{}: {error}", self.name);
        }
    }

    /// The queue of this name, or `None`. Its messages are up to a fifth of a second old, its
    /// consumers a second: compare figures in [`Vhost::queue_when`], not here.
    ///
    /// # Panics
    /// When the broker does not tell.
    pub async fn queue(&self, name: &str) -> Option<QueueState> {
        let what = format!("figures of queue {name:?}");
        eventually(&what, FIGURES, async || self.read_queue(name).await).await
    }

    /// Waits until the queue exists and is as wanted. `what` completes the sentence "waited for …".
    ///
    /// # Panics
    /// At the deadline, with the queue as last seen.
    pub async fn queue_when(
        &self,
        name: &str,
        what: &str,
        deadline: Duration,
        is_wanted: impl Fn(&QueueState) -> bool,
    ) -> QueueState {
        let look = async || match self.read_queue(name).await? {
            Some(queue) => when(queue, &is_wanted),
            None => Err(format!("no queue {name:?}")),
        };
        eventually(what, deadline, look).await
    }

    async fn read_queue(&self, name: &str) -> Result<Option<QueueState>, String> {
        Ok(read_queues(&self.management, &self.name).await?.into_iter().find(|queue| queue.name == name))
    }

    /// All queues, by name.
    ///
    /// # Panics
    /// When the broker does not tell.
    pub async fn queues(&self) -> Vec<QueueState> {
        eventually("figures of all queues", FIGURES, async || read_queues(&self.management, &self.name).await).await
    }

    /// All bindings but those of the default exchange, which binds every queue by its name.
    ///
    /// # Panics
    /// When the broker does not tell.
    pub async fn bindings(&self) -> Vec<Binding> {
        match self.management.get::<Vec<Binding>>(&["bindings", &self.name]).await {
            Ok(bindings) => bindings.unwrap_or_default().into_iter().filter(|b| !b.source.is_empty()).collect(),
            Err(error) => panic!("the bindings of {} cannot be read: {error}", self.name),
        }
    }

    /// A new connection, for what the test does with lapin itself.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn connect(&self) -> Connection {
        let properties = ConnectionProperties::default().with_connection_name("warren-testkit".into());
        match Connection::connect(&self.url(), properties).await {
            Ok(connection) => connection,
            Err(error) => panic!("no connection to {}: {error}", self.name),
        }
    }

    /// A channel with publisher confirms; the same at each call.
    ///
    /// # Panics
    /// When the broker refuses.
    pub async fn channel(&self) -> &Channel {
        let open = async || {
            let connection = self.connect().await;
            let channel = connection.create_channel().await.expect("a fresh connection has room for a channel");
            channel.confirm_select(ConfirmSelectOptions::default()).await.expect("RabbitMQ confirms");
            (connection, channel)
        };
        &self.channel.get_or_init(open).await.1
    }

    /// Publishes a persistent message and waits until it is confirmed. The exchange `""` publishes to the queue that
    /// the key names.
    ///
    /// # Panics
    /// When no queue gets it, or the broker refuses it.
    pub async fn publish(&self, exchange: &str, key: &str, body: impl AsRef<[u8]>) {
        self.publish_with(exchange, key, body, BasicProperties::default().with_delivery_mode(2)).await;
    }

    /// [`Vhost::publish`] with properties.
    ///
    /// # Panics
    /// When no queue gets it, or the broker refuses it.
    pub async fn publish_with(&self, exchange: &str, key: &str, body: impl AsRef<[u8]>, properties: BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let channel = self.channel().await;
        let sent = channel.basic_publish(exchange.into(), key.into(), options, body.as_ref(), properties).await;
        let outcome = match sent {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        assert!(matches!(outcome, Ok(Confirmation::Ack(None))), "{exchange:?} key {key:?}: not taken: {outcome:?}");
    }

    /// Takes the next message off a queue, if there is one.
    ///
    /// # Panics
    /// When there is no such queue.
    pub async fn get(&self, queue: &str) -> Option<Delivery> {
        match self.channel().await.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await {
            Ok(message) => message.map(|message| message.delivery),
            Err(error) => panic!("queue {queue:?} gives nothing: {error}"),
        }
    }
}

async fn read_queues(management: &Management, vhost: &str) -> Result<Vec<QueueState>, String> {
    let found: Option<Vec<Description>> = management.get_live(&["queues", vhost]).await?;
    let consumers: Option<Vec<Consumer>> = management.get(&["consumers", vhost]).await?;
    let consumers = consumers.unwrap_or_default();
    found.unwrap_or_default().into_iter().map(|queue| queue.state(&consumers)).collect()
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let (name, failed) = (self.name.clone(), thread::panicking());
        let api = self.broker.management_url().clone();
        away_from_this_runtime(async move {
            // Its own: connections belong to the runtime that made them.
            let management = Management::new(api);
            if failed {
                eprintln!("queues of {name} when the test failed: {:#?}", read_queues(&management, &name).await);
            }
            if let Err(error) = management.delete_vhost(&name).await {
                eprintln!("the virtual host {name} stays: {error}");
            }
        });
    }
}
