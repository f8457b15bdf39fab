//! What the work is: a pure function of the request, so that a wrong result shows.

use serde::{Deserialize, Serialize};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// From it follows everything else.
    pub number: u64,
    /// Cargo of some length.
    pub text: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The task's number.
    pub number: u64,
    /// A digest of the task's text.
    pub digest: String,
}

/// How an attempt ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this answer.
    Done(Answer),
    /// For now: a later attempt helps.
    Again,
    /// For good.
    Never,
}

impl Task {
    /// The task of this number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        let length = usize::try_from(mix(number) % 1500).unwrap_or_default();
        let text = format!("{:016x}", mix(number)).chars().cycle().take(length).collect();
        Self { number, text }
    }

    /// A task that succeeds at its first attempt.
    #[must_use]
    pub fn easy(count: u64) -> Self {
        Self::new(1_000_000_000_000 + count * 1000)
    }

    /// How many attempts fail before one succeeds: one in ten fails once, one in fifty twice more.
    #[must_use]
    pub fn failures(&self) -> u32 {
        match self.number % 50 {
            7 => 3,
            number if number % 10 == 3 => 1,
            _ => 0,
        }
    }

    /// Whether no attempt will succeed: one in two hundred.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.number % 200 == 11
    }

    /// How this attempt (counted from 1) ends.
    #[must_use]
    pub fn attempt(&self, attempt: u32) -> Ending {
        if attempt <= self.failures() {
            return Ending::Again;
        }
        if self.is_hopeless() { Ending::Never } else { Ending::Done(self.answer()) }
    }

    /// What it is answered with in the end.
    #[must_use]
    pub fn answer(&self) -> Answer {
        // FNV-1a: any byte changed, lost or doubled changes it.
        let digest = self
            .text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Answer { number: self.number, digest: format!("{digest:016x}") }
    }
}

/// SplitMix64's finaliser: neighbours become strangers.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_fails_as_often_as_it_says_and_then_gives_its_answer() {
        for number in 0..1000 {
            let task = Task::new(number);
            for attempt in 1..=task.failures() {
                assert_eq!(task.attempt(attempt), Ending::Again);
            }
            let end = task.attempt(task.failures() + 1);
            assert_eq!(end == Ending::Never, task.is_hopeless(), "{task:?}");
        }
    }

    #[test]
    fn easy_tasks_succeed_at_once() {
        assert!((0..1000).map(Task::easy).all(|task| task.failures() == 0 && !task.is_hopeless()));
    }
}
