//! KEDA 2.21 and the Horizontal Pod Autoscaler of Kubernetes 1.36, as their sources say.

use super::{MAX, Scaler};
use std::{collections::VecDeque, time::Duration};
use warren_scaling::Observation;

/// How often the HPA looks; a flag of the controller manager that few can set.
pub const SYNC: Duration = Duration::from_secs(15);
/// The HPA without a `behavior` keeps the most that it recommended in this time.
const WINDOW: Duration = Duration::from_secs(300);
/// The HPA leaves a number alone that is off by no more than this.
const TOLERANCE: f64 = 0.1;

/// What a user can set of KEDA.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often KEDA itself looks, which only matters between zero and one.
    pub poll: Duration,
    /// How long there must have been nothing before the last replica goes.
    pub cooldown: Duration,
    /// Whether a `behavior` takes away the HPA's limits: 300 s of stabilisation, and twice as many or four per sync.
    pub unlimited: bool,
}

/// What a `ScaledObject` has that says nothing of this.
pub const DEFAULT: Settings =
    Settings { poll: Duration::from_secs(30), cooldown: Duration::from_secs(300), unlimited: false };

/// As quick as it gets.
pub const TUNED: Settings =
    Settings { poll: Duration::from_secs(1), cooldown: Duration::from_secs(30), unlimited: true };

/// KEDA and its HPA, with the `rabbitmq` trigger over AMQP: it counts the requests that wait, not those in work.
pub struct Keda {
    settings: Settings,
    value: u32,
    next_poll: Duration,
    next_sync: Duration,
    last_active: Duration,
    recommended: VecDeque<(Duration, u32)>,
}

impl Keda {
    /// One replica per `value` waiting requests. The clocks of the two tick independently: `phases` are parts of their
    /// intervals.
    pub fn new(settings: Settings, value: u32, phases: [f64; 2]) -> Self {
        Self {
            settings,
            value,
            next_poll: settings.poll.mul_f64(phases[0]),
            next_sync: SYNC.mul_f64(phases[1]),
            last_active: Duration::ZERO,
            recommended: VecDeque::new(),
        }
    }

    /// KEDA: from zero to one, and from any number to zero.
    fn poll(&mut self, at: Duration, waiting: u64, replicas: u32) -> u32 {
        if waiting > 0 {
            self.last_active = at;
            return replicas.max(1);
        }
        if at.saturating_sub(self.last_active) >= self.settings.cooldown { 0 } else { replicas }
    }

    /// The HPA: from one to the maximum and back.
    fn sync(&mut self, at: Duration, waiting: u64, replicas: u32) -> u32 {
        let wanted = self.recommend(waiting, replicas);
        if self.settings.unlimited {
            return wanted.clamp(1, MAX);
        }
        self.recommended.push_back((at, wanted));
        self.recommended.retain(|(then, _)| at.saturating_sub(*then) < WINDOW);
        let most = self.recommended.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted);
        most.min((2 * replicas).max(4)).clamp(1, MAX)
    }

    fn recommend(&self, waiting: u64, replicas: u32) -> u32 {
        let ratio = waiting as f64 / f64::from(self.value * replicas);
        if (ratio - 1.0).abs() <= TOLERANCE {
            return replicas;
        }
        u32::try_from(waiting.div_ceil(self.value.into())).unwrap_or(u32::MAX)
    }
}

impl Scaler for Keda {
    fn look(&mut self, seen: &Observation) -> u32 {
        let (waiting, mut replicas) = (seen.waiting.unwrap_or_default(), seen.replicas);
        if self.next_poll <= seen.at {
            self.next_poll += self.settings.poll;
            replicas = self.poll(seen.at, waiting, replicas);
        }
        if self.next_sync <= seen.at {
            self.next_sync += SYNC;
            if replicas > 0 {
                replicas = self.sync(seen.at, waiting, replicas);
            }
        }
        replicas
    }

    fn next_look(&self) -> Duration {
        self.next_poll.min(self.next_sync)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(settings: Settings, waiting: impl Fn(u64) -> u64) -> Vec<u32> {
        let (mut keda, mut replicas) = (Keda::new(settings, 5, [0.0, 0.0]), 0);
        let look = |second| {
            let at = Duration::from_secs(second);
            replicas =
                keda.look(&Observation { at, replicas, waiting: Some(waiting(second)), ..Observation::default() });
            replicas
        };
        (0..400).map(look).collect()
    }

    #[test]
    fn by_default_it_doubles_at_each_sync_and_grows_on_when_the_queue_is_empty() {
        let replicas = looks(DEFAULT, |second| if second < 20 { 300 } else { 0 });
        assert_eq!([0, 15, 30, 45, 299].map(|second| replicas[second]), [4, 8, 16, 30, 30]);
        assert_eq!(replicas[300], 0, "after the cooldown, in one jump");
    }

    #[test]
    fn tuned_it_goes_where_the_queue_is_at_each_sync() {
        let replicas = looks(TUNED, |second| if second < 20 { 75 } else { 0 });
        assert_eq!([0, 15, 29, 30, 48, 49].map(|second| replicas[second]), [15, 15, 15, 1, 1, 0]);
    }
}
