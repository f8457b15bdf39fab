//! Looks at the queues of all pipelines of one broker each second, and listens to their workers.

use super::{
    PERIOD,
    scalers::{Leaving, Scalers},
};
use futures::StreamExt as _;
use lapin::{Connection, Event, message::Delivery};
use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use warren_messaging::{
    link::{LinkError, Opened, Session, open_channel},
    message,
    topology::{depths::Lanes, orders, reports::ReportQueue},
};

/// A broker that takes longer for a look is not looked at any more but connected to anew.
const ANSWER: Duration = Duration::from_secs(10);
/// A broker that takes longer for a look is told of: the next one is late.
const SLOW: Duration = PERIOD;
/// How often those that grow are looked at: a burst is still coming in when its first request is seen.
const MOVING_PERIOD: Duration = Duration::from_millis(250);
/// An exchange of which nothing is heard is bound again this often: it may have been deleted and declared anew.
const BIND_AGAIN: Duration = Duration::from_secs(15);
/// No more are bound with one look: a thousand at once take RabbitMQ seconds, in which nobody's queue is looked at.
const BOUND_AT_ONCE: usize = 50;

/// The session that does it.
pub struct Watch {
    scalers: Arc<Scalers>,
    leaving: mpsc::UnboundedReceiver<Leaving>,
}

/// What it works with while a connection lives.
struct Tools<'a> {
    connection: &'a Connection,
    lanes: Lanes,
    reports: ReportQueue,
    bound: HashMap<String, Instant>,
}

impl Watch {
    /// For these pipelines.
    pub fn new(scalers: Arc<Scalers>, leaving: mpsc::UnboundedReceiver<Leaving>) -> Self {
        Self { scalers, leaving }
    }

    /// Looks at everything; the look was due at `due`.
    async fn look(&self, tools: &mut Tools<'_>, due: Instant) -> Result<(), LinkError> {
        let (begun, queues) = (Instant::now(), self.scalers.queues());
        let depths = tools.lanes.survey(tools.connection, &queues).await?;
        let (surveyed, asked) = (begun.elapsed(), queues.len());
        self.scalers.orders.check(tools.connection);
        self.scalers.see(queues, &depths, due);
        let decided = begun.elapsed();
        let bound = self.bind(tools).await?;
        let binding = begun.elapsed() - decided;
        // What is decided in between takes no answer of the broker's.
        if surveyed + binding > SLOW {
            tracing::warn!(asked, ?surveyed, bound, ?binding, "RabbitMQ is slow to tell how many messages wait");
        }
        Ok(())
    }

    /// Binds the reports' queue to exchanges that are due; to how many.
    async fn bind(&self, tools: &mut Tools<'_>) -> Result<usize, LinkError> {
        let (now, exchanges) = (Instant::now(), self.scalers.exchanges());
        let is_due = |(exchange, heard): &(String, bool)| {
            let bound = tools.bound.get(exchange);
            bound.is_none_or(|at| !heard && now.duration_since(*at) >= BIND_AGAIN)
        };
        let mut due: Vec<_> =
            exchanges.iter().filter(|one| is_due(one)).map(|(exchange, _)| exchange.clone()).collect();
        // Those that never were come first.
        due.sort_by_key(|exchange| tools.bound.get(exchange).copied());
        due.truncate(BOUND_AT_ONCE);
        let count = due.len();
        if count > 0 {
            tools.reports.bind(tools.connection, &due).await?;
            tools.bound.extend(due.into_iter().map(|exchange| (exchange, now)));
        }
        Ok(count)
    }

    /// Takes a report in, and looks at its pipeline at once if it cannot wait.
    async fn hear(&self, tools: &mut Tools<'_>, delivery: Delivery) -> Result<(), LinkError> {
        let Ok(report) = message::read(&delivery.data) else { return Ok(()) };
        let address = orders::address(&delivery.properties);
        let Some(queues) = self.scalers.hear(delivery.exchange.as_str(), report, address) else { return Ok(()) };
        self.look_at(tools, &[delivery.exchange.to_string()].into(), queues).await
    }

    async fn look_at(
        &self,
        tools: &mut Tools<'_>,
        exchanges: &BTreeSet<String>,
        queues: Vec<String>,
    ) -> Result<(), LinkError> {
        let depths = tools.lanes.survey(tools.connection, &queues).await?;
        self.scalers.see_some(exchanges, queues, &depths);
        Ok(())
    }

    async fn unbind(&self, tools: &mut Tools<'_>, leaving: Leaving) -> Result<(), LinkError> {
        // Another pipeline may have come to this exchange meanwhile; it is bound again with the next look.
        if tools.bound.remove(&leaving.exchange).is_some() {
            tools.reports.unbind(tools.connection, &leaving.exchange).await?;
        }
        // Who waits for it may have given up.
        let _ = leaving.unbound.send(());
        Ok(())
    }

    /// Looks at those that grow, all at once: after an outage that may be every pipeline there is.
    async fn look_again(&self, tools: &mut Tools<'_>) -> Result<(), LinkError> {
        let (exchanges, queues) = self.scalers.moving();
        if exchanges.is_empty() {
            return Ok(());
        }
        self.look_at(tools, &exchanges, queues).await
    }
}

impl Session for Watch {
    async fn serve(&mut self, opened: Opened<'_>) -> Result<(), LinkError> {
        self.scalers.orders.open(open_channel(opened.connection).await?);
        let scalers = self.scalers.clone();
        let result = tokio::select! {
            result = self.watch(&opened) => result,
            blocked = blocked(opened.connection) => Err(blocked),
        };
        scalers.orders.close();
        result
    }
}

/// Until the broker reads nothing more from this connection, as it has given orders and there is an alarm: on another that
/// has not everything can still be seen.
async fn blocked(connection: &Connection) -> LinkError {
    let mut events = pin!(connection.events_listener());
    loop {
        match events.next().await {
            Some(Event::ConnectionBlocked(reason)) => return LinkError::Blocked { reason },
            Some(_) => {}
            // The connection is away, which is noticed where it is used.
            None => std::future::pending().await,
        }
    }
}

impl Watch {
    async fn watch(&mut self, opened: &Opened<'_>) -> Result<(), LinkError> {
        let connection = opened.connection;
        let exchanges: Vec<_> = self.scalers.exchanges().into_iter().map(|(exchange, _)| exchange).collect();
        let reports = ReportQueue::open(connection, &exchanges).await?;
        let mut tools = Tools { connection, lanes: Lanes::default(), reports, bound: HashMap::new() };
        opened.ready();
        let mut clock = interval(PERIOD);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut between = interval(MOVING_PERIOD);
        between.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let work = tokio::select! {
                () = opened.stop.cancelled() => return Ok(()),
                due = clock.tick() => timeout(ANSWER, self.look(&mut tools, due.into_std())).await,
                _ = between.tick() => timeout(ANSWER, self.look_again(&mut tools)).await,
                Some(leaving) = self.leaving.recv() => timeout(ANSWER, self.unbind(&mut tools, leaving)).await,
                delivery = tools.reports.consumer.next() => {
                    let delivery = delivery.ok_or(LinkError::ChannelClosed)??;
                    timeout(ANSWER, self.hear(&mut tools, delivery)).await
                }
            };
            work.map_err(|_| LinkError::ChannelClosed)??;
        }
    }
}
