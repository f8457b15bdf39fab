//! One attempt: the handler within its time.

use crate::{Handler, Outcome, Work, exec::last_words::Heard};
use futures::FutureExt as _;
use std::{any::Any, panic::AssertUnwindSafe, pin::pin, time::Duration};
use tokio::time;
use warren_messaging::duration;

/// An attempt that has run this long is announced as `started`; faster work pays nothing for it.
pub(crate) const WORTH_TELLING: Duration = Duration::from_secs(1);

/// Runs the handler for at most `timeout`. `started` is called once it has run for [`WORTH_TELLING`].
pub(crate) async fn attempt<H: Handler>(
    handler: &H,
    work: Work<'_>,
    timeout: Duration,
    started: impl FnOnce(),
) -> Outcome {
    let heard = Heard::default();
    let mut running = pin!(heard.during(guarded(handler, work)));
    if timeout > WORTH_TELLING {
        // No timer is set for a handler that answers at once: tokio polls it first.
        if let Ok(outcome) = time::timeout(WORTH_TELLING, running.as_mut()).await {
            return outcome;
        }
        started();
    }
    let rest = if timeout > WORTH_TELLING { timeout - WORTH_TELLING } else { timeout };
    let ended = time::timeout(rest, running).await;
    ended.unwrap_or_else(|_| Outcome::again(heard.after(&format!("timed out after {}", duration::format(timeout)))))
}

/// The handler, whose panic is one failed attempt and no more.
async fn guarded<H: Handler>(handler: &H, work: Work<'_>) -> Outcome {
    // A handler that is left broken by its panic breaks its own later attempts, nothing of the worker's.
    let running = AssertUnwindSafe(async { handler.handle(work).await });
    running.catch_unwind().await.unwrap_or_else(|panic| Outcome::again(format_args!("panicked: {}", words(&*panic))))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;
    use warren_messaging::request_id::RequestId;

    /// Does what its data says.
    struct Obedient;

    impl Handler for Obedient {
        async fn handle(&self, work: Work<'_>) -> Outcome {
            match work.data.get() {
                "1" => panic!("no {}", "luck"),
                "2" => std::future::pending().await,
                _ => Outcome::done("fine"),
            }
        }
    }

    async fn run(data: &str, timeout: Duration) -> (Outcome, bool) {
        let id = RequestId::from_text("a").expect("is an id");
        let data: &RawValue = serde_json::from_str(data).expect("is JSON");
        let work = Work { request_id: &id, attempt: 1, data, traceparent: None, deadline: None };
        let mut told = false;
        let outcome = attempt(&Obedient, work, timeout, || told = true).await;
        (outcome, told)
    }

    fn error(outcome: &Outcome) -> &str {
        match outcome {
            Outcome::Again { error, .. } => error,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_for_now_that_carries_its_words() {
        let (outcome, _) = run("1", Duration::from_secs(5)).await;
        assert_eq!(error(&outcome), "panicked: no luck");
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_is_up_is_a_failure_for_now_in_the_users_units() {
        let begun = time::Instant::now();
        let (outcome, told) = run("2", Duration::from_secs(300)).await;
        assert_eq!(error(&outcome), "timed out after 5m");
        assert_eq!(begun.elapsed().as_secs(), 300);
        assert!(told, "it ran for more than a second");
    }

    #[tokio::test]
    async fn fast_work_is_not_announced() {
        let (outcome, told) = run("3", Duration::from_secs(5)).await;
        assert!(matches!(outcome, Outcome::Done(_)) && !told);
    }
}
