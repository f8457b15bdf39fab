//! Taking nothing for a while, because the operator asks for it. It does so before it ends an idle worker: a request that
//! came between its look and SIGTERM would be finished, but by a worker that was stopped while busy.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};
use warren_messaging::{message::Order, publisher::Contact};

/// Nobody who reads orders asks for longer; a mistaken one must not keep a worker from its work for good.
const LONGEST: Duration = Duration::from_secs(60);
/// A worker with short work would otherwise report each of its requests.
const REPORT_PAUSE: Duration = Duration::from_millis(250);

/// The operator's orders, and what is told of following them.
pub(crate) struct Cordon {
    until: watch::Sender<Instant>,
    holds: AtomicBool,
    told: Mutex<Option<Instant>>,
    report: Arc<Notify>,
}

impl Cordon {
    pub(crate) fn new() -> Self {
        let (until, _) = watch::channel(Instant::now());
        Self { until, holds: AtomicBool::new(false), told: Mutex::default(), report: Arc::default() }
    }

    /// How the operator's orders get here, and reports get out.
    pub(crate) fn contact(self: &Arc<Self>) -> Contact {
        let cordon = Arc::clone(self);
        let order = move |order| cordon.order(order);
        Contact { report: self.report.clone(), orders: Some(Arc::new(order)) }
    }

    fn order(&self, order: Order) {
        self.until.send_replace(Instant::now() + order.take_nothing_for.min(LONGEST));
    }

    /// Whether nothing is taken for the time being.
    pub(crate) fn holds(&self) -> bool {
        self.holds.load(Ordering::SeqCst)
    }

    /// Those that come from now on.
    pub(crate) fn orders(&self) -> Orders {
        Orders(self.until.subscribe())
    }

    /// Has a report published at once.
    pub(crate) fn report(&self) {
        self.report.notify_one();
    }

    /// Work began after a rest: who scales should know soon.
    pub(crate) fn begun(&self) {
        let (mut told, now) = (self.told.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if told.is_none_or(|at| now.duration_since(at) >= REPORT_PAUSE) {
            *told = Some(now);
            self.report();
        }
    }

    /// Holds until the returned guard is dropped, and tells of both.
    pub(crate) fn hold(&self) -> impl Drop + use<'_> {
        self.say(true);
        Held(self)
    }

    fn say(&self, holds: bool) {
        self.holds.store(holds, Ordering::SeqCst);
        self.report();
    }
}

struct Held<'a>(&'a Cordon);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.say(false);
    }
}

/// Orders as they come.
pub(crate) struct Orders(watch::Receiver<Instant>);

impl Orders {
    /// Waits for an order whose time is not over.
    pub(crate) async fn next(&mut self) {
        // Who gives them lives as long as the worker.
        while self.0.changed().await.is_ok() {
            if *self.0.borrow_and_update() > Instant::now() {
                return;
            }
        }
        std::future::pending().await
    }

    /// Waits until the time of the last order is over; `told` is called for each that comes meanwhile.
    pub(crate) async fn over(&mut self, told: impl Fn()) {
        loop {
            let until = *self.0.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => return,
                _ = self.0.changed() => told(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(millis: u64) -> Order {
        Order { take_nothing_for: Duration::from_millis(millis) }
    }

    #[tokio::test]
    async fn an_order_of_no_time_ends_the_one_before() {
        let cordon = Cordon::new();
        let mut orders = cordon.orders();
        cordon.order(order(60_000));
        orders.next().await;
        cordon.order(order(0));
        tokio::time::timeout(Duration::from_secs(5), orders.over(|| {})).await.expect("is over");
    }

    #[tokio::test]
    async fn what_is_told_follows_what_is_done() {
        let cordon = Cordon::new();
        let guard = cordon.hold();
        assert!(cordon.holds());
        cordon.report.notified().await;
        drop(guard);
        assert!(!cordon.holds());
        cordon.report.notified().await;
    }

    #[tokio::test]
    async fn short_work_is_not_told_each_time() {
        let cordon = Cordon::new();
        cordon.begun();
        cordon.report.notified().await;
        cordon.begun();
        let again = tokio::time::timeout(Duration::from_millis(20), cordon.report.notified()).await;
        assert!(again.is_err(), "{again:?}");
    }
}
