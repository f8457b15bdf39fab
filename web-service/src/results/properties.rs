//! Whatever comes on the results queue is refused, or recorded and found again: a message that could be read and not
//! recorded would hold up all others for ever.

use super::decode::read;
use crate::{
    record::{Change, What},
    store::{Location, Store},
};
use jiff::Timestamp;
use lapin::BasicProperties;
use proptest::{collection::vec, prelude::*, sample::select};
use std::sync::LazyLock;
use tokio::runtime::Runtime;
use warren_messaging::topology::{DEAD_KEY, EVENT_KEY, RESULT_KEY};
use warren_testkit::inputs;

/// Messages per case: they share one transaction, as they would if they came together.
const TOGETHER: usize = 32;

const BODIES: &[&str] = &[
    r#"{"requestId":"a","processingResults":{"a":[1.50,null,"\u0000"]}}"#,
    r#"{"requestId":17,"requestData":"my data"}"#,
    r#"{"requestId":"a","attempt":1,"event":"started","startedAt":"2026-01-01T00:00:00Z"}"#,
    r#"{"requestId":"a","attempt":2,"event":"retrying","error":"busy","nextAttemptAt":"9999-12-30T22:00:00Z"}"#,
    r#"{"requestId":"a","attempt":1,"event":"retrying","error":"","nextAttemptAt":"2999-01-01T00:00:00Z","spare":{"body":"{\"requestId\":\"a\"}","attempt":2,"missedAfterMs":604000}}"#,
    r#"["a",1]"#,
];

type Message = (&'static str, BasicProperties, Vec<u8>);

fn message() -> impl Strategy<Value = Message> {
    let key = select(&[RESULT_KEY, DEAD_KEY, EVENT_KEY, "other"][..]);
    (key, inputs::properties(), inputs::bodies(BODIES))
}

fn changes(messages: &[Message]) -> Vec<Change> {
    let read = |(key, properties, body): &Message| read(key, properties, body, Timestamp::UNIX_EPOCH).ok();
    messages.iter().filter_map(read).collect()
}

/// One store for all cases.
struct Kept {
    runtime: Runtime,
    store: Store,
    _directory: tempfile::TempDir,
}

static KEPT: LazyLock<Kept> = LazyLock::new(|| {
    let (runtime, directory) = (Runtime::new().expect("a runtime"), tempfile::tempdir().expect("a directory"));
    let open = Store::open(Location::File(directory.path().join("requests.db")));
    let (store, _) = runtime.block_on(open).expect("opens");
    Kept { runtime, store, _directory: directory }
});

proptest! {
    #[test]
    fn every_message_is_refused_or_says_what_changes((key, properties, body) in message()) {
        if let Ok(change) = read(key, &properties, &body, Timestamp::UNIX_EPOCH) {
            prop_assert_eq!(body.trim_ascii_start().first(), Some(&b'{'));
            prop_assert_eq!(change.is_final(), key != EVENT_KEY);
            if let What::Succeeded { result, .. } = change.what {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(result.get()).is_ok());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.div_ceil(TOGETHER as u32), ..ProptestConfig::default() })]

    #[test]
    fn whatever_can_be_read_can_be_recorded_and_found(messages in vec(message(), TOGETHER)) {
        let Kept { runtime, store, .. } = &*KEPT;
        let changes = changes(&messages);
        let ids: Vec<_> = changes.iter().map(|change| change.id.clone()).collect();
        runtime.block_on(store.record(changes)).map_err(|error| TestCaseError::fail(error.to_string()))?;
        for id in ids {
            let found = runtime.block_on(store.find(&id)).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
            prop_assert_eq!(found.map(|record| record.request_id), Some(id));
        }
    }
}
