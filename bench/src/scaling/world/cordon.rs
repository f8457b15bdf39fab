//! Before idle processors go, Warren asks them to take nothing more, and only those go that say so.

use super::{World, events::Event, events::PodId};
use std::time::Duration;

/// From the decision until the processors have the order.
const ORDER: Duration = Duration::from_millis(10);
/// From then until their answers are there.
const ANSWERS: Duration = Duration::from_millis(50);

/// A number that is to be smaller, and who is asked.
pub struct Asking {
    wanted: u32,
    asked: Vec<PodId>,
}

impl World<'_> {
    /// Asks as many of those that said last that they are idle as are to go.
    pub(super) fn ask(&mut self, wanted: u32) {
        // Those that still start go before anyone, unless all go.
        let starting = if wanted == 0 { 0 } else { self.starting_pods() };
        let needed = (self.asked - wanted).saturating_sub(starting) as usize;
        let live = self.pods.iter().filter(|(id, pod)| pod.ready && !pod.draining && self.reports.says_idle(**id));
        let asked = live.map(|(id, _)| *id).take(needed).collect();
        self.asking = Some(Asking { wanted, asked });
        self.after(ORDER, Event::Order);
    }

    /// The order arrives: who has no work takes none any more.
    pub(super) fn order(&mut self) {
        let Some(asking) = &self.asking else { return };
        for id in &asking.asked {
            if let Some(pod) = self.pods.get_mut(id).filter(|pod| pod.in_work.is_empty()) {
                pod.holds = true;
                self.broker.cancel(*id);
            }
        }
        self.after(ANSWERS, Event::Answers);
    }

    /// The answers are there: as many go as may.
    pub(super) fn answers(&mut self) {
        let Some(Asking { wanted, asked }) = self.asking.take() else { return };
        let held = asked.iter().filter(|id| self.pods.get(id).is_some_and(|pod| pod.holds)).count();
        let able = u32::try_from(held).unwrap_or(u32::MAX).saturating_add(self.starting_pods());
        let to = self.asked - (self.asked - wanted).min(able);
        if to == self.asked { self.release() } else { self.set(to) }
    }

    /// Work has come after a rest: nobody goes for now.
    pub(super) fn give_up(&mut self) {
        if self.asking.take().is_some() {
            self.release();
        }
    }

    /// Those that hold and stay take requests again.
    pub(super) fn release(&mut self) {
        let holding: Vec<_> =
            self.pods.iter().filter(|(_, pod)| pod.holds && !pod.draining).map(|(id, _)| *id).collect();
        for id in holding {
            self.pods.entry(id).or_default().holds = false;
            (0..self.concurrency).for_each(|_| self.broker.make_room(id));
        }
        self.deliver();
    }

    fn starting_pods(&self) -> u32 {
        let starting = self.pods.values().filter(|pod| !pod.ready && !pod.draining).count();
        u32::try_from(starting).unwrap_or(u32::MAX)
    }
}
