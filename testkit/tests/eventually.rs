//! Waiting for a condition.

use std::{cell::Cell, future::pending, time::Duration};
use warren_testkit::{eventually, eventually::when};

const SHORT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn it_looks_until_the_value_is_there() {
    let looks = Cell::new(0);
    let look = async || {
        looks.set(looks.get() + 1);
        (looks.get() == 3).then_some("there")
    };
    assert_eq!(eventually("the third look", Duration::from_secs(5), look).await, "there");
}

#[tokio::test]
async fn at_the_deadline_it_says_where_it_waited_for_what_and_what_was_seen() {
    let line = line!() + 1;
    let waiting = async { eventually("an empty queue", SHORT, async || when(7, |depth| *depth == 0)).await };
    let panic = tokio::spawn(waiting).await.unwrap_err().into_panic();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.starts_with(&format!("{}:{line}:", file!())), "{text}");
    assert!(text.ends_with("waited 100ms for an empty queue, but last saw: 7"), "{text}");
}

#[tokio::test]
#[should_panic(expected = "waited 100ms for an answer, but last saw: no look was finished (and the last look did not")]
async fn a_look_that_hangs_ends_at_the_deadline() {
    eventually("an answer", SHORT, async || pending::<bool>().await).await;
}
