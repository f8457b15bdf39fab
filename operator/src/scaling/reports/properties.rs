//! What holds for every report, whoever published it.

use super::{FRESH, LONGEST_NAME, MOST_IN_HAND, MOST_WORKERS, Reports};
use proptest::{collection::vec, prelude::*};
use std::time::{Duration, Instant};
use warren_messaging::{
    message::{self, Report},
    topology::orders,
};
use warren_testkit::inputs;

const REPORTS: &[&str] = &[
    r#"{"worker":"a","role":"processor","inFlight":1,"capacity":4,"processedTotal":7,"busySecondsTotal":1.5}"#,
    r#"{"worker":"b","role":"processor","inFlight":0,"capacity":1,"processedTotal":9,"busySecondsTotal":2,"draining":true}"#,
    r#"{"worker":"w","role":"web","inFlight":0,"capacity":0,"processedTotal":1,"busySecondsTotal":0.0,"wake":true}"#,
    r#"["a","processor",1,4,7,1.5,false,false]"#,
];

proptest! {
    #[test]
    fn what_is_kept_of_any_reports_is_few_fresh_and_makes_sense(
        given in vec((inputs::bodies(REPORTS), inputs::properties(), 0..4000_u64), 1..6),
    ) {
        let (mut reports, mut now) = (Reports::default(), Instant::now());
        for (body, properties, millis) in given {
            now += Duration::from_millis(millis);
            if let Ok(report) = message::read::<Report>(&body) {
                reports.take(report, orders::address(&properties), now);
            }
        }
        let workers = reports.fresh(now);
        prop_assert!(workers.len() <= MOST_WORKERS);
        for worker in workers {
            prop_assert!((1..=LONGEST_NAME).contains(&worker.name.len()));
            prop_assert!(worker.in_flight <= 2 * MOST_IN_HAND && worker.busy_seconds_total.is_finite());
        }
        prop_assert_eq!(reports.fresh(now + 2 * FRESH), []);
    }
}
